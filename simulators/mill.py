"""The mill: a machining centre that tells everything itself, over its own OPC UA server."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.machine import GOOD, Published
from simulators.node import Node
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings

STATES = {
    Condition.OFF: 0,
    Condition.STARVED: 3,
    Condition.BLOCKED: 4,
    Condition.WORKING: 2,
    Condition.FAULT: 5,
    Condition.PAUSED: 6,
}
"""The controller's own numbers, named in the catalogue; 1 is ready."""
TOOL_CHANGES = (0.0, 0.28, 0.55, 0.80)
"""Where in the cycle a tool begins."""
SPEEDS = (6000.0, 9000.0, 4500.0, 12000.0)


class Mill(Station):
    """1 to 2 kW ready, 6 to 14 kW cutting.

    tool_wear  0 sharp .. 1 blunt; ``tool-wear-scrap`` makes it grow: more power, more rejects
    """

    KEEP: ClassVar[tuple[str, ...]] = (*Station.KEEP, "tool_wear")
    STOP_EVERY = 180
    DEFECT = 0.008

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._noise = self.wander(0.6, 3.0)
        self._material = self.wander(0.6, 900.0)
        self.tool_wear = 0.0
        self.spindle_speed = 0.0

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """Four tools a part, a moment without cutting between them."""
        noise, material = self._noise.step(dt_s), self._material.step(dt_s)
        self.spindle_speed = 0.0
        self.power_kw = max(1.0, min(2.0, 1.5 + 0.3 * noise))
        self.power_factor = 0.70
        if self.condition != Condition.WORKING:
            return
        done = self.progress_s / self.this_cycle_s
        tool = max(i for i, start in enumerate(TOOL_CHANGES) if done >= start)
        if (done - TOOL_CHANGES[tool]) * self.this_cycle_s < 3.0:
            return
        self.spindle_speed = SPEEDS[tool] + 5.0 * noise
        kw = (9.0, 11.5, 8.0, 7.0)[tool] * (1.0 + 0.18 * self.tool_wear) + material + noise
        self.power_kw = max(6.0, min(14.0, kw))
        self.power_factor = 0.85

    def heal(self) -> None:
        """New tools."""
        super().heal()
        self.tool_wear = 0.0

    def defect(self) -> float:
        """Blunt tools spoil up to a third of the parts."""
        return self.DEFECT + 0.35 * self.tool_wear**2

    def counts(self) -> Mapping[str, tuple[float, int]]:
        """It tells its own total."""
        return {}

    def published(self, world: Surroundings) -> Published:
        """What its server tells."""
        return {
            "machine_state": (STATES[Condition(self.condition)], GOOD),
            "power": (round(self.power_kw, 2), GOOD),
            "energy": (round(self.meter_kwh, 3), GOOD),
            "part_count": (self.parts, GOOD),
            "spindle_speed": (round(self.spindle_speed), GOOD),
        }


NODES: tuple[Node[Mill], ...] = (
    Node("Mill.State", "Int32", lambda m: STATES[Condition(m.condition)]),
    Node("Mill.Power", "Double", lambda m: round(m.power_kw, 2)),
    Node("Mill.Energy", "Double", lambda m: round(m.meter_kwh, 3)),
    Node("Mill.PartCount", "UInt32", lambda m: m.parts),
    Node("Mill.SpindleSpeed", "Double", lambda m: round(m.spindle_speed)),
)
"""Nodes of namespace 2 (urn:kaikou:simulator:machine); Mill.RunningNumber is the server's own."""
