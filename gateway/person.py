"""People and what they may do: accounts and log-ins in the gateway's own SQLite file.

Passwords are kept as argon2id hashes (RFC 9106, the library's second recommended parameters). A
wrong name and a wrong password cost the same time and get the same answer. After five failures a
name waits at that address, longer each time; a device on which this person has logged in before
is counted apart, so nobody can lock others out.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.audit import broken
from gateway.backoff import Backoff, Key
from gateway.role import ITSELF, RIGHTS, Right, Role, check_name, check_password, role_of
from gateway.session import NOWHERE, Origin, Sessions, digest
from gateway.store import PeopleFile, check_sum, text
from plant.errors import Rejected

log = logging.getLogger("kaikou.gateway")


class TooManyTries(Rejected):
    """Failed too often; ``retry_s`` seconds."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"too many failed log-ins; try again in {retry_s:.0f} s")
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True)
class Account:
    """An account as admins see it; ``damaged``: its row was changed by nobody, it is shut."""

    name: str
    role: Role
    sessions: int
    damaged: bool


class People(Sessions):
    """The accounts of one plant, and their sessions."""

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        super().__init__(PeopleFile(file), now)
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
        self._nobody = ""
        self._backoff = Backoff(now)
        for account in self.accounts():
            if account.damaged:
                text = "%s: the account %r is damaged: shut until it is given another password"
                log.error(text, file, account.name)
        if (first := broken(self._file)) is not None:
            log.error("%s: what was done to accounts was changed from act %d on", file, first)

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
                self._check_alike(name)
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

    def _check_alike(self, name: str) -> None:
        """Rejected where people would take one account for the other."""
        for account in self.accounts():
            if account.name.casefold() == name.casefold():
                raise Rejected(f"there is already an account {account.name!r}")

    def _keep_an_admin(self, name: str) -> None:
        admins = {a.name for a in self.accounts() if a.role is Role.ADMIN and not a.damaged}
        if admins == {name}:
            raise Rejected(f"{name!r} is the last admin: make another one first")

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

    def log_in(self, name: str, password: str, origin: Origin = NOWHERE) -> str | None:
        """A session token, or None where name or password is wrong.

        Raises
        ------
        TooManyTries
            It failed too often from there lately.
        """
        return self.begin(name, origin) if self.true_password(name, password, origin) else None

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

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password.encode("utf-8", "surrogatepass"))

    def _anybody(self) -> str:
        """The hash of a password that nobody knows, made when it is first needed."""
        if not self._nobody:
            self._nobody = self._hasher.hash(secrets.token_hex(16))
        return self._nobody


def _role(rights: str) -> Role:
    """The role of a kept row; a word that is no right is none."""
    return role_of(Right(word) for word in rights.split() if word in {*Right})
