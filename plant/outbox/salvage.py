"""What of a damaged file is proven whole, carried over into a new one under its old names.

A row is believed when its check-sum fits and all its aliases are known; a run, an alias or a
number when its own does. The damaged file itself is only read.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from plant.file import sync_folder
from plant.outbox.alias import put_aliases, read_aliases
from plant.outbox.checksum import SELECT_ROW, known_aliases, read_row
from plant.outbox.journal import mark_closed
from plant.outbox.row import Loss, NewRow, RowClass, new_run
from plant.outbox.schema import SUSPECT, LogDamaged, is_damage, transaction
from plant.outbox.table import (
    Runs,
    adopt,
    count,
    owe,
    put_losses,
    put_run,
    put_state,
    read_losses,
    read_runs,
    read_state,
)

log = logging.getLogger("kaikou.outbox")

_COLUMNS = "id, class, device, first, last, samples, historical, metrics, head, body"


def renew(path: Path, error: object, open_new: Callable[[], apsw.Connection], reason: str) -> None:
    """Set a damaged file aside and begin a new one with what is whole.

    Where that is not everything, the new file owes a gap record with this reason.
    """
    aside = Path(f"{path}.damaged-{time.time_ns()}")
    for tail in ("", "-wal"):
        damaged = Path(f"{path}{tail}")
        if damaged.exists():
            damaged.rename(f"{aside}{tail}")
    mark_closed(path)
    fresh = open_new()
    try:
        missing = salvage(aside, fresh, reason) if aside.exists() else -1
        if missing < 0 or isinstance(error, LogDamaged):
            missing = -1
            owe(fresh, reason)
    finally:
        fresh.close()
    sync_folder(path.parent)
    lost = "unknown" if missing < 0 else missing
    log.error("%s is damaged (%s) and kept as %s; rows lost: %s", path, error, aside.name, lost)


def salvage(source: Path, target: apsw.Connection, reason: str) -> int:
    """Carry over what is whole; how many rows are missing, -1 where nobody knows.

    Rows whose own run is not known any more get a new one.
    """
    try:
        old = apsw.Connection(str(source))
    except apsw.Error:
        return -1
    try:
        old.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        old.pragma("locking_mode", "exclusive")
        old.pragma("writable_schema", True)  # what can be read of a schema that is damaged too
        with transaction(target):
            missing = _carry(old, target)
            if missing:
                owe(target, reason)
            return missing
    except (apsw.FullError, apsw.IOError) as error:
        log.warning("%s: no room for what is whole of it: %s", source, error)
        return -1
    except SUSPECT as error:
        if not is_damage(error):
            raise
        return -1
    finally:
        old.close()


def _carry(old: apsw.Connection, target: apsw.Connection) -> int:
    aliases = _whole(lambda: [alias for alias in read_aliases(old) if alias is not None])
    put_aliases(target, [(alias, *key, text) for alias, key, text in aliases or ()])
    state, spoiled = _whole(lambda: read_state(old)) or ({}, ["all"])
    put_state(target, state)
    runs = _whole(lambda: read_runs(old)) or Runs([], 0, False)
    rows = list(_carried(old, target, {alias for alias, _, _ in aliases or ()}))
    _put_losses(old, target, rows)
    held = sum(run.rows for run in runs.runs)
    for run in runs.runs:
        count(target, run)
    found = [*runs.runs, *adopt(target, runs.runs, new_run)]
    for run in found:
        put_run(target, run, runs.trusted_ms)
    complete = runs.whole and aliases is not None and not spoiled
    return max(0, held - len(rows)) if complete else -1


def _whole(read: Callable[[], Any]) -> Any:
    """What is read; None where the table cannot be."""
    try:
        return read()
    except SUSPECT as error:
        if not is_damage(error):
            raise
        return None


def _carried(
    old: apsw.Connection, target: apsw.Connection, aliases: set[int]
) -> Iterator[tuple[int, RowClass]]:
    """Bring over the rows that are whole: from the front, and where that ends from the back."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        try:
            for columns in old.execute(f"{SELECT_ROW} ORDER BY id {order}"):
                at = columns[0]
                if at in seen:
                    return
                row = read_row(columns)
                if not isinstance(row, NewRow) or not _is_known(row, aliases):
                    continue
                seen.add(at)
                target.execute(
                    f"INSERT INTO row({_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (at, row.row_class, row.device, *columns[3:]),
                )
                yield at, row.row_class
        except SUSPECT as error:
            if not is_damage(error):
                raise
            continue
        return


def _is_known(row: NewRow, aliases: set[int]) -> bool:
    found = known_aliases(row.metrics)
    return found is not None and found <= aliases


def _put_losses(
    old: apsw.Connection, target: apsw.Connection, rows: list[tuple[int, RowClass]]
) -> None:
    records = {at for at, row_class in rows if row_class is RowClass.GAP}
    losses: list[tuple[int, Loss]] = _whole(lambda: read_losses(old)) or []
    put_losses(target, [(at, loss) for at, loss in losses if at in records])
