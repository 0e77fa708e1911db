"""The press that sets the bearing bushes: two 4-20 mA loops, S0 pulses, relay contacts."""

import math
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from plant.flow.status import StatusCode
from plant.model.plant import Asset
from simulators.machine import GOOD, Published
from simulators.register import Register, RegisterMap, running_number
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings

PRESSURE_SPAN_BAR = (0.0, 250.0)
OIL_SPAN_DEGC = (0.0, 100.0)
OIL_TAU_S = 35.0 * 60.0
COUNTS_20_MA = 27_648
IDLE_KW, IDLE_BAR = 1.5, 10.0


def loop_ma(value: float, span: tuple[float, float]) -> float:
    """A two-wire transmitter's current, which ends at 3.8 and 20.5 mA (NAMUR NE 43).

    >>> loop_ma(125.0, (0.0, 250.0)), loop_ma(900.0, (0.0, 250.0))
    (12.0, 20.5)
    """
    low, high = span
    return max(3.8, min(20.5, 4.0 + 16.0 * (value - low) / (high - low)))


class Press(Station):
    """Idles at 10 bar, sets bushes at 80 to 160; its oil follows the work with 35 minutes.

    broken  names of the 4-20 mA loops whose wire is broken: "pressure", "oil_temperature"
    """

    KEEP: ClassVar[tuple[str, ...]] = (
        *Station.KEEP,
        "oil_degc",
        "target_bar",
        "oil_extra_k",
        "bar",
    )

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._noise = self.wander(1.0, 2.0)
        self._mains = self.wander(0.15, 1200.0)
        self.bar = IDLE_BAR
        self.target_bar = 120.0
        self.oil_degc = 47.0
        self.oil_extra_k = 0.0
        self.broken: set[str] = set()
        self.energy_kwh = self.meter_kwh = 12.4

    def begin(self) -> None:
        """Every bush sits differently tight."""
        self.target_bar = self.random.uniform(85.0, 155.0)

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """Pressure in the middle of a cycle; the pump's power follows it, the oil follows that."""
        noise = self._noise.step(dt_s)
        aim = IDLE_BAR
        if self.condition == Condition.WORKING:
            share = self.progress_s / self.this_cycle_s
            aim = self.target_bar if 0.20 < share < 0.75 else IDLE_BAR
        elif self.condition == Condition.FAULT:
            aim = 0.0
        self.bar += (aim - self.bar) * (1.0 - math.exp(-dt_s / 0.8))
        work_bar = max(0.0, self.bar - IDLE_BAR)
        pump_kw = IDLE_KW if self.condition != Condition.FAULT else 0.1
        self.power_kw = pump_kw + 0.055 * work_bar + 0.03 * noise
        self.power_factor = 0.60 + 0.0015 * work_bar
        ends_at = (
            45.2
            + self.oil_extra_k
            + 2.0 * max(0.0, self.power_kw - IDLE_KW)
            + self._mains.step(dt_s)
        )
        self.oil_degc += (ends_at - self.oil_degc) * (1.0 - math.exp(-dt_s / OIL_TAU_S))

    @property
    def pressure_bar(self) -> float:
        """At the transmitter, with the pump's ripple."""
        return max(0.0, self.bar + 0.4 * self._noise.value)

    def pressure_ma(self) -> float:
        """The pressure transmitter's loop; a broken wire carries nothing."""
        return 0.0 if "pressure" in self.broken else loop_ma(self.pressure_bar, PRESSURE_SPAN_BAR)

    def oil_ma(self) -> float:
        """The oil transmitter's loop; a broken wire carries nothing."""
        return 0.0 if "oil_temperature" in self.broken else loop_ma(self.oil_degc, OIL_SPAN_DEGC)

    @property
    def s0_pulses(self) -> int:
        """1,000 a kWh, counted by the module."""
        return int(self.meter_kwh * 1000.0)

    def heal(self) -> None:
        """Every wire mended."""
        super().heal()
        self.broken.clear()

    def counts(self) -> Mapping[str, tuple[float, int]]:
        """Parts, and energy from pulses."""
        energy = (self.s0_pulses / 1000.0, self.s0_pulses & 0xFFFF)
        return {**super().counts(), "energy": energy}

    def published(self, world: Surroundings) -> Published:
        """Contacts, the two loops, and what the pulses tell."""
        lost = (math.nan, int(StatusCode.BadSensorFailure))
        return {
            "contacts": (self.contacts, GOOD),
            "pressure": lost if "pressure" in self.broken else (round(self.pressure_bar, 2), GOOD),
            "oil_temperature": lost
            if "oil_temperature" in self.broken
            else (round(self.oil_degc, 2), GOOD),
            "power": (round(self.power_kw, 2), GOOD),
            "energy": (self.s0_pulses / 1000.0, GOOD),
            "part_count": (self.parts, GOOD),
        }

    def snapshot(self) -> dict[str, Any]:
        """With the broken wires."""
        return {**super().snapshot(), "broken": sorted(self.broken)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """With the broken wires."""
        super().restore(kept)
        self.broken = set(kept["broken"])


DEVICES: dict[int, RegisterMap[Press]] = {
    1: RegisterMap(
        "remote I/O with relay contacts, counters and two current loops",
        Register("discrete:0", "bool", "running contact", lambda m, t: m.running),
        Register("discrete:1", "bool", "fault contact", lambda m, t: m.faulted),
        Register(
            "input:0",
            "uint16",
            "contacts: bit 0 running, 1 fault",
            lambda m, t: m.relays,
        ),
        Register("input:1", "uint16", "part pulses, rolls over", lambda m, t: m.parts),
        Register(
            "input:2", "uint16", "pressure loop, uA", lambda m, t: round(m.pressure_ma() * 1000)
        ),
        Register(
            "input:3",
            "int16",
            "oil loop, counts of 0-20 mA = 0-27648",
            lambda m, t: round(m.oil_ma() / 20.0 * COUNTS_20_MA),
        ),
        Register("input:4", "uint16", "S0, 1000 a kWh, rolls over", lambda m, t: m.s0_pulses),
        running_number("input:6"),
    )
}
"""Unit id -> what its registers show."""
