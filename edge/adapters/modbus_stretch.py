"""Into which parts a planned block is cut, because the device does not give it whole.

A device that refuses a block says so, and the register that does not exist is found in one poll.
Others are silent, close the connection, or answer fewer registers than were asked for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.adapters.modbus_block import Block
from edge.adapters.modbus_point import Order
from plant.flow.supervisor import Backoff

FIRST_S, LAST_S = 10.0, 600.0
"""When a block that was refused is tried whole again."""
_MISSES = 2
"""So often in a row a block is silent, while others are answered, before it is cut."""


@dataclass(slots=True, eq=False)
class Stretch:
    """A planned block, or a part of one that was silent, and how the device lets it be read.

    parts        in which it is read where the device refused it whole
    again        when it is read whole again and cut where that is refused (monotonic s)
    rests_until  before that it is not asked for, as long as others are answered
    root         the planned block that was silent
    again_whole  when that is tried again
    doubtful     a part that was not answered yet
    missed       times in a row without an answer while others had one
    """

    whole: Block
    parts: list[Block]
    again: float = 0.0
    rests_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_S, LAST_S))
    root: "Stretch | None" = None
    again_whole: float = 0.0
    doubtful: bool = False
    missed: int = 0

    def heard(self) -> None:
        """It was answered, if only by a refusal."""
        self.doubtful, self.missed, self.rests_until = False, 0, 0.0

    def settle(self, parts: list[Block], *, answered: bool, cut: bool) -> None:
        """What the reading came to; ``cut``: it was read whole first."""
        now = time.monotonic()
        if cut and answered and len(parts) == 1:
            self.again = 0.0
            self.backoff.reset()
        elif cut:
            self.again = now + self.backoff.next()
        elif not answered:
            self.again = min(self.again, now + FIRST_S)
        self.parts = parts


def split(stretches: Sequence[Stretch], silent: Stretch, order: Order) -> list[Stretch]:
    """The stretches after one of them was silent while others were answered."""
    silent.missed += 1
    halves = silent.whole.halves(order)
    if halves is None or (silent.missed < _MISSES and not silent.doubtful):
        return list(stretches)
    root = silent.root or silent
    root.again_whole = time.monotonic() + LAST_S
    cut = [Stretch(half, [half], root=root, doubtful=True) for half in halves]
    return [part for s in stretches for part in (cut if s is silent else [s])]
