"""Two clocks: the plant's time that stamps samples, and real time that bounds waiting.

Time-outs, keep-alives and intervals on a wire always use real monotonic time
(``asyncio.timeout``, ``time.monotonic``). Only what stamps or simulates asks a ``Clock``.
"""

import time
from dataclasses import dataclass
from typing import Protocol

FUTURE_MS = 10_000
"""A time stamp further ahead than this is not believed: its value is Uncertain."""

_SLEW_LIMIT_NS = 500_000_000
"""A wall clock that runs this far from its monotonic map was stepped; the map follows it."""


class Clock(Protocol):
    """The plant's time."""

    def now(self) -> int:
        """Milliseconds UTC of the plant."""

    @property
    def factor(self) -> float:
        """Plant seconds per real second."""


class UtcClock:
    """Real UTC by a monotonic clock, so that samples keep their order over small clock steps.

    The map from monotonic time to UTC is made once and made again only when the system clock was
    stepped by more than half a second; ``steps`` counts that.
    """

    factor = 1.0

    def __init__(self) -> None:
        self.steps = 0
        self._offset = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        """Milliseconds UTC."""
        drift = time.time_ns() - time.monotonic_ns() - self._offset
        if abs(drift) > _SLEW_LIMIT_NS:
            self._offset += drift
            self.steps += 1
        return (time.monotonic_ns() + self._offset) // 1_000_000


@dataclass(frozen=True, slots=True)
class PlantClock:
    """Plant time that runs ``factor`` times faster than real time since ``origin``.

    Every process of a plant is given the same two numbers, so all of them agree.

    >>> real = ManualClock(10_000)
    >>> clock = PlantClock(origin=4_000, factor=10.0, real=real)
    >>> clock.now()
    64000
    """

    origin: int
    factor: float
    real: Clock

    def now(self) -> int:
        """Milliseconds UTC of the plant."""
        return self.origin + int((self.real.now() - self.origin) * self.factor)


class ManualClock:
    """A clock that stands still until it is moved: for tests and for physics run ahead.

    >>> clock = ManualClock(1_000)
    >>> clock.advance(250)
    >>> clock.now()
    1250
    """

    def __init__(self, now: int = 0, factor: float = 1.0) -> None:
        self._now = now
        self.factor = factor

    def now(self) -> int:
        """Milliseconds UTC, as set."""
        return self._now

    def advance(self, ms: int) -> None:
        """Move the clock by ``ms`` (which may be negative: clocks step back)."""
        self._now += ms


def plant_clock(origin: int = 0, factor: float = 1.0) -> Clock:
    """The clock of a process: real UTC, or the plant's where it runs faster."""
    real = UtcClock()
    return real if factor == 1.0 else PlantClock(origin or real.now(), factor, real)
