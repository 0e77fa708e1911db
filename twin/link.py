"""Which edges can be heard, pure: a silent edge is lost within five seconds, whatever TCP says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plant.wire.view import SILENT_S

SETTLE_S = 5.0
"""So long after the start (or a new connection) an edge that was not heard is not called lost."""

UP, LOST = 1, 0


@dataclass(frozen=True, slots=True)
class LinkChange:
    """The link of an edge is now up or lost."""

    edge: str
    state: int


class Links:
    """Link state of our own edges; times are the process's monotonic seconds."""

    def __init__(self, edges: Sequence[str], mono_s: float) -> None:
        self.state: dict[str, int] = {}
        self._edges = tuple(edges)
        self._listening_since = mono_s

    def listening(self, mono_s: float) -> None:
        """The bus is there again, or gone: everybody gets the time to be heard."""
        self._listening_since = mono_s

    def tick(self, heard: Mapping[str, float], mono_s: float) -> Iterator[LinkChange]:
        """Changes; ``heard`` has the last sign of life of every edge that is in a session."""
        for edge in self._edges:
            last = heard.get(edge)
            if last is not None and mono_s - last <= SILENT_S:
                state = UP
            elif mono_s - self._listening_since > SETTLE_S:
                state = LOST
            else:
                continue
            if self.state.get(edge) != state:
                self.state[edge] = state
                yield LinkChange(edge, state)

    @property
    def lost(self) -> frozenset[str]:
        """Edges that cannot be heard."""
        return frozenset(edge for edge, state in self.state.items() if state == LOST)
