"""The building: mains voltage, base load, and the incoming meter that sees the sum of all."""

from random import Random

from plant.model.plant import Asset
from simulators.item import Meter
from simulators.machine import GOOD, Machine, Published
from simulators.surroundings import Surroundings

NOMINAL_V = 220.0
DAY_KW = (6.0, 10.0)
NIGHT_KW = (2.0, 3.0)
SHARES = (0.345, 0.327, 0.328)
"""Of the phases in the power of the whole plant."""
SAG_V_KW = 0.035
READING_KWH = 8_317.42
"""What the incoming meter's register showed when the world began (secondary)."""


class Building(Machine):
    """Everything without a name: lights, offices, pumps. Its power is the base load."""

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._load = self.wander(0.25, 900.0)
        self._mains = self.wander(1.6, 400.0)
        self._phases = [self.wander(0.4, 90.0) for _ in SHARES]
        self.voltage = (NOMINAL_V, NOMINAL_V, NOMINAL_V)

    def step(self, world: Surroundings, dt_s: float) -> None:
        """6 to 10 kW by day, 2 to 3 by night; the mains sag a little under load."""
        low, high = DAY_KW if world.calendar.by_day(world.now_ms) else NIGHT_KW
        middle, half = (low + high) / 2.0, (high - low) / 2.0
        self.power_kw = middle + half * max(-1.0, min(1.0, 1.6 * self._load.step(dt_s)))
        self.power_factor = 0.90
        mains = NOMINAL_V + 4.0 + self._mains.step(dt_s) - SAG_V_KW * world.total_kw
        a, b, c = (mains + p.step(dt_s) for p in self._phases)
        self.voltage = (a, b, c)
        self.meter(dt_s)

    def published(self, world: Surroundings) -> Published:
        """Nobody measures it."""
        return {}


class Incomer(Machine):
    """The incoming meter: no load of its own, the sum of everything.

    Its register is on the secondary side: behind transformers 200/5 (``transformer_ratio: 40``)
    one step of 0.01 kWh is 0.4 kWh in truth.
    """

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self.ratio = asset.parameters.get("transformer_ratio", 1.0)
        self.energy_kwh = self.meter_kwh = READING_KWH * self.ratio

    def step(self, world: Surroundings, dt_s: float) -> None:
        """After all others: add their power up."""
        self.power_kw = world.total_kw
        self.power_factor = world.power_factor
        self.meter(dt_s)

    def phase_a(self, world: Surroundings) -> tuple[float, ...]:
        """Current of each phase, primary, A."""
        return tuple(
            self.power_kw * 1000.0 * share / (volts * self.power_factor)
            for share, volts in zip(SHARES, world.voltage, strict=True)
        )

    def published(self, world: Surroundings) -> Published:
        """What its data items tell, times the transformers' ratio."""
        found = {
            "energy": (int(self.meter_kwh / self.ratio * 100 + 1e-6) / 100 * self.ratio, GOOD),
            "power": (round(self.power_kw / self.ratio, 4) * self.ratio, GOOD),
        }
        for name, volts, amps in zip("abc", world.voltage, self.phase_a(world), strict=True):
            found[f"voltage_{name}"] = (round(volts, 1), GOOD)
            found[f"current_{name}"] = (round(amps / self.ratio, 3) * self.ratio, GOOD)
        return found


METER: Meter[Incomer] = Meter(
    energy_kwh=lambda m, w: m.meter_kwh,
    power_kw=lambda m, w: tuple(m.power_kw * share for share in SHARES),
    voltage_v=lambda m, w: w.voltage,
    current_a=lambda m, w: m.phase_a(w),
    power_factor=lambda m, w: m.power_factor,
    ratio=lambda m: m.ratio,
)
"""The whole plant's meter."""
