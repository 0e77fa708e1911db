"""A simulated line as its edge would publish it, faster than the clock on the wall.

The world's machines are read at the plant's own addresses and poll intervals (registers of the
simulated Modbus modules, nodes of the simulated OPC UA server), and what is read goes through the
edge's own scaling, conditioning and report by exception. Only the signals that states follow from
are read. The truth is kept beside it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from edge.adapters.modbus_point import RegisterPoint
from edge.filter import Filter
from edge.scaling import Scaling
from edge.stage import Stage
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch
from plant.model.plant import Plant
from plant.model.signal import Signal
from simulators import gauge, lathe, press, saw, washer
from simulators.fault import Fault
from simulators.mill import NODES
from simulators.register import Moment, RegisterMap
from simulators.station import Station
from simulators.world import World

CHUNK_MS = 10_000
"""So much is conditioned at a time; the edge does it poll by poll, with the same result."""
STEP_MS = 125
MAPS: Mapping[str, RegisterMap[Any]] = {
    "band_saw": saw.DEVICES[1],
    "lathe": lathe.DEVICES[1],
    "washer": washer.DEVICES[1],
    "press": press.DEVICES[1],
    "gauge": gauge.DEVICES[1],
}
COUNTERS = ("part_count", "good_count", "reject_count")

Truth = list[tuple[int, str, str]]
"""(ms UTC, asset, condition from then on)."""
Read = Callable[[Moment], float]


class SampledLine:
    """All stations of a plant; ``signals`` is what the batches' ``signal`` counts in."""

    def __init__(
        self,
        plant: Plant,
        start_ms: int,
        seed: int,
        faults: Sequence[Fault] = (),
        more: Sequence[str] = (),
    ) -> None:
        self.truth: Truth = []
        self.world = World(plant, start_ms, seed, self._note)
        self.world.faults = list(faults)
        self.world.fault_rate = 1.0
        self.truth += [(start_ms, s.id, _name(s)) for s in self.world.stations]
        self.signals = list(_needed(plant, self.world.stations, more))
        read = [i for i, s in enumerate(self.signals) if s.reading is not None]
        self._scaling = Scaling([self.signals[i] for i in read], read)
        self._stage = Stage(self.signals, {})
        self._filter = Filter(self.signals)
        self._clock = ManualClock(start_ms)
        sources = {id: c for edge in plant.edges.values() for id, c in edge.sources.items()}
        self._reads: list[tuple[int, int, Read]] = []
        self.pushed: list[int] = []
        """Points of sources that tell changes, with the time of each."""
        for point, i in enumerate(read):
            reading = self.signals[i].reading
            assert reading is not None
            source: Any = sources[reading.source]
            every_ms = getattr(source, "poll_ms", 0) or source.publish_ms
            station = self.world.machines[self.signals[i].asset]
            if not getattr(source, "poll_ms", 0):
                self.pushed.append(point)
            self._reads.append((point, every_ms, _reading(station, reading.at)))

    def _note(self, time_ms: int, asset: str, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "condition":
            self.truth.append((time_ms, asset, str(data["to"])))

    def run(self, until_ms: int) -> Iterator[SampleBatch]:
        """What would have been published, in pieces of ``CHUNK_MS``."""
        while self._clock.now() < until_ms:
            yield self._chunk(min(until_ms, self._clock.now() + CHUNK_MS))

    def _chunk(self, until_ms: int) -> SampleBatch:
        return self._publish(self._read(until_ms), until_ms)

    def _publish(self, read: SampleBatch, until_ms: int) -> SampleBatch:
        """What is reported of what was read."""
        batch = self._scaling.apply(read, self._clock)
        return self._filter.report(self._stage.process(batch, until_ms))

    def _read(self, until_ms: int) -> SampleBatch:
        points: list[int] = []
        times: list[int] = []
        values: list[float] = []
        now = self._clock.now()
        while now < until_ms:
            now += STEP_MS
            self.world.advance(now)
            moment = Moment(now / 1000.0, 0, now)
            for point, every_ms, read in self._reads:
                if now % every_ms == 0:
                    points.append(point)
                    times.append(now)
                    values.append(read(moment))
        self._clock.advance(until_ms - self._clock.now())
        return SampleBatch.of(points, times, values)


def _name(station: Station) -> str:
    return "starved" if station.inlet.empty else "working"


def _needed(plant: Plant, stations: Sequence[Station], more: Sequence[str]) -> Iterator[Signal]:
    """Signals that states follow from, ``more`` by id, and what they are conditioned from."""
    known = {s.path: s for s in plant.signals}
    wanted: dict[str, None] = {}

    def want(path: str) -> None:
        signal = known.get(path)
        if signal is not None and path not in wanted and _sampled(signal):
            wanted[path] = None
            for other in signal.inputs if signal.condition is not None else ():
                want(other)

    for station in stations:
        for rule in station.asset.state_rules:
            want(rule.signal)
        for id in (*COUNTERS, *more):
            want(f"{station.id}/{id}")
    return (s for s in plant.signals if s.path in wanted)


def _sampled(signal: Signal) -> bool:
    """Whether its source is one of those that are read here."""
    at = signal.reading.at if signal.reading is not None else None
    return at is None or isinstance(at, RegisterPoint) or hasattr(at, "node")


def _reading(station: Any, at: Any) -> Read:
    """What a point shows at a moment."""
    if isinstance(at, RegisterPoint):
        _, first, _ = at.span
        unit = MAPS[station.asset.type]
        register = next(r for r in unit if r.table == "input" and r.address == first)
        modulus = 0x10000
        if at.bit is not None:
            bit = at.bit
            return lambda m: int(register.quantity(station, m)) >> bit & 1
        return lambda m: float(int(register.quantity(station, m)) % modulus)
    node = next(n for n in NODES if at.node.endswith(f"s={n.id}"))
    return lambda _: float(node.quantity(station))


def trouble(seed: int, hours: float) -> list[Fault]:
    """What goes wrong beside the small stops: jams of a minute to a quarter, about one an hour."""
    chance = Random(f"bench states/{seed}")
    machines = ("saw", "lathe", "mill", "washer", "press", "gauge")
    faults = []
    at_s = 0.0
    while (at_s := at_s + chance.expovariate(1 / 3600.0)) < hours * 3600.0:
        lasts = {"duration_s": chance.uniform(60.0, 900.0)}
        faults.append(Fault("jam", chance.choice(machines), round(at_s), lasts))
    return faults
