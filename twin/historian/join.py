"""Cells joined: into wider cells, and over the buckets of a range with what was carried in.

Cells stand for themselves, so what crosses their edges is put back here: ``coarser`` does it
inside the wider cell, ``carry`` over the whole of a range. Both give what the raw rows would give.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int64, SampleBatch
from plant.flow.status import is_bad, is_good
from twin.historian.cell import Cells, Rules, bucket_of, changes, earliest, integrals


def coarser(cells: Cells, edges: Int64, rules: Rules) -> Cells:
    """Sorted cells joined into wider ones, whose edges are edges of theirs.

    >>> rows = SampleBatch.of([0, 0, 0], [1_000, 2_000, 130_000], [1.0, 3.0, 5.0])
    >>> from twin.historian.cell import cells_of
    >>> minutes = cells_of(rows, np.arange(0, 240_000, 60_000), Rules.of())
    >>> coarser(minutes, np.array([0, 180_000]), Rules.of()).integral.tolist()
    [635.0]
    >>> cells_of(rows, np.array([0, 180_000]), Rules.of()).integral.tolist()
    [635.0]
    """
    if not len(cells):
        return cells
    bucket = bucket_of(cells.start, edges)
    begin = np.flatnonzero(changes(cells.signal) | changes(bucket))
    many = np.diff(begin, append=len(cells))
    tail = begin + many - 1
    end = edges[bucket[begin] + 1]
    # from each cell's end its last row goes on: to the next cell's first row, its hold, the edge
    until = np.empty(len(cells), np.int64)
    until[:-1] = cells.head_time[1:]
    until[tail] = end
    spill = _spill(cells, until, rules)
    good = np.where(is_good(cells.last_status), spill, 0)
    weighed = cells.integral + np.where(spill > 0, cells.last, 0.0) * spill / 1000.0
    some = ~np.isnan(cells.first)
    low = _best(np.where(some, cells.low, np.inf), some, begin, many, np.minimum)
    high = _best(np.where(some, cells.high, -np.inf), some, begin, many, np.maximum)
    place = np.arange(len(cells))
    last = np.maximum.reduceat(np.where(some, place, -1), begin)
    first = np.minimum.reduceat(np.where(some, place, len(cells)), begin)
    none = last < 0
    first, last = np.where(none, begin, first), np.where(none, begin, last)
    columns: dict[str, Any] = {
        "signal": cells.signal[begin],
        "start": edges[bucket[begin]],
        "end": end,
        "count": np.add.reduceat(cells.count, begin),
        "head_time": cells.head_time[begin],
        "tail_time": cells.tail_time[tail],
        "tail_status": cells.tail_status[tail],
        "integral": integrals(weighed, begin),
        "known_ms": np.add.reduceat(cells.known_ms + spill, begin),
        "good_ms": np.add.reduceat(cells.good_ms + good, begin),
        "increase": np.add.reduceat(cells.increase + _between(cells, rules, bucket), begin),
    }
    for name, at in (("first", first), ("last", last), ("low", low), ("high", high)):
        for column in (name, f"{name}_time", f"{name}_status"):
            columns[column] = getattr(cells, column)[at]
    return Cells(**columns)


def _spill(cells: Cells, until: Int64, rules: Rules) -> Int64:
    """How long (ms) each cell's last row counts after the cell's end and before ``until``."""
    hold = rules.hold_ms[cells.signal]
    limit = np.where(hold > 0, cells.tail_time + hold, np.iinfo(np.int64).max)
    spill = np.minimum(until, limit) - cells.end
    return np.where(cells.tail_counts, np.maximum(spill, 0), 0)


def _between(cells: Cells, rules: Rules, bucket: Int64 | None) -> Float64:
    """What a counter rose from the cell before (of the same bucket) to each cell's first row."""
    step = np.zeros(len(cells))
    some = np.flatnonzero(~np.isnan(cells.first) & rules.counter[cells.signal])
    if len(some) > 1:
        before, after = some[:-1], some[1:]
        linked = cells.signal[before] == cells.signal[after]
        if bucket is not None:
            linked &= bucket[before] == bucket[after]
        before, after = before[linked], after[linked]
        step[after] = rules.steps(cells.signal[after], cells.last[before], cells.first[after])
    return step


def _best(
    value: Float64, some: NDArray[np.bool_], begin: Int64, many: Int64, pick: "np.ufunc"
) -> Int64:
    """The earliest of each group's best; where none has a value, the first."""
    hit = value == np.repeat(pick.reduceat(value, begin), many)
    hit &= some | ~np.repeat(np.logical_or.reduceat(some, begin), many)
    return earliest(hit, begin)


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Per bucket what crosses its edges: to be added to the bucket's own cell.

    integral, known_ms, good_ms  of values that came from before the bucket
    increase                     of a counter: the step to the bucket's first row
    """

    integral: Float64
    known_ms: Int64
    good_ms: Int64
    increase: Float64


def carry(cells: Cells, before: SampleBatch, edges: Int64, rules: Rules) -> Carried:
    """Of one signal's cells, one a bucket at most (``coarser`` made them), over all the buckets.

    ``before`` holds the last row before the first edge, if there is one, and for a counter also
    the last that is not Bad, as ``aggregate`` takes them. The last edge is the end of the range:
    nothing counts after it.

    >>> from twin.historian.cell import cells_of
    >>> rows = SampleBatch.of([0], [90_000], [4.0])
    >>> edges, rules = np.array([60_000, 120_000, 180_000]), Rules.of()
    >>> c = carry(cells_of(rows, edges, rules), SampleBatch.of([0], [5], [2.0]), edges, rules)
    >>> c.integral.tolist(), c.known_ms.tolist()
    ([60.0, 240.0], [30000, 60000])
    """
    n = len(edges) - 1
    usable = ~is_bad(before.status) & ~np.isnan(before.value)
    value, status = cells.last, cells.last_status
    # the pieces of time that belong to a bucket later than their row's own
    begin, until = cells.end, np.append(cells.head_time[1:], edges[-1:])
    signal = np.append(cells.signal, before.signal)[:1]
    hold = int(rules.hold_ms[signal].sum())
    from_time, counts = cells.tail_time, cells.tail_counts
    if len(before):
        first = cells.head_time[:1] if len(cells) else edges[-1:]
        begin, until = np.append(edges[:1], begin), np.append(first, until[: len(cells)])
        from_time = np.append(before.source_time[-1:], from_time)
        counts = np.append(usable[-1:], counts)
        value = np.append(before.value[-1:], value)
        status = np.append(before.status[-1:], status)
    else:
        until = until[: len(cells)]
    if hold:
        until = np.minimum(until, from_time + hold)
    keep = np.flatnonzero(counts & (until > begin))
    row, bucket, length = _pieces(begin[keep], until[keep], edges)
    value, status = value[keep][row], status[keep][row]
    good = np.where(is_good(status), length, 0)
    increase = np.zeros(n)
    if len(cells) and rules.counter[cells.signal[0]]:
        at = bucket_of(cells.start, edges)
        increase[at] = _between(cells, rules, None)
        some = np.flatnonzero(~np.isnan(cells.first))
        if len(some) and usable.any():
            one = cells.signal[some[:1]]
            former = before.value[usable][-1:]
            increase[at[some[0]]] = rules.steps(one, former, cells.first[some[:1]])[0]
    return Carried(
        np.bincount(bucket, value * length, n) / 1000.0,
        np.bincount(bucket, length, n).astype(np.int64),
        np.bincount(bucket, good, n).astype(np.int64),
        increase,
    )


def _pieces(begin: Int64, until: Int64, edges: Int64) -> tuple[Int64, Int64, Int64]:
    """Intervals parted at the edges: (which interval, bucket, length in ms) of every piece."""
    first, last = bucket_of(begin, edges), bucket_of(until - 1, edges)
    many = last - first + 1
    row = np.repeat(np.arange(len(begin)), many)
    bucket = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    length = np.minimum(until[row], edges[bucket + 1]) - np.maximum(begin[row], edges[bucket])
    return row, bucket, length
