"""Kills and stops of edge, twin and analytics over a simulated day: history stays what it was.

``python -m bench restart --hours 24 --kills 40 --seed 1 --json``

On the plant clock and in one process: the simulators' line read and conditioned by the edge's own
objects (``bench/sampled.py``), the twin's derivation and analytics' course on an embedded historian
(``bench/restarted.py``). At random moments one of them is killed or stopped and is back after a
second and a half, a minute or ten; the edge's new process begins with what its server last changed,
with its old time. People correct modes meanwhile. Then the same rows once more without any restart,
in a historian of its own.

states_differ_ms   time of any machine or line in which both historians say another state, cause or
                   mode
energy_differ      figures of energy that are not equal, at every quarter of an hour
oee_differ         rows of figures (each machine and line, each shift) that are not equal
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np

from analytics.course import Course
from analytics.service import complete
from bench.machine import machine
from bench.restarted import Disk, KillableTwin, Waiting
from bench.sampled import SampledLine, trouble
from bench.states import DEMO, ROAD_MS, START_MS
from deploy.kinds import kinds
from edge.filter import Filter
from edge.stage import Stage
from plant.flow.clock import ManualClock
from plant.flow.port import Commit, HistorianReader, Series
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from plant.model.load import load
from plant.model.plant import TWIN, Plant
from plant.model.signal import SignalKind
from twin.birth import series_of
from twin.historian.embedded import Embedded
from twin.kpi.line import line_kpis
from twin.kpi.log import read_log
from twin.kpi.measure import kpis
from twin.run import StateRun, state_runs

TICK_MS = 2_000
COMMIT_TICKS = 5
CYCLE_MS = 60_000
AFTER_MS = 180_000
"""So long nothing more is read: what was heard becomes final."""
QUARTER_MS = 900_000
FIRST_LOOK_MS = 60_000
AWAY_MS = (0, 1_500, 1_500, 20_000, 60_000, 600_000)
ROOMS = ("edge", "twin", "analytics")
MORE = ("power", "energy")


class Files:
    """The embedded historian, with the plant's signals in their order."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self._folder = folder
        settings = Embedded(timezone=str(plant.timezone))
        self._settings = settings
        self._writer = settings.writer(folder)
        known = {s.path: s for s in series_of(plant)}
        self._writer.declare([known.get(s.path, Series(s.path)) for s in plant.signals])

    def write(self, samples: SampleBatch, events: Sequence[Event], now: int) -> None:
        """One commit."""
        self._writer.write(Commit(samples, events=events), now)

    def reader(self) -> HistorianReader:
        """Opened anew."""
        return self._settings.reader(self._folder)

    def close(self) -> None:
        """Release the files."""
        self._writer.close()


class RestartedLine(SampledLine):
    """A sampled line whose edge can be away and begins anew."""

    def __init__(self, plant: Plant, seed: int, hours: float) -> None:
        super().__init__(plant, START_MS, seed, trouble(seed, hours), MORE)
        self._saved: dict[str, Mapping[str, float]] = {}
        self._since: dict[int, tuple[int, float]] = {}
        self._back_at = 0

    def lose(self, away_ms: int) -> None:
        """The process ends; the next one reads after ``away_ms``."""
        self._back_at = max(self._back_at, self._clock.now() + max(away_ms, 1))

    @property
    def away(self) -> bool:
        """Whether nobody reads."""
        return self._back_at > 0

    def _chunk(self, until_ms: int) -> SampleBatch:
        begin = self._clock.now()
        read = self._read(until_ms)
        if not self._back_at:
            return self._publish(read, until_ms)
        read = read.take(read.source_time >= self._back_at)
        if self._back_at > until_ms:
            return SampleBatch.empty()
        began, self._back_at = max(begin, self._back_at), 0
        self._filter, self._stage = Filter(self.signals), Stage(self.signals, self._saved)
        held = [(point, at, value) for point, (at, value) in self._since.items()]
        again = [(point, began, value) for point, _, value in held]  # as ``edge.push`` does
        first = _batch(held + again)
        return self._publish(SampleBatch.concat([first, read]), until_ms)

    def _publish(self, read: SampleBatch, until_ms: int) -> SampleBatch:
        batch = super()._publish(read, until_ms)
        self._saved |= self._stage.saved(batch.signal)
        return batch

    def _read(self, until_ms: int) -> SampleBatch:
        read = super()._read(until_ms)
        for point in self.pushed:
            mine = read.signal == point
            rows = zip(read.source_time[mine].tolist(), read.value[mine].tolist(), strict=True)
            for at, value in rows:
                if self._since.get(point, (0, np.nan))[1] != value:
                    self._since[point] = (at, value)
        return read


def _batch(rows: Sequence[tuple[int, int, float]]) -> SampleBatch:
    return SampleBatch.of(*zip(*rows, strict=True)) if rows else SampleBatch.empty()


class KillableAnalytics:
    """A process of analytics; what it publishes waits in the twin's historian like any row."""

    def __init__(self, plant: Plant, disk: Disk, saved: dict[str, Mapping[str, float]]) -> None:
        self._plant, self._disk, self._saved = plant, disk, saved
        self._course = Course(plant, saved)
        index = {s.path: at for at, s in enumerate(plant.signals)}
        self._own = np.array([index[s.path] for s in self._course.published], np.int32)

    def work(self, now: int) -> None:
        """One cycle."""
        course, reader = self._course, self._disk.store.reader()
        try:
            bound = complete(reader, self._plant, ManualClock(now))
            if bound <= 0:
                return
            if not course.until:
                course.begin(START_MS - FIRST_LOOK_MS)
            course.received = course.received or START_MS
            course.look_for_late(reader)
            if course.resumed:
                course.warm(reader)
            while course.next() <= bound:
                found, _ = course.catch_up(reader, bound, 2_000)
                if len(found):
                    told = SampleBatch.of(
                        self._own[found.signal], found.source_time, found.value, found.status
                    )
                    self._disk.store.write(told, (), now)
                self._saved.clear()
                self._saved.update(course.saved())
        finally:
            reader.close()


@dataclass(slots=True)
class Kill:
    """Of a room at a time (ms UTC); a stop lets it finish what it does."""

    at: int
    room: str
    away_ms: int
    stop: bool


@dataclass(slots=True)
class Heard:
    """What came over the bus at ``at``."""

    at: int
    samples: SampleBatch
    events: Sequence[Event] = ()


@dataclass(slots=True)
class Day:
    """A historian, and what runs on it."""

    plant: Plant
    store: Files
    disk: Disk = field(init=False)
    saved: dict[str, Mapping[str, float]] = field(default_factory=dict)
    twin: KillableTwin | None = None
    analytics: KillableAnalytics | None = None

    def __post_init__(self) -> None:
        self.disk = Disk(self.store)
        self.start("twin", START_MS)
        self.start("analytics", START_MS)

    def start(self, room: str, now: int) -> None:
        """Begin a process."""
        if room == "twin":
            for waiting in self.disk.rows:
                waiting.live = False
            self.twin = KillableTwin(self.plant, self.disk, now)
        elif room == "analytics":
            self.analytics = KillableAnalytics(self.plant, self.disk, self.saved)

    def end(self, room: str, *, stop: bool) -> None:
        """Kill or stop a process."""
        if room == "twin":
            if stop and self.twin is not None:
                self.twin.work()
            self.twin = None
        elif room == "analytics":
            self.analytics = None

    def hear(self, heard: Heard) -> None:
        """A message on the bus."""
        if heard.events:
            self.disk.own.append(Waiting(TWIN, SampleBatch.empty(), heard.events, live=False))
        if len(heard.samples):
            live = self.twin is not None
            self.disk.rows.append(Waiting("edge1", heard.samples, (), live))

    def tick(self, now: int, *, up: bool, chance: Random | None) -> None:
        """It is ``now``."""
        if self.twin is not None:
            self.twin.hear()
            self.twin.tick(now, up=up)
            if now // TICK_MS % COMMIT_TICKS == 0:
                self.twin.work(chance)
        if self.analytics is not None and now % CYCLE_MS < TICK_MS:
            self.analytics.work(now)


def disturbed(plant: Plant, day: Day, given: argparse.Namespace) -> list[Heard]:
    """The day with its kills; what came over the bus."""
    chance = Random(f"bench restart/{given.seed}")
    end = START_MS + int(given.hours * 3_600_000)
    kills = _kills(chance, given.kills, end)
    line = RestartedLine(plant, given.seed, given.hours)
    index = {s.path: at for at, s in enumerate(plant.signals)}
    place = np.array([index[s.path] for s in line.signals], np.int32)
    public = np.array([not s.hidden for s in line.signals])
    edge = [s.path for a in plant.assets.values() if a.edge for s in a.signals if not s.hidden]
    log: list[Heard] = []
    back: list[tuple[int, str]] = []
    for now, rows in _paced(line, public, end):
        while kills and kills[0].at <= now:
            kill = kills.pop(0)
            if kill.room == "edge":
                line.lose(kill.away_ms)
                if day.twin is not None:
                    day.twin.mark(edge, StatusCode.BadNoCommunication)
            elif (day.twin if kill.room == "twin" else day.analytics) is not None:
                day.end(kill.room, stop=kill.stop)
                back.append((now + kill.away_ms, kill.room))
        for at, room in [b for b in back if b[0] <= now]:
            back.remove((at, room))
            day.start(room, now)
        heard = [Heard(now, SampleBatch.empty(), e) for e in _said(chance, plant, now)]
        if len(rows):
            columns = (place[rows.signal], rows.source_time, rows.value, rows.status)
            heard.append(Heard(now, SampleBatch.of(*columns)))
        for one in heard:
            day.hear(one)
        log += heard
        day.tick(now, up=not line.away, chance=chance)
    for _, room in back:
        day.start(room, end)
    return log


def undisturbed(day: Day, log: Sequence[Heard], end: int) -> None:
    """The same rows, and nobody is killed."""
    at = 0
    for now in range(START_MS + TICK_MS, end + TICK_MS, TICK_MS):
        while at < len(log) and log[at].at <= now:
            day.hear(log[at])
            at += 1
        day.tick(now, up=True, chance=None)


def finish(day: Day, now: int) -> None:
    """Nothing more comes: what was heard becomes final and is stored."""
    for at in range(now + TICK_MS, now + AFTER_MS, TICK_MS):
        day.tick(at, up=True, chance=None)
    if day.twin is not None:
        for _ in range(3):
            day.twin.work()
    if day.analytics is not None:
        day.analytics.work(now + AFTER_MS)


def _paced(line: RestartedLine, public: np.ndarray, end: int) -> Iterator[tuple[int, SampleBatch]]:
    """Ticks, each with the rows that came by then."""
    waiting = SampleBatch.empty()
    now = START_MS
    for chunk in line.run(end):
        rows = chunk.take(public[chunk.signal])
        waiting = SampleBatch.concat([waiting, rows])
        waiting = waiting.take(np.argsort(waiting.source_time, kind="stable"))
        until = now + 10_000
        while now < until:
            now += TICK_MS
            cut = int(np.searchsorted(waiting.source_time, now - ROAD_MS, "right"))
            yield now, waiting.take(np.arange(cut))
            waiting = waiting.take(np.arange(cut, len(waiting)))


def _kills(chance: Random, count: int, end: int) -> list[Kill]:
    kills = [
        Kill(
            chance.randrange(START_MS + 60_000, end - 60_000),
            ROOMS[number % len(ROOMS)],
            chance.choice(AWAY_MS),
            chance.random() < 0.3,
        )
        for number in range(count)
    ]
    return sorted(kills, key=lambda k: k.at)


def _said(chance: Random, plant: Plant, now: int) -> Iterator[list[Event]]:
    """Now and then somebody says what a machine was used for."""
    if chance.random() < TICK_MS / 10_800_000:
        asset = chance.choice([s.asset for line in plant.lines.values() for s in line.flow])
        start = now - chance.randrange(60_000, 3_600_000)
        data = {"start": start, "end": start + chance.randrange(60_000, 3_600_000),
                "mode": chance.choice(("setup", "maintenance", "")), "person": "p",
                "said": now}  # fmt: skip
        yield [Event(start, asset, "mode", data)]


# ---------------------------------------------------------------------------------- comparison


def states_differ_ms(plant: Plant, readers: Sequence[HistorianReader], end: int) -> dict[str, int]:
    """Asset -> ms in which the two say something else."""
    found = {}
    for asset in plant.assets.values():
        if asset.signal("state") is None:
            continue
        one, other = (list(state_runs(r, asset.id, START_MS, end)) for r in readers)
        edges = sorted({*(r.start for r in one + other), end})
        differ = 0
        for start, until in pairwise(edges):
            if _at(one, start) != _at(other, start):
                differ += until - start
        found[asset.id] = differ
    return found


def _at(runs: Sequence[StateRun], time_ms: int) -> tuple[int | None, int, int]:
    run = next(r for r in runs if r.start <= time_ms < r.end)
    return (run.state, run.waiting, run.mode) if run.state is not None else (None, 0, 0)


def energy_differ(plant: Plant, readers: Sequence[HistorianReader], end: int) -> list[str]:
    """Figures that are not equal, with their time."""
    paths = [
        s.path
        for s in Course(plant, {}).published
        if s.kind is SignalKind.COUNTER or s.id == "energy_per_part_kwh"
    ]
    found = []
    for at in [*range(START_MS + QUARTER_MS, end, QUARTER_MS), end]:
        one, other = (r.as_of(paths, at) for r in readers)
        values = [dict(zip(r.signal.tolist(), r.value.tolist(), strict=True)) for r in (one, other)]
        for place in sorted({*values[0], *values[1]}):
            a, b = values[0].get(place, np.nan), values[1].get(place, np.nan)
            if not (abs(a - b) <= 1e-9 or (np.isnan(a) and np.isnan(b))):
                found.append(f"{paths[place]} at {(at - START_MS) / 3_600_000:.2f} h: {a} {b}")
    return found


def oee_differ(plant: Plant, readers: Sequence[HistorianReader], end: int) -> list[str]:
    """Rows of figures that are not equal."""
    found = []
    for line in plant.lines.values():
        rows = [line_kpis(r, plant, line.id, START_MS, end, by="shift") for r in readers]
        found += [line.id] if rows[0] != rows[1] else []
        for station in line.flow:
            one, other = (
                kpis(read_log(r, plant, station.asset, START_MS, end), "shift") for r in readers
            )
            found += [f"{station.asset} {a.key}" for a, b in zip(one, other, strict=True) if a != b]
    return found


def run(plant: Plant, given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Both days and what differs."""
    end = START_MS + int(given.hours * 3_600_000)
    first = Day(plant, Files(plant, folder / "restarted"))
    log = disturbed(plant, first, given)
    finish(first, end)
    print(f"{len(log)} messages, {first.disk.starts} twins", file=sys.stderr)
    second = Day(plant, Files(plant, folder / "undisturbed"))
    undisturbed(second, log, end)
    finish(second, end)
    readers = [day.store.reader() for day in (first, second)]
    final = f"{TWIN}/final_up_to"
    upto = [int(r.as_of([final], end + AFTER_MS).value[0]) for r in readers]
    stop = min(end, *upto)
    states = states_differ_ms(plant, readers, stop)
    energy = energy_differ(plant, readers, stop - 60_000)
    oee = oee_differ(plant, readers, stop)
    for line in [*energy[:20], *oee[:20]]:
        print(line, file=sys.stderr)
    for reader in readers:
        reader.close()
    for day in (first, second):
        day.store.close()
    return {
        "states_differ_ms": sum(states.values()),
        "states_differ_ms_by_asset": states,
        "energy_differ": len(energy),
        "oee_differ": len(oee),
        "rows": sum(len(h.samples) for h in log),
        "statements": sum(len(h.events) for h in log),
        "twin_starts": first.disk.starts,
        "final_h": round((stop - START_MS) / 3_600_000, 3),
    }


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="bench restart", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of the day")
    parser.add_argument("--kills", type=int, default=40, help="and stops")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    secrets = {"KAIKOU_OPCUA_PASSWORD": "-", "KAIKOU_MILL_PASSWORD": "-"}
    plant = load(DEMO, kinds(), {**os.environ, **secrets})
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kaikou-restart-") as place:
        figures = run(plant, given, Path(place))
    figures |= {"hours": given.hours, "kills": given.kills, "seed": given.seed}
    figures["minutes"] = round((time.monotonic() - begun) / 60, 2)
    print(json.dumps({"bench": "restart", **figures, "machine": machine()}))
    return 0
