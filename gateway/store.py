"""The SQLite file of people: opened, brought up to date, and refused in plain words.

One file without a journal beside it while nobody writes, readable by its owner alone. Other
processes (``kaikou people``) may open it at the same time.
"""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from plant.errors import ConfigError, Unavailable
from plant.file import make_folder, make_private

log = logging.getLogger("kaikou.gateway")

SCHEMA = 2
APPLICATION = 0x4B41494B
"""``KAIK``: whose file it is."""
BUSY_MS = 5_000

_DAMAGE = (apsw.NotADBError, apsw.CorruptError, apsw.FormatError, UnicodeDecodeError)
_REMEDY = "bring back a copy of it, or move it away: the next start prints two new first accounts"
_TABLES = """
CREATE TABLE IF NOT EXISTS person (name TEXT PRIMARY KEY, hash TEXT NOT NULL,
  rights TEXT NOT NULL, sum BLOB) STRICT;
CREATE TABLE IF NOT EXISTS session (token BLOB PRIMARY KEY, name TEXT NOT NULL
  REFERENCES person(name) ON DELETE CASCADE, until REAL NOT NULL,
  begun REAL NOT NULL DEFAULT 0, address TEXT NOT NULL DEFAULT '',
  agent TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE IF NOT EXISTS device (token BLOB NOT NULL, name TEXT NOT NULL
  REFERENCES person(name) ON DELETE CASCADE, seen REAL NOT NULL,
  PRIMARY KEY (token, name)) STRICT;
CREATE TABLE IF NOT EXISTS act (id INTEGER PRIMARY KEY, time INTEGER NOT NULL,
  person TEXT NOT NULL, what TEXT NOT NULL, about TEXT NOT NULL, chain BLOB NOT NULL) STRICT;
"""
_FROM_1 = """
ALTER TABLE person ADD COLUMN sum BLOB;
ALTER TABLE session ADD COLUMN begun REAL NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN agent TEXT NOT NULL DEFAULT '';
"""


def check_sum(name: str, hashed: str, rights: str) -> bytes:
    """What stands beside an account, so that a flipped bit does not make another account of it."""
    return hashlib.sha256("\0".join((name, hashed, rights)).encode()).digest()


def text(value: object) -> str:
    """A kept text, CAST AS BLOB where it was asked: a flipped bit may have left it no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class PeopleFile:
    """The open file; any thread may ask, one at a time touches it.

    Raises
    ------
    ConfigError
        The file is damaged, another program's, or written by a newer Kaikou.
    Unavailable
        It cannot be opened or written; also later, from every question.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._create()
        with self._told():
            self._db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            with self._told():
                self._begin()
        except BaseException:
            self._db.close()
            raise

    def _create(self) -> None:
        """Make sure that it is there, and nobody else's to read."""
        try:
            make_folder(self._file.parent)
            if self._file.is_file() and not self._file.stat().st_size:
                log.warning("%s is empty: accounts begin anew", self._file)
            make_private(self._file)
        except OSError as error:
            text = f"{self._file}: accounts cannot be kept here: {error.strerror}"
            raise Unavailable(text) from error

    def _begin(self) -> None:
        db = self._db
        db.set_busy_timeout(BUSY_MS)
        version, application = db.execute("PRAGMA user_version").get, db.pragma("application_id")
        if application not in {0, APPLICATION}:
            raise ConfigError(f"{self._file}: another program's file; {_REMEDY}")
        if version > SCHEMA:
            text = f"{self._file}: written by a newer Kaikou (version {version}); start that one"
            raise ConfigError(text)
        found = db.execute("PRAGMA quick_check(1)").get
        if found != "ok":
            raise ConfigError(f"{self._file}: damaged ({found}); {_REMEDY}")
        self._check_tables(version)
        db.execute("PRAGMA journal_mode=DELETE").fetchall()
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        if version < SCHEMA:
            self._upgrade(version)

    def _check_tables(self, version: int) -> None:
        """Whether the tables are ours."""
        there = {str(r[0]) for r in self._db.execute("SELECT name FROM sqlite_master")}
        if version == 0:
            if there:
                raise ConfigError(f"{self._file}: another program's file; {_REMEDY}")
            return
        try:
            self._db.execute("SELECT name, hash, rights FROM person LIMIT 0")
            self._db.execute("SELECT token, name, until FROM session LIMIT 0")
            if version == SCHEMA:
                self._db.execute("SELECT token, name, seen FROM device LIMIT 0")
                self._db.execute("SELECT id, time, person, what, about, chain FROM act LIMIT 0")
        except apsw.SQLError as error:
            raise ConfigError(f"{self._file}: not the tables of accounts: {error}") from error

    def _upgrade(self, version: int) -> None:
        with self.change():
            if version == 1:
                self._db.execute(_FROM_1)
            self._db.execute(_TABLES)
            for name, hashed, rights in self._db.execute(
                "SELECT name, hash, rights FROM person WHERE sum IS NULL"
            ).fetchall():
                made = check_sum(str(name), str(hashed), str(rights))
                self._db.execute("UPDATE person SET sum = ? WHERE name = ?", (made, name))
            self._db.execute(f"PRAGMA user_version={SCHEMA};PRAGMA application_id={APPLICATION}")

    def row(self, sql: str, values: Sequence[object] = ()) -> tuple[object, ...] | None:
        """The first row of an answer, None where there is none."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """All rows of an answer."""
        with self._lock, self._told():
            found: list[tuple[object, ...]] = self._db.execute(sql, tuple(values)).fetchall()
        return found

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Several statements that hold together; nobody else writes meanwhile."""
        with self._lock, self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if not self._db.get_autocommit():
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors in words."""
        try:
            yield
        except _DAMAGE as error:
            raise ConfigError(f"{self._file}: damaged ({error}); {_REMEDY}") from error
        except apsw.ConstraintError:
            raise
        except apsw.Error as error:
            text = f"{self._file}: accounts cannot be read or kept now: {error}"
            raise Unavailable(text) from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()
