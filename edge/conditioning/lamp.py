"""One lamp of a stack light: off, on, blinking or flashing fast, from its samples."""

from collections import deque
from enum import Enum, auto


class Light(Enum):
    """What a lamp shows."""

    OFF = auto()
    ON = auto()
    BLINKING = auto()
    FLASHING = auto()


class Lamp:
    """Watches the edges of one lamp in a sliding window of 1.5 of the slowest periods.

    No edge for half the window: steady. Three edges inside it, a whole period: blinking, at the
    mean frequency of the window. Anything between is not certain yet.

    >>> lamp = Lamp(slowest_hz=1.0, fast_hz=1.4, fastest_hz=5.0)
    >>> for time in range(0, 800, 50):
    ...     lamp.see(True, time)
    >>> lamp.light
    <Light.ON: 2>
    """

    def __init__(
        self,
        slowest_hz: float,
        fast_hz: float,
        fastest_hz: float,
        factor: float = 1.0,
        pushed: bool = False,
    ) -> None:
        self._window_ms = 1500.0 / slowest_hz * factor
        self._bridge_ms = 250.0 / fastest_hz * factor
        self._fast_ms = 1000.0 / fast_hz * factor
        self._fastest_ms = 1000.0 / fastest_hz * factor
        self._pushed = pushed
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more."""
        self.light: Light | None = None
        self.certain = False
        self.resolved = True
        self._edges: deque[int] = deque()
        self._level: bool | None = None
        self._dark_since: int | None = None
        self._begun = 0
        self._last: int | None = None
        self._spacing_ms = 0.0

    def see(self, lit: bool, time: int) -> None:
        """One sample."""
        if self._last is None:
            self._begun = time
        elif not self._pushed:
            spacing = time - self._last
            if not 0 <= spacing <= self._window_ms / 2:  # anything may have happened in between
                self._edges.clear()
                self._level, self._dark_since = None, None
                self._begun = time
            elif self._spacing_ms:
                self._spacing_ms += 0.2 * (spacing - self._spacing_ms)
            else:
                self._spacing_ms = spacing
        self._last = time
        self._edge(lit, time)
        self._judge(time)

    def _edge(self, lit: bool, time: int) -> None:
        """Keep an edge, once darkness is longer than a ripple."""
        if self._level is None:
            self._level = lit
        elif lit:
            if self._level and self._dark_since is not None:
                if time - self._dark_since >= self._bridge_ms:
                    self._edges += (self._dark_since, time)
            elif not self._level:
                self._edges.append(time)
            self._level, self._dark_since = True, None
        elif self._level:
            if self._dark_since is None:
                self._dark_since = time
            if time - self._dark_since >= self._bridge_ms:
                self._edges.append(self._dark_since)
                self._level, self._dark_since = False, None

    def _judge(self, time: int) -> None:
        edges = self._edges
        while len(edges) > 3 and edges[0] < time - self._window_ms:
            edges.popleft()
        latest = edges[-1] if edges else self._begun
        if self._dark_since is None and time - latest >= self._window_ms / 2:
            self.light = Light.ON if self._level else Light.OFF
            self.certain = self.resolved = True
            self._begun = latest
            edges.clear()
        elif len(edges) >= 3 and edges[-1] - edges[0] <= self._window_ms:
            phase_ms = (edges[-1] - edges[0]) / (len(edges) - 1)
            self.resolved = phase_ms >= 1.25 * self._spacing_ms and 2 * phase_ms >= self._fastest_ms
            if 2 * phase_ms < self._fastest_ms:
                self.light = Light.ON
            elif 2 * phase_ms <= self._fast_ms:
                self.light = Light.FLASHING
            else:
                self.light = Light.BLINKING
            self.certain = True
        else:
            self.certain = self.light in {Light.BLINKING, Light.FLASHING}
