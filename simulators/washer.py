"""The washer: relay contacts, a heated tank, its own meter on the incomer's serial line."""

import math
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.item import Meter
from simulators.machine import GOOD, Published
from simulators.register import Register, RegisterMap, running_number
from simulators.station import Condition, Station
from simulators.surroundings import Surroundings

HEATER_KW = 15.0
ON_BELOW, OFF_ABOVE = 58.0, 62.0
TANK_KJ_K = 1700.0
"""400 litres of water and the steel around it."""
LOSS_KW_K = 0.085
ROOM_DEGC = 22.0
PARTS_KW = 2.4
"""What cold parts carry away while it washes."""


class Washer(Station):
    """Controls 0.4 kW, a pump of 3.1 kW, a 15 kW heater that switches at 58 and 62 °C."""

    KEEP: ClassVar[tuple[str, ...]] = (*Station.KEEP, "tank_degc", "heating", "sensor_degc")

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self._noise = self.wander(0.06, 5.0)
        self.tank_degc = 60.5
        self.sensor_degc = 60.5
        self.heating = False
        self.energy_kwh = self.meter_kwh = 18_304.17

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """The thermostat reads the sensor, which lags the water by half a minute."""
        noise = self._noise.step(dt_s)
        washing = self.condition == Condition.WORKING
        if self.sensor_degc < ON_BELOW:
            self.heating = True
        elif self.sensor_degc > OFF_ABOVE:
            self.heating = False
        heat_kw = HEATER_KW * self.heating - LOSS_KW_K * (self.tank_degc - ROOM_DEGC)
        self.tank_degc += (heat_kw - PARTS_KW * washing) * dt_s / TANK_KJ_K
        self.sensor_degc += (self.tank_degc - self.sensor_degc) * (1.0 - math.exp(-dt_s / 20.0))
        pump_kw = 3.1 + noise if washing else 0.0
        self.power_kw = 0.4 + pump_kw + HEATER_KW * (1.0 + 0.1 * noise) * self.heating
        self.power_factor = 0.98 if self.heating else 0.80

    def published(self, world: Surroundings) -> Published:
        """Contacts, tank, and what its meter shows."""
        return {
            "contacts": (self.contacts, GOOD),
            "tank_temperature": (round(self.sensor_degc, 1), GOOD),
            "power": (round(self.power_kw, 4), GOOD),
            "energy": (math.floor(self.meter_kwh * 100) / 100, GOOD),
            "part_count": (self.parts, GOOD),
        }


DEVICES: dict[int, RegisterMap[Washer]] = {
    1: RegisterMap(
        "remote I/O with relay contacts, a counter and a PT100 input",
        Register("discrete:0", "bool", "running contact", lambda m, t: m.running),
        Register("discrete:1", "bool", "fault contact", lambda m, t: m.faulted),
        Register(
            "input:0",
            "uint16",
            "contacts: bit 0 running, 1 fault",
            lambda m, t: m.relays,
        ),
        Register("input:1", "uint16", "part pulses, rolls over", lambda m, t: m.parts),
        Register("input:2", "int16", "tank, 0.1 degC", lambda m, t: round(m.sensor_degc * 10)),
        running_number("input:4"),
    )
}
"""Unit id -> what its registers show."""

METER: Meter["Washer"] = Meter(
    energy_kwh=lambda m, w: m.meter_kwh,
    power_kw=lambda m, w: (m.power_kw,),
    voltage_v=lambda m, w: w.voltage,
    current_a=lambda m, w: (m.current_a(w.line_voltage),) * 3,
    power_factor=lambda m, w: m.power_factor,
)
"""Its sub-meter, connected without transformers."""
