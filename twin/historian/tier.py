"""Tiers: files of cells, and what they cover. The way of a reader to cells, and of the writer.

``tiers/`` beside ``samples/`` holds Parquet files of cells (``twin.historian.cell.COLUMNS``),
sorted by signal and start; table ``tier`` names them like ``segment`` names samples:

    tier         "minute", "hour", "day"
    first, upto  ms UTC, half-open: what its spans lie in
    signals      ``SignalSpans``: signal, first, last (= upto, exclusive), rows (= cells); a signal
                 may stand there more than once; no two spans of a tier and signal overlap

**A span is covered:** every row of that signal with a source time in it is in the cells, except
where table ``dirty`` says otherwise (signal, first, upto; signal -1: all). What no span covers is
read raw: it is too new, or too sparse to be worth cells (minutes only), or there is nothing.

Where the plant's midnight is not on a full hour, the hour with it in is two cells, so a day is
always made of whole hour cells. Table ``horizon`` (name, at): what is older than this is gone, for
"raw" (each signal's last row remains), "minute", "hour" and "day". Table ``built`` (day, upto):
UTC days since 1970 that have cells, up to which time; only there a late row marks something dirty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import apsw
import numpy as np

from plant.flow.sample import Int64
from plant.model.signal import SignalKind
from twin.historian.cell import COLUMNS, Cells, Rules
from twin.historian.label import Label
from twin.historian.segment import DAY_MS, Written, write_parquet
from twin.historian.store import select

if TYPE_CHECKING:
    import duckdb

TIERS = ("minute", "hour", "day")
"""Finest first; minutes and hours are UTC, a day is the plant's."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

SPARSE_ROWS = 4
"""A minute cell is worth its place where a signal has so many rows a minute on average."""

TIER_COLUMNS = "id, file, tier, first, upto, cells, bytes, crc"


@dataclass(frozen=True, slots=True)
class TierFile:
    """One line of table ``tier``, without the spans."""

    id: int
    file: str
    tier: str
    first: int
    upto: int
    cells: int
    bytes: int
    crc: int | None


def edges_of(tier: str, start: int, end: int, zone: str = "UTC") -> Int64:
    """Edges of all cells that touch a range (ms UTC, half-open): cell i is edge i to edge i + 1.

    >>> edges_of("hour", 3_600_001, 7_200_001).tolist()
    [3600000, 7200000, 10800000]
    >>> edges_of("day", 0, 1, "Asia/Shanghai").tolist()
    [-28800000, 57600000]
    >>> [t // 60_000 for t in edges_of("hour", 18 * HOUR_MS, 19 * HOUR_MS, "Asia/Kolkata").tolist()]
    [1080, 1110, 1140]
    """
    if tier == "day":
        return _midnights(start, end, zone)
    width = MINUTE_MS if tier == "minute" else HOUR_MS
    edges = np.arange(start // width, -(-end // width) + 1, dtype=np.int64) * width
    if tier == "hour" and zone != "UTC":
        midnights = _midnights(start, end, zone)
        inside = (midnights > edges[0]) & (midnights < edges[-1]) & (midnights % width != 0)
        if inside.any():
            edges = np.sort(np.append(edges, midnights[inside]))
    return edges


def _midnights(start: int, end: int, zone: str) -> Int64:
    at = ZoneInfo(zone)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    day = (epoch + timedelta(milliseconds=start)).astimezone(at).date()
    edges: list[int] = []
    while not edges or edges[-1] < end:
        midnight = datetime(day.year, day.month, day.day, tzinfo=at)
        edges.append((midnight - epoch) // timedelta(milliseconds=1))
        day += timedelta(days=1)
    return np.array(edges, np.int64)


def write_cells(folder: Path, tier: str, first: int, cells: Cells, label: Label) -> Written:
    """Write sorted cells as a Parquet file, durable before this returns."""
    stamp = np.datetime64(first // DAY_MS, "D") if abs(first) < 10**14 else first
    columns = {column: getattr(cells, column) for column in COLUMNS}
    return write_parquet(folder, f"{tier}_{stamp}", columns, label)


def scan_cells(
    database: "duckdb.DuckDBPyConnection",
    files: Sequence[Path],
    where: str = "true",
    parameters: Sequence[object] = (),
) -> Cells:
    """Cells of some files that fulfil a condition, in no promised order."""
    if not files:
        return Cells.empty()
    names = ", ".join(f'"{column}"' for column in COLUMNS)
    query = f"SELECT {names} FROM read_parquet(?) WHERE {where}"  # noqa: S608 - names are ours
    found = database.execute(query, [[str(f) for f in files], *parameters]).fetchnumpy()
    return Cells(
        *(
            (column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column).astype(
                kind, copy=False
            )
            for column, kind in ((found[name], kind) for name, kind in COLUMNS.items())
        )
    )


def read_rules(db: apsw.Connection) -> Rules:
    """How each signal's cells are made, by its id in the database."""
    known = select(db, "SELECT id, kind, modulus, hold_ms FROM signal")
    size = 1 + max((row[0] for row in known), default=0)
    rules = Rules(np.zeros(size, np.int64), np.full(size, np.nan), np.zeros(size, np.bool_))
    for id_, kind, modulus, hold_ms in known:
        rules.hold_ms[id_] = hold_ms
        rules.modulus[id_] = np.nan if modulus is None else modulus
        rules.counter[id_] = kind == SignalKind.COUNTER.value
    return rules
