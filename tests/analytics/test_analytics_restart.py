"""Energy follows from the stored rows alone: late rows, other steps and restarts change nothing."""

import os
from random import Random

import numpy as np
import pytest

from analytics.course import LATE_MS, Course
from bench.states import DEMO
from deploy.kinds import kinds
from plant.flow.sample import SampleBatch
from plant.model.load import load
from tests.twin.restart_support import START, Memory

MINUTE = 60_000


def demo():
    secrets = {"KAIKOU_OPCUA_PASSWORD": "-", "KAIKOU_MILL_PASSWORD": "-"}
    return load(DEMO, kinds(), {**os.environ, **secrets})


PLANT = demo()
PATHS = [s.path for s in PLANT.signals]


class Analytics:
    """A process of it, without a bus; what it told is stored at once."""

    def __init__(self, store, saved):
        self.store, self.saved = store, saved
        self.course = Course(PLANT, saved)
        self.mine = np.array([PATHS.index(s.path) for s in self.course.published], np.int32)

    def work(self, bound, now):
        course = self.course
        if not course.until:
            course.begin(START)
        course.received = course.received or 1
        course.look_for_late(self.store)
        if course.resumed:
            course.warm(self.store)
        while course.next() <= bound:
            found, _ = course.catch_up(self.store, bound, 500)
            told = SampleBatch.of(
                self.mine[found.signal], found.source_time, found.value, found.status
            )
            self.store.write(told, (), now)
            self.saved.clear()
            self.saved.update(course.saved())


def rows_of(seed, minutes):
    """(arrival, row): registers that count, powers, states; some come minutes late."""
    chance = Random(seed)
    found = []
    for asset in ("mill", "washer", "press", "saw", "compressor", "incomer"):
        level = chance.uniform(0, 1000)
        known = PLANT.assets[asset]
        signals = [s for s in known.signals if s.id in {"energy", "power", "state", "part_count"}]
        for signal in signals:
            now, parts = START, 100
            while (now := now + round(chance.expovariate(1 / 20_000)) + 500) < (
                START + minutes * MINUTE
            ):
                level += chance.uniform(0, 0.2)
                parts += 1
                value = {
                    "energy": level if chance.random() < 0.98 else 0.0,
                    "power": chance.uniform(0, 12),
                    "state": float(chance.choice((2, 4, 5, 6, 6, 11))),
                    "part_count": float(parts),
                }[signal.id]
                late = 0 if chance.random() < 0.97 else chance.randrange(20 * MINUTE)
                found.append((now + 700 + late, (PATHS.index(signal.path), now, value, 0)))
    return sorted(found)


def told(store, end):
    """Everything of analytics' as it holds at each step of the grid: newest rows."""
    paths = [s.path for s in Course(PLANT, {}).published if not s.id.startswith("health")]
    grid = range(START + 15_000, end, 15_000)
    out = {}
    for path in paths:
        rows = store.read([path], START, end)
        place = np.searchsorted(rows.source_time, list(grid), "right") - 1
        known = place >= 0
        out[path] = [
            (round(float(v), 9), int(s))
            for v, s in zip(
                np.nan_to_num(rows.value[place[known]], nan=-1.0),
                rows.status[place[known]],
                strict=True,
            )
        ]
    return out


def played(rows, minutes, restarts, steps):
    store, saved = Memory(PATHS), {}
    process, rows = Analytics(store, saved), list(rows)
    for now in range(START, START + (minutes + 25) * MINUTE, steps):
        due = [row for at, row in rows if at <= now]
        rows = [r for r in rows if r[0] > now]
        if due:
            store.write(SampleBatch.of(*zip(*due, strict=True)), (), now)
        if restarts and restarts[0] <= now:
            restarts = [t for t in restarts if t > now]
            process = Analytics(store, saved)
        process.work(now - 5_000, now)
    return store


@pytest.mark.parametrize("seed", [1, 2])
def test_energy_is_that_of_an_undisturbed_run(seed):
    chance, minutes = Random(seed), 12
    rows = rows_of(seed, minutes)
    restarts = sorted(START + chance.randrange(minutes * MINUTE) for _ in range(3))
    killed = played(rows, minutes, restarts, 23_000)
    in_order = sorted((row[1] + 700, row) for _, row in rows)
    whole = played(in_order, minutes, [], (minutes + 20) * MINUTE)
    end = START + minutes * MINUTE
    first, second = told(killed, end), told(whole, end)
    assert {p: v for p, v in first.items() if v != second[p]} == {}
    assert any(len(set(v)) > 10 for v in first.values())


def test_a_row_that_comes_hours_late_changes_no_figure():
    course = Course(PLANT, {})
    course.begin(START)
    for at in range(1, 60):
        course.advance(SampleBatch.empty(), START + at * LATE_MS // 30)
    course.go_back(START + 1)
    assert course.too_late == 1
    assert not course.resumed


def test_what_an_earlier_version_saved_is_gone_on_from():
    saved = {
        "consumption/mill": {
            "producing": 3.0, "parts": 7.0, "until": START - 1.0, "register_time": START - 9_000.0,
            "register_value": 41.0,
        },
        "progress": {"until": float(START)},
    }  # fmt: skip
    course = Course(PLANT, saved)
    assert (course.until, course.done, course.resumed) == (START, START, True)
    mill = next(e for e in course.estimators if e.name == "consumption/mill")
    assert mill.saved()["producing"] == 3.0
    assert mill.since == START - 9_000
    unassigned = next(e for e in course.estimators if e.name.startswith("unassigned"))
    unassigned.restore({"time": START - 5.0, "value": 11.0, "taken": 2.0})
    assert unassigned.saved()["register_value"] == pytest.approx(11.0)
