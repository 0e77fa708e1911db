"""The go/no-go gauge: one contact closes for a good part, another for a rejected one."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.machine import GOOD, Published
from simulators.register import Register, RegisterMap, running_number
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings


class Gauge(Station):
    """0.15 kW, 0.3 while it measures; ``good`` and ``rejects`` are its two counters."""

    KEEP: ClassVar[tuple[str, ...]] = (*Station.KEEP, "good", "rejects")
    STOP_EVERY = 500

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self.good = 0
        self.rejects = 0

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """A small drive and a controller."""
        self.power_kw = 0.30 if self.condition == Condition.WORKING else 0.15
        self.power_factor = 0.60

    def finished(self, world: Surroundings) -> None:
        """The part's own history decides."""
        good = self.random.random() >= (self.part or 0.0)
        if good:
            self.good += 1
        else:
            self.rejects += 1
        world.note(self.id, "part", count=self.parts, good=good)

    def counts(self) -> Mapping[str, tuple[float, int]]:
        """Good and rejected parts."""
        return {
            "good_count": (float(self.good), self.good & 0xFFFF),
            "reject_count": (float(self.rejects), self.rejects & 0xFFFF),
        }

    def published(self, world: Surroundings) -> Published:
        """Contacts and both counts."""
        return {
            "contacts": (self.contacts, GOOD),
            "good_count": (self.good, GOOD),
            "reject_count": (self.rejects, GOOD),
            "part_count": (self.parts, GOOD),
        }


DEVICES: dict[int, RegisterMap[Gauge]] = {
    1: RegisterMap(
        "remote I/O with relay contacts and counters",
        Register("discrete:0", "bool", "running contact", lambda m, t: m.running),
        Register("discrete:1", "bool", "fault contact", lambda m, t: m.faulted),
        Register(
            "input:0",
            "uint16",
            "contacts: bit 0 running, 1 fault",
            lambda m, t: m.relays,
        ),
        Register("input:1", "uint16", "good contact, rolls over", lambda m, t: m.good),
        Register("input:2", "uint16", "reject contact, rolls over", lambda m, t: m.rejects),
        running_number("input:4"),
    )
}
"""Unit id -> what its registers show."""
