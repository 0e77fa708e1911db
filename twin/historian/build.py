"""A day made final: its segments rewritten by signal, its cells made, in one pass over the rows.

The rows of a UTC day are taken a range of signals at a time. Where the day is over they go into
final segments (each signal's day in one file); in either case their cells go into the tiers. Where
only some signals of an old day were touched, only their cells are made anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw
import numpy as np

from plant.flow.sample import Int32, SampleBatch
from twin.historian.aside import sound_segments
from twin.historian.cell import Cells, Rules, cells_of
from twin.historian.dirt import Touched
from twin.historian.join import coarser
from twin.historian.seal import FINAL, Part, replace_segments, seal
from twin.historian.segment import (
    DAY_MS,
    Segment,
    SignalSpans,
    connect,
    newest_of_sorted,
    scan,
)
from twin.historian.shelf import Shelf, Swap, TierPart, swap
from twin.historian.span import Area, spans
from twin.historian.store import SAMPLES, naming, select
from twin.historian.tier import MINUTE_MS, SPARSE_ROWS, edges_of, read_rules

if TYPE_CHECKING:
    import duckdb

    from twin.historian.writer import EmbeddedWriter

_CHUNK_ROWS = 2_000_000
"""Rows in memory at a time, and most of a final segment, unless one signal has more."""
_MINUTE_CELLS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is to be made of a day.

    signals  whose cells are made anew; None: everybody's
    upto     cells are made of rows before this, ms UTC
    final    whether the segments are rewritten too
    mark     the last dirty mark that this heals
    """

    day: int
    segments: Sequence[Segment]
    signals: Int32 | None
    upto: int
    final: bool
    mark: int
    now: int

    @property
    def start(self) -> int:
        """First moment of the day, ms UTC."""
        return self.day * DAY_MS


@dataclass(slots=True, eq=False)
class _Made:
    """What has been written for a day and is in no manifest yet."""

    parts: list[Part] = field(default_factory=list)
    minute: list[TierPart] = field(default_factory=list)
    hour: list[Cells] = field(default_factory=list)
    signals: list[Int32] = field(default_factory=list)


def build(writer: "EmbeddedWriter", task: Task) -> None:
    """Do it; a crash at any moment leaves the day as it was."""
    if len(sound_segments(writer, task.segments)) < len(task.segments):
        return  # what is left of the day is looked at anew
    with writer.lock:
        rules = read_rules(writer.database)
        spans_of = {s.file: _spans(writer.database, s) for s in task.segments}
    made = _Made()
    with connect() as duck:
        pending: list[Cells] = []
        dense: list[Int32] = []
        for low, high in _chunks(list(spans_of.values()), task):
            rows = _rows(writer, duck, task, spans_of, (low, high))
            if task.final:
                made.parts.append(Part.write(writer, task.day, rows))
            minute, some = _cells(task, rows, rules, made, writer.zone)
            pending.append(minute)
            dense.append(some)
            if sum(map(len, pending)) >= _MINUTE_CELLS:
                made.minute += _flush(writer, task, pending, dense)
            seal(writer)
        shelf = Shelf(writer, duck)
        area = Area(task.signals, task.start, task.upto)
        replaced = shelf.replace("minute", area, Cells.empty(), [])
        made.minute += _flush(writer, task, pending, dense)
        hour = Cells.concat(made.hour)
        some = np.concatenate([*made.signals, np.empty(0, np.int32)])
        replaced += shelf.replace("hour", area, hour, [spans(some, task.start, task.upto)])
        days, empty = shelf.days(area, hour, rules, task.now)
        replaced += days
    _commit(writer, task, made, replaced, empty)


def _spans(db: apsw.Connection, segment: Segment) -> SignalSpans:
    (row,) = select(db, "SELECT signals FROM segment WHERE id = ?", (segment.id,))
    return SignalSpans.decode(row[0])


def _chunks(parts: Sequence[SignalSpans], task: Task) -> Iterator[tuple[int, int]]:
    """Ranges of signal ids (both included) with about as many rows as fit in memory."""
    if not parts:
        return
    size = 1 + max(int(p.signal[-1]) for p in parts)
    rows = np.zeros(size, np.int64)
    for part in parts:
        rows[part.signal] += part.rows
    if task.signals is not None:
        rows[~np.isin(np.arange(size), task.signals)] = 0
    wanted = np.flatnonzero(rows)
    chunk = (np.cumsum(rows[wanted]) - 1) // _CHUNK_ROWS
    for number in np.unique(chunk):
        ids = wanted[chunk == number]
        yield int(ids[0]), int(ids[-1])


def _rows(
    writer: "EmbeddedWriter",
    duck: "duckdb.DuckDBPyConnection",
    task: Task,
    spans_of: dict[str, SignalSpans],
    between: tuple[int, int],
) -> SampleBatch:
    """The sealed rows of some signals, sorted, superseded ones too."""
    low, high = between
    files = [
        writer.folder / SAMPLES / file
        for file, of in spans_of.items()
        if np.searchsorted(of.signal, low) < np.searchsorted(of.signal, high, "right")
    ]
    rows = scan(duck, files, "signal BETWEEN ? AND ?", between)
    if task.signals is not None:
        rows = rows.take(np.isin(rows.signal, task.signals))
    return rows.sorted()


def _cells(
    task: Task, rows: SampleBatch, rules: Rules, made: _Made, zone: str
) -> tuple[Cells, Int32]:
    """Minute cells of the signals that are dense enough, and which these are; hours are kept."""
    rows = newest_of_sorted(rows)
    if len(rows) and rows.source_time.max() >= task.upto:
        rows = rows.take(rows.source_time < task.upto)
    minute = cells_of(rows, edges_of("minute", task.start, task.upto), rules)
    made.hour.append(coarser(minute, edges_of("hour", task.start, task.upto, zone), rules))
    of = SignalSpans.of(rows)
    made.signals.append(of.signal)
    dense = of.signal[of.rows >= SPARSE_ROWS * (task.upto - task.start) // MINUTE_MS]
    if len(dense) < len(of.signal):
        minute = minute.take(np.isin(minute.signal, dense))
    return minute, dense


def _flush(
    writer: "EmbeddedWriter", task: Task, pending: list[Cells], dense: list[Int32]
) -> list[TierPart]:
    cells, signals = Cells.concat(pending), np.concatenate([*dense, np.empty(0, np.int32)])
    pending.clear()
    dense.clear()
    if not len(cells):
        return []
    return [TierPart.write(writer, "minute", cells, [spans(signals, task.start, task.upto)])]


def _commit(
    writer: "EmbeddedWriter",
    task: Task,
    made: _Made,
    replaced: Sequence[Swap],
    empty: Sequence[int],
) -> None:
    """One transaction names everything; what came in the meantime is marked dirty in it."""
    with writer.lock:
        with naming(writer.database) as db:
            if task.final:
                replace_segments(db, task.segments)
                for part in made.parts:
                    part.name(db, level=FINAL)
            for cells in made.minute:
                cells.name(db)
            for old, new in replaced:
                swap(db, old, new)
            db.execute("DELETE FROM dirty WHERE id <= ? AND first = ?", (task.mark, task.start))
            built = {day: (day + 1) * DAY_MS for day in empty} | {task.day: task.upto}
            db.executemany("INSERT OR REPLACE INTO built VALUES (?, ?)", list(built.items()))
            touched = [pair for day in built for pair in _meanwhile(writer, db, task, day)]
            writer.dirt.mark(db, touched)
        writer.dirt.built.update(built)
        writer.dirt.marked(touched)


def _meanwhile(
    writer: "EmbeddedWriter", db: apsw.Connection, task: Task, day: int
) -> list[Touched]:
    """What rows touch that came while the day was made, or that are not sealed yet."""
    known = {s.file for s in task.segments}
    found: set[int] = set()
    query = "SELECT file, signals FROM segment WHERE day = ? AND level BETWEEN 0 AND ?"
    for file, blob in select(db, query, (day, FINAL - 1)):
        if file not in known:
            found.update(SignalSpans.decode(blob).signal.tolist())
    hot = writer.hot.view()
    here = (hot.source_time >= day * DAY_MS) & (hot.source_time < (day + 1) * DAY_MS)
    found.update(np.unique(hot.signal[here]).tolist())
    return [(signal, day) for signal in sorted(found)]
