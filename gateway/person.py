"""People and what they may do: accounts, log-ins and sessions in the gateway's own SQLite file.

Passwords are kept as argon2id hashes (RFC 9106, the library's second recommended parameters),
tokens of 256 random bits as SHA-256. A wrong name and a wrong password cost the same time and get
the same answer. After five failures a name waits at that address, longer each time; a device on
which this person has logged in before is counted apart, so nobody can lock others out.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.audit import Act, acts, broken, note
from gateway.backoff import Backoff, Key
from gateway.role import RIGHTS, Person, Right, Role, check_name, check_password, role_of
from gateway.store import PeopleFile, check_sum, text
from plant.errors import Rejected

log = logging.getLogger("kaikou.gateway")

SESSION_S = 12 * 3600
"""A session ends after a shift of twelve hours."""
SESSIONS = 64
"""So many sessions of one person; the oldest ends for a new one."""
DEVICES = 32
"""So many devices of one person are known; the one not seen for longest is forgotten."""
ITSELF = "kaikou"
"""Who does what nobody asked for: the first accounts."""

_TOLD = 500
_CLOCK_SET_BACK_S = 3600.0


class TooManyTries(Rejected):
    """Failed too often; ``retry_s`` seconds."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"too many failed log-ins; try again in {retry_s:.0f} s")
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a log-in comes from: address, a known device's token, what the browser calls itself."""

    address: str = ""
    device: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as admins see it; ``damaged``: its row was changed by nobody, it is shut."""

    name: str
    role: Role
    sessions: int
    damaged: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A session as admins see it; times in s UTC, ``id`` names it without giving it away."""

    id: str
    name: str
    begun: float
    until: float
    address: str
    agent: str


class People:
    """The accounts of one plant; any thread may ask, one at a time touches the file.

    changed  called after every change of accounts or sessions, in the thread that made it
    """

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._now = now
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
        self._nobody = ""
        self._backoff = Backoff(now)
        self._file = PeopleFile(file)
        for account in self.accounts():
            if account.damaged:
                text = "%s: the account %r is damaged: shut until it is given another password"
                log.error(text, file, account.name)
        if (first := broken(self._file)) is not None:
            log.error("%s: what was done to accounts was changed from act %d on", file, first)

    # ------------------------------------------------------------------------------- accounts

    def first_accounts(self) -> Sequence[tuple[str, str]]:
        """Create the two first accounts where there is none; (name, password), given only once."""
        if self._file.row("SELECT count(*) FROM person") != (0,):
            return ()
        return [(n, self.add(n, None, RIGHTS[Role(n)])) for n in ("engineer", "admin")]

    def accounts(self) -> Sequence[Account]:
        """All accounts, by name."""
        rows = self._file.rows(
            "SELECT CAST(name AS BLOB), CAST(hash AS BLOB), CAST(rights AS BLOB), sum,"
            " (SELECT count(*) FROM session WHERE"
            " session.name = person.name AND until >= ?) FROM person ORDER BY name",
            (self._now(),),
        )
        return [
            Account(
                text(n),
                _role(text(r)),
                int(str(count)),
                made != check_sum(text(n), text(h), text(r)),
            )
            for n, h, r, made, count in rows
        ]

    def add(
        self, name: str, password: str | None, rights: Sequence[Right], by: str = ITSELF
    ) -> str:
        """A new account; the password, made where None was given.

        Raises
        ------
        Rejected
            The name is taken or none, the password is weak.
        """
        check_name(name)
        given = secrets.token_urlsafe(12) if password is None else password
        check_password(given, name)
        hashed, held = self._hash(given), " ".join(rights)
        try:
            with self._file.change():
                self._file.row(
                    "INSERT INTO person VALUES (?, ?, ?, ?)",
                    (name, hashed, held, check_sum(name, hashed, held)),
                )
                self._note(by, f"added as {role_of(rights)}", name)
        except apsw.ConstraintError:
            raise Rejected(f"there is already an account {name!r}") from None
        self._tell(by, f"added as {role_of(rights)}", name)
        return given

    def set_password(self, name: str, password: str | None, by: str, keep: str = "") -> str:
        """Another password; ends every session of this person but the one with token ``keep``."""
        given = secrets.token_urlsafe(12) if password is None else password
        check_password(given, name)
        hashed = self._hash(given)
        with self._file.change():
            rights = self._rights(name)
            held = " ".join(rights)
            self._file.row(
                "UPDATE person SET hash = ?, rights = ?, sum = ? WHERE name = ?",
                (hashed, held, check_sum(name, hashed, held), name),
            )
            self._file.row(
                "DELETE FROM session WHERE name = ? AND token != ?", (name, digest(keep))
            )
            self._file.row("DELETE FROM device WHERE name = ?", (name,))
            self._note(by, "given another password", name)
        self._tell(by, "given another password", name)
        return given

    def set_role(self, name: str, role: Role, by: str) -> None:
        """Another role; holds at once for every session. The last admin stays one."""
        held = " ".join(RIGHTS[role])
        with self._file.change():
            if role is not Role.ADMIN:
                self._keep_an_admin(name)
            if self._account(name).damaged:
                raise Rejected(f"the account {name!r} is damaged: give it a password first")
            row = self._file.row("SELECT CAST(hash AS BLOB) FROM person WHERE name = ?", (name,))
            hashed = text(row[0]) if row else ""
            self._file.row(
                "UPDATE person SET rights = ?, sum = ? WHERE name = ?",
                (held, check_sum(name, hashed, held), name),
            )
            self._note(by, f"made {role}", name)
        self._tell(by, f"made {role}", name)

    def remove(self, name: str, by: str) -> None:
        """Take an account away with its sessions; not the last admin's."""
        with self._file.change():
            self._rights(name)
            self._keep_an_admin(name)
            self._file.row("DELETE FROM person WHERE name = ?", (name,))
            self._note(by, "removed", name)
        self._tell(by, "removed", name)

    def _rights(self, name: str) -> Sequence[Right]:
        """What an account may; one that is damaged is a viewer from now on."""
        account = self._account(name)
        return RIGHTS[Role.VIEWER if account.damaged else account.role]

    def _account(self, name: str) -> Account:
        for account in self.accounts():
            if account.name == name:
                return account
        raise Rejected(f"there is no account {name!r}")

    def _keep_an_admin(self, name: str) -> None:
        admins = {a.name for a in self.accounts() if a.role is Role.ADMIN and not a.damaged}
        if admins == {name}:
            raise Rejected(f"{name!r} is the last admin: make another one first")

    # ------------------------------------------------------------------------------- sessions

    def check_wait(self, name: str, origin: Origin) -> str:
        """Whose a try counts as where many try at once: a known device's, else the address's.

        Raises
        ------
        TooManyTries
            This name failed too often from there lately.
        """
        self._way(name, origin)
        known = origin.device and self.knows(name, origin.device)
        return origin.device if known else origin.address

    def log_in(self, name: str, password: str, origin: Origin = Origin()) -> str | None:
        """A session token, or None where name or password is wrong.

        Raises
        ------
        TooManyTries
            It failed too often from there lately.
        """
        return self.begin(name, origin) if self.true_password(name, password, origin) else None

    def begin(self, name: str, origin: Origin) -> str:
        """A session of somebody whose password was right; its token."""
        token, now = secrets.token_urlsafe(32), self._now()
        with self._file.change():
            self._file.row("DELETE FROM session WHERE until < ?", (now,))
            self._file.row(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)",
                (digest(token), name, now + SESSION_S, now, origin.address, origin.agent),
            )
            self._forget("session", "begun", name, SESSIONS)
        self.changed()
        return token

    def true_password(self, name: str, password: str, origin: Origin) -> bool:
        """Whether it is; failures are counted where they come from."""
        way = self._way(name, origin)
        sql = "SELECT CAST(hash AS BLOB), CAST(rights AS BLOB), sum FROM person WHERE name = ?"
        row = self._file.row(sql, (name,))
        sound = row is not None and row[2] == check_sum(name, text(row[0]), text(row[1]))
        hashed = text(row[0]) if row and sound else self._anybody()
        try:
            self._hasher.verify(hashed, password.encode("utf-8", "surrogatepass"))
            known = sound
        except (VerificationError, InvalidHashError):
            known = False
        if known:
            self._backoff.passed(way)
        else:
            self._backoff.failed(way)
        return known

    def _way(self, name: str, origin: Origin) -> Key:
        """What a failure is counted for: the device where it is known, else name and address."""
        known = origin.device and self.knows(name, origin.device)
        ways = [Key(("device", name, origin.device))] if known else []
        ways.append(Key(("address", name, origin.address)))
        way = min(ways, key=self._backoff.wait_s)
        if (wait := self._backoff.wait_s(way)) > 0:
            raise TooManyTries(wait)
        return way

    def knows(self, name: str, device: str) -> bool:
        """Whether this person has logged in on that device before."""
        sql = "SELECT 1 FROM device WHERE token = ? AND name = ?"
        return self._file.row(sql, (digest(device), name)) is not None

    def remember(self, name: str, device: str = "") -> str:
        """Know a device from now on; its token, the one given where people log in on it already."""
        sql = "SELECT 1 FROM device WHERE token = ?"
        with self._file.change():
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

    # ------------------------------------------------------------------------------- the rest

    def acts(self, most: int = _TOLD) -> Sequence[Act]:
        """What was done to accounts and sessions, newest first."""
        return acts(self._file, most)

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

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password.encode("utf-8", "surrogatepass"))

    def _anybody(self) -> str:
        """The hash of a password that nobody knows, made when it is first needed."""
        if not self._nobody:
            self._nobody = self._hasher.hash(secrets.token_hex(16))
        return self._nobody

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _short(token: object) -> str:
    return token.hex()[:12] if isinstance(token, bytes) else ""


def _role(rights: str) -> Role:
    """The role of a kept row; a word that is no right is none."""
    return role_of(Right(word) for word in rights.split() if word in {*Right})
