"""A plant for ``python -m bench twin`` and its edge's messages: Sparkplug bytes, made beforehand.

Machines with a stack light, an activity (both give states), a part counter and many measurements
at 1 Hz. A message is one row of one machine: so many samples in time order, under aliases that a
real birth named, 1 % of them not Good, in field 1000 the row's identity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.packml import PACKML_LABELS, PackML
from plant.model.plant import Asset, Broker, Edge, Gateway, Line, Plant, StateRule, Station
from plant.model.signal import Label, Origin, Signal, SignalKind
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.codec import FIRST_ALIAS, encode_metrics
from plant.wire.edge_session import EdgeSession
from plant.wire.message import Outgoing, Row, Runs, RunState
from twin.historian.embedded import Embedded

if TYPE_CHECKING:
    from plant.flow.sample import Float64, Int64

EDGE = "edge1"
RUN = "0123456789abcdef"
MACHINES = 4
SIGNALS = 250
"""Of a machine; three of them say what it is doing."""

_NAME = Label("名", "name")
_ACTIVITIES = {0: PackML.Stopped, 1: PackML.Idle, 2: PackML.Execute}
_STATE_S = 30
"""A machine's activity changes about so often."""


def _signal(path: str, kind: SignalKind, origin: Origin = Origin.EDGE, **more: object) -> Signal:
    asset, _, id_ = path.partition("/")
    return Signal(path, asset, id_, _NAME, kind, origin=origin, **more)  # type: ignore[arg-type]


def _machine(id_: str) -> Asset:
    own = [
        _signal(f"{id_}/light", SignalKind.STATE),
        _signal(f"{id_}/activity", SignalKind.STATE),
        _signal(f"{id_}/part_count", SignalKind.COUNTER, modulus=65536.0),
        *(_signal(f"{id_}/value{i}", SignalKind.MEASUREMENT) for i in range(SIGNALS - 3)),
        _signal(f"{id_}/state", SignalKind.STATE, Origin.TWIN, states=PACKML_LABELS),
    ]
    rules = (
        StateRule(f"{id_}/light", {3: PackML.Aborted}),
        StateRule(f"{id_}/activity", {v: int(s) for v, s in _ACTIVITIES.items()}),
    )
    return Asset(id_, "machine", _NAME, "machine", EDGE, "hall", tuple(own), rules)


def the_plant(broker: Broker) -> Plant:
    """Four machines of one line and their edge."""
    machines = [_machine(f"m{i}") for i in range(MACHINES)]
    stations = tuple(Station(m.id, 3 if m is not machines[-1] else 0) for m in machines)
    hall = (
        _signal("hall/state", SignalKind.STATE, Origin.TWIN),
        _signal("hall/good_count", SignalKind.COUNTER, Origin.TWIN),
    )
    edge = (
        _signal(f"{EDGE}/link", SignalKind.STATE, Origin.TWIN),
        _signal(f"{EDGE}/complete_up_to", SignalKind.MEASUREMENT, Origin.TWIN),
    )
    assets = [
        *machines,
        Asset("hall", "production_line", _NAME, "line", "", None, hall),
        Asset(EDGE, "edge", _NAME, "edge", EDGE, None, edge),
    ]
    return Plant(
        enterprise="kaikou",
        site="bench",
        name=_NAME,
        timezone=ZoneInfo("UTC"),
        host_id="kaikou",
        broker=broker,
        historian=Embedded(),
        gateway=Gateway(),
        lines={"hall": Line("hall", _NAME, stations, machines[0].id)},
        edges={EDGE: Edge(EDGE, _NAME, {})},
        assets={a.id: a for a in assets},
        simulated=True,
        hash="0",
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """One data message: its bytes, how many samples, its row, its latest source time."""

    message: Outgoing
    samples: int
    offset: int
    time: int


class Edge1:
    """The edge: births first, then rows; ``stored`` is what the historian has to hold."""

    def __init__(self, plant: Plant, start: int, seed: int = 4) -> None:
        self.plant = plant
        self.start = start
        self._session = EdgeSession(plant.group, EDGE, ack_host=plant.host_id)
        self._random = np.random.default_rng(seed)
        self._offset = 0
        self._state = np.full(MACHINES, 2.0)
        self._parts = np.zeros(MACHINES)
        self._level = self._random.uniform(1, 99, (MACHINES, SIGNALS))

    def births(self) -> list[Outgoing]:
        """NBIRTH with the run, a DBIRTH of every machine."""
        self._session.will(0)
        devices = []
        for m in range(MACHINES):
            signals = self.plant.assets[f"m{m}"].signals[:SIGNALS]
            births = [
                MetricBirth.of(s, FIRST_ALIAS + m * SIGNALS + i) for i, s in enumerate(signals)
            ]
            devices.append(DeviceBirth(f"m{m}", births))
        runs = Runs(RUN, (RunState(RUN, 0, 0),))
        return self._session.birth(self.start, devices, runs)

    def rows(self, seconds: int, size: int) -> Iterator[tuple[Sent, int, SampleBatch]]:
        """(Message, machine, its samples by signal of the machine) of so many seconds."""
        waiting = [SampleBatch.empty() for _ in range(MACHINES)]
        for second in range(seconds):
            for m in range(MACHINES):
                waiting[m] = SampleBatch.concat([waiting[m], self._poll(m, second)])
                while len(waiting[m]) >= size:
                    yield self._row(m, waiting[m].take(np.arange(size)))
                    waiting[m] = waiting[m].take(np.arange(size, len(waiting[m])))
        for m in range(MACHINES):
            if len(waiting[m]):
                yield self._row(m, waiting[m])

    def _poll(self, machine: int, second: int) -> SampleBatch:
        chance = self._random
        if chance.random() < 1 / _STATE_S:
            self._state[machine] = chance.integers(0, 3)
        self._parts[machine] += chance.random() < 0.02 * (self._state[machine] == 2)
        value: Float64 = self._level[machine] + chance.normal(0, 0.2, SIGNALS)
        value[:3] = 0.0, self._state[machine], self._parts[machine]
        bad = chance.random(SIGNALS) < 0.01
        time: Int64 = np.full(SIGNALS, self.start + second * 1000 + 37 * machine, np.int64)
        return SampleBatch.of(
            np.arange(SIGNALS),
            time,
            np.where(bad, np.nan, value),
            np.where(bad, StatusCode.BadSensorFailure, 0),
        )

    def _row(self, machine: int, rows: SampleBatch) -> tuple[Sent, int, SampleBatch]:
        row = Row(RUN, self._offset + 1, self._offset)
        self._offset += 1
        last = int(rows.source_time[-1])
        body = encode_metrics(FIRST_ALIAS + machine * SIGNALS + rows.signal, rows)
        message = self._session.data(f"m{machine}", body, last, row)
        return Sent(message, len(rows), self._offset, last), machine, rows
