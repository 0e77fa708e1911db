"""What a peer that only reports changes leaves unsaid: the value still is what it was.

A subscription is silent about a value that does not change. So a value is stated again with the
time until which the peer vouches for it (its last report or sign of life), and report by exception
sends it on when ``max_interval`` has passed. What the peer does not vouch for is never stated.
After a loss, when the points were Bad, what the peer says first in a new session with an old time
stamp is stated once more with the time at which it was heard; in the same session it was queued,
and counts when the peer has told all of its queue.

Each value goes on along the clock of its device: one that is three hours behind stays so. A device
whose stamps are no clock (dead, or ahead of us from the start) is dated when it was heard, which
``edge.scaling`` makes Uncertain. One whose clock does not run with ours plays a recording; its
values are left as they are.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.scaling import without_clock
from plant.flow.clock import FUTURE_MS
from plant.flow.sample import Int64, SampleBatch, Text, UInt32
from plant.flow.status import SEVERITY, StatusCode

_SETTLE_S = 2.0
"""After a mended connection the server first sends what it queued."""
_LIVE_MS = 10_000
"""A device whose changes are further than this from now has another clock than we."""
_PACE_S = 1.0
_STALL_S = 3.0
"""A process that was not asked for so long has a queue of changes to take first."""
_COMPARE_S = 10.0
"""Whether another clock runs is seen from two changes at least this far apart."""
_UNKNOWN = -(2**62)
_NO_CLOCK = 0

Points = NDArray[np.intp]


class Restatement:
    """The last value of every point of a pushing source.

    >>> push = Restatement(1, monotonic=lambda: 0.0)
    >>> push.lose(5_000)
    >>> push.add(SampleBatch.of([0], [1_000], [7.0]), 6_000).source_time.tolist()
    [1000, 6000]
    """

    def __init__(self, points: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._value = np.full(points, np.nan)
        self._status = np.zeros(points, np.uint32)
        self._time = np.zeros(points, np.int64)
        self._held = np.zeros(points, np.bool_)
        """Value, status and time are the peer's last word in this session."""
        self._lost = np.zeros(points, np.bool_)
        self._lost_at = 0
        self._lag = np.full(points, _UNKNOWN, np.int64)
        """Our time minus the device's, ms, as its last change told."""
        self._lag_s = np.zeros(points)
        """When it was first taken, real time."""
        self._runs = np.zeros(points, np.bool_)
        """Another clock than ours, but it runs."""
        self._usual_lag = 0
        self._texts: dict[int, Text] = {}
        self._alive_at = 0.0
        self._stated_at = 0.0
        self._added_at = 0.0
        self._queued_until = 0.0
        """What comes before this is from a queue and says nothing about clocks."""
        self._texts_at: int | None = None
        self._trusted = True

    def opened(self) -> None:
        """A new session: the peer will say everything again, nothing is known before it does."""
        self._held[:] = False
        self._texts.clear()

    def lose(self, now: int) -> None:
        """The peer is away; its points were marked Bad at ``now`` (ms UTC)."""
        self._lost[:] = True
        self._lost_at = now
        self._alive_at = 0.0

    def add(
        self,
        batch: SampleBatch,
        now: int,
        vouched: int | None = _UNKNOWN,
        *,
        trusted: bool = True,
    ) -> SampleBatch:
        """What the peer said, and what follows from it at ``now`` (ms UTC).

        vouched  until when it has told every change, by our clock; None: it does not say
        trusted  whether our clock is; what is stated by another is Uncertain
        """
        self._trusted = trusted
        vouched = now if vouched == _UNKNOWN else vouched
        clock_s = self._monotonic()
        back = self._alive_at == 0.0 and bool(self._lost.any())
        self._alive_at = self._alive_at or clock_s
        if clock_s - self._added_at > _STALL_S:  # what came meanwhile still waits behind this
            self._stated_at = self._queued_until = clock_s + _SETTLE_S
        elif back:
            self._queued_until = clock_s + _SETTLE_S
        self._added_at = clock_s
        parts = [batch]
        if len(batch):
            parts.append(self._take(batch, now, now if vouched is None else vouched, clock_s))
        parts += self._state(now, vouched, clock_s)
        return SampleBatch.concat([p for p in parts if len(p)])

    def texts(self, texts: Sequence[Text]) -> list[Text]:
        """Strings that the peer said, and those it vouches for; to be asked after ``add``."""
        for text in texts:
            self._texts[text.signal] = text
        when, held = self._texts_at, list(self._texts.values())
        if when is None or not held:
            return list(texts)
        time = np.array([t.time for t in held], np.int64)
        dead = without_clock(time, when)
        status = self._doubted(np.array([t.status for t in held], np.uint32))
        return [
            *texts,
            *(
                Text(t.signal, _NO_CLOCK if none else when, t.text, of)
                for t, none, of in zip(held, dead.tolist(), status.tolist(), strict=True)
                if none or t.time < when
            ),
        ]

    def _take(self, batch: SampleBatch, now: int, heard: int, clock_s: float) -> SampleBatch:
        """Keep the peer's word; returns what is to be stated at once, as of when it was heard."""
        at = batch.signal
        known = self._held[at]
        if known.any() and clock_s >= self._queued_until:
            self._compare_clocks(at[known], now - batch.source_time[known], clock_s)
        old = self._lost[at] & (batch.source_time <= self._lost_at)
        again = old & ~known & (heard >= self._lost_at)
        self._value[at], self._status[at] = batch.value, batch.status
        self._time[at] = batch.source_time
        self._held[at] = True
        self._lost[at] = old & ~again
        return self._rows(np.unique(at[again]), heard, now)

    def _compare_clocks(self, at: NDArray[np.int32], lag: Int64, clock_s: float) -> None:
        near = np.abs(lag) < _LIVE_MS
        if near.any():
            self._usual_lag = int(lag[near].min())
        first = (self._lag[at] == _UNKNOWN) | near | (np.abs(self._lag[at]) < _LIVE_MS)
        passed_s = clock_s - self._lag_s[at]
        due = first | (passed_s >= _COMPARE_S)
        drift = np.abs(lag - self._lag[at])
        of = at[due]
        self._runs[of] = (~first & (drift < 2_000 + 50 * passed_s))[due]
        self._lag[of], self._lag_s[of] = lag[due], clock_s

    def _state(self, now: int, vouched: int | None, clock_s: float) -> list[SampleBatch]:
        parts: list[SampleBatch] = []
        self._texts_at = None
        if vouched is None:
            return parts
        back = np.flatnonzero(self._lost & self._held)
        if len(back) and clock_s - self._alive_at >= _SETTLE_S:
            self._lost[back] = False
            self._texts_at = vouched
            parts.append(self._rows(back, vouched, now))
            return parts
        if clock_s - self._stated_at >= _PACE_S:
            self._stated_at = clock_s
            self._texts_at = vouched
            parts.append(self._quiet(vouched))
        return parts

    def _quiet(self, vouched: int) -> SampleBatch:
        """Points that were told before, each at the time its device has now."""
        points = np.flatnonzero(self._held & ~self._lost)
        lag = self._lag[points]
        unknown = lag == _UNKNOWN
        other = ~unknown & (np.abs(lag) >= _LIVE_MS)
        when = vouched - np.where(unknown, self._usual_lag, lag)
        ahead = unknown & (self._time[points] > when + FUTURE_MS)
        stated = ((self._time[points] < when) | ahead) & (~other | self._runs[points])
        return self._rows(points[stated], np.where(ahead, _NO_CLOCK, when)[stated], vouched)

    def _rows(self, points: Points, when: int | Int64, now: int) -> SampleBatch:
        dead = without_clock(self._time[points], now)
        when, status = np.where(dead, _NO_CLOCK, when), self._doubted(self._status[points])
        return SampleBatch.of(points, when, self._value[points], status)

    def _doubted(self, status: UInt32) -> UInt32:
        """What is Good is Uncertain where our clock dates it and is not trusted."""
        if self._trusted:
            return status
        return np.where(status & SEVERITY == 0, np.uint32(StatusCode.Uncertain), status)
