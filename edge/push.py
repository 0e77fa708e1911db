"""What a peer that only reports changes leaves unsaid: the value still is what it was.

A subscription is silent about a node that does not change. So while the peer is alive the last
value is stated again with the peer's time of now, and report by exception sends it on when
``max_interval`` has passed. After a loss, when the points were Bad, what the peer says again with
an old time stamp is stated once more with the time at which it was heard.
"""

import time
from collections.abc import Callable

import numpy as np

from plant.flow.sample import SampleBatch

_SETTLE_S = 2.0
"""After a mended connection the server first sends what it queued."""
_LIVE_MS = 10_000
"""A peer whose changes are further than this from now tells old times (a recording)."""
_PACE_S = 1.0
_STALL_S = 3.0
"""A process that was not asked for so long has a queue of changes to take first."""


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
        self._heard = np.zeros(points, np.bool_)
        """In this session."""
        self._held = np.zeros(points, np.bool_)
        """Value, status and time are the peer's last word."""
        self._lost = np.zeros(points, np.bool_)
        self._lost_at = 0
        self._offset: int | None = None
        self._alive_at = 0.0
        self._stated_at = 0.0
        self._added_at = 0.0

    def opened(self) -> None:
        """A new session: the peer will say everything again, nothing is known before it does."""
        self._heard[:] = False
        self._held[:] = False
        self._offset = None

    def lose(self, now: int) -> None:
        """The peer is away; its points were marked Bad at ``now`` (ms UTC)."""
        self._lost[:] = True
        self._lost_at = now
        self._alive_at = 0.0

    def add(self, batch: SampleBatch, now: int) -> SampleBatch:
        """What the peer said, and what follows from it at ``now`` (ms UTC)."""
        clock_s = self._monotonic()
        self._alive_at = self._alive_at or clock_s
        if clock_s - self._added_at > _STALL_S:  # what came meanwhile still waits behind this
            self._stated_at = clock_s + _SETTLE_S
        self._added_at = clock_s
        parts = [batch]
        if len(batch):
            known = self._heard[batch.signal]
            if known.any():
                self._offset = now - int(batch.source_time[known].max())
            at = batch.signal
            again = self._lost[at] & (batch.source_time <= self._lost_at)
            self._value[at], self._status[at] = batch.value, batch.status
            self._time[at] = batch.source_time
            self._heard[at] = self._held[at] = True
            self._lost[at] = False
            if again.any():
                parts.append(self._state(np.unique(at[again]), now))
        peer_now = now - (self._offset or 0)
        quiet = self._held & ~self._lost & (self._time < peer_now)
        if self._lost.any() and clock_s - self._alive_at >= _SETTLE_S:
            back = np.flatnonzero(self._lost & self._held)
            self._lost[back] = False
            parts.append(self._state(back, now))
        if clock_s - self._stated_at >= _PACE_S and self._offset is not None:
            self._stated_at = clock_s
            if abs(self._offset) < _LIVE_MS:
                parts.append(self._state(np.flatnonzero(quiet), peer_now))
        return SampleBatch.concat([p for p in parts if len(p)])

    def _state(self, at: np.ndarray[tuple[int], np.dtype[np.integer]], when: int) -> SampleBatch:
        return SampleBatch.of(at, when, self._value[at], self._status[at])
