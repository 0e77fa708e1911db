"""As of a moment: the last row of each signal at or before it, looked for from the latest back.

The manifest keeps each signal's last row in every segment, so only a segment that goes on after
the moment has to be opened, and of that only the time just before it where rows come often.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int32, Int64, SampleBatch
from twin.historian.manifest import NEVER, Manifest
from twin.historian.segment import Segment, SignalSpans, scan

ANY = 1 << 32
NOT_BAD = 1 << 31
"""Statuses are below these."""

_FEW = 32
_STEPS = 4.0
"""So many of a signal's usual intervals are read back at first."""


class Lasts:
    """The best rows so far of some signals (sorted ids)."""

    def __init__(self, signals: Int32) -> None:
        n = len(signals)
        self.signal = signals
        self.time: Int64 = np.full(n, NEVER, np.int64)
        self._received: Int64 = np.full(n, NEVER, np.int64)
        self._value = np.zeros(n)
        self._status = np.zeros(n, np.uint32)

    def offer(self, rows: SampleBatch) -> None:
        """Take what is later than what is there, or a newer correction of it."""
        if not len(rows):
            return
        rows = rows.sorted()
        rows = rows.take(np.append(rows.signal[1:] != rows.signal[:-1], True))
        at = np.searchsorted(self.signal, rows.signal)
        same = rows.source_time == self.time[at]
        better = (rows.source_time > self.time[at]) | (
            same & (rows.received_time > self._received[at])
        )
        at, rows = at[better], rows.take(better)
        self.time[at] = rows.source_time
        self._received[at] = rows.received_time
        self._value[at] = rows.value
        self._status[at] = rows.status

    def rows(self) -> SampleBatch:
        """Those that were found."""
        batch = SampleBatch(self.signal, self.time, self._value, self._status, self._received)
        return batch.take(self.time > NEVER)


def last_before(
    manifest: Manifest, paths: Sequence[str], at: int, known: int, below: int = ANY
) -> tuple[SampleBatch, Int32]:
    """The last row of each path with a status ``below``, by database id, and the paths' ids."""
    view = manifest.view(paths, NEVER, at, known)
    wanted, where = np.unique(view.signal, return_index=True)
    first, last = view.first[where][wanted >= 0], view.last[where][wanted >= 0]
    lasts = Lasts(wanted[wanted >= 0])
    lasts.offer(view.hot.take(view.hot.status < below))
    # A sealed row is nowhere later than this; segments are asked from the latest back, each only
    # for the signals that it may still improve.
    bound = np.where(first <= at, np.minimum(last, at), NEVER)
    for segment in sorted(view.segments, key=lambda s: min(s.last, at), reverse=True):
        hopeful = bound >= np.maximum(lasts.time, NEVER + 1)
        if not hopeful.any() or segment.last < lasts.time[hopeful].min():
            break
        hopeful &= (segment.first <= bound) & (segment.last >= lasts.time)
        if not hopeful.any():
            continue
        spans = manifest.spans(segment)
        place = spans.find(lasts.signal)
        hopeful &= (place >= 0) & (spans.first[place] <= at) & (spans.last[place] >= lasts.time)
        rest = _take_tails(lasts, spans, place, hopeful, (at, known, below))
        if rest.any():
            _search(manifest, segment, lasts, spans.take(place[rest]), (at, known, below))
    return lasts.rows(), view.signal


def _take_tails(
    lasts: Lasts,
    spans: SignalSpans,
    place: Int64,
    hopeful: NDArray[np.bool_],
    limits: tuple[int, int, int],
) -> NDArray[np.bool_]:
    """Take what the manifest itself knows; what is left has to be looked for in the file."""
    if spans.tail is None or not hopeful.any():
        return hopeful
    at, known, below = limits
    tail = spans.tail
    told = hopeful & (spans.last[place] <= at)
    told &= (tail.received_time[place] <= known) & (tail.status[place] < below)
    if told.any():
        lasts.offer(tail.take(place[told]))
    return hopeful & ~told


def _search(
    manifest: Manifest,
    segment: Segment,
    lasts: Lasts,
    spans: SignalSpans,
    limits: tuple[int, int, int],
) -> None:
    """Look for some signals' last rows in a segment: first just before the moment, then in all."""
    at, known, below = limits
    where = "source_time > ? AND source_time <= ? AND received_time <= ? AND status < ?"
    interval = (spans.last - spans.first) / np.maximum(spans.rows - 1, 1)
    latest = int(np.minimum(spans.last, at).min())
    near = latest - int(_STEPS * np.quantile(interval, 0.9)) - 1
    signals = spans.signal
    for after in (near, NEVER):
        condition, parameters = among(signals)
        rows = manifest.scan(
            scan, [segment], f"{condition} AND {where}", [*parameters, after, at, known, below]
        )
        lasts.offer(rows)
        signals = signals[~np.isin(signals, rows.signal)]
        if not len(signals) or after <= segment.first:
            return


def among(signals: Int32) -> tuple[str, list[object]]:
    """A condition on the signal that prunes row groups when few are asked for."""
    if len(signals) <= _FEW:
        return f"signal IN ({', '.join(map(str, signals.tolist()))})", []
    return "signal IN (SELECT unnest(?))", [signals.tolist()]
