"""How often a node tells its births anew, however often it is asked."""

PAUSE_S = 1.0
MOST_S = 10.0
QUIET_S = 60.0


class Rebirths:
    """The first request is obeyed at once; those that follow it closely share one answer.

    The pause doubles from ``PAUSE_S`` to ``MOST_S`` while requests go on, and is forgotten after
    ``QUIET_S`` without births. Times are the process's monotonic seconds.

    >>> rebirths = Rebirths()
    >>> rebirths.asked(100.0), rebirths.asked(100.1), rebirths.due(100.5), rebirths.due(101.0)
    (True, False, False, True)
    >>> rebirths.asked(102.9), rebirths.due(103.0)
    (False, True)
    """

    def __init__(self) -> None:
        self._wanted = False
        self._born_at = float("-inf")
        self._pause_s = 0.0

    def asked(self, mono_s: float) -> bool:
        """Somebody asks; whether births go out now, else ``due`` says when."""
        self._wanted = True
        return self.due(mono_s)

    def due(self, mono_s: float) -> bool:
        """Whether births that were asked for go out now."""
        if not self._wanted or mono_s < self._born_at + self._pause_s:
            return False
        if mono_s > self._born_at + QUIET_S:
            self._pause_s = 0.0
        self._pause_s = min(2 * self._pause_s, MOST_S) or PAUSE_S
        self._born_at = mono_s
        self._wanted = False
        return True
