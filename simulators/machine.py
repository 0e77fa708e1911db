"""What every simulated machine is: it draws power, adds it up, and survives a restart."""

import math
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from plant.flow.status import StatusCode
from plant.model.plant import Asset
from simulators.link import Link
from simulators.surroundings import Surroundings

GOOD = int(StatusCode.Good)
ESTIMATED = int(StatusCode.Uncertain)
ROOT3 = math.sqrt(3.0)

Published = Mapping[str, tuple[float, int]]
"""Signal id -> value in the engineering unit and status: what the demo's edge would publish."""


class Wander:
    """Slow noise that returns to zero (Ornstein-Uhlenbeck), within ``bound`` standard deviations.

    >>> w = Wander(Random(1), sigma=2.0, tau_s=60.0)
    >>> values = [w.step(0.5) for _ in range(10_000)]
    >>> max(abs(v) for v in values) <= 5.0
    True
    """

    __slots__ = ("_bound", "_random", "_sigma", "_tau_s", "value")

    def __init__(self, random: Random, sigma: float, tau_s: float, bound: float = 2.5) -> None:
        self.value = 0.0
        self._random = random
        self._sigma = sigma
        self._tau_s = tau_s
        self._bound = sigma * bound

    def step(self, dt_s: float) -> float:
        """The value ``dt_s`` later."""
        a = math.exp(-dt_s / self._tau_s)
        value = self.value * a + self._sigma * math.sqrt(1.0 - a * a) * self._random.gauss(0.0, 1.0)
        self.value = max(-self._bound, min(self._bound, value))
        return self.value


class Machine:
    """Base of everything that draws power.

    power_kw      electrical power now
    power_factor  of that power, for what a current transformer shows
    energy_kwh    sum since the meter was made; ``meter_kwh`` is what the meter's register shows
    """

    KEEP: ClassVar[tuple[str, ...]] = ("power_kw", "power_factor", "energy_kwh", "meter_kwh")
    """Attributes that a restart continues from, besides the random state and the wanders."""

    def __init__(self, asset: Asset, random: Random) -> None:
        self.id = asset.id
        self.asset = asset
        self.random = random
        self.link = Link()
        self.power_kw = 0.0
        self.power_factor = 0.8
        self.energy_kwh = 0.0
        self.meter_kwh = 0.0
        self.wanders: list[Wander] = []

    def wander(self, sigma: float, tau_s: float) -> Wander:
        """A source of noise that belongs to this machine."""
        noise = Wander(self.random, sigma, tau_s)
        self.wanders.append(noise)
        return noise

    def step(self, world: Surroundings, dt_s: float) -> None:
        """Let ``dt_s`` of plant time pass."""
        raise NotImplementedError

    def meter(self, dt_s: float) -> None:
        """Add the power of the past ``dt_s`` to the registers."""
        kwh = self.power_kw * dt_s / 3600.0
        self.energy_kwh += kwh
        self.meter_kwh += kwh

    def current_a(self, line_voltage: float) -> float:
        """Line current of a balanced three-phase load, A; ``line_voltage`` between phases."""
        return self.power_kw * 1000.0 / (ROOT3 * line_voltage * self.power_factor)

    def estimated_kw(self, current_a: float) -> float:
        """What the edge makes of a current with the voltage and power factor plant.yaml assumes."""
        volts = self.asset.parameters.get("voltage", 380.0)
        factor = self.asset.parameters.get("power_factor", 0.8)
        return ROOT3 * volts * current_a * factor / 1000.0

    def published(self, world: Surroundings) -> Published:
        """What the edge would publish of this machine now."""
        raise NotImplementedError

    def heal(self) -> None:
        """Undo what faults did; a meter that was reset stays so."""
        self.link.heal()

    def snapshot(self) -> dict[str, Any]:
        """Everything a restart needs, as JSON knows it."""
        version, state, spare = self.random.getstate()
        return {
            "keep": {name: getattr(self, name) for name in self.KEEP},
            "wander": [w.value for w in self.wanders],
            "random": [version, list(state), spare],
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        for name in self.KEEP:
            if name in kept["keep"]:
                setattr(self, name, kept["keep"][name])
        for noise, value in zip(self.wanders, kept["wander"], strict=False):
            noise.value = value
        version, state, spare = kept["random"]
        self.random.setstate((version, tuple(state), spare))
