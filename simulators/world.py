"""The simulated world: all machines of a plant on one clock, stepped in half seconds.

The truth that every device shows and the ledger keeps. Same seed and same start, same world.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from plant.model.plant import Asset, Plant
from plant.model.signal import Label
from simulators.building import Building, Incomer
from simulators.compressor import AIR_USE, OTHER_USE, Compressor
from simulators.fault import Fault
from simulators.gauge import Gauge
from simulators.lathe import Lathe
from simulators.machine import ROOT3, Machine
from simulators.mill import Mill
from simulators.press import Press
from simulators.saw import Saw
from simulators.shift import Calendar
from simulators.station import Buffer, Condition, Station
from simulators.washer import Washer

STEP_MS = 500
STATIONS: Mapping[str, type[Station]] = {
    "band_saw": Saw,
    "lathe": Lathe,
    "milling_machine": Mill,
    "washer": Washer,
    "press": Press,
    "gauge": Gauge,
}
"""Machine type in the catalogue -> its physics."""

Note = Callable[[int, str, str, Mapping[str, Any]], None]


class World:
    """Every machine of a plant that we can simulate.

    Parameters
    ----------
    plant
        Lines, buffers and cycle times are taken from it.
    start_ms
        Plant time of the first step, ms UTC.
    seed
        Of all randomness.
    note
        Called with (ms, asset, kind, data) for everything that happens: the ledger.
    """

    def __init__(
        self, plant: Plant, start_ms: int, seed: int = 1, note: Note | None = None
    ) -> None:
        self.now_ms = start_ms
        self.calendar = Calendar(plant.timezone, plant.calendar)
        self.manned = True
        self.total_kw = 0.0
        self.power_factor = 0.85
        self.line_voltage: float = 380.0
        self.machines: dict[str, Machine] = {}
        self.stations: list[Station] = []
        self.utilities: list[Machine] = []
        self.incomers: list[Incomer] = []
        self.buffers: dict[str, Buffer] = {}
        self.faults: list[Fault] = []
        self.fault_rate = 0.0
        """Fault seconds per plant second; 0 until the live start."""
        self._note = note
        self._air_use = 0.0

        def chance(name: str) -> Random:
            return Random(f"{seed}/{name}")

        for line in plant.lines.values():
            upstream: Buffer | None = None
            for place in line.flow:
                asset = plant.assets[place.asset]
                if asset.type not in STATIONS:
                    continue
                station = STATIONS[asset.type](asset, chance(asset.id))
                station.works_through_breaks = line.constraint == asset.id
                if upstream is not None:
                    station.inlet = upstream
                if place is not line.flow[-1]:
                    station.outlet = upstream = Buffer(max(1, place.buffer))
                    self.buffers[asset.id] = upstream
                self.stations.append(station)
                self.machines[asset.id] = station
        for asset in plant.assets.values():
            if asset.type == "compressor":
                machine = Compressor(asset, chance(asset.id))
                self.utilities.append(machine)
                self.machines[asset.id] = machine
            elif asset.type == "power_meter":
                incomer = Incomer(asset, chance(asset.id))
                self.incomers.append(incomer)
                self.machines[asset.id] = incomer
        self.building = Building(_NOBODY, chance("building"))

    def __iter__(self) -> Iterator[Machine]:
        yield from self.machines.values()

    @property
    def voltage(self) -> tuple[float, float, float]:
        """Phase to neutral, V."""
        return self.building.voltage

    def air_use(self) -> float:
        """Share of a compressor's delivery that machines take, leaks left out."""
        return self._air_use

    def note(self, asset: str, kind: str, **data: Any) -> None:
        """Write something into the ledger."""
        if self._note is not None:
            self._note(self.now_ms, asset, kind, data)

    def step(self) -> None:
        """Let half a second of plant time pass."""
        dt_s = STEP_MS / 1000.0
        self.now_ms += STEP_MS
        self.manned = self.calendar.manned(self.now_ms)
        if self.fault_rate > 0.0:
            for fault in self.faults:
                fault.step(self, dt_s * self.fault_rate)
        for station in reversed(self.stations):
            station.step(self, dt_s)
        working = [s for s in self.stations if s.condition == Condition.WORKING]
        other = OTHER_USE if self.manned and self.stations else 0.0
        self._air_use = sum(AIR_USE.get(s.asset.type, 0.05) for s in working) + other
        for machine in self.utilities:
            machine.step(self, dt_s)
        self.building.step(self, dt_s)
        loads = [*self.stations, *self.utilities, self.building]
        self.total_kw = sum(m.power_kw for m in loads)
        apparent = sum(m.power_kw / m.power_factor for m in loads)
        self.power_factor = self.total_kw / apparent if apparent > 0.0 else 1.0
        self.line_voltage = ROOT3 * sum(self.building.voltage) / 3.0
        for incomer in self.incomers:
            incomer.step(self, dt_s)

    def advance(self, until_ms: int) -> int:
        """Step until plant time ``until_ms`` is reached (never beyond); returns the steps taken."""
        steps = max(0, (until_ms - self.now_ms) // STEP_MS)
        for _ in range(steps):
            self.step()
        return steps

    def snapshot(self) -> dict[str, Any]:
        """Everything a restart needs, as JSON knows it."""
        return {
            "now_ms": self.now_ms,
            "mains": [self.total_kw, self.power_factor, self.line_voltage, *self.voltage],
            "air_use": self._air_use,
            "machines": {id: m.snapshot() for id, m in self.machines.items()},
            "building": self.building.snapshot(),
            "buffers": {id: list(b.parts) for id, b in self.buffers.items()},
            "faults": [asdict(f) for f in self.faults],
            "fault_rate": self.fault_rate,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Continue from a snapshot; machines it does not know begin anew."""
        self.now_ms = kept["now_ms"]
        self.total_kw, self.power_factor, self.line_voltage, a, b, c = kept["mains"]
        self.building.voltage = (a, b, c)
        self._air_use = kept["air_use"]
        for id, state in kept["machines"].items():
            if id in self.machines:
                self.machines[id].restore(state)
        self.building.restore(kept["building"])
        for id, parts in kept["buffers"].items():
            if id in self.buffers:
                self.buffers[id].parts.clear()
                self.buffers[id].parts.extend(parts)
        self.faults = [Fault(**f) for f in kept["faults"] if f["machine"] in self.machines]
        self.fault_rate = kept["fault_rate"]


_NOBODY = Asset("building", "building", Label("厂房", "Building"), "utility", "", None, ())
