"""Raw logs as plain data, and the plants and readers that show them to the twin's code."""

import random
from datetime import date
from zoneinfo import ZoneInfo

from plant.flow.port import Commit, Series
from plant.flow.sample import Event, SampleBatch
from plant.model.calendar import Calendar, ShiftTime
from plant.model.plant import Asset, Broker, Gateway, Line, Plant, Station
from plant.model.reason import Product, Reason, ReasonKind
from plant.model.signal import Label, Signal, SignalKind

NAME = Label("名", "name")
KINDS = {
    "jam": "minor", "fault": "malfunction", "set": "setup", "plan": "planned",
    "wait": "material", "nobody": "organisation", "repair": "maintenance",
}  # fmt: skip
SETS = {
    ("part_count",): [("part_count", 1, 1)],
    ("good_count", "reject_count"): [("good_count", 1, 1), ("reject_count", 1, 0)],
    ("part_count", "reject_count"): [("part_count", 1, 1), ("reject_count", 0, -1)],
    ("part_count", "good_count"): [("part_count", 1, 0), ("good_count", 0, 1)],
}
GOOD, UNCERTAIN, BAD = 0, 0x40000000, 0x80310000


def kpi_plant(log, more=()):
    """A plant with one machine in a line, and the calendar, products and reasons of a raw log."""
    asset, line = log["asset"], log["line"]

    def machine(id, signals, cycle_s):
        made = tuple(
            Signal(
                f"{id}/{s}", id, s, NAME,
                SignalKind.COUNTER if s.endswith("count") else SignalKind.STATE,
                modulus=log["modulus"].get(f"{id}/{s}"),
            )
            for s in signals
        )  # fmt: skip
        return Asset(id, "machine", NAME, "machine", "edge1", line, made, cycle_s=cycle_s)

    states = ("state", "waiting", "mode")
    own = (*states, *(c[0] for c in log["counters"]))
    machines = [machine(asset, own, log["cycle"][""] and log["cycle"][""] / 1000), *more]
    flow = tuple(Station(m.id, 2) for m in machines)
    calendar = log["calendar"] and Calendar(
        shifts=tuple(
            ShiftTime(s["id"], NAME, s["start"], s["end"], tuple(map(tuple, s["breaks"])))
            for s in log["calendar"]["shifts"]
        ),
        weekdays=frozenset(log["calendar"]["weekdays"]),
        closed=frozenset(map(date.fromisoformat, log["calendar"]["closed"])),
    )
    return Plant(
        enterprise="acme", site="works", name=NAME, timezone=ZoneInfo(log["zone"]),
        host_id="kaikou", broker=Broker(), historian=None, gateway=Gateway(),
        lines={line: Line(line, NAME, flow, log.get("constraint"))}, edges={},
        assets={m.id: m for m in machines}, simulated=True, hash="0", calendar=calendar or None,
        products={
            p: Product(p, NAME, {asset: ms / 1000}) for p, ms in log["cycle"].items() if p
        },
        reasons={c: Reason(c, NAME, ReasonKind(k)) for c, k in log["kinds"].items()},
    )  # fmt: skip


class MemoryReader:
    """The part of ``HistorianReader`` that KPIs ask for, over a raw log."""

    def __init__(self, log):
        self.log = log

    def series(self):
        return [
            Series(p, SignalKind.STATE, hold_ms=self.log["hold"].get(p, 0))
            for p in self.log["rows"]
        ]

    def _rows(self, path, first, last, known_at):
        newest = {}
        for time, value, status, received in self.log["rows"].get(path, []):
            known = known_at is None or received <= known_at
            if known and first <= time <= last and received > newest.get(time, (0, 0, 0))[2]:
                newest[time] = (value, status, received)
        return [(t, v, s, r) for t, (v, s, r) in sorted(newest.items())]

    def _batch(self, found):
        rows = [(i, *row) for i, rows in enumerate(found) for row in rows]
        return SampleBatch.of(*zip(*rows, strict=True)) if rows else SampleBatch.empty()

    def read(self, paths, start, end, known_at=None):
        return self._batch([self._rows(p, start, end - 1, known_at) for p in paths])

    def as_of(self, paths, at, known_at=None):
        return self._batch([self._rows(p, -(1 << 60), at, known_at)[-1:] for p in paths])

    def events(self, start, end, known_at=None):
        found = [
            Event(time, asset, kind, data)
            for received, time, asset, kind, data in self.log["events"]
            if start <= time < end and (known_at is None or received <= known_at)
        ]
        return sorted(found, key=lambda e: e.time)


def store(log, writer):
    """Put a raw log into a historian, commit by commit, each at its time of knowing."""
    paths = list(log["rows"])
    writer.declare(
        [
            Series(
                p,
                SignalKind.COUNTER if p.endswith("count") else SignalKind.STATE,
                modulus=log["modulus"].get(p),
                hold_ms=log["hold"].get(p, 0),
            )
            for p in paths
        ]
    )
    commits = {}
    for i, path in enumerate(paths):
        for time, value, status, received in log["rows"][path]:
            commits.setdefault(received, ([], []))[0].append((i, time, value, status))
    for received, time, asset, kind, data in log["events"]:
        commits.setdefault(received, ([], []))[1].append(Event(time, asset, kind, data))
    for received, (rows, events) in sorted(commits.items()):
        batch = SampleBatch.of(*zip(*rows, strict=True)) if rows else SampleBatch.empty()
        assert writer.write(Commit(batch, events=events), received) == received


def random_log(seed):
    """Gaps, late rows, corrections, resets, states over shift ends, reasons said and said again."""
    r = random.Random(seed)
    zone = r.choice(["Asia/Shanghai", "Europe/Berlin", "UTC"])
    base = r.choice([1_774_740_000_000, 1_792_900_000_000, 1_795_000_000_000])  # clocks change
    start = base + r.randrange(86_400_000)
    end = start + r.randrange(3_600_000, 20 * 3_600_000)
    counters = r.choice(list(SETS))
    log = {
        "asset": "lathe", "line": "main", "zone": zone, "start": start, "end": end,
        "calendar": _calendar(r), "kinds": KINDS, "counters": SETS[counters],
        "cycle": {"": 50_000, "a": 65_000, "b": r.randrange(20_000, 90_000)},
        "rows": {}, "hold": {}, "modulus": {}, "events": [], "known_at": None,
    }  # fmt: skip
    received = _Clock(r, start)
    whole = r.random() < 0.6  # few gaps, so that there are figures
    for name, values in (
        ("state", (*[6] * 8, *[5] * 4, 2, 4, 9, 11, 11, 0, 3, 16, 15)),
        ("waiting", (0, 1, 2)),
        ("mode", (*[1] * 6, 0, 2, 3, 4)),
    ):
        log["hold"][f"lathe/{name}"] = r.choice([0, 60_000, 1_800_000, 7_200_000])
        if whole:
            log["hold"][f"lathe/{name}"] = 14_400_000
        _states(r, log, f"lathe/{name}", values, received, bad=0.002 if whole else 0.05)
    for name in counters:
        log["modulus"][f"lathe/{name}"] = r.choice([None, 128.0])
        log["hold"][f"lathe/{name}"] = 14_400_000 if whole else r.choice([0, 3_600_000])
        _counter(r, log, f"lathe/{name}", received, bad=0.01 if whole else 0.05)
    _statements(r, log, received)
    if r.random() < 0.4:
        log["known_at"] = r.randrange(start, received.last + 1)
    return log


class _Clock:
    """Times of knowing: each only once, mostly soon, sometimes hours late."""

    def __init__(self, r, start):
        self.r, self.used, self.last = r, set(), start

    def after(self, time):
        late = self.r.randrange(1, 900) if self.r.random() < 0.9 else self.r.randrange(20_000_000)
        received = time + late
        while received in self.used:
            received += 1
        self.used.add(received)
        self.last = max(self.last, received)
        return received


def _calendar(r):
    if r.random() < 0.2:
        return None
    plans = {
        "three": [(360, 840), (840, 1320), (1320, 1800)],
        "two": [(480, 1200), (1200, 1920)],
        "one": [(510, 1050)],
    }[r.choice(["three", "three", "two", "one"])]
    shifts = []
    for n, (start, end) in enumerate(plans):
        breaks, at = [], start
        while r.random() < 0.6 and at < end - 120:
            at += r.randrange(0, 120)
            breaks.append((at, at + r.choice([5, 20, 45])))
            at = breaks[-1][1] + 1
        breaks = [b for b in breaks if b[1] <= end]
        shifts.append({"id": f"s{n}", "start": start, "end": end, "breaks": breaks})
    weekdays = r.choice([list(range(7)), list(range(5)), [0, 2, 4, 6]])
    closed = r.choice([[], ["2026-03-29"], ["2026-11-18", "2026-10-25"]])
    return {"shifts": shifts, "weekdays": weekdays, "closed": closed}


def _states(r, log, path, values, received, bad):
    rows = log["rows"].setdefault(path, [])
    at = log["start"] - r.randrange(3_600_000)
    while at < log["end"] + 600_000:
        value, status = float(r.choice(values)), r.choice([GOOD] * 9 + [UNCERTAIN])
        if r.random() < bad:
            value, status = float("nan"), BAD
        first = received.after(at)
        rows.append((at, value, status, first))
        while r.random() < 0.05:  # corrected, and perhaps once more
            first = received.after(first)
            rows.append((at, float(r.choice(values)), GOOD, first))
        at += max(1, int(r.expovariate(1 / r.choice([20_000, 200_000, 2_000_000]))))


def _counter(r, log, path, received, bad):
    rows = log["rows"].setdefault(path, [])
    modulus = log["modulus"][path]
    value, at = float(r.randrange(100)), log["start"] - r.randrange(600_000)
    while at < log["end"] + 60_000:
        kind = r.random()
        if r.random() < 0.1:  # on the stroke of the hour, where shifts change
            at = (at + 3_599_999) // 3_600_000 * 3_600_000
        if kind < bad:
            rows.append((at, float("nan"), BAD, received.after(at)))
        else:
            value = 0.0 if kind < bad + 0.03 else value + r.choice([0, 1, 1, 1, 2, 7])
            value = value % modulus if modulus else value
            first = received.after(at)
            rows.append((at, value, GOOD, first))
            if r.random() < 0.03:
                value += 1.0
                rows.append((at, value, UNCERTAIN, received.after(first)))
        at += max(1, int(r.expovariate(1 / r.choice([60_000, 900_000]))))


def _statements(r, log, received):
    span = (log["start"] - 3_600_000, log["end"] + 600_000)
    said = log["start"]
    for _ in range(r.randrange(12)):
        begin = r.randrange(*span) - r.choice([0, 0, 0, 20 * 86_400_000, 40 * 86_400_000])
        if r.random() < 0.5:  # on the very millisecond of a row
            begin = r.choice(log["rows"][r.choice(list(log["rows"]))])[0]
        end = begin + r.randrange(1000, 7_200_000)
        kind = r.choice(["reason"] * 5 + ["mode", "product", "product"])
        said += r.randrange(1, 3_600_000)
        data = {"start": begin, "person": "p", "said": said}
        asset = "lathe"
        if kind == "reason":
            code = r.choice([*KINDS, *KINDS, ""])
            data |= {"end": r.choice([end, end, None]), "code": code, "note": ""}
        elif kind == "mode":
            data |= {"end": r.choice([end, None]), "mode": r.choice(["setup", "production", ""])}
        else:
            data |= {"product": r.choice(["a", "b", "", "a"])}
            asset = r.choice(["lathe", "main"])
        log["events"].append((received.after(said), begin, asset, kind, data))
