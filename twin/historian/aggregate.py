"""Buckets of one signal, by its kind, from raw rows or from cells, and the row carried in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Aggregate, Series
from plant.flow.sample import Float64, Int64, SampleBatch
from plant.flow.status import is_bad
from plant.model.signal import SignalKind
from twin.historian.cell import Cells, Rules, bucket_of, cells_alone
from twin.historian.join import carry, coarser


@dataclass(frozen=True, slots=True)
class Window:
    """A range in ms UTC, half-open, and the width of its buckets."""

    start: int
    end: int
    width_ms: int

    def __post_init__(self) -> None:
        if self.width_ms <= 0:
            raise ValueError("a bucket is at least a millisecond wide")

    @property
    def buckets(self) -> int:
        """How many; the last may be cut short by the end."""
        return max(0, -(-(self.end - self.start) // self.width_ms))

    @property
    def edges(self) -> Int64:
        """Begin of every bucket, and the end of the last."""
        begins = self.start + self.width_ms * np.arange(self.buckets + 1, dtype=np.int64)
        return np.minimum(begins, max(self.end, self.start))


def aggregate(
    carried: SampleBatch,
    rows: SampleBatch,
    window: Window,
    *,
    kind: SignalKind = SignalKind.MEASUREMENT,
    modulus: float | None = None,
    hold_ms: int = 0,
) -> Aggregate:
    """See ``plant.flow.port.Aggregate``; ``rows`` are inside the window, ``carried`` before it.

    ``carried`` is the last row before, and for a counter also the last that is not Bad.

    >>> rows = SampleBatch.of([0, 0], [10_000, 20_000], [2.0, 4.0])
    >>> a = aggregate(SampleBatch.empty(), rows, Window(0, 30_000, 30_000))
    >>> a.mean.tolist(), a.known_s.tolist(), a.low_time.tolist()
    ([3.0], [20.0], [10000])
    """
    series = Series("", kind, modulus=modulus, hold_ms=hold_ms)
    cells = window_cells(rows, window.edges, series)
    durations: Mapping[int, Float64] = {}
    if kind is SignalKind.STATE:
        durations = state_durations(SampleBatch.concat([carried, rows]), window, hold_ms)
    return aggregate_cells(carried, cells, window, series, durations)


def rules_of(series: Series) -> Rules:
    """How cells of one signal, numbered 0, are made."""
    return Rules.of(series.kind is SignalKind.COUNTER, series.modulus, series.hold_ms)


def window_cells(rows: SampleBatch, edges: Int64, series: Series) -> Cells:
    """Cells of the rows of one signal, whatever its number, between some edges."""
    return cells_alone(rows, edges, rules_of(series))


def aggregate_cells(
    carried: SampleBatch,
    cells: Cells,
    window: Window,
    series: Series,
    durations: Mapping[int, Float64],
) -> Aggregate:
    """The same from sorted cells, none of which crosses an edge of a bucket."""
    n, edges, rules = window.buckets, window.edges, rules_of(series)
    if n == 0:
        cells, edges = Cells.empty(), np.array([window.start, window.start + 1], np.int64)
    joined = coarser(cells, edges, rules)
    alone = SampleBatch(
        np.zeros(len(carried), np.int32),
        carried.source_time,
        carried.value,
        carried.status,
        carried.received_time,
    )
    over = carry(joined, alone, edges, rules)
    at = bucket_of(joined.start, edges)

    def column(name: str, none: float = 0) -> NDArray[Any]:
        found = getattr(joined, name)
        spread = np.full(n, none, found.dtype)
        spread[at] = found
        return spread

    known_ms = column("known_ms") + over.known_ms[:n]
    integral = column("integral") + over.integral[:n]
    mean = np.full(n, np.nan)
    np.divide(integral, known_ms / 1000.0, out=mean, where=known_ms > 0)
    counter = series.kind is SignalKind.COUNTER
    increase = column("increase") + over.increase[:n] if counter else np.full(n, np.nan)
    return Aggregate(
        kind=series.kind,
        start=window.edges[:n],
        width_ms=window.width_ms,
        first=column("first", np.nan),
        last=column("last", np.nan),
        low=column("low", np.nan),
        high=column("high", np.nan),
        first_time=column("first_time"),
        last_time=column("last_time"),
        low_time=column("low_time"),
        high_time=column("high_time"),
        mean=mean,
        increase=increase,
        known_s=known_ms / 1000.0,
        good_s=(column("good_ms") + over.good_ms[:n]) / 1000.0,
        count=column("count"),
        durations=durations,
    )


def state_durations(rows: SampleBatch, window: Window, hold_ms: int) -> Mapping[int, Float64]:
    """Seconds in each state a bucket; ``rows`` begin with the one carried in."""
    start, end, n = window.start, window.end, window.buckets
    until = np.append(rows.source_time[1:], end)
    if hold_ms:
        until = np.minimum(until, rows.source_time + hold_ms)
    begin = np.clip(rows.source_time, start, max(end, start))
    until = np.clip(until, begin, max(end, start))
    usable = np.flatnonzero(~is_bad(rows.status) & ~np.isnan(rows.value) & (until > begin))
    begin, until, state = begin[usable], until[usable], rows.value[usable]
    first, last = (begin - start) // window.width_ms, (until - 1 - start) // window.width_ms
    many = last - first + 1
    row = np.repeat(np.arange(len(usable)), many)
    bucket = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    edge = start + bucket * window.width_ms
    held = np.minimum(until[row], edge + window.width_ms) - np.maximum(begin[row], edge)
    state = state[row]
    return {
        int(one): np.bincount(bucket, np.where(state == one, held, 0), n) / 1000.0
        for one in np.unique(state)
    }
