"""Cells: what a minute, an hour or a day of a signal comes to, so that a year need not be read raw.

A cell is made of the newest rows inside it and of nothing else: no value is carried in. So a late
row or a correction changes the one cell it lies in, cells can be made in any order, and they say
the same when the raw rows are gone. What crosses a cell's edge (the value that still held, the
step of a counter) is put back where cells are joined (``twin.historian.join``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plant.flow.sample import Float64, Int32, Int64, SampleBatch, UInt32
from plant.flow.status import is_bad, is_good
from twin.historian.counter import NEAR_END


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells as equally long columns, by signal and start; every cell has a row at least.

    signal          int32    id of the database (in a join: whatever the caller counts by)
    start, end      int64    ms UTC, half-open
    count           int64    newest rows, Bad ones too
    head_time       int64    of the very first row, Bad or not
    tail_time       int64    of the very last row, Bad or not
    tail_status     uint32   of the very last row
    first, last     float64  first and last value of rows that are not Bad, NaN where none
    low, high       float64  least and greatest of them
    *_time          int64    of those four (the earliest of equals), 0 where none
    *_status        uint32   of those four, 0 where none
    integral        float64  value x seconds from each row to the next, its hold or the cell's end
    known_ms        int64    how long that is
    good_ms         int64    how much of it with a Good value
    increase        float64  of a counter, from the first row that is not Bad to the last; else 0
    """

    signal: Int32
    start: Int64
    end: Int64
    count: Int64
    head_time: Int64
    tail_time: Int64
    tail_status: UInt32
    first: Float64
    first_time: Int64
    first_status: UInt32
    last: Float64
    last_time: Int64
    last_status: UInt32
    low: Float64
    low_time: Int64
    low_status: UInt32
    high: Float64
    high_time: Int64
    high_status: UInt32
    integral: Float64
    known_ms: Int64
    good_ms: Int64
    increase: Float64

    @classmethod
    def empty(cls) -> Self:
        """No cells."""
        return cls(*(np.empty(0, kind) for kind in COLUMNS.values()))

    @classmethod
    def concat(cls, parts: Iterable[Self]) -> Self:
        """Cells of many parts in the order given."""
        some = [p for p in parts if len(p)]
        if len(some) == 1:
            return some[0]
        if not some:
            return cls.empty()
        return cls(*(np.concatenate([getattr(p, name) for p in some]) for name in COLUMNS))

    def __len__(self) -> int:
        return len(self.signal)

    def take(self, which: ArrayLike) -> Self:
        """The cells at an index array or a boolean mask, in that order."""
        at = np.asarray(which)
        if not len(at):
            return self.empty()
        return type(self)(*(getattr(self, name)[at] for name in COLUMNS))

    def sorted(self) -> Self:
        """By signal and start."""
        return self.take(np.lexsort((self.start, self.signal)))

    @property
    def tail_counts(self) -> NDArray[np.bool_]:
        """Whether the very last row is one that counts: then it is ``last``."""
        counts: NDArray[np.bool_] = self.tail_time == self.last_time
        return counts & ~np.isnan(self.last)


COLUMNS = {
    name: "i4" if name == "signal"
    else "u4" if name.endswith("_status")
    else "f8" if name in {"first", "last", "low", "high", "integral", "increase"}
    else "i8"
    for name in Cells.__dataclass_fields__
}  # fmt: skip
"""Name and numpy type of every column, in the order of the Parquet files."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What of ``Series`` cells need; ``signal`` of rows and cells counts in these columns.

    hold_ms  int64    0: until the next row
    modulus  float64  of a counter that rolls over, NaN: it does not
    counter  bool
    """

    hold_ms: Int64
    modulus: Float64
    counter: NDArray[np.bool_]

    @classmethod
    def of(cls, counter: bool = False, modulus: float | None = None, hold_ms: int = 0) -> Self:
        """Of one signal, numbered 0."""
        return cls(
            np.array([hold_ms], np.int64),
            np.array([np.nan if modulus is None else modulus]),
            np.array([counter]),
        )

    def steps(self, signal: Int32, before: Float64, value: Float64) -> Float64:
        """What counters rose from ``before`` to ``value``, over rollovers and resets; else 0."""
        with np.errstate(invalid="ignore"):
            step: Float64 = value - before
        step = np.where(np.isfinite(step), step, 0.0)  # to infinity and back is no rise
        reset = step < 0
        modulus = self.modulus[signal]
        rolled = (before >= modulus * (1 - NEAR_END)) & (value <= modulus * NEAR_END) & reset
        step = np.where(rolled, step + modulus, step)
        step = np.where(reset & ~rolled, value, step)
        return np.where(self.counter[signal], step, 0.0)


def cells_alone(rows: SampleBatch, edges: Int64, rules: "Rules") -> Cells:
    """Cells of the rows of one signal, whatever its number; ``rules`` are those of signal 0."""
    alone = SampleBatch(
        np.zeros(len(rows), np.int32),
        rows.source_time,
        rows.value,
        rows.status,
        rows.received_time,
    )
    return cells_of(alone, edges, rules)


def cells_of(rows: SampleBatch, edges: Int64, rules: Rules) -> Cells:
    """Cells of rows sorted by signal and source time, newest only, none outside the edges.

    >>> rows = SampleBatch.of([0, 0, 0], [1_000, 2_000, 70_000], [1.0, 3.0, 5.0])
    >>> c = cells_of(rows, np.array([0, 60_000, 120_000]), Rules.of())
    >>> c.count.tolist(), c.high.tolist(), c.integral.tolist(), c.known_ms.tolist()
    ([2, 1], [3.0, 5.0], [175.0, 250.0], [59000, 50000])
    """
    if not len(rows):
        return Cells.empty()
    signal, time, value = rows.signal, rows.source_time, rows.value
    bucket = bucket_of(time, edges)
    begin = np.flatnonzero(changes(signal) | changes(bucket))
    count = np.diff(begin, append=len(rows))
    cell_signal, cell_end = signal[begin], edges[bucket[begin] + 1]
    tail = begin + count - 1
    bad = is_bad(rows.status)
    usable = ~(bad | np.isnan(value))
    # how long each row counts inside its cell
    until = np.empty_like(time)
    until[:-1] = time[1:]
    until[tail] = cell_end
    held = until - time
    hold = rules.hold_ms[cell_signal]
    if hold.any():
        limit = np.where(hold > 0, hold, np.iinfo(np.int64).max)
        np.minimum(held, np.repeat(limit, count), out=held)
    whole = bool(usable.all())
    if not whole:
        held[~usable] = 0
    weighed = value * held if whole else np.where(usable, value, 0.0) * held
    good = held if not rows.status.any() else np.where(is_good(rows.status), held, 0)
    columns: dict[str, Any] = {
        "signal": cell_signal,
        "start": edges[bucket[begin]],
        "end": cell_end,
        "count": count.astype(np.int64),
        "head_time": time[begin],
        "tail_time": time[tail],
        "tail_status": rows.status[tail],
        "integral": integrals(weighed, begin) / 1000.0,
        "known_ms": np.add.reduceat(held, begin),
        "good_ms": np.add.reduceat(good, begin),
    }
    if not whole:
        rows, begin, count = _without(rows, usable, begin)
    columns |= _usable_columns(rows, begin, count, rules)
    return Cells(**columns)


def _without(
    rows: SampleBatch, usable: NDArray[np.bool_], begin: Int64
) -> tuple[SampleBatch, Int64, Int64]:
    """Rows that are not Bad, where each cell's begin among them and how many they are."""
    count = np.add.reduceat(usable, begin, dtype=np.int64)
    return rows.take(usable), np.cumsum(count) - count, count


def _usable_columns(
    rows: SampleBatch, begin: Int64, count: Int64, rules: Rules
) -> dict[str, NDArray[Any]]:
    """First, last, low, high and increase of each cell; ``rows`` are not Bad."""
    some = count > 0
    begin, count = begin[some], count[some]
    at = _Extremes.of(rows.value, begin, count)
    found = {"first": begin, "last": begin + count - 1, "low": at.low, "high": at.high}
    columns: dict[str, NDArray[Any]] = {}
    for name, place in found.items():
        columns[name] = _spread(rows.value[place], some, np.nan)
        columns[f"{name}_time"] = _spread(rows.source_time[place], some, 0)
        columns[f"{name}_status"] = _spread(rows.status[place], some, 0)
    increase = np.zeros(len(begin))
    if len(begin) and rules.counter[rows.signal[begin]].any():
        before = np.concatenate([rows.value[:1], rows.value[:-1]])
        before[begin] = rows.value[begin]
        increase = np.add.reduceat(rules.steps(rows.signal, before, rows.value), begin)
    columns["increase"] = _spread(increase, some, 0.0)
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class _Extremes:
    """Where the earliest least and greatest value of each group stand."""

    low: Int64
    high: Int64

    @classmethod
    def of(cls, value: Float64, begin: Int64, count: Int64) -> Self:
        if not len(begin):
            return cls(begin, begin)
        return cls(
            earliest(value == np.repeat(np.minimum.reduceat(value, begin), count), begin),
            earliest(value == np.repeat(np.maximum.reduceat(value, begin), count), begin),
        )


def integrals(weighed: Float64, begin: Int64) -> Float64:
    """Sums of groups; where both infinities meet there is none."""
    with np.errstate(invalid="ignore"):
        sums: Float64 = np.add.reduceat(weighed, begin)
    return sums


def earliest(hit: NDArray[np.bool_], begin: Int64) -> Int64:
    """Place of the first hit of each group; every group has one."""
    places = np.flatnonzero(hit)
    first: Int64 = places[np.searchsorted(places, begin)]
    return first


def bucket_of(time: Int64, edges: Int64) -> Int64:
    """Which cell each time is in."""
    width = int(edges[1] - edges[0])
    if len(edges) == 2 or bool((np.diff(edges) == width).all()):
        place: Int64 = (time - edges[0]) // width
        return place
    at: Int64 = np.searchsorted(edges, time, "right") - 1
    return at


def changes(column: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a column is not what it was in the row before; true for the first."""
    changed = np.ones(len(column), np.bool_)
    np.not_equal(column[1:], column[:-1], out=changed[1:])
    return changed


def _spread(column: NDArray[np.generic], where: NDArray[np.bool_], none: float) -> NDArray[Any]:
    """Entries for the groups that have some, ``none`` for the others."""
    if where.all():
        return column
    spread = np.full(len(where), none, column.dtype)
    spread[where] = column
    return spread
