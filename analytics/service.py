"""The process: stored rows to the estimators in time order, what they find to the outbox.

Analytics reads what the historian holds and nothing else, so every figure can be computed again
from the same rows. It goes as far as the twin says that the edges are complete, one cycle behind,
and remembers in its outbox, in the transaction of what it published, how far it came.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.consumption import Consumption, measured
from analytics.estimator import Estimator
from analytics.health import Health, health_of
from analytics.unassigned import unassigned_of
from plant.errors import ConfigError, Unavailable
from plant.flow.clock import Clock
from plant.flow.port import HistorianReader, Ports
from plant.flow.sample import Event, Int64, SampleBatch
from plant.flow.supervisor import Backoff, Fault, Supervisor, Transition, Unexpected
from plant.model.plant import ANALYTICS, Plant
from plant.model.signal import Origin
from plant.outbox.uplink import Uplink

log = logging.getLogger("kaikou.analytics")

CYCLE_S = 5.0
STEP_MS = 60_000
"""Rows of so much time are worked on at once when there is more."""
FIRST_LOOK_MS = 24 * 3_600_000
"""A new analytics begins so long before what is complete now."""
ENOUGH = 2000
"""Samples of one commit while much is worked off."""
REPEAT_MS = 60_000
"""What has not changed is told again after this."""
WARM_MS = 600_000
"""So much of what was worked on already fills the windows of a new process."""
PROGRESS = "progress"


def estimators_of(plant: Plant) -> list[Estimator]:
    """Every method that finds its inputs in this plant."""
    found: list[Estimator] = []
    for asset in plant.assets.values():
        if measured(asset) and asset.signal("state") and asset.signal("energy_producing_kwh"):
            found.append(Consumption(asset))
        health = health_of(asset)
        if health is not None:
            found.append(health)
    return [*found, *unassigned_of(plant)]


@dataclass(slots=True)
class Contained:
    """What went wrong in one method, and how long it rests (monotonic s)."""

    unexpected: Unexpected
    rests_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(5.0, 600.0))


class Course:
    """How far the estimators have come, and what they publish.

    An estimator may use what one before it found: that does not go through the historian first.
    One that ends in an error nobody expected begins anew after a pause, as it was at the last
    commit; the others go on.

    paths      everything that an estimator asks for
    published  the signals of this process, in the order of its outbox
    """

    def __init__(self, plant: Plant, saved: Mapping[str, Mapping[str, float]]) -> None:
        self.estimators = estimators_of(plant)
        self._plant = plant
        self._kept = dict(saved)
        self._contained = [Contained(Unexpected(f"method {e.name}")) for e in self.estimators]
        self.paths = list(dict.fromkeys(p for e in self.estimators for p in e.inputs))
        self.published = plant.published(Origin.ANALYTICS)
        self.until = int(saved.get(PROGRESS, {}).get("until", 0))
        self._begun = self.resumed = self.until > 0
        self._index = {s.path: i for i, s in enumerate(self.published)}
        place = {p: i for i, p in enumerate(self.paths)}
        self._inputs = [np.array([place[p] for p in e.inputs]) for e in self.estimators]
        self._outputs = [
            np.array([self._index.get(p, -1) for p in e.outputs]) for e in self.estimators
        ]
        self._told_value = np.full(len(self.published), np.inf)
        self._told_status = np.zeros(len(self.published), np.uint32)
        self._told_at = np.zeros(len(self.published), np.int64)
        self._path_of = np.array([place.get(s.path, -1) for s in self.published], np.int32)
        self._ours = np.zeros(len(self.paths), np.bool_)
        self._ours[self._path_of[self._path_of >= 0]] = True
        for estimator in self.estimators:
            estimator.restore(saved.get(estimator.name, {}))

    def warm(self, rows: SampleBatch) -> None:
        """Fill windows with rows before ``until``; nothing follows from them again."""
        self.resumed = False
        rows = rows.take(np.argsort(rows.source_time, kind="stable"))
        for estimator, inputs in zip(self.estimators, self._inputs, strict=True):
            if isinstance(estimator, Health):
                estimator.warm(_of(rows, inputs, len(self.paths)), self.until)

    def advance(self, rows: SampleBatch, now: int) -> tuple[SampleBatch, Sequence[Event]]:
        """Work on the rows before ``now``; what is worth telling, and what happened."""
        self._begun |= len(rows) > 0
        if not self._begun:  # nothing was measured yet: there is nothing to say either
            self.until = now
            return rows, ()
        rows = rows.take(np.argsort(rows.source_time, kind="stable"))
        found: list[SampleBatch] = []
        events: list[Event] = []
        rows = rows.take(~self._ours[rows.signal])
        for number, (inputs, outputs) in enumerate(zip(self._inputs, self._outputs, strict=True)):
            out = self._update(number, _of(rows, inputs, len(self.paths)), now)
            signal = outputs[out.signal]
            known = signal >= 0
            out = SampleBatch.of(signal, out.source_time, out.value, out.status)
            found.append(out.take(known))
            at = self._path_of[found[-1].signal]
            asked = SampleBatch.of(at, found[-1].source_time, found[-1].value, found[-1].status)
            rows = SampleBatch.concat([rows, asked.take(at >= 0)])
            events += self.estimators[number].events()
        self.until = now
        return self._worth(SampleBatch.concat(found)), events

    def _update(self, number: int, rows: SampleBatch, now: int) -> SampleBatch:
        """What an estimator finds in rows; nothing while it rests after an error of its own."""
        contained = self._contained[number]
        if time.monotonic() < contained.rests_until:
            return SampleBatch.empty()
        try:
            with contained.unexpected.caught():
                return self.estimators[number].update(rows, now)
        except Fault as error:
            contained.rests_until = time.monotonic() + contained.backoff.next()
            fresh = estimators_of(self._plant)[number]
            fresh.restore(self._kept.get(fresh.name, {}))
            self.estimators[number] = fresh
            log.warning("method %s begins anew: %s", fresh.name, error)
            return SampleBatch.empty()

    def saved(self) -> dict[str, Mapping[str, float]]:
        """What the next process must know."""
        states = self._kept = {e.name: e.saved() for e in self.estimators}
        return {**states, PROGRESS: {"until": float(self.until)}}

    def _worth(self, batch: SampleBatch) -> SampleBatch:
        at = batch.signal
        same = (batch.value == self._told_value[at]) | (
            np.isnan(batch.value) & np.isnan(self._told_value[at])
        )
        same &= batch.status == self._told_status[at]
        kept = batch.take(~same | (batch.source_time - self._told_at[at] >= REPEAT_MS))
        self._told_value[kept.signal] = kept.value
        self._told_status[kept.signal] = kept.status
        self._told_at[kept.signal] = kept.source_time
        return kept


def _of(rows: SampleBatch, inputs: Int64, paths: int) -> SampleBatch:
    """The rows of some of the paths; ``signal`` counts in ``inputs`` then."""
    here = np.full(paths, -1, np.int32)
    here[inputs] = np.arange(len(inputs), dtype=np.int32)
    at = here[rows.signal]
    mine = rows.take(at >= 0)
    return SampleBatch.of(at[at >= 0], mine.source_time, mine.value, mine.status)


async def run(plant: Plant, ports: Ports) -> None:
    """Run until SIGTERM or SIGINT."""
    if ports.reader is None:
        raise ConfigError("analytics needs a historian to read from")
    uplink = Uplink(
        plant.group,
        ANALYTICS,
        plant.broker,
        ports.data,
        plant.published(Origin.ANALYTICS),
        ports.clock,
        plant.host_id,
        plant_hash=plant.hash,
    )
    course = Course(plant, uplink.saved)
    log.info("%d methods over %d signals", len(course.estimators), len(course.paths))
    async with Supervisor() as supervisor:
        supervisor.on_signals()
        supervisor.start("uplink", uplink.run)
        supervisor.source("course", lambda: _follow(plant, ports, course, uplink))
        supervisor.start("end", lambda: _end(supervisor, uplink))
        ports.ready()


async def _end(supervisor: Supervisor, uplink: Uplink) -> None:
    await supervisor.stopping.wait()
    uplink.close()


async def _follow(plant: Plant, ports: Ports, course: Course, uplink: Uplink) -> None:
    if not course.estimators or ports.reader is None:
        return
    reader, transition = await _open(ports), Transition("historian")
    try:
        bound = 0
        while True:
            await asyncio.sleep(CYCLE_S)
            try:
                seen = await asyncio.to_thread(complete, reader, plant, ports.clock)
                # states of the rows up to here were derived within the last cycle
                await _advance(reader, course, uplink, bound)
                bound = seen
                transition.up()
            except Unavailable as error:
                transition.down(error)
    finally:
        reader.close()


async def _open(ports: Ports) -> HistorianReader:
    assert ports.reader is not None  # noqa: S101 - asked before
    waiting = Transition("historian")
    while True:
        try:
            reader = await asyncio.to_thread(ports.reader)
        except Unavailable as error:
            waiting.down(error)
            await asyncio.sleep(CYCLE_S)
        else:
            waiting.up()
            return reader


def complete(reader: HistorianReader, plant: Plant, clock: Clock) -> int:
    """Up to which source time (ms UTC) every edge's rows are stored; 0 while one is not known."""
    edges = [f"{edge}/complete_up_to" for edge in plant.edges]
    rows = reader.as_of(edges, clock.now() + 1)
    if len(rows) < len(edges) or np.isnan(rows.value).any():
        return 0
    return int(rows.value.min())


async def _advance(reader: HistorianReader, course: Course, uplink: Uplink, bound: int) -> None:
    if bound <= 0:
        return
    if not course.until:
        course.until = bound - FIRST_LOOK_MS
    if course.resumed:
        before = course.until - WARM_MS
        course.warm(await asyncio.to_thread(reader.read, course.paths, before, course.until))
    while course.until < bound:
        found, events = await asyncio.to_thread(_catch_up, reader, course, bound)
        live = course.until == bound
        accepted = uplink.accept(found, events=events, state=course.saved(), live=live)
        if not live:
            await accepted


def _catch_up(
    reader: HistorianReader, course: Course, bound: int
) -> tuple[SampleBatch, Sequence[Event]]:
    """Steps towards ``bound`` until there is enough for a commit."""
    found: list[SampleBatch] = []
    events: list[Event] = []
    while course.until < bound and sum(map(len, found)) < ENOUGH:
        end = min(bound, course.until + STEP_MS)
        rows = reader.read(course.paths, course.until, end)
        out, happened = course.advance(rows, end)
        found.append(out)
        events += happened
    return SampleBatch.concat(found), events
