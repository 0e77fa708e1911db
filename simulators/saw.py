"""The band saw: a stack light, part pulses, a clamp-on current transformer."""

from random import Random

from plant.model.plant import Asset
from simulators.machine import ESTIMATED, GOOD, Published
from simulators.register import Moment, Register, RegisterMap, running_number
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings

IDLE_KW = 0.7
LAMPS = {
    Condition.OFF: "",
    Condition.STARVED: "amber",
    Condition.BLOCKED: "amber",
    Condition.PAUSED: "amber",
    Condition.WORKING: "green",
    Condition.FAULT: "red",
}
"""By IEC 60204-1: red is a fault; amber, blinking at 1 Hz, waits for material or the operator."""


class Saw(Station):
    """0.7 kW with the blade running free, 2 to 4 kW in the cut."""

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._noise = self.wander(0.12, 3.0)
        self._blade = self.wander(0.15, 900.0)
        self._ct_a = 0.0

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """The cut takes most in the middle of the billet; red lamp: the motor is off."""
        noise, blade = self._noise.step(dt_s), self._blade.step(dt_s)
        if self.condition == Condition.WORKING and self.progress_s > 4.0:
            depth = self.progress_s / self.this_cycle_s
            cut = 2.3 + 1.2 * (1.0 - (2.0 * depth - 1.0) ** 2)
            self.power_kw = max(2.0, min(4.0, cut + blade + noise))
            self.power_factor = 0.80
        elif self.condition == Condition.FAULT:
            self.power_kw, self.power_factor = 0.05, 0.50
        else:
            self.power_kw = IDLE_KW + 0.15 * noise
            self.power_factor = 0.55
        self._ct_a = self.current_a(world.line_voltage)

    @property
    def ct_a(self) -> float:
        """What the clamp-on transformer shows, A."""
        return self._ct_a

    def lamp(self, color: str, moment: Moment) -> bool:
        """Whether a lamp is lit at a real moment; amber blinks at 1 Hz of real time."""
        if LAMPS[Condition(self.condition)] != color:
            return False
        return color != "amber" or moment.real_s % 1.0 < 0.5

    def published(self, world: Surroundings) -> Published:
        """Light, activity, current, estimated power, parts."""
        light = {"": 0, "green": 20, "amber": 41, "red": 50}[LAMPS[Condition(self.condition)]]
        activity = 0 if self._ct_a < 0.4 else 2 if self.condition == Condition.WORKING else 1
        return {
            "light": (light, GOOD),
            "activity": (activity, GOOD),
            "current": (round(self._ct_a, 2), GOOD),
            "power": (self.estimated_kw(self._ct_a), ESTIMATED),
            "part_count": (self.parts, GOOD),
        }


def _lights(m: Saw, moment: Moment) -> int:
    return m.lamp("red", moment) | m.lamp("amber", moment) << 1 | m.lamp("green", moment) << 2


DEVICES: dict[int, RegisterMap[Saw]] = {
    1: RegisterMap(
        "remote I/O with digital inputs, counters and a current input",
        Register("discrete:0", "bool", "red lamp", lambda m, t: m.lamp("red", t)),
        Register("discrete:1", "bool", "amber lamp", lambda m, t: m.lamp("amber", t)),
        Register("discrete:2", "bool", "green lamp", lambda m, t: m.lamp("green", t)),
        Register("input:0", "uint16", "lamps as bits: 0 red, 1 amber, 2 green", _lights),
        Register("input:1", "uint16", "part pulses, rolls over", lambda m, t: m.parts),
        Register("input:2", "uint16", "current, 0.01 A", lambda m, t: round(m.ct_a * 100)),
        running_number("input:4"),
    )
}
"""Unit id -> what its registers show."""
