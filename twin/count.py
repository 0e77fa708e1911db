"""Counters of parts: what rose."""

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
    last: float | None = None

    def add(self, value: float) -> float:
        """Take the next reading; the sum so far."""
        if self.last is not None:
            step = value - self.last
            if step < 0:
                near = self.modulus is not None and self.last >= 0.9 * self.modulus
                step = step + (self.modulus or 0.0) if near else value
            self.total += step
        self.last = value
        return self.total
