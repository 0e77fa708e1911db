"""The lathe: the constraint of the line. A current transformer, part pulses, spindle vibration.

Its alarm relay is wired out too: from current alone a fault cannot be told from switched off.
"""

import math
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.machine import ESTIMATED, GOOD, Published
from simulators.register import Register, RegisterMap, running_number
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings

LOAD_S = 5.0
"""Unclamp, change the part, clamp: the spindle stands."""
INRUSH_S = 1.5
INRUSH_KW = 20.0
WORN_MM_S = 7.0
"""What a bearing at the end of its life adds under full load."""


class Lathe(Station):
    """2 to 3.5 kW between parts, 5 to 11 in the cut, 20 for a moment when the spindle starts.

    wear       0 sound .. 1 seized; ``bearing-wear`` makes it grow
    curve      how late the vibration rises over the wear: 0 straight, more is later
    looseness  0 .. 1 of the vibration sensor's mounting
    """

    KEEP: ClassVar[tuple[str, ...]] = (*Station.KEEP, "wear", "curve", "looseness", "velocity")
    STOP_EVERY = 400

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self.works_through_breaks = True
        self._noise = self.wander(0.35, 4.0)
        self._material = self.wander(0.45, 600.0)
        self._mount = self.wander(0.05, 1800.0)
        self._rattle = self.wander(1.0, 1.2)
        self.wear = 0.0
        self.curve = 2.0
        self.looseness = 0.0
        self.velocity = 0.15
        self.load = 0.0
        self._ct_a = 0.0

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """Roughing takes most, finishing least; worn bearings take a little more."""
        noise, material = self._noise.step(dt_s), self._material.step(dt_s)
        working = self.condition == Condition.WORKING
        self.load = 0.0
        if self.condition == Condition.FAULT:
            self.power_kw, self.power_factor = 0.15, 0.50
        elif not working or self.progress_s <= LOAD_S or self.progress_s >= self.this_cycle_s - 2.0:
            self.power_kw = max(2.0, min(3.5, 2.6 + 0.5 * noise))
            self.power_factor = 0.62
        elif self.progress_s <= LOAD_S + INRUSH_S:
            self.power_kw, self.power_factor = INRUSH_KW + 0.5 * noise, 0.70
            self.load = 0.5
        else:
            done = (self.progress_s - LOAD_S) / (self.this_cycle_s - LOAD_S)
            cut = 9.2 if done < 0.45 else 7.6 if done < 0.75 else 6.0
            kw = cut + material + noise + 0.4 * self.wear
            self.power_kw = max(5.0, min(11.0, kw))
            self.power_factor = 0.82
            self.load = (self.power_kw - 2.6) / 8.4
        self._ct_a = self.current_a(world.line_voltage)
        self._vibrate(dt_s)

    def _vibrate(self, dt_s: float) -> None:
        """The sensor's own window smooths over two seconds."""
        mount, rattle = self._mount.step(dt_s), self._rattle.step(dt_s)
        if self.load > 0.0:
            sound = 0.62 + 0.62 * min(1.0, self.load) + mount + 0.03 * self._noise.value
            target = max(0.6, min(1.4, sound))
            target += self.worn_mm_s * (0.75 + 0.25 * min(1.0, self.load))
        else:
            target = 0.15 + 0.05 * self.worn_mm_s * (self.condition != Condition.FAULT)
        self.velocity += (target - self.velocity) * (1.0 - math.exp(-dt_s / 1.0))
        self._rattle_now = rattle

    @property
    def worn_mm_s(self) -> float:
        """What the worn bearing adds under full load, mm/s RMS."""
        if self.curve < 1e-6:
            return WORN_MM_S * self.wear
        return WORN_MM_S * math.expm1(self.curve * self.wear) / math.expm1(self.curve)

    @property
    def vibration(self) -> float:
        """What the sensor shows, mm/s RMS; loose, it hammers on its mount and falls silent."""
        if self.looseness <= 0.0:
            return self.velocity
        rattle = self._rattle_now * self.looseness
        if rattle < -0.9:
            return 0.02
        hammer = 3.0 * self.looseness * max(0.0, rattle) ** 2
        return max(0.02, self.velocity * math.exp(0.9 * rattle) + hammer)

    _rattle_now = 0.0

    @property
    def ct_a(self) -> float:
        """What the clamp-on transformer shows, A."""
        return self._ct_a

    def heal(self) -> None:
        """A new bearing, the sensor tightened."""
        super().heal()
        self.wear = self.looseness = 0.0

    def published(self, world: Surroundings) -> Published:
        """Alarm, activity, current, estimated power, vibration, parts."""
        activity = 0 if self._ct_a < 1.0 else 2 if self.condition == Condition.WORKING else 1
        return {
            "alarm": (int(self.faulted), GOOD),
            "activity": (activity, GOOD),
            "current": (round(self._ct_a, 2), GOOD),
            "power": (self.estimated_kw(self._ct_a), ESTIMATED),
            "vibration": (round(self.vibration, 2), GOOD),
            "part_count": (self.parts, GOOD),
        }


DEVICES: dict[int, RegisterMap[Lathe]] = {
    1: RegisterMap(
        "remote I/O with an alarm contact, counters, a current input and a vibration sensor on its "
        "own input",
        Register("discrete:0", "bool", "alarm contact", lambda m, t: m.faulted),
        Register("input:0", "uint16", "contacts: bit 0 alarm", lambda m, t: m.faulted),
        Register("input:1", "uint16", "part pulses, rolls over", lambda m, t: m.parts),
        Register("input:2", "uint16", "current, 0.01 A", lambda m, t: round(m.ct_a * 100)),
        Register(
            "input:3", "uint16", "vibration, 0.01 mm/s", lambda m, t: round(m.vibration * 100)
        ),
        running_number("input:4"),
    )
}
"""Unit id -> what its registers show."""
