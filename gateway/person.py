"""People and what they may do: accounts, log-ins and sessions in the gateway's own SQLite file.

Passwords are kept as argon2id hashes (RFC 9106, the library's second recommended parameters),
session tokens of 256 random bits as SHA-256. A wrong name and a wrong password cost the same time
and get the same answer; after five failures a name waits, twice as long each time.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import apsw
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from plant.errors import ConfigError, Rejected

SCHEMA = 1
SESSION_S = 12 * 3600
"""A session ends after a shift of twelve hours."""

_FREE_TRIES = 5
_LONGEST_WAIT_S = 300.0


class Right(StrEnum):
    """What a person may do. An admin keeps accounts and cannot command machines."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    name: str
    rights: frozenset[Right]


class TooManyTries(Rejected):
    """A name that failed too often waits; ``retry_s`` seconds."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"too many failed log-ins; try again in {retry_s:.0f} s")
        self.retry_s = retry_s


class People:
    """The accounts of one plant; any thread may ask, one at a time touches the file."""

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._db = apsw.Connection(str(file))
        file.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").get
        if version > SCHEMA:
            raise ConfigError(f"{file}: written by a newer Kaikou (version {version})")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS person (name TEXT PRIMARY KEY, hash TEXT NOT NULL,"
            " rights TEXT NOT NULL) STRICT;"
            "CREATE TABLE IF NOT EXISTS session (token BLOB PRIMARY KEY, name TEXT NOT NULL"
            " REFERENCES person(name) ON DELETE CASCADE, until REAL NOT NULL) STRICT;"
            f"PRAGMA user_version={SCHEMA}"
        )

    def first_accounts(self) -> Sequence[tuple[str, str]]:
        """Create the two first accounts where there is none; (name, password), given only once."""
        if self._row("SELECT count(*) FROM person") != (0,):
            return ()
        accounts = (
            ("engineer", (Right.VIEWER, Right.OPERATOR, Right.ENGINEER)),
            ("admin", (Right.VIEWER, Right.ADMIN)),
        )
        created = []
        for name, rights in accounts:
            password = secrets.token_urlsafe(12)
            self.add(name, password, rights)
            created.append((name, password))
        return created

    def add(self, name: str, password: str, rights: Sequence[Right]) -> None:
        """A new account; Rejected where the name is taken or the password is short."""
        if len(password) < 10:
            raise Rejected("a password has at least 10 characters")
        try:
            self._row(
                "INSERT INTO person VALUES (?, ?, ?)",
                (name, self._hasher.hash(password), " ".join(rights)),
            )
        except apsw.ConstraintError:
            raise Rejected(f"there is already an account {name!r}") from None

    def log_in(self, name: str, password: str) -> str | None:
        """A session token, or None where name or password is wrong.

        Raises
        ------
        TooManyTries
            The name failed too often lately.
        """
        failures, blocked_until = self._failures.get(name, (0, 0.0))
        wait = blocked_until - self._now()
        if wait > 0:
            raise TooManyTries(wait)
        row = self._row("SELECT hash FROM person WHERE name = ?", (name,))
        try:
            self._hasher.verify(str(row[0]) if row else self._nobody, password)
            known = row is not None
        except VerifyMismatchError:
            known = False
        if not known:
            wait = min(_LONGEST_WAIT_S, 2.0 ** (failures + 1 - _FREE_TRIES))
            until = self._now() + wait if failures + 1 >= _FREE_TRIES else 0.0
            if len(self._failures) > 1000:
                self._failures.clear()
            self._failures[name] = (failures + 1, until)
            return None
        self._failures.pop(name, None)
        token = secrets.token_urlsafe(32)
        until = self._now() + SESSION_S
        self._row("DELETE FROM session WHERE until < ?", (self._now(),))
        self._row("INSERT INTO session VALUES (?, ?, ?)", (_digest(token), name, until))
        return token

    def whose(self, token: str) -> Person | None:
        """The person of a session, None where it ended or never was."""
        row = self._row(
            "SELECT name, rights FROM session JOIN person USING (name)"
            " WHERE token = ? AND until >= ?",
            (_digest(token), self._now()),
        )
        if row is None:
            return None
        name, rights = map(str, row)
        return Person(name, frozenset(Right(r) for r in rights.split()))

    def log_out(self, token: str) -> None:
        """End a session."""
        self._row("DELETE FROM session WHERE token = ?", (_digest(token),))

    def _row(self, sql: str, values: tuple[object, ...] = ()) -> tuple[object, ...] | None:
        with self._lock:
            row: tuple[object, ...] | None = self._db.execute(sql, values).fetchone()
        return row

    def close(self) -> None:
        """Release the file."""
        self._db.close()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
