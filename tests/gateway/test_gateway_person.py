"""People: first accounts once, equal answers, waiting after failures, sessions that end."""

import stat
from pathlib import Path

import pytest

from gateway.person import SESSION_S, People, Right, TooManyTries
from plant.errors import ConfigError, Rejected


def _people(tmp_path: Path, clock: list[float] | None = None) -> People:
    at = clock if clock is not None else [1_000_000.0]
    return People(tmp_path / "people.sqlite", now=lambda: at[0])


def test_the_first_start_gives_two_accounts_once(tmp_path: Path) -> None:
    people = _people(tmp_path)
    accounts = dict(people.first_accounts())
    assert set(accounts) == {"engineer", "admin"}
    assert people.first_accounts() == ()
    token = people.log_in("engineer", accounts["engineer"])
    assert token is not None
    person = people.whose(token)
    assert person is not None
    assert person.rights == {Right.VIEWER, Right.OPERATOR, Right.ENGINEER}
    admin = people.log_in("admin", accounts["admin"])
    assert admin is not None
    whose = people.whose(admin)
    assert whose is not None
    assert Right.OPERATOR not in whose.rights, "an admin does not command machines"
    people.close()
    assert stat.S_IMODE((tmp_path / "people.sqlite").stat().st_mode) == 0o600
    again = _people(tmp_path)
    assert again.first_accounts() == ()
    assert again.whose(token) is not None, "a session outlives the process"
    again.close()


def test_no_password_is_kept_in_the_file(tmp_path: Path) -> None:
    people = _people(tmp_path)
    secrets = [p.encode() for _, p in people.first_accounts()]
    people.close()
    content = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert not any(s in content for s in secrets)


def test_after_five_failures_a_name_waits_and_then_may_again(tmp_path: Path) -> None:
    clock = [0.0]
    people = _people(tmp_path, clock)
    people.add("zhang", "correct-horse", [Right.VIEWER])
    for _ in range(5):
        assert people.log_in("zhang", "wrong") is None
    with pytest.raises(TooManyTries) as caught:
        people.log_in("zhang", "correct-horse")
    clock[0] += caught.value.retry_s + 0.1
    assert people.log_in("zhang", "correct-horse") is not None
    people.close()


def test_a_session_ends(tmp_path: Path) -> None:
    clock = [0.0]
    people = _people(tmp_path, clock)
    people.add("li", "correct-horse", [Right.VIEWER])
    token = people.log_in("li", "correct-horse")
    assert token is not None
    clock[0] += SESSION_S + 1
    assert people.whose(token) is None
    clock[0] = 1.0
    people.log_out(token)
    assert people.whose(token) is None
    people.close()


def test_refusals_are_clear(tmp_path: Path) -> None:
    people = _people(tmp_path)
    with pytest.raises(Rejected, match="10 characters"):
        people.add("x", "short", [Right.VIEWER])
    people.add("x", "long-enough-1", [Right.VIEWER])
    with pytest.raises(Rejected, match="already an account"):
        people.add("x", "long-enough-2", [Right.VIEWER])
    people._db.execute("PRAGMA user_version=99")
    people.close()
    with pytest.raises(ConfigError, match="newer"):
        _people(tmp_path)
