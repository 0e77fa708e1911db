"""The edge's clock, and whether it can be trusted.

A box without a battery starts in the past until it has heard a time server. Its outbox knows the
newest time that was right; a clock behind that is wrong for certain. Until the system clock has
passed it, time goes on from there and what is stamped is Uncertain.
"""

import time
from collections.abc import Callable

from plant.flow.clock import Clock

_SLACK_MS = 5_000
"""A clock that was slewed back a little is not wrong."""


class EdgeClock:
    """Plant time that never starts before ``newest_trusted`` (ms UTC).

    >>> from plant.flow.clock import ManualClock
    >>> system = ManualClock(1_000)
    >>> clock = EdgeClock(system, newest_trusted=1_000_000, monotonic=lambda: 0.0)
    >>> clock.trusted, clock.now()
    (False, 1000001)
    >>> system.advance(2_000_000)
    >>> clock.trusted, clock.now()
    (True, 2001000)
    """

    def __init__(
        self, clock: Clock, newest_trusted: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._newest = newest_trusted
        self._monotonic = monotonic
        self._began = monotonic()
        self._trusted = clock.now() >= newest_trusted - _SLACK_MS

    @property
    def factor(self) -> float:
        """Plant seconds per real second."""
        return self._clock.factor

    @property
    def trusted(self) -> bool:
        """Whether the system clock has been right since the start, or became so."""
        if not self._trusted:
            self._trusted = self._clock.now() >= self._newest
        return self._trusted

    def now(self) -> int:
        """Milliseconds UTC of the plant."""
        if self.trusted:
            return self._clock.now()
        passed_ms = (self._monotonic() - self._began) * 1000 * self._clock.factor
        return self._newest + 1 + int(passed_ms)
