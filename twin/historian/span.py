"""Spans that tiers cover: cut out of what was, joined, counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int32, Int64
from twin.historian.cell import Cells
from twin.historian.segment import SignalSpans


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Some signals (None: every one) over a range of ms UTC, half-open."""

    signals: Int32 | None
    first: int
    upto: int

    def has(self, signal: Int32) -> NDArray[np.bool_]:
        """Which of these signals it is about."""
        if self.signals is None:
            return np.ones(len(signal), np.bool_)
        return np.isin(signal, self.signals)

    def holds(self, cells: Cells) -> NDArray[np.bool_]:
        """Which cells begin in it."""
        return (cells.start >= self.first) & (cells.start < self.upto) & self.has(cells.signal)


def spans(signal: Int32, first: int, upto: int) -> SignalSpans:
    """The same span for each signal (sorted, none twice)."""
    n = len(signal)
    return SignalSpans(
        signal.astype(np.int32),
        np.full(n, first, np.int64),
        np.full(n, upto, np.int64),
        np.zeros(n, np.int32),
    )


def without(old: SignalSpans, area: Area) -> SignalSpans:
    """What of the spans lies outside an area.

    >>> one = np.array([1, 2], np.int32)
    >>> left = without(spans(one, 0, 100), Area(one[:1], 20, 30))
    >>> left.signal.tolist(), left.first.tolist(), left.last.tolist()
    ([1, 1, 2], [0, 30, 0], [20, 100, 100])
    """
    hit = area.has(old.signal) & (old.first < area.upto) & (old.last > area.first)
    before, after = old.first < area.first, old.last > area.upto
    keep, left, right = ~hit, hit & before, hit & after
    signal = np.concatenate([old.signal[keep], old.signal[left], old.signal[right]])
    first = np.concatenate(
        [old.first[keep], old.first[left], np.full(right.sum(), area.upto, np.int64)]
    )
    last = np.concatenate(
        [old.last[keep], np.full(left.sum(), area.first, np.int64), old.last[right]]
    )
    return _sorted(signal, first, last)


def joined(parts: list[SignalSpans], cells: Cells) -> SignalSpans:
    """All of the spans, touching ones made one, with how many of the sorted cells each has."""
    all_ = _sorted(
        np.concatenate([p.signal for p in parts]),
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.last for p in parts]),
    )
    if not len(all_.signal):
        return all_
    touches = (all_.signal[1:] == all_.signal[:-1]) & (all_.first[1:] == all_.last[:-1])
    begin = np.flatnonzero(np.append(True, ~touches))
    end = np.append(begin[1:], len(all_.signal)) - 1
    signal, first, last = all_.signal[begin], all_.first[begin], all_.last[end]
    least = int(min(first.min(), cells.start.min())) if len(cells) else 0
    key = _key(signal, first - least)
    at = np.searchsorted(key, _key(cells.signal, cells.start - least), "right") - 1
    rows = np.bincount(at, minlength=len(signal)).astype(np.int32)
    return SignalSpans(signal, first, last, rows)


def _key(signal: Int32, time: Int64) -> Int64:
    return (signal.astype(np.int64) << 43) + time


def _sorted(signal: Int32, first: Int64, last: Int64) -> SignalSpans:
    order = np.lexsort((first, signal))
    rows = np.zeros(len(signal), np.int32)
    return SignalSpans(signal[order].astype(np.int32), first[order], last[order], rows)
