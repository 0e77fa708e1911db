"""What the twin itself recorded of people's words, so that nobody else's pass for them."""

from collections import OrderedDict
from collections.abc import Iterable

from plant.flow.sample import Event
from plant.wire.ownership import is_statement
from plant.wire.record import encode_event

_REMEMBERED = 50_000
"""More than can wait for the historian: at most 300 are stated in a minute."""


class Recorded:
    """Statements that went into the twin's own outbox; ``waiting`` are those of earlier processes.

    A topic of the twin's node does not prove that the twin spoke: a broker without access lists
    lets anybody publish there.

    >>> recorded = Recorded([Event(5, "saw", "mode", {"said": 6})])
    >>> recorded.forged([Event(5, "saw", "mode", {"said": 6}), Event(5, "saw", "jam")])
    False
    >>> recorded.forged([Event(5, "saw", "mode", {"said": 7})])
    True
    """

    def __init__(self, waiting: Iterable[Event] = ()) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        for event in waiting:
            self.add(event)

    def add(self, event: Event) -> None:
        """It is on its way into the outbox."""
        self._known[encode_event(event)] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forged(self, events: Iterable[Event]) -> bool:
        """Whether a statement is among them that the twin never recorded."""
        return any(is_statement(e) and encode_event(e) not in self._known for e in events)
