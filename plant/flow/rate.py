"""How often something may happen: a sliding window."""

import time
from collections import deque
from collections.abc import Callable


class Rate:
    """At most ``most`` times in any ``within_s`` seconds of real time.

    >>> now = [0.0]
    >>> rate = Rate(2, 10.0, lambda: now[0])
    >>> rate.take(), rate.take(), rate.take()
    (True, True, False)
    >>> rate.wait_s
    10.0
    >>> now[0] = 10.0
    >>> rate.take()
    True
    """

    def __init__(
        self, most: int, within_s: float, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._within_s = within_s
        self._mono_s = mono_s
        self._taken: deque[float] = deque(maxlen=most)

    @property
    def wait_s(self) -> float:
        """Seconds until the next one, 0 when it may be now."""
        if len(self._taken) < (self._taken.maxlen or 0):
            return 0.0
        return max(0.0, self._taken[0] + self._within_s - self._mono_s())

    def take(self) -> bool:
        """Once more, if it may be; False where it may not."""
        if self.wait_s > 0:
            return False
        self._taken.append(self._mono_s())
        return True
