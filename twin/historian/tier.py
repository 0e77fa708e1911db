"""Tiers: files of cells, and what they cover. The way of a reader to cells, and of the writer.

``tiers/`` beside ``samples/`` holds Parquet files of cells (``twin.historian.cell.COLUMNS``),
sorted by signal and start; table ``tier`` names them like ``segment`` names samples:

    tier         "minute", "hour", "day"
    first, upto  ms UTC, half-open: the range the file is about; files of a tier never overlap
    signals      ``SignalSpans``: signal, first, last (= upto, exclusive), rows (= cells); a signal
                 may stand there more than once, with spans that do not overlap

**A span is covered:** every row of that signal with a source time in it is in the cells, except
where table ``dirty`` says otherwise (signal, first, upto; signal -1: all). What no span covers is
read raw: it is too new, or too sparse to be worth cells (minutes only), or there is nothing.

Table ``horizon`` (name, at): "built": rows later than this were never in cells; "raw", "minute",
"hour", "day": what is older than this is gone (of raw, each signal's last row remains).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from plant.flow.sample import Int64
from twin.historian.cell import COLUMNS, Cells
from twin.historian.segment import DAY_MS, write_parquet

if TYPE_CHECKING:
    import duckdb

TIERS = ("minute", "hour", "day")
"""Finest first; minutes and hours are UTC, a day is the plant's."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
WIDTH_MS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
"""Of a day: about; a summer time makes it an hour longer or shorter."""

SPARSE_ROWS = 4
"""A minute cell is worth its place where a signal has so many rows a minute on average."""

TIER_COLUMNS = "id, file, tier, first, upto, cells"


@dataclass(frozen=True, slots=True)
class TierFile:
    """One line of table ``tier``, without the spans."""

    id: int
    file: str
    tier: str
    first: int
    upto: int
    cells: int


def edges_of(tier: str, start: int, end: int, zone: str = "UTC") -> Int64:
    """Edges of all cells that touch a range (ms UTC, half-open): cell i is edge i to edge i + 1.

    >>> edges_of("hour", 3_600_001, 7_200_001).tolist()
    [3600000, 7200000, 10800000]
    >>> edges_of("day", 0, 1, "Asia/Shanghai").tolist()
    [-28800000, 57600000]
    """
    if tier == "day":
        return _midnights(start, end, zone)
    width = MINUTE_MS if tier == "minute" else HOUR_MS
    return np.arange(start // width, -(-end // width) + 1, dtype=np.int64) * width


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


def write_cells(folder: Path, tier: str, first: int, cells: Cells) -> tuple[str, int]:
    """Write sorted cells as a Parquet file, durable before this returns: (name, bytes)."""
    stamp = np.datetime64(first // DAY_MS, "D") if abs(first) < 10**14 else first
    name = f"{tier}_{stamp}_{secrets.token_hex(8)}.parquet"
    columns = {column: getattr(cells, column) for column in COLUMNS}
    return name, write_parquet(folder, name, columns)


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
