"""The small tables of the outbox's file: runs, numbers kept with the rows, and gap records' facts.

Each row carries its check-sum. What is damaged is left out when it is read, and said so: the rows
of a run that nobody knows any more get a new one, numbers begin anew.
"""

import json
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from plant.outbox.row import OVERHEAD_BYTES, Loss, Run, new_run, unknown_loss
from plant.outbox.schema import record_sum, select_small, transaction

log = logging.getLogger("kaikou.outbox")

NUMBERS_DAMAGED = "outbox: numbers kept with the rows were damaged, counting begins anew"
_OWES = "owes "


@dataclass(slots=True)
class Runs:
    """The runs of a file as read, oldest first; ``whole`` where none of them was damaged."""

    runs: list[Run]
    trusted_ms: int
    whole: bool


def read_runs(database: apsw.Connection) -> Runs:
    """Every run whose row is not damaged."""
    found = Runs([], 0, True)
    for *said, total in database.execute(f"{select_small('run')} ORDER BY base"):
        name, base, last, acked, rows, size, devices, trusted = said
        try:
            right = total is None or total == record_sum(*said)
            counted = Counter({str(k): int(n) for k, n in json.loads(devices).items()})
            right = right and 0 <= base <= base + acked <= last and rows >= 0
            run = Run(name.decode(), base, last, acked, rows, size, counted)
        except (ValueError, TypeError, AttributeError):
            right = False
        if right:
            found.runs.append(run)
            found.trusted_ms = max(found.trusted_ms, trusted)
        else:
            found.whole = False
    return found


def load_runs(database: apsw.Connection, path: Path) -> Runs:
    """As ``read_runs``; rows whose run was damaged get another one, durably."""
    found = read_runs(database)
    if not found.whole:
        log.error("%s: a run is damaged: its rows get another", path)
        found.runs = sorted([*found.runs, *adopt(database, found.runs, new_run)], key=_base)
        with transaction(database):
            database.execute("DELETE FROM run")
            for run in found.runs:
                put_run(database, run, found.trusted_ms)
    return found


def load_state(database: apsw.Connection, path: Path) -> dict[str, dict[str, float]]:
    """The numbers kept with the rows; damaged ones are forgotten, and a gap record is owed."""
    found, damaged = read_state(database)
    if damaged:
        log.error("%s: numbers of %s are damaged", path, ", ".join(damaged))
        with transaction(database):
            database.execute("DELETE FROM state")
            put_state(database, found)
            owe(database, NUMBERS_DAMAGED)
    return found


def owe(database: apsw.Connection, reason: str) -> None:
    """Note that a gap record of unknown size is to be written, with what made it necessary."""
    database.execute("INSERT OR REPLACE INTO number VALUES(?, 1)", (f"{_OWES}{reason}",))


def read_owed(database: apsw.Connection) -> list[Loss]:
    """What ``owe`` noted."""
    return [
        unknown_loss(key[len(_OWES) :].decode("utf-8", "replace"))
        for (key,) in database.execute("SELECT CAST(key AS BLOB) FROM number ORDER BY key")
        if isinstance(key, bytes) and key.startswith(_OWES.encode())
    ]


def forget_owed(database: apsw.Connection) -> None:
    """The gap records are written in this transaction."""
    database.execute("DELETE FROM number WHERE key GLOB ?", (f"{_OWES}*",))


def put_run(database: apsw.Connection, run: Run, trusted_ms: int) -> None:
    """Write a run with its sum."""
    said = (run.base, run.last, run.acked, run.rows, run.bytes)
    devices = json.dumps(run.devices, ensure_ascii=False)
    total = record_sum(run.name.encode(), *said, devices.encode(), trusted_ms)
    database.execute(
        "INSERT OR REPLACE INTO run VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run.name, *said, devices, trusted_ms, total),
    )


def adopt(database: apsw.Connection, runs: Sequence[Run], name: Callable[[], str]) -> list[Run]:
    """Runs for the rows that belong to none, one for each gap between the known ones."""
    known = sorted(runs, key=_base)
    bases = [run.base for run in known]
    groups: dict[int, list[int]] = {}
    for (at,) in database.execute("SELECT id FROM row ORDER BY id"):
        before = bisect_left(bases, at) - 1
        if before < 0 or at > known[before].last:
            groups.setdefault(before, []).append(at)
    found = [Run(name(), ids[0] - 1, ids[-1]) for ids in groups.values()]
    for run in found:
        count(database, run)
    return found


def count(database: apsw.Connection, run: Run) -> None:
    """Count the rows of a run anew, as they are in the file."""
    run.rows = run.bytes = 0
    run.devices = Counter()
    for device, rows, size in database.execute(
        "SELECT CAST(device AS BLOB), count(*), sum(length(metrics)) FROM row "
        "WHERE id > ? AND id <= ? GROUP BY device",
        (run.base + run.acked, run.last),
    ):
        run.rows += rows
        run.bytes += size + rows * OVERHEAD_BYTES
        run.devices[device.decode("utf-8", "replace")] += rows


def read_state(database: apsw.Connection) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The numbers kept with the rows by key, and the keys of those that are damaged."""
    found: dict[str, dict[str, float]] = {}
    damaged: list[str] = []
    for key, numbers, total in database.execute(select_small("state")):
        if total is not None and total != record_sum(key, numbers):
            damaged.append(repr(key))
            continue
        try:
            found[key.decode()] = {str(k): float(n) for k, n in json.loads(numbers).items()}
        except (ValueError, TypeError, AttributeError):
            damaged.append(repr(key))
    return found, damaged


def put_state(database: apsw.Connection, state: Mapping[str, Mapping[str, float]]) -> None:
    """Write numbers with their sums."""
    for key, numbers in state.items():
        text = json.dumps(dict(numbers))
        total = record_sum(key.encode(), text.encode())
        database.execute("INSERT OR REPLACE INTO state VALUES(?, ?, ?)", (key, text, total))


def put_losses(database: apsw.Connection, losses: Iterable[tuple[int, Loss]]) -> None:
    """Write what gap records say, by the number of their row."""
    for at, loss in losses:
        devices = json.dumps([*loss.devices])
        said = (at, loss.first, loss.last, loss.samples)
        total = record_sum(*said, loss.reason.encode(), devices.encode())
        database.execute(
            "INSERT OR REPLACE INTO loss VALUES(?, ?, ?, ?, ?, ?, ?)",
            (*said, loss.reason, devices, total),
        )


def read_losses(database: apsw.Connection, at: int | None = None) -> list[tuple[int, Loss]]:
    """What the gap records among the rows say, or one of them; none that is damaged."""
    where = "" if at is None else f" WHERE id = {at:d}"
    found = []
    for *said, total in database.execute(select_small("loss") + where):
        number, first, last, samples, reason, devices = said
        if total is not None and total != record_sum(*said):
            continue
        try:
            named = frozenset(map(str, json.loads(devices)))
            found.append((number, Loss(first, last, samples, reason.decode(), named)))
        except (ValueError, TypeError, AttributeError):
            continue
    return found


def _base(run: Run) -> int:
    return run.base
