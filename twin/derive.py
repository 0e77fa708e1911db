"""What the twin publishes: states, line values and links, as ordinary signals.

They go through the twin's own outbox onto the bus and are stored when the twin hears them, like
everybody else's: there is no second way into the historian.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from plant.flow.clock import Clock
from plant.flow.port import HistorianReader
from plant.flow.sample import Event, SampleBatch
from plant.model.plant import TWIN, Plant
from plant.model.signal import Origin, Signal
from plant.wire.host_event import Data
from plant.wire.topic import NodeId
from twin.final import LATE_MS, Snapshot
from twin.fold import folds
from twin.host import Host
from twin.line import Mirror
from twin.link import SETTLE_S, UP, Links
from twin.resume import FILE
from twin.state import SLACK_MS, Group
from twin.stated import MODE, StatedModes
from twin.timeline import Derived

log = logging.getLogger("kaikou.twin")

REPEAT_S = 60.0
COUNTS_S = 30.0
COMPLETE_S = 2.0
"""How often "complete up to" is told while it moves."""

AHEAD_MS = 86_400_000
"""Stored rows may be so far ahead of now: of an edge whose clock is wrong."""

KEEP_S = 10.0
"""What a restart begins from is kept no more often than this (real time)."""

WARM_EVENTS_MS = 400 * 86_400_000
"""So far back is looked for what people said of modes."""

NONE: Mapping[str, Snapshot] = MappingProxyType({})

ANEW = "%s: nothing in %s to go on from: its states begin anew from the rows of the last hours"

Accept = Callable[[SampleBatch, bool], object]
"""Takes samples of the published signals, and whether they are current values."""


class Derivation:
    """Turns what is heard and the clock's ticks into samples of the twin's own signals."""

    def __init__(
        self,
        plant: Plant,
        clock: Clock,
        accept: Accept,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plant = plant
        self.signals: Sequence[Signal] = plant.published(Origin.TWIN)
        self._index = {s.path: i for i, s in enumerate(self.signals)}
        self._clock = clock
        self._accept = accept
        self._monotonic = monotonic
        self._host: Host | None = None
        self.run = ""
        """The run of this process's outbox: what comes of others was told by earlier processes."""

    def attach(self, host: Host) -> None:
        """Begin: the host has the live table that everything follows."""
        repeat_ms = int(REPEAT_S * 1000 * max(1.0, self._clock.factor))
        self._host = host
        self._mono, self._begun = self._monotonic(), self._clock.now()
        self.links = Links(list(self.plant.edges), self._mono)
        host.listening = lambda: self.links.listening(self._monotonic())
        self._modes = StatedModes()
        factor = max(1.0, self._clock.factor)
        self.groups = [
            Group(
                fold,
                line,
                frozenset(self._index),
                self._modes,
                repeat_ms=repeat_ms,
                slack_ms=int(SLACK_MS * factor),
            )
            for fold, line in folds(self.plant, host.table, factor)
        ]
        self._mirror = Mirror(self.plant, host.table)
        self._outputs = {
            host.table.add(o.record.path): (group, at)
            for group in self.groups
            for at, o in enumerate(group.outputs)
        }
        self._missing: list[Derived] = []
        self._next: Sequence[tuple[str, str, Snapshot]] = ()
        self._kept: Sequence[int] = []
        self._kept_s = 0.0
        self._wanted = np.zeros(len(host.table), np.bool_)
        self._group_of = np.full(len(host.table), -1, np.int32)
        for at, group in enumerate(self.groups):
            self._wanted[group.signals] = True
            self._group_of[group.signals] = at
        self._wanted[self._mirror.signals] = True
        self._link_told: dict[str, int] = {}
        self._repeat_ms = repeat_ms
        self._complete_told: dict[str, int] = {}
        self._complete_at = 0.0
        self._counts_at = 0.0

    def fingerprints(self) -> Mapping[str, str]:
        """Of every group, by name: a snapshot of another one is no good."""
        return {group.name: group.fingerprint for group in self.groups}

    def warm(self, reader: HistorianReader, snapshots: Mapping[str, Snapshot] = NONE) -> None:
        """Go on from snapshots with the rows stored since; called before anything runs."""
        assert self._host is not None  # noqa: S101 - attached before
        now = self._clock.now()
        for event in reader.events(now - WARM_EVENTS_MS, now + AHEAD_MS):
            self._modes.hear(event)
        oldest = now - LATE_MS
        for group in self.groups:
            begun = group.begin(snapshots.get(group.name), now - LATE_MS)
            self._next = [*self._next, (group.name, group.fingerprint, begun)]
            start = begun.time + 1
            oldest = min(start, oldest)
            paths = [self._host.table.path(int(s)) for s in group.signals]
            rows = reader.read(paths, start, now + AHEAD_MS)
            if len(rows) and group.name not in snapshots:
                log.warning(ANEW, group.name, FILE)
            group.warm(
                SampleBatch.of(
                    group.signals[rows.signal], rows.source_time, rows.value, rows.status
                )
            )
            start -= group.final.tail_ms
            outputs = [o.record.path for o in group.outputs]
            told = [reader.as_of(outputs, start), reader.read(outputs, start + 1, now + AHEAD_MS)]
            for rows in told:
                for at in range(len(outputs)):
                    group.told(at, rows.take(rows.signal == at), stored=True)
        self._missing += self._mirror.missing(reader, oldest, now + AHEAD_MS)

    def keep(self) -> Sequence[tuple[str, str, Snapshot]]:
        """What the next process begins from, where it is another than the last one given.

        Called first before anything is heard; later it is a round late: what was told of the time
        before a snapshot is durable by then.
        """
        if not self.groups or self._monotonic() < self._kept_s:
            return ()
        self._kept_s = self._monotonic() + KEEP_S
        found = [(g.name, g.fingerprint, g.final.kept()) for g in self.groups]
        kept, self._next = self._next or found, found
        times = [snapshot.time for _, _, snapshot in kept]
        if times == self._kept:
            return ()
        self._kept = times
        return kept

    def heard(self, event: Data, queued: bool) -> None:
        """A data event; ``queued``: a row that was accepted now for the first time."""
        if not queued:
            return
        for stated in event.events:
            if stated.kind == MODE:
                self._state_mode(stated)
        samples = event.samples
        if not len(samples) or event.row is None:
            return
        if event.node.group == self.plant.group:
            if event.node.node == TWIN and event.row.run != self.run:
                self._told_before(samples)
            newest = min(int(samples.source_time.max()), self._clock.now())
            for group in self.groups:
                group.complete(event.node.node, newest)
        known = samples.signal < len(self._wanted)
        mask = self._wanted[np.where(known, samples.signal, 0)] & known
        if not mask.any():
            return
        mine = samples.take(mask)
        self._publish(self._mirror.add(mine, event.historical), live=event.live)
        of = self._group_of[mine.signal]
        for at in {*of.tolist()} - {-1}:
            self.groups[at].add(mine if (of == at).all() else mine.take(of == at))

    def _told_before(self, samples: SampleBatch) -> None:
        """Rows that an earlier process told and that waited in its outbox."""
        for signal in np.unique(samples.signal).tolist():
            group, at = self._outputs.get(signal, (None, 0))
            if group is not None:
                group.told(at, samples.take(samples.signal == signal))

    def _state_mode(self, event: Event) -> None:
        """A person said what a machine is used for: what was told since then is made right."""
        span = self._modes.hear(event)
        for group in self.groups if span is not None else ():
            if span is not None:
                start, end = span
                self._publish_states(group.restate(event.asset, start, end, self._clock.now()))

    def tick(self) -> None:
        """Everything that follows the live table and the clock."""
        assert self._host is not None  # noqa: S101 - attached before it runs
        now, mono = self._clock.now(), self._monotonic()
        settled = mono - self._mono > SETTLE_S
        out = list(self._link_signals(now, mono))
        if self._missing:
            self._publish(self._missing, live=False)
            self._missing = []
        for group in self.groups:
            self._publish_states(group.tick(now, self._host.live, self.links.lost, settled))
            self._publish_states(group.settle(now, mono))
        if settled:
            out += self._mirror.held(self._host.live, self._begun)
        out += self._complete(now, mono)
        out += self._counts(now, mono)
        self._publish(out, live=True)

    def tell(self, derived: Iterable[Derived]) -> None:
        """Publish what was derived elsewhere; it is current."""
        self._publish(derived, live=True)

    def _publish_states(self, derived: Sequence[Derived]) -> None:
        """What holds now is current; what is told of the past is stored and shown to nobody."""
        self._publish([d for d in derived if not d.current], live=False)
        self._publish([d for d in derived if d.current], live=True)

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
        final = min((group.final_up_to for group in self.groups), default=0)
        if final > self._complete_told.get(TWIN, 0):
            self._complete_told[TWIN] = final
            yield Derived(f"{TWIN}/final_up_to", now, float(final))

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
        yield Derived(f"{TWIN}/refused_messages", now, float(self._host.session.refused))

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
