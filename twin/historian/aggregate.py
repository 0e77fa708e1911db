"""Buckets of one signal, by its kind, from raw rows in order and the row carried in."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Aggregate
from plant.flow.sample import Float64, Int64, SampleBatch
from plant.flow.status import is_bad, is_good
from plant.model.signal import SignalKind

NEAR_END = 0.1
"""A counter rolls over from the last tenth of its range to the first; any other drop is a reset."""


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

    def bucket(self, time: Int64) -> Int64:
        """Which bucket a time is in."""
        return (time - self.start) // self.width_ms


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
    n = window.buckets
    bucket = window.bucket(rows.source_time)
    usable = ~is_bad(rows.status) & ~np.isnan(rows.value)
    held = _held(SampleBatch.concat([carried, rows]), window, hold_ms)
    inside = rows.take(usable)
    at = bucket[usable]
    first, first_time = _pick(inside, at, n, np.arange(len(inside)))
    last, last_time = _pick(inside, at, n, -np.arange(len(inside)))
    low, low_time = _pick(inside, at, n, inside.value)
    high, high_time = _pick(inside, at, n, -inside.value)
    return Aggregate(
        kind=kind,
        start=window.start + window.width_ms * np.arange(n, dtype=np.int64),
        width_ms=window.width_ms,
        first=first,
        last=last,
        low=low,
        high=high,
        first_time=first_time,
        last_time=last_time,
        low_time=low_time,
        high_time=high_time,
        mean=held.mean(),
        increase=(
            _increase(carried, inside, at, n, modulus)
            if kind is SignalKind.COUNTER
            else np.full(n, np.nan)
        ),
        known_s=held.known_s,
        good_s=held.good_s,
        count=np.bincount(bucket, minlength=n)[:n].astype(np.int64),
        durations=held.durations() if kind is SignalKind.STATE else {},
    )


def _pick(
    rows: SampleBatch, bucket: Int64, n: int, rank: NDArray[np.generic]
) -> tuple[Float64, Int64]:
    """Value and time of the row of least rank in each bucket, the earliest of equals."""
    value, time = np.full(n, np.nan), np.zeros(n, np.int64)
    order = np.lexsort((rows.source_time, rank, bucket))
    chosen = order[np.flatnonzero(np.diff(bucket[order], prepend=-1))]
    value[bucket[chosen]] = rows.value[chosen]
    time[bucket[chosen]] = rows.source_time[chosen]
    return value, time


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Pieces of time in which one value counted, none crossing a bucket's edge."""

    buckets: int
    bucket: Int64
    seconds: Float64
    value: Float64
    good_s: Float64
    known_s: Float64

    def mean(self) -> Float64:
        integral = self._sum(self.seconds * self.value)
        mean = np.full(self.buckets, np.nan)
        np.divide(integral, self.known_s, out=mean, where=self.known_s > 0)
        return mean

    def durations(self) -> Mapping[int, Float64]:
        states = np.unique(self.value)
        return {
            int(state): self._sum(np.where(self.value == state, self.seconds, 0.0))
            for state in states
        }

    def _sum(self, weight: Float64) -> Float64:
        return _sums(self.bucket, weight, self.buckets)


def _held(rows: SampleBatch, window: Window, hold_ms: int) -> _Held:
    start, end = window.start, window.end
    until = np.append(rows.source_time[1:], end)
    if hold_ms:
        until = np.minimum(until, rows.source_time + hold_ms)
    begin = np.clip(rows.source_time, start, end)
    until = np.clip(until, begin, end)
    usable = (~is_bad(rows.status) & ~np.isnan(rows.value) & (until > begin)).nonzero()[0]
    begin, until = begin[usable], until[usable]
    first, last = window.bucket(begin), window.bucket(until - 1)
    pieces = last - first + 1
    row = np.repeat(np.arange(len(usable)), pieces)
    bucket = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    edge = start + bucket * window.width_ms
    seconds = (
        np.minimum(until[row], edge + window.width_ms) - np.maximum(begin[row], edge)
    ) / 1000.0
    good = np.where(is_good(rows.status[usable])[row], seconds, 0.0)
    return _Held(
        window.buckets,
        bucket,
        seconds,
        rows.value[usable][row],
        _sums(bucket, good, window.buckets),
        _sums(bucket, seconds, window.buckets),
    )


def _sums(bucket: Int64, weight: Float64, n: int) -> Float64:
    return np.bincount(bucket, weight, n).astype(np.float64, copy=False)


def _increase(
    carried: SampleBatch, rows: SampleBatch, bucket: Int64, n: int, modulus: float | None
) -> Float64:
    before = carried.take(~is_bad(carried.status) & ~np.isnan(carried.value)).value[-1:]
    step = counter_steps(np.concatenate([before, rows.value]), modulus)[len(before) :]
    return _sums(bucket, step, n)


def counter_steps(value: Float64, modulus: float | None) -> Float64:
    """What a counter rose from the row before, 0 for the first; over rollovers and resets.

    >>> counter_steps(np.array([10.0, 12.0, 3.0, 5.0]), None).tolist()
    [0.0, 2.0, 3.0, 2.0]
    >>> counter_steps(np.array([65530.0, 4.0]), 65536.0).tolist()
    [0.0, 10.0]
    """
    before: Float64 = np.concatenate([value[:1], value[:-1]])
    step: Float64 = value - before
    reset = step < 0
    if modulus is not None:
        rolled = (before >= modulus * (1 - NEAR_END)) & (value <= modulus * NEAR_END)
        step = np.where(reset & rolled, step + modulus, step)
        reset &= ~rolled
    return np.where(reset, value, step)
