"""A historian in memory, logs of a small line, and twins run on them with and without kills."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from bench.restarted import Disk, KillableTwin, Waiting
from plant.flow.port import Changes, Series
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from twin.run import state_runs
from twin.timeline import alike

START = 1_795_000_000_000
STEP = 2_000


class Memory:
    """Enough of a historian: the newest row of each signal and source time."""

    def __init__(self, paths):
        self._paths = paths
        self._rows = defaultdict(dict)
        self._events: list[Event] = []
        self._known = []

    def write(self, samples, events, now):
        columns = (samples.signal, samples.source_time, samples.value, samples.status)
        received = max(now, self._known[-1][4] + 1 if self._known else 0)
        for signal, time, value, status in zip(*(c.tolist() for c in columns), strict=True):
            rows = self._rows[self._paths[signal]]
            if time not in rows or not alike(rows[time], (value, status)):
                rows[time] = (value, status)
                self._known.append((signal, time, value, status, received))
        self._events += events

    def changes(self, after, rows=100_000):
        found = [row for row in self._known if row[4] > after]
        samples = SampleBatch.of(*zip(*found, strict=True)) if found else SampleBatch.empty()
        upto = found[-1][4] if found else after
        return Changes(self.series(), samples, upto=upto, last=True)

    def reader(self):
        return self

    def read(self, paths, start, end, known_at=None):
        found = [
            (at, time, *row)
            for at, path in enumerate(paths)
            for time, row in sorted(self._rows[path].items())
            if start <= time < end
        ]
        return SampleBatch.of(*zip(*found, strict=True)) if found else SampleBatch.empty()

    def as_of(self, paths, at, known_at=None):
        found = []
        for place, path in enumerate(paths):
            times = [t for t in self._rows[path] if t <= at]
            if times:
                found.append((place, max(times), *self._rows[path][max(times)]))
        return SampleBatch.of(*zip(*found, strict=True)) if found else SampleBatch.empty()

    def events(self, start, end, known_at=None):
        return [e for e in self._events if start <= e.time < end]

    def series(self):
        return [Series(path, hold_ms=180_000) for path in self._paths]


@dataclass(frozen=True)
class Said:
    """At ``at`` the edge's message arrives; rows of (path, source time, value, status)."""

    at: int
    rows: Sequence[tuple[str, int, float, int]] = ()
    live: bool = True
    dead: bool = False
    event: Event | None = None


def played(plant, log, end, kills=(), chance=None):
    """What a twin has stored of a log; ``kills``: (when, how long it is away), ms."""
    paths = [s.path for s in plant.signals]
    index = {path: at for at, path in enumerate(paths)}
    disk = Disk(Memory(paths))
    queue, kills = sorted(log, key=lambda s: s.at), sorted(kills)
    twin = KillableTwin(plant, disk, START)
    for now in range(START + STEP, max(end, queue[-1].at) + 120_000, STEP):
        while kills and kills[0][0] <= now and twin is not None:
            twin, away = None, now + kills.pop(0)[1]
        if twin is None and now >= min(away, end):
            for waiting in disk.rows:
                waiting.live = False
            twin = KillableTwin(plant, disk, now)
        while queue and queue[0].at <= now:
            said = queue.pop(0)
            if said.dead and twin is not None:
                twin.mark([p for p in paths if p.startswith(("saw/", "gauge/"))],
                          StatusCode.BadNoCommunication)  # fmt: skip
            rows = [(index[p], t, v, s) for p, t, v, s in said.rows]
            batch = SampleBatch.of(*zip(*rows, strict=True)) if rows else SampleBatch.empty()
            events = () if said.event is None else (said.event,)
            if rows or events:
                live = said.live and twin is not None
                disk.rows.append(Waiting("edge1", batch, events, live))
        if twin is not None:
            twin.tick(now)
            twin.work(chance if now < end else None)
    for _ in range(3):
        twin.work()
    return disk.store


def states(store, end, assets=("saw", "gauge", "hall")):
    """What is known of each machine and the line, to the millisecond."""
    found = {}
    for asset in assets:
        steps = [
            (r.start - START, r.state, r.waiting if r.state else 0, r.mode)
            for r in state_runs(store, asset, START, end)
        ]
        found[asset] = [step for before, step in pairwise([(), *steps]) if before[1:] != step[1:]]
    return found


def told_until(log):
    """Up to when rows came: what is said of later times is not final."""
    return max(time for said in log for _, time, _, _ in said.rows)


def differ(one, other, end):
    """Where two stores do not say the same."""
    first, second = states(one, end), states(other, end)
    return {
        asset: (
            sorted({*first[asset]} - {*second[asset]}),
            sorted({*second[asset]} - {*first[asset]}),
        )
        for asset in first
        if first[asset] != second[asset]
    }


def random_log(seed, minutes):
    """Machines that work and stand, count and repeat; rows come late, an edge is restarted."""
    chance = Random(seed)
    end = START + minutes * 60_000
    value = {"saw/activity": 1, "saw/light": 0, "gauge/activity": 1, "gauge/light": 0}
    value |= dict.fromkeys(("saw/part_count", "gauge/good_count", "gauge/reject_count"), 10)
    since = dict.fromkeys(value, START)
    log = [Said(START + 500, [(p, START + 400, float(v), 0) for p, v in value.items()])]
    now, repeat = START, START
    while now < end:
        now += round(chance.expovariate(1 / 9_000)) + 1
        path = chance.choice(list(value))
        if path.endswith("count"):
            value[path] += 1
        else:
            value[path] = chance.choice((0, 1, 2, 2) if "activity" in path else (0, 0, 3))
        bad = chance.random() < 0.03
        since[path] = now + bad  # a value again under a Bad row's time would correct it
        row = (path, now, float("nan") if bad else float(value[path]),
               int(StatusCode.BadNoCommunication) if bad else 0)  # fmt: skip
        late = chance.random()
        if late < 0.85:
            log.append(Said(now + chance.randrange(200, 900), [row]))
        else:  # behind others by seconds, or by minutes
            log.append(Said(now + chance.randrange(1_000, 300_000), [row], live=late < 0.92))
        if now - repeat > 60_000 and chance.random() < 0.8:
            repeat = now
            rows = [(p, now + 1, float(v), 0) for p, v in value.items()]
            log.append(Said(now + 600, rows))
        if chance.random() < 0.02:  # the edge is restarted: what holds comes with its old time
            away = chance.choice((1_500, 30_000, 400_000))
            log.append(Said(now, dead=True))
            now += away
            rows = [(p, since[p], float(v), 0) for p, v in value.items()]
            log.append(Said(now + 700, rows))
            if chance.random() < 0.5:
                log.append(Said(now + 800, [(p, now, float(v), 0) for p, v in value.items()]))
    end = max(now, end) + 1_000
    log.append(Said(end, [(p, end - 400, float(v), 0) for p, v in value.items()]))
    return log, end
