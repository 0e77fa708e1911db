"""Sessions of people, the devices that they are known on, and what was done to both.

Tokens have 256 random bits; their SHA-256 is kept.
"""

import contextlib
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apsw

from gateway.audit import Act, acts, note
from gateway.role import Person, Right
from gateway.store import PeopleFile, check_sum, text
from plant.errors import Rejected

log = logging.getLogger("kaikou.gateway")

SESSION_S = 12 * 3600
"""A session ends after a shift of twelve hours."""
SESSIONS = 64
"""So many sessions of one person; the oldest ends for a new one."""
DEVICES = 32
"""So many devices of one person are known; the one not seen for longest is forgotten."""

_TOLD = 500
_CLOCK_SET_BACK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a log-in comes from: address, a known device's token, what the browser calls itself."""

    address: str = ""
    device: str = ""
    agent: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Session:
    """A session as admins see it; times in s UTC, ``id`` names it without giving it away."""

    id: str
    name: str
    begun: float
    until: float
    address: str
    agent: str


class Sessions:
    """The sessions of one plant; any thread may ask, one at a time touches the file.

    changed  called after every change of accounts or sessions, in the thread that made it
    """

    def __init__(self, file: PeopleFile, now: Callable[[], float]) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._file = file
        self._now = now

    def begin(self, name: str, origin: Origin) -> str:
        """A session of somebody whose password was right; its token. Rejected if he is gone."""
        token, now = secrets.token_urlsafe(32), self._now()
        with self._known(name), self._file.change():
            self._file.row("DELETE FROM session WHERE until < ?", (now,))
            self._file.row(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)",
                (digest(token), name, now + SESSION_S, now, origin.address, origin.agent),
            )
            self._forget("session", "begun", name, SESSIONS)
        self.changed()
        return token

    def knows(self, name: str, device: str) -> bool:
        """Whether this person has logged in on that device before."""
        sql = "SELECT 1 FROM device WHERE token = ? AND name = ?"
        return self._file.row(sql, (digest(device), name)) is not None

    def remember(self, name: str, device: str = "") -> str:
        """Know a device from now on; its token, the one given where people log in on it already."""
        sql = "SELECT 1 FROM device WHERE token = ?"
        with self._known(name), self._file.change():
            ours = device and self._file.row(sql, (digest(device),))
            token = device if ours else secrets.token_urlsafe(32)
            self._file.row(
                "INSERT INTO device VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET seen = excluded.seen",
                (digest(token), name, self._now()),
            )
            self._forget("device", "seen", name, DEVICES)
        return token

    def whose(self, token: str) -> Person | None:
        """The person of a session, None where it ended or never was."""
        return self.present([digest(token)]).get(digest(token))

    def present(self, tokens: Sequence[bytes]) -> Mapping[bytes, Person]:
        """The persons of sessions that are on, by what ``digest`` makes of their tokens."""
        now, marks = self._now(), ",".join("?" * len(tokens))
        sql = (
            "SELECT token, CAST(name AS BLOB), CAST(hash AS BLOB), CAST(rights AS BLOB), sum"
            " FROM session JOIN person USING (name)"
            " WHERE until BETWEEN ? AND ? AND token IN "
        )
        latest = now + SESSION_S + _CLOCK_SET_BACK_S
        rows = self._file.rows(f"{sql} ({marks})", (now, latest, *tokens))
        return {
            token: Person(text(name), frozenset(Right(r) for r in text(rights).split()))  # type: ignore[misc]
            for token, name, hashed, rights, made in rows
            if made == check_sum(text(name), text(hashed), text(rights))
        }

    def log_out(self, token: str) -> None:
        """End a session."""
        self._file.row("DELETE FROM session WHERE token = ?", (digest(token),))
        self.changed()

    def sessions(self) -> Sequence[Session]:
        """All sessions that are on, newest first."""
        rows = self._file.rows(
            "SELECT token, CAST(name AS BLOB), begun, until,"
            " CAST(address AS BLOB), CAST(agent AS BLOB)"
            " FROM session WHERE until >= ? ORDER BY begun DESC",
            (self._now(),),
        )
        return [
            Session(_short(t), text(n), float(str(b)), float(str(u)), text(a), text(g))
            for t, n, b, u, a, g in rows
        ]

    def end_session(self, id: str, by: str) -> str:
        """End a session by the id that ``sessions`` tells; whose it was."""
        with self._file.change():
            for token, name in self._file.rows("SELECT token, CAST(name AS BLOB) FROM session"):
                if _short(token) == id:
                    self._file.row("DELETE FROM session WHERE token = ?", (token,))
                    self._note(by, "session ended", text(name))
                    break
            else:
                raise Rejected(f"there is no session {id!r}; it may have ended already")
        self._tell(by, "session ended", text(name))
        return text(name)

    def acts(self, most: int = _TOLD) -> Sequence[Act]:
        """What was done to accounts and sessions, newest first."""
        return acts(self._file, most)

    @contextlib.contextmanager
    def _known(self, name: str) -> Iterator[None]:
        """Rejected where the account was taken away meanwhile."""
        try:
            yield
        except apsw.ConstraintError:
            raise Rejected(f"there is no account {name!r}") from None

    def _note(self, by: str, what: str, about: str) -> None:
        note(self._file, Act(int(self._now() * 1000), by, what, about))

    def _tell(self, by: str, what: str, about: str) -> None:
        log.info("account %r: %s, by %s", about, what, by)
        self.changed()

    def _forget(self, table: str, column: str, name: str, most: int) -> None:
        self._file.row(
            f"DELETE FROM {table} WHERE name = ? AND token IN (SELECT token FROM {table}"  # noqa: S608
            f" WHERE name = ? ORDER BY {column} DESC LIMIT -1 OFFSET ?)",
            (name, name, most),
        )

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _short(token: object) -> str:
    return token.hex()[:12] if isinstance(token, bytes) else ""
