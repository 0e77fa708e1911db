"""Counters of parts: what rose, and what two of them say of the buffer between them."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Rise:
    """The sum of what a counter rose since it was first seen, over resets and rollovers.

    >>> rise = Rise(modulus=None)
    >>> [rise.add(v) for v in (500.0, 502.0, 1.0, 3.0)]
    [0.0, 2.0, 3.0, 5.0]
    """

    modulus: float | None = None
    total: float = 0.0
    _last: float | None = None

    def add(self, value: float) -> float:
        """Take the next reading; the sum so far."""
        if self._last is not None:
            step = value - self._last
            if step < 0:
                near = self.modulus is not None and self._last >= 0.9 * self.modulus
                step = step + (self.modulus or 0.0) if near else value
            self.total += step
        self._last = value
        return self.total


@dataclass(slots=True)
class BufferEstimate:
    """How many parts are between two stations, from the parts that left each.

    A counter counts a finished part, so between two counts lie the buffer and the part in the
    second machine: 0 to ``capacity`` + 1. How many there were at first is not known; whatever the
    difference went through since then bounds it. The estimate is the middle of what is possible.

    >>> b = BufferEstimate(capacity=4)
    >>> b.update(0), b.spread
    (2.5, 5)
    >>> b.update(3), b.spread        # three more came in than went out: at most 2 were there
    (4.0, 2)
    >>> b.update(-2), b.spread       # and five less: it was full, now it is empty
    (0.0, 0)
    """

    capacity: int
    _least: float = math.inf
    _most: float = -math.inf
    _now: float = 0.0

    def update(self, difference: float) -> float:
        """Parts in minus parts out since the start; the estimate now, in parts."""
        self._least = min(self._least, difference)
        self._most = max(self._most, difference)
        self._now = difference
        if self.spread < 0:  # scrap, or a part taken out by hand: begin again
            self._least = self._most = difference
        low, high = -self._least, self.capacity + 1 - self._most
        return difference + (low + high) / 2

    @property
    def spread(self) -> float:
        """How wide the range of possible values is, in parts; 0 is certain."""
        return self.capacity + 1 - (self._most - self._least)
