"""People: first accounts once, equal answers, waiting after failures, sessions that end."""

import contextlib
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from gateway import backoff as backoff_module
from gateway.audit import broken
from gateway.backoff import Backoff, Key
from gateway.person import People, TooManyTries
from gateway.role import RIGHTS, Right, Role
from gateway.session import SESSION_S, SESSIONS, Origin
from plant.errors import Rejected

PASSWORD = "correct-horse"


def _people(tmp_path: Path, clock: list[float] | None = None) -> People:
    at = clock if clock is not None else [1_000_000.0]
    people = People(tmp_path / "people.sqlite", now=lambda: at[0])
    people._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return people


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
    for name in ("", "a b", "x\n2026 admin", "x" * 65, "\ud800", "e\u0301"):
        with pytest.raises(Rejected, match="a name has"):
            people.add(name, "long-enough-3", [Right.VIEWER])
    for name in ("X", "kaikou", "Kaikou", ".", "--", "adm\u0456n", "\ufb01n", "\uff58"):
        with pytest.raises(Rejected):
            people.add(name, "long-enough-3", [Right.VIEWER])
    people.add("\u0438\u0432\u0430\u043d", "long-enough-3", [Right.VIEWER])
    for act in (people.remove, lambda n, by: people.set_role(n, Role.VIEWER, by)):
        with pytest.raises(Rejected, match="no account 'nobody'"):
            act("nobody", "root")
    people.close()


def test_nobody_locks_out_a_known_device_or_another_address(tmp_path: Path) -> None:
    clock = [0.0]
    people = _people(tmp_path, clock)
    people.add("zhang", PASSWORD, [Right.VIEWER])
    assert people.log_in("zhang", PASSWORD, Origin("10.0.0.1")) is not None
    known = people.remember("zhang")
    for _ in range(20):
        with contextlib.suppress(TooManyTries):
            people.log_in("zhang", "wrong", Origin("10.0.0.9"))
    with pytest.raises(TooManyTries):
        people.log_in("zhang", PASSWORD, Origin("10.0.0.9"))
    with pytest.raises(TooManyTries):
        people.log_in("zhang", PASSWORD, Origin("10.0.0.9", "a device that nobody knows"))
    assert people.log_in("zhang", PASSWORD, Origin("10.0.0.9", known)) is not None
    assert people.log_in("zhang", PASSWORD, Origin("10.0.0.1")) is not None
    people.close()


def test_the_wait_of_a_device_does_not_shut_the_way_without_it(tmp_path: Path) -> None:
    people = _people(tmp_path)
    people.add("zhang", PASSWORD, [Right.VIEWER])
    known = people.remember("zhang")
    for _ in range(5):
        assert people.log_in("zhang", "wrong", Origin("10.0.0.1", known)) is None
    assert people.log_in("zhang", PASSWORD, Origin("10.0.0.1", known)) is not None
    assert people.remember("zhang", "made up") != "made up", "nobody chooses his token"
    people.close()


def test_a_thousand_other_names_erase_no_wait_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    backoff = Backoff(lambda: clock[0])
    mine = Key(("address", "zhang", "10.0.0.9"))
    for _ in range(9):
        backoff.failed(mine)
    wait = backoff.wait_s(mine)
    for i in range(1_001):
        backoff.failed(Key(("address", f"name{i}", "10.0.0.9")))
    assert backoff.wait_s(mine) == wait == 16.0
    clock[0] = 16.0
    assert backoff.wait_s(mine) == 0.0
    monkeypatch.setattr(backoff_module, "SLOTS", 64)
    small = Backoff(lambda: clock[0])
    for i in range(1_000):
        small.failed(Key(("address", f"name{i}", "10.0.0.9")))
    assert len(small._counts) == 64


def test_a_quiet_hour_forgets_failures() -> None:
    clock = [0.0]
    backoff, mine = Backoff(lambda: clock[0]), Key(("address", "zhang", ""))
    for _ in range(30):
        backoff.failed(mine)
    assert backoff.wait_s(mine) == 300.0
    clock[0] = 3_700.0
    backoff.failed(mine)
    assert backoff.wait_s(mine) == 0.0


def test_another_password_ends_every_other_session_and_device(tmp_path: Path) -> None:
    people = _people(tmp_path)
    people.add("zhang", PASSWORD, [Right.VIEWER])
    mine, other = people.log_in("zhang", PASSWORD), people.log_in("zhang", PASSWORD)
    assert mine is not None
    assert other is not None
    known = people.remember("zhang")
    people.set_password("zhang", "another-password", "zhang", keep=mine)
    assert people.whose(mine) is not None
    assert people.whose(other) is None
    assert not people.knows("zhang", known)
    assert people.log_in("zhang", PASSWORD) is None
    given = people.set_password("zhang", None, "root")
    assert people.whose(mine) is None
    assert people.log_in("zhang", given) is not None
    people.close()


def test_the_last_admin_stays_and_what_admins_do_is_written_in_a_chain(tmp_path: Path) -> None:
    people = _people(tmp_path)
    people.add("root", PASSWORD, RIGHTS[Role.ADMIN], "box")
    people.add("li", PASSWORD, RIGHTS[Role.VIEWER], "root")
    for act in (
        lambda: people.remove("root", "root"),
        lambda: people.set_role("root", Role.VIEWER, "root"),
    ):
        with pytest.raises(Rejected, match="last admin"):
            act()
    token = people.log_in("li", PASSWORD)
    assert token is not None
    people.set_role("li", Role.ADMIN, "root")
    person = people.whose(token)
    assert person is not None
    assert person.rights == {Right.VIEWER, Right.ADMIN}, "a role holds at once"
    people.remove("root", "li")
    acts = [(a.person, a.what, a.about) for a in people.acts()]
    assert acts[0] == ("li", "removed", "root")
    assert acts[-1] == ("box", "added as admin", "root")
    assert broken(people._file) is None
    people._file.row("UPDATE act SET about = 'wu' WHERE id = 2")
    assert broken(people._file) is not None
    people.close()


def test_sessions_are_listed_and_ended_without_giving_them_away(tmp_path: Path) -> None:
    people = _people(tmp_path)
    people.add("li", PASSWORD, [Right.VIEWER])
    token = people.log_in("li", PASSWORD, Origin("10.0.0.7", agent="Firefox"))
    assert token is not None
    (session,) = people.sessions()
    assert (session.name, session.address, session.agent) == ("li", "10.0.0.7", "Firefox")
    assert session.id not in token
    assert people.end_session(session.id, "root") == "li"
    assert people.whose(token) is None
    with pytest.raises(Rejected, match="no session"):
        people.end_session(session.id, "root")
    with pytest.raises(Rejected, match="no account"):
        people.begin("nobody", Origin())
    for _ in range(SESSIONS + 3):
        people.begin("li", Origin())
    assert len(people.sessions()) == SESSIONS
    people.close()
