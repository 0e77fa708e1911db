"""What was done to accounts and sessions, by whom: a chain, no link of which changes unseen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.store import PeopleFile, text


@dataclass(frozen=True, slots=True)
class Act:
    """At ``time`` (ms UTC) ``person`` did ``what`` to the account ``about``."""

    time: int
    person: str
    what: str
    about: str


def note(file: PeopleFile, act: Act) -> None:
    """Write an act behind the last one; inside the change that it tells of."""
    last = file.row("SELECT chain FROM act ORDER BY id DESC LIMIT 1")
    chain = _link(bytes(last[0]) if last else b"", act)  # type: ignore[call-overload]
    file.row(
        "INSERT INTO act (time, person, what, about, chain) VALUES (?, ?, ?, ?, ?)",
        (act.time, act.person, act.what, act.about, chain),
    )


def acts(file: PeopleFile, most: int) -> Sequence[Act]:
    """The newest acts, newest first."""
    sql = (
        "SELECT time, CAST(person AS BLOB), CAST(what AS BLOB), CAST(about AS BLOB)"
        " FROM act ORDER BY id DESC LIMIT ?"
    )
    rows = file.rows(sql, (most,))
    return [Act(int(str(t)), text(by), text(what), text(about)) for t, by, what, about in rows]


def broken(file: PeopleFile) -> int | None:
    """The number of the first act that is not what was written; None where all are."""
    before = b""
    for id, time, person, what, about, chain in file.rows(
        "SELECT id, time, CAST(person AS BLOB), CAST(what AS BLOB), CAST(about AS BLOB), chain"
        " FROM act ORDER BY id"
    ):
        before = _link(before, Act(int(str(time)), text(person), text(what), text(about)))
        if before != chain:
            return int(str(id))
    return None


def _link(before: bytes, act: Act) -> bytes:
    text = "\0".join((str(act.time), act.person, act.what, act.about))
    return hashlib.sha256(before + text.encode()).digest()
