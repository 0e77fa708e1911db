"""A twin that can be killed, without a bus: its derivation, and what outlives the process.

A stand-in for everything around ``twin.derive``: rows of edges wait until they are committed and
come again to the next process; what the twin publishes is lost until its outbox has it, then waits
there, comes back over the bus and is committed like any other row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from plant.flow.clock import ManualClock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.port import HistorianReader
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import TWIN, Plant
from plant.wire.host_event import Data
from plant.wire.message import Row
from plant.wire.topic import NodeId
from twin.derive import Derivation
from twin.final import Snapshot

if TYPE_CHECKING:
    from twin.host import Host


class Store(Protocol):
    """Where a twin commits to; ``signal`` counts in the plant's signals."""

    def write(self, samples: SampleBatch, events: Sequence[Event], now: int) -> None:
        """Make it durable."""

    def reader(self) -> HistorianReader:
        """Opened anew."""


@dataclass(slots=True)
class Waiting:
    """A row that an edge, or the twin, keeps until it is committed."""

    node: str
    samples: SampleBatch
    events: Sequence[Event] = ()
    live: bool = True
    run: str = "run"
    seen: bool = False


@dataclass(slots=True)
class Disk:
    """All that outlives a process."""

    store: Store
    rows: list[Waiting] = field(default_factory=list)
    own: list[Waiting] = field(default_factory=list)
    snapshots: dict[str, tuple[str, Mapping[str, object]]] = field(default_factory=dict)
    starts: int = 0
    offset: int = 0


class KillableTwin:
    """One process of the twin; dropped without a word it was killed."""

    def __init__(self, plant: Plant, disk: Disk, now: int, mono: float = 0.0) -> None:
        self.plant = plant
        self.disk = disk
        self.clock = ManualClock(now)
        self.mono = self._heard_at = mono
        disk.starts += 1
        table = SignalTable([s.path for s in plant.signals])
        self.live = LiveTable(table)
        self._intake = SimpleNamespace(
            complete_up_to={}, queued=0, count=SimpleNamespace(dropped_samples=0, again=0)
        )
        host = SimpleNamespace(
            table=table,
            live=self.live,
            intake=self._intake,
            session=SimpleNamespace(refused=0),
            listening=None,
            heard=lambda: dict.fromkeys(plant.edges, self._heard_at),
        )
        self._accepted: list[Waiting] = []
        self.derivation = Derivation(plant, self.clock, self._accept, lambda: self.mono)
        self.derivation.attach(cast("Host", host))
        self.derivation.run = f"run{disk.starts}"
        self._own = np.array([table.index(s.path) for s in self.derivation.signals], np.int32)
        wanted = self.derivation.fingerprints()
        kept = {
            name: Snapshot.of(json)
            for name, (of, json) in disk.snapshots.items()
            if wanted.get(name) == of
        }
        self.derivation.warm(disk.store.reader(), kept)
        self.keep()
        for waiting in disk.rows + disk.own:
            waiting.seen = False

    def _accept(self, batch: SampleBatch, live: bool) -> None:
        rows = SampleBatch.of(self._own[batch.signal], batch.source_time, batch.value, batch.status)
        self._accepted.append(Waiting(TWIN, rows, (), live, self.derivation.run))

    def mark(self, paths: Iterable[str], status: StatusCode) -> None:
        """Devices are dead: nobody says anything of these signals."""
        at = [self.live.table.index(path) for path in paths]
        self.live.mark(np.array(at, np.int32), status)

    def hear(self) -> None:
        """All rows that wait and were not heard by this process."""
        for waiting in self.disk.own + self.disk.rows:
            if not waiting.seen:
                waiting.seen = True
                self._hear(waiting)

    def _hear(self, waiting: Waiting) -> None:
        if waiting.live:
            self.live.update(waiting.samples)
        self.disk.offset += 1
        row = Row(waiting.run, self.disk.offset, self.disk.offset - 1, False)
        event = Data(
            NodeId(self.plant.group, waiting.node), None, waiting.samples, (), row,
            live=waiting.live, stored=True, historical=not waiting.live,
            events=tuple(waiting.events),
        )  # fmt: skip
        self.derivation.heard(event, queued=True)

    def tick(self, now: int, *, up: bool = True) -> None:
        """It is ``now``; ``up``: the edges can be heard."""
        self.mono += (now - self.clock.now()) / 1000.0 / self.clock.factor
        self.clock.advance(now - self.clock.now())
        if up:
            self._heard_at = self.mono
        self.derivation.tick()

    def accept(self) -> None:
        """What was published is durable in the twin's outbox."""
        self.disk.own += self._accepted
        self._accepted = []

    def commit(self) -> None:
        """What was heard is durable in the historian, and acknowledged."""
        heard = [w for w in self.disk.own + self.disk.rows if w.seen]
        if heard:
            samples = SampleBatch.concat([w.samples for w in heard])
            events = [event for w in heard for event in w.events]
            self.disk.store.write(samples, events, self.clock.now())
        for waiting in heard:
            node = NodeId(self.plant.group, waiting.node)
            if waiting.node in self.plant.edges and len(waiting.samples):
                newest = min(int(waiting.samples.source_time.max()), self.clock.now())
                known = self._intake.complete_up_to.get(node, 0)
                self._intake.complete_up_to[node] = max(newest, known)
        self.disk.own = [w for w in self.disk.own if not w.seen]
        self.disk.rows = [w for w in self.disk.rows if not w.seen]

    def keep(self) -> None:
        """Keep what the next process begins from."""
        for name, of, snapshot in self.derivation.keep():
            self.disk.snapshots[name] = (of, snapshot.json())

    def work(self, chance: Random | None = None) -> None:
        """Hear, accept, commit, keep; with ``chance`` some of it does not come about yet."""
        for step in (self.hear, self.accept, self.commit):
            if chance is None or chance.random() < 0.7:
                step()
        if not self._accepted and not self.disk.own:
            self.keep()
