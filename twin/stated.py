"""What people said of a machine's mode; it overrides what its own selector tells.

Events of kind "mode": data {"start", "end" (or null: until further notice), "mode", "said"}. Where
they overlap, what was said last holds; the mode "" takes it back.
"""

from bisect import insort
from dataclasses import dataclass

from plant.flow.sample import Event
from plant.model.mode import MODE_NAMES

MODE = "mode"
FOREVER = 2**62
_KEPT = 1_000


@dataclass(frozen=True, slots=True, order=True)
class StatedMode:
    """One statement."""

    said: int
    start: int
    end: int
    mode: int


class StatedModes:
    """All of a plant.

    >>> stated = StatedModes()
    >>> data = {"start": 10, "end": 20, "mode": "maintenance", "said": 30}
    >>> stated.hear(Event(10, "saw", "mode", data))
    (10, 20)
    >>> [stated.at("saw", t, 1) for t in (9, 10, 19, 20)]
    [1, 2, 2, 1]
    """

    def __init__(self) -> None:
        self._stated: dict[str, list[StatedMode]] = {}

    def hear(self, event: Event) -> tuple[int, int] | None:
        """Take an event; from when to when it speaks, None where it is not about modes."""
        if event.kind != MODE:
            return None
        words = {name: int(mode) for mode, name in MODE_NAMES.items()}
        start, end, said = (event.data.get(key) for key in ("start", "end", "said"))
        mode = words.get(str(event.data.get("mode", "")), 0)
        begins = start if isinstance(start, int) else event.time
        ends = end if isinstance(end, int) else FOREVER
        stated = self._stated.setdefault(event.asset, [])
        insort(
            stated, StatedMode(said if isinstance(said, int) else event.time, begins, ends, mode)
        )
        del stated[:-_KEPT]
        return begins, ends

    def at(self, asset: str, time: int, otherwise: int) -> int:
        """The mode then: as a person said last, else as the machine told."""
        for statement in reversed(self._stated.get(asset, ())):
            if statement.start <= time < statement.end:
                return statement.mode or otherwise
        return otherwise
