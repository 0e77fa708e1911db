"""The file of accounts: of its own mode, brought up to date, refused in plain words."""

import contextlib
import stat
from pathlib import Path

import apsw
import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.person import People
from gateway.role import Right, Role
from gateway.session import Origin
from gateway.store import SCHEMA
from plant.errors import ConfigError, Rejected, Unavailable

PASSWORD = "correct-horse"
VERSION_1 = """
PRAGMA journal_mode=WAL;
CREATE TABLE person (name TEXT PRIMARY KEY, hash TEXT NOT NULL, rights TEXT NOT NULL) STRICT;
CREATE TABLE session (token BLOB PRIMARY KEY, name TEXT NOT NULL
  REFERENCES person(name) ON DELETE CASCADE, until REAL NOT NULL) STRICT;
PRAGMA user_version=1;
"""
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


def _file(tmp_path: Path) -> Path:
    """A file with one viewer and one admin."""
    file = tmp_path / "people.sqlite"
    people = People(file)
    people._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    people.add("li", PASSWORD, [Right.VIEWER])
    people.add("root", PASSWORD, [Right.VIEWER, Right.ADMIN])
    people.close()
    return file


def test_a_file_of_the_version_before_opens_with_its_accounts_and_sessions(tmp_path: Path) -> None:
    file = tmp_path / "people.sqlite"
    old = apsw.Connection(str(file))
    old.execute(VERSION_1).fetchall()
    old.execute("INSERT INTO person VALUES ('wang', ?, 'viewer operator')", (HASH,))
    old.execute("INSERT INTO session VALUES (x'00', 'wang', 9e9)")
    old.close()
    for _ in range(2):
        people = People(file, now=lambda: 9e9 - 10)
        assert people.log_in("wang", PASSWORD) is not None
        assert [a.damaged for a in people.accounts()] == [False]
        assert "wang" in {s.name for s in people.sessions()}
        people.close()
    assert apsw.Connection(str(file)).pragma("user_version") == SCHEMA


def test_only_its_owner_reads_it_whatever_it_was(tmp_path: Path) -> None:
    file = _file(tmp_path)
    file.chmod(0o644)
    people = People(file)
    people.begin("li", Origin())
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    people.close()


def _no_database(file: Path) -> None:
    file.write_bytes(b"not a database at all " * 400)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5_000])


def _torn(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[4096:8192] = bytes(4096)
    file.write_bytes(raw)


def _newer(file: Path) -> None:
    with apsw.Connection(str(file)) as db:
        db.execute("PRAGMA user_version=99")


def _foreign(file: Path) -> None:
    file.unlink()
    with apsw.Connection(str(file)) as db:
        db.execute("CREATE TABLE song (title TEXT)")


def _foreign_of_the_same_version(file: Path) -> None:
    _foreign(file)
    with apsw.Connection(str(file)) as db:
        db.execute(f"PRAGMA user_version={SCHEMA}")


def _marked(file: Path) -> None:
    with apsw.Connection(str(file)) as db:
        db.execute("PRAGMA application_id=4711")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_database, "damaged"),
        (_cut, "damaged"),
        (_torn, "damaged"),
        (_newer, "written by a newer Kaikou"),
        (_foreign, "another program's file"),
        (_foreign_of_the_same_version, "not the tables of accounts"),
        (_marked, "another program's file"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_words(
    tmp_path: Path, spoil: object, words: str
) -> None:
    file = _file(tmp_path)
    spoil(file)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=words) as caught:
        People(file)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before, "nothing is made of it"


def test_an_empty_file_counts_as_none_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "people.sqlite").write_bytes(b"")
    people = People(tmp_path / "people.sqlite")
    assert "is empty: accounts begin anew" in caplog.text
    assert people.accounts() == []
    people.close()


def test_a_place_that_cannot_be_written_is_said_as_such(tmp_path: Path) -> None:
    (tmp_path / "people.sqlite").mkdir()
    with pytest.raises(Unavailable, match="cannot be kept here"):
        People(tmp_path / "people.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be kept here"):
        People(tmp_path / "file" / "people.sqlite")


def test_a_file_that_is_held_by_another_program_is_unavailable_not_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.BUSY_MS", 10)
    file = _file(tmp_path)
    people = People(file)
    other = apsw.Connection(str(file))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="accounts cannot be read or kept now"):
        people.whose("token")
    other.execute("ROLLBACK")
    assert people.whose("token") is None
    people.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**20))
def test_any_flipped_bit_is_refused_shuts_an_account_or_changes_none(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    file = _file(tmp_path_factory.mktemp("flip"))
    raw = bytearray(file.read_bytes())
    at %= len(raw) * 8
    raw[at // 8] ^= 1 << at % 8
    file.write_bytes(raw)
    with contextlib.suppress(ConfigError, Unavailable):
        people = People(file)
        try:
            sound = {a.name: a.role for a in people.accounts() if not a.damaged}
            shut = [a for a in people.accounts() if a.damaged]
            assert sound.items() <= {"li": Role.VIEWER, "root": Role.ADMIN}.items()
            assert len(sound) + len(shut) == 2
            people.sessions(), people.acts(), people.whose("x"), people.knows("li", "x")
        finally:
            people.close()


@pytest.mark.parametrize("column", ["hash", "rights"])
def test_an_account_that_is_no_text_any_more_is_shut_and_the_others_go_on(
    tmp_path: Path, column: str
) -> None:
    file = _file(tmp_path)
    with apsw.Connection(str(file)) as db:
        db.execute(f"UPDATE person SET {column} = CAST(x'76ff' AS TEXT) WHERE name = 'li'")
    people = People(file)
    assert [(a.name, a.damaged) for a in people.accounts()] == [("li", True), ("root", False)]
    assert people.log_in("li", PASSWORD) is None
    assert people.log_in("root", PASSWORD) is not None
    people.close()


def test_a_flipped_bit_in_an_account_shuts_it_and_makes_no_other_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    with apsw.Connection(str(file)) as db:
        db.execute("UPDATE person SET rights = 'viewer admin' WHERE name = 'li'")
    people = People(file)
    assert "'li' is damaged" in caplog.text
    assert people.log_in("li", PASSWORD) is None
    assert [a.damaged for a in people.accounts()] == [True, False]
    with pytest.raises(Rejected, match="give it a password first"):
        people.set_role("li", Role.ADMIN, "root")
    people.set_password("li", "another-password", "root")
    assert [a.role for a in people.accounts()] == [Role.VIEWER, Role.ADMIN]
    assert people.log_in("li", "another-password") is not None
    people.close()
