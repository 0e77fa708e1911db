"""Gap events of one node: a few at once, then one that stands for many.

A node that makes holes as fast as it can shall not fill the historian with records of them.
"""

from dataclasses import replace

from plant.wire.host_event import SequenceGap

AT_ONCE = 8
EVERY_S = 10.0
"""So many events in a row, then one in this time."""


class Losses:
    """Decides which gap events go out now; times are the process's monotonic seconds."""

    def __init__(self) -> None:
        self._left = float(AT_ONCE)
        self._filled_at = 0.0
        self._waiting: SequenceGap | None = None

    def tell(self, gap: SequenceGap, mono_s: float) -> list[SequenceGap]:
        """The event, or nothing yet: then it is part of a later one."""
        before = self._waiting
        self._waiting = gap if before is None else _both(before, gap)
        return self.due(mono_s)

    def due(self, mono_s: float) -> list[SequenceGap]:
        """What may go out now."""
        if self._waiting is None:
            return []
        more = (mono_s - self._filled_at) / EVERY_S
        self._left = min(self._left + more, float(AT_ONCE))
        self._filled_at = mono_s
        if self._left < 1.0:
            return []
        self._left -= 1.0
        told, self._waiting = self._waiting, None
        return [told]


def _both(one: SequenceGap, other: SequenceGap) -> SequenceGap:
    times = [t for t in (one.first, one.last, other.first, other.last) if t]
    first, last = (min(times), max(times)) if times else (0, 0)
    return replace(one, lost=one.lost + other.lost, first=first, last=last)
