"""What the twin publishes: states, line values and links, as ordinary signals.

They go through the twin's own outbox onto the bus and are stored when the twin hears them, like
everybody else's: there is no second way into the historian.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from plant.flow.clock import Clock
from plant.flow.port import HistorianReader
from plant.flow.sample import SampleBatch
from plant.model.plant import TWIN, Plant
from plant.model.signal import Origin, Signal
from plant.wire.host_event import Data
from plant.wire.topic import NodeId
from twin.host import Host
from twin.line import Derived, LineTwin, Mirror, PastLine
from twin.link import SETTLE_S, UP, Links
from twin.state import STATE, Found, MachineStates, PastStates, StateRules

REPEAT_S = 60.0
COUNTS_S = 30.0
COMPLETE_S = 2.0
"""How often "complete up to" is told while it moves."""

WARM_MS = 8 * 3_600_000
"""So much history the buffers start from."""

Accept = Callable[[SampleBatch, bool], object]
"""Takes samples of the published signals, and whether they are current values."""


class Derivation:
    """Turns what is heard and the clock's ticks into samples of the twin's own signals."""

    def __init__(self, plant: Plant, clock: Clock, accept: Accept) -> None:
        self.plant = plant
        self.signals: Sequence[Signal] = plant.published(Origin.TWIN)
        self._index = {s.path: i for i, s in enumerate(self.signals)}
        self._clock = clock
        self._accept = accept
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        """Begin: the host has the live table that everything follows."""
        repeat_ms = int(REPEAT_S * 1000 * max(1.0, self._clock.factor))
        self._host = host
        self._mono, self._begun = time.monotonic(), self._clock.now()
        self.links = Links(list(self.plant.edges), self._mono)
        host.listening = lambda: self.links.listening(time.monotonic())
        rules = StateRules(list(self.plant.assets.values()), host.table)
        self.rules = rules
        self.machines = MachineStates(rules, host.live, repeat_ms)
        self._past = PastStates(rules)
        self._mirror = Mirror(self.plant, host.table)
        self._lines = [
            LineTwin(self.plant, line, host.live, repeat_ms) for line in self.plant.lines.values()
        ]
        named = {a.id for a in rules.machines}
        self._past_lines = [
            PastLine(line, [s.asset for s in line.flow if s.asset in named], repeat_ms)
            for line in self.plant.lines.values()
        ]
        self._link_told: dict[str, int] = {}
        self._repeat_ms = repeat_ms
        self._complete_told: dict[str, int] = {}
        self._complete_at = 0.0
        self._counts_at = 0.0

    def warm(self, reader: HistorianReader) -> None:
        """Take up what the counters said in the last hours; called before anything runs."""
        now = self._clock.now()
        for line in self._lines:
            line.replay(reader.read(line.counters, now - WARM_MS, now))

    def heard(self, event: Data, queued: bool) -> None:
        """A data event; ``queued``: a row that was accepted now for the first time."""
        if not queued:
            return
        self._publish(self._mirror.add(event.samples, event.historical), live=event.live)
        found = self._past.add(event.samples, event.historical)
        out = [self._state(f) for f in found]
        for line in self._past_lines if found else ():
            for f in found:
                line.add(self.rules.machines[f.machine].id, f.time, f.state, f.again)
            out += line.tell()
        self._publish(out, live=False)

    def tick(self) -> None:
        """Everything that follows the live table and the clock."""
        assert self._host is not None  # noqa: S101 - attached before it runs
        now, mono = self._clock.now(), time.monotonic()
        settled = mono - self._mono > SETTLE_S
        out = list(self._link_signals(now, mono))
        found = self.machines.tick(now, self.links.lost, settled)
        for one in found:
            if one.state == 0:
                self._past.said_unknown(one.machine, one.time)
        out += [self._state(f) for f in found]
        told = self.machines.state.tolist()
        states = {a.id: s for a, s in zip(self.rules.machines, told, strict=True)}
        for line in self._lines:
            out += line.tick(now, states, settled)
        if settled:
            out += self._mirror.held(self._host.live, self._begun)
        out += self._complete(now, mono)
        out += self._counts(now, mono)
        self._publish(out, live=True)

    def _state(self, found: Found) -> Derived:
        machine = self.rules.machines[found.machine]
        return Derived(f"{machine.id}/{STATE}", found.time, float(found.state), found.status)

    def _link_signals(self, now: int, mono: float) -> Iterable[Derived]:
        assert self._host is not None  # noqa: S101
        changed = {c.edge for c in self.links.tick(self._host.heard(), mono)}
        for edge, state in self.links.state.items():
            if edge in changed or now - self._link_told.get(edge, 0) >= self._repeat_ms:
                self._link_told[edge] = now
                yield Derived(f"{edge}/link", now, float(state))

    def _complete(self, now: int, mono: float) -> Iterable[Derived]:
        """Up to which time all that an edge accepted is stored; told while its link is up."""
        assert self._host is not None  # noqa: S101
        if mono < self._complete_at:
            return
        self._complete_at = mono + COMPLETE_S
        for edge, state in self.links.state.items():
            node = NodeId(self.plant.group, edge)
            complete = self._host.intake.complete_up_to.get(node)
            if state == UP and complete and complete != self._complete_told.get(edge):
                self._complete_told[edge] = complete
                yield Derived(f"{edge}/complete_up_to", now, float(complete))

    def _counts(self, now: int, mono: float) -> Iterable[Derived]:
        """What the way into the historian holds, dropped and heard again."""
        assert self._host is not None  # noqa: S101
        if mono < self._counts_at:
            return
        self._counts_at = mono + COUNTS_S
        intake = self._host.intake
        yield Derived(f"{TWIN}/queued_samples", now, float(intake.queued))
        yield Derived(f"{TWIN}/dropped_samples", now, float(intake.count.dropped_samples))
        yield Derived(f"{TWIN}/repeated_rows", now, float(intake.count.again))

    def _publish(self, derived: Iterable[Derived], live: bool) -> None:
        known = [d for d in derived if d.path in self._index]
        if known:
            batch = SampleBatch.of(
                [self._index[d.path] for d in known],
                [d.time for d in known],
                [d.value for d in known],
                [d.status for d in known],
            )
            self._accept(batch, live)
