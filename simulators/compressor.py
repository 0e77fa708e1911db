"""The compressor: loads, unloads, stops; a fifth of its air leaks away."""

import math
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.machine import GOOD, Machine, Published
from simulators.register import Register, RegisterMap, running_number
from simulators.surroundings import Surroundings

LOADED_KW, UNLOADED_KW, STOPPED_KW = 23.0, 7.0, 0.1
DELIVERY_M3_MIN = 3.6
NET_M3 = 4.0
"""Receiver and pipes."""
LOAD_BELOW_BAR, UNLOAD_ABOVE_BAR = 6.2, 7.2
STOP_AFTER_S = 240.0
LEAK = 0.20
"""Share of the delivery that leaks at mean pressure."""
MEAN_BAR_ABS = 7.7
AIR_USE = {
    "band_saw": 0.06,
    "lathe": 0.12,
    "milling_machine": 0.20,
    "washer": 0.08,
    "press": 0.05,
    "gauge": 0.04,
}
"""Share of the delivery that a station of a type takes while it works."""
OTHER_USE = 0.08
STOPPED, UNLOADED, LOADED = 0, 1, 2


class Compressor(Machine):
    """22 kW: loaded 23 kW from the mains, unloaded 7, stopped after four minutes unloaded."""

    KEEP: ClassVar[tuple[str, ...]] = (
        *Machine.KEEP,
        "bar",
        "mode",
        "unloaded_s",
        "run_s",
        "loaded_s",
    )

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._noise = self.wander(0.25, 5.0)
        self._use = self.wander(0.03, 120.0)
        self.bar = 6.8
        self.mode = LOADED
        self.unloaded_s = 0.0
        self.run_s = 3600.0 * 9_120
        self.loaded_s = 3600.0 * 5_870
        self.energy_kwh = self.meter_kwh = 41_237.56
        self._volts = (220.0, 220.0, 220.0)
        self._amps = 0.0

    def step(self, world: Surroundings, dt_s: float) -> None:
        """Air in, air out; the pressure switch decides."""
        use = LEAK * (self.bar + 1.0) / MEAN_BAR_ABS + world.air_use()
        if use > LEAK * 1.2:
            use += self._use.step(dt_s)
        supply = 1.0 if self.mode == LOADED else 0.0
        flow_m3_s = (supply - use) * DELIVERY_M3_MIN / 60.0
        self.bar = max(0.0, self.bar + flow_m3_s * 1.013 / NET_M3 * dt_s)
        self._switch(dt_s)
        noise = self._noise.step(dt_s)
        load = (self.bar - 6.7) * 0.8
        self.power_kw = {
            LOADED: LOADED_KW + load + noise,
            UNLOADED: UNLOADED_KW + 0.3 * noise,
            STOPPED: STOPPED_KW,
        }[self.mode]
        self.power_factor = {LOADED: 0.87, UNLOADED: 0.55, STOPPED: 0.50}[self.mode]
        self._volts = world.voltage
        self._amps = self.current_a(world.line_voltage)
        self.meter(dt_s)

    @property
    def shown_kwh(self) -> float:
        """The meter's register, in steps of 0.01 kWh."""
        return math.floor(self.meter_kwh * 100.0) / 100.0

    def volts(self, phase: int) -> float:
        """At its meter, phase to neutral, V."""
        return self._volts[phase]

    def amps(self) -> float:
        """At its meter, A."""
        return self._amps

    def _switch(self, dt_s: float) -> None:
        if self.mode == LOADED:
            self.loaded_s += dt_s
            if self.bar >= UNLOAD_ABOVE_BAR:
                self.mode, self.unloaded_s = UNLOADED, 0.0
        elif self.bar <= LOAD_BELOW_BAR:
            self.mode = LOADED
        elif self.mode == UNLOADED:
            self.unloaded_s += dt_s
            if self.unloaded_s >= STOP_AFTER_S:
                self.mode = STOPPED
        if self.mode != STOPPED:
            self.run_s += dt_s

    def published(self, world: Surroundings) -> Published:
        """What meter and controller show."""
        return {
            "activity": (self.mode, GOOD),
            "pressure": (round(self.bar, 2), GOOD),
            "power": (round(self.power_kw, 3), GOOD),
            "energy": (self.shown_kwh, GOOD),
            "voltage": (round(world.voltage[0], 1), GOOD),
            "current": (round(self.current_a(world.line_voltage), 2), GOOD),
        }


def _phase_w(m: Compressor) -> float:
    return m.power_kw * 1000.0 / 3.0


DEVICES: dict[int, RegisterMap[Compressor]] = {
    1: RegisterMap(
        "three-phase meter, registers as Eastron SDM630 (function 04, float32 ABCD)",
        Register("input:0", "float32", "volts A", lambda m, t: m.volts(0)),
        Register("input:2", "float32", "volts B", lambda m, t: m.volts(1)),
        Register("input:4", "float32", "volts C", lambda m, t: m.volts(2)),
        Register("input:6", "float32", "amps A", lambda m, t: m.amps()),
        Register("input:8", "float32", "amps B", lambda m, t: m.amps()),
        Register("input:10", "float32", "amps C", lambda m, t: m.amps()),
        Register("input:12", "float32", "watts A", lambda m, t: _phase_w(m)),
        Register("input:14", "float32", "watts B", lambda m, t: _phase_w(m)),
        Register("input:16", "float32", "watts C", lambda m, t: _phase_w(m)),
        Register("input:52", "float32", "watts total", lambda m, t: m.power_kw * 1000.0),
        Register("input:70", "float32", "hertz", lambda m, t: 50.0),
        Register("input:72", "float32", "import kWh", lambda m, t: m.shown_kwh),
        running_number("input:100"),
    ),
    2: RegisterMap(
        "compressor controller",
        Register("holding:0", "uint16", "net pressure, 0.01 bar", lambda m, t: round(m.bar * 100)),
        Register("holding:1", "uint16", "0 stopped, 1 unloaded, 2 loaded", lambda m, t: m.mode),
        Register("holding:2", "uint32", "running hours", lambda m, t: m.run_s / 3600.0),
        Register("holding:4", "uint32", "loaded hours", lambda m, t: m.loaded_s / 3600.0),
        running_number("holding:10"),
    ),
}
"""Unit id -> what its registers show."""
