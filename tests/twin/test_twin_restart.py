"""The final states of a line follow from the stored rows alone, whatever was restarted."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twin.derive
import twin.final
from bench.restarted import Disk, KillableTwin, Waiting
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.model.packml import PackML
from plant.model.plant import Broker
from tests.twin.conftest import a_plant
from tests.twin.restart_support import (
    START,
    STEP,
    Memory,
    Said,
    differ,
    played,
    random_log,
    states,
    told_until,
)
from twin.final import Final, Snapshot
from twin.fold import folds
from twin.resume import FILE, Resume

SECOND, MINUTE = 1_000, 60_000


@pytest.fixture
def plant():
    return a_plant(Broker())


def kills_of(chance, count, end):
    away = (0, 1_500, 60_000, 400_000)
    return [(chance.randrange(START, end), chance.choice(away)) for _ in range(count)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), kills=st.integers(1, 4))
def test_final_states_are_those_of_an_undisturbed_run(seed, kills):
    plant, chance = a_plant(Broker()), Random(seed)
    log, end = random_log(seed, 25)
    killed = played(plant, log, end, kills_of(chance, kills, end), chance)
    assert differ(killed, played(plant, log, end), told_until(log)) == {}


@pytest.mark.parametrize("seed", [1255, 1262, 1434])
def test_final_states_go_on_from_a_snapshot_of_before(seed, monkeypatch):
    """The same with windows so short that a restart sees a part of the log only."""
    for module, name, value in (
        (twin.final, "LATE_MS", 600_000), (twin.derive, "LATE_MS", 600_000),
        (twin.final, "SNAPSHOT_MS", 60_000), (twin.derive, "KEEP_S", 0.0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    plant, chance = a_plant(Broker()), Random(seed)
    log, end = random_log(seed, 40)
    killed = played(plant, log, end, kills_of(chance, 3, end), chance)
    assert differ(killed, played(plant, log, end), told_until(log)) == {}


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_in_which_rows_come_makes_no_difference(seed):
    plant, chance = a_plant(Broker()), Random(seed)
    log, end = random_log(seed, 20)
    shuffled = [
        Said(min(said.at + chance.randrange(0, 400_000), end), said.rows, live=False)
        for said in log
        if said.rows
    ]
    assert differ(played(plant, shuffled, end), played(plant, log, end), told_until(log)) == {}


def standing(plant, restated):
    """The saw stands since minute 8 and is counted on; its edge is killed in minute 17."""
    log = []
    values = {"saw/activity": 2.0, "saw/light": 0.0, "gauge/activity": 2.0, "gauge/light": 0.0}
    since = dict.fromkeys(values, START)
    for minute in range(30):
        now = START + minute * MINUTE
        if minute == 8:
            values["saw/activity"], since["saw/activity"] = 0.0, now
        log.append(Said(now + 500, [(path, now, value, 0) for path, value in values.items()]))
        log += [Said(now + s * SECOND, [("saw/part_count", now + s * SECOND - 400, 7.0, 0)])
                for s in (20, 40)]  # fmt: skip
    killed = START + 17 * MINUTE + 9 * SECOND
    log.append(Said(killed, dead=True))
    rows = [(path, since[path], value, 0) for path, value in values.items()]
    if restated:
        rows += [(path, killed + 1_500, value, 0) for path, value in values.items()]
    log.append(Said(killed + 1_600, rows))
    return log, START + 30 * MINUTE


@pytest.mark.parametrize("restated", [True, False])
def test_a_restart_of_the_edge_leaves_what_was(plant, restated):
    """A value that comes again with its old time is the row that is there already."""
    log, end = standing(plant, restated)
    known = states(played(plant, log, end), told_until(log))["saw"]
    assert [(since, state) for since, state, *_ in known] == [
        (0, PackML.Execute), (8 * MINUTE, PackML.Stopped),
    ]  # fmt: skip


def test_what_holds_since_long_is_known_when_it_is_heard(plant):
    """Live, before any repetition: a value whose source time is old counts from now on."""
    paths = [s.path for s in plant.signals]
    disk = Disk(Memory(paths))
    twin = KillableTwin(plant, disk, START)
    at, old = paths.index("saw/activity"), START - 3_600_000
    disk.rows.append(Waiting("edge1", SampleBatch.of([at], [old], [2.0])))
    disk.rows.append(Waiting("edge1", SampleBatch.of([at], [START + STEP - 500], [2.0])))
    for now in range(START + STEP, START + 120_000, STEP):
        twin.tick(now - 1)
        twin.work()
        twin.tick(now)
        assert twin.derivation.groups[0].states["saw"] == PackML.Execute
    twin.work()
    told = disk.store.read(["saw/state"], START, START + 120_000)
    assert set(told.value.tolist()) == {float(PackML.Execute)}


def test_a_wrong_row_of_a_killed_process_is_made_right(plant):
    """What it told last, and what waited in its outbox, are looked at again."""
    log, end = standing(plant, restated=True)
    paths = [s.path for s in plant.signals]
    at = paths.index("saw/state")
    memory = played(plant, log, end)
    disk = Disk(memory)
    wrong = SampleBatch.of([at], [START + 20 * MINUTE + 7], [float(PackML.Aborted)])
    waiting = SampleBatch.of([at], [START + 21 * MINUTE + 7], [float(PackML.Held)])
    first = KillableTwin(plant, disk, end + 130_000)
    assert disk.snapshots, "it may be killed as soon as it begins"
    memory.write(wrong, (), end)
    disk.own.append(Waiting("kaikou_twin", waiting, (), live=False, run="killed"))
    disk.snapshots = {n: (of, json.loads(json.dumps(s))) for n, (of, s) in disk.snapshots.items()}
    del first
    twin = KillableTwin(plant, disk, end + 140_000)
    for now in range(end + 142_000, end + 160_000, STEP):
        twin.work()
        twin.tick(now)
    twin.work()
    twin.work()
    known = states(memory, told_until(log))["saw"]
    assert [(since, state) for since, state, *_ in known] == [
        (0, PackML.Execute), (8 * MINUTE, PackML.Stopped),
    ]  # fmt: skip


def test_rows_hold_for_three_of_their_own_intervals(plant):
    """A machine that repeats every ten minutes is not lost after three of another's."""
    saw = plant.assets["saw"]
    slow = tuple(replace(s, max_interval=600.0) for s in saw.signals)
    plant = replace(plant, assets={**plant.assets, "saw": replace(saw, signals=slow)})
    log = [
        Said(START + 500, [("saw/activity", START, 2.0, 0), ("gauge/activity", START, 2.0, 0)]),
        Said(START + 601 * SECOND, [("saw/activity", START + 600 * SECOND, 2.0, 0)]),
    ]
    known = states(played(plant, log, START + 602 * SECOND), START + 600 * SECOND)
    assert [(since, state) for since, state, *_ in known["saw"]] == [(0, PackML.Execute)]
    assert [(since, state) for since, state, *_ in known["gauge"]] == [
        (0, PackML.Execute), (180 * SECOND, None),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------- snapshots


def rows_of(log, index):
    rows = [row for said in log for row in said.rows]
    return SampleBatch.of(*zip(*[(index[p], t, v, s) for p, t, v, s in rows], strict=True))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.floats(0.1, 0.9), steps=st.integers(1, 40))
def test_a_fold_goes_on_from_its_snapshot_and_passes_time_in_any_steps(seed, cut, steps):
    plant = a_plant(Broker())
    table = SignalTable([s.path for s in plant.signals])
    log, end = random_log(seed, 15)
    rows = rows_of(log, {s.path: table.index(s.path) for s in plant.signals})

    def fresh():
        (fold, _), *_ = folds(plant, table)
        return Final(fold)

    whole, parted = fresh(), fresh()
    whole.add(rows)
    whole.fold_to(end)
    parted.add(rows)
    middle = START + round(cut * (end - START))
    for time in np.linspace(START, middle, steps).astype(int).tolist():
        parted.fold_to(time)
    parted.fold_to(middle)
    shot = Snapshot.of(json.loads(json.dumps(parted._snapshot().json())))
    after = fresh()
    after.begin(shot, 0)
    after.add(rows)
    after.fold_to(end)
    assert json.dumps(after.view.fold.saved()) == json.dumps(whole.view.fold.saved())
    for one, other in zip(after.view.known, whole.view.known, strict=True):
        since = middle - after.tail_ms
        steps_of = [[s for s in line.steps(since) if s[0] >= since] for line in (one, other)]
        assert steps_of[0] == steps_of[1]


def test_snapshots_are_kept_in_a_file_that_is_whole_or_not_used(plant, tmp_path, caplog):
    live = LiveTable(SignalTable([s.path for s in plant.signals]))
    (fold, _), *_ = folds(plant, live.table)
    shot = Final(fold).begin(None, START)
    resume = Resume(tmp_path)
    assert resume.read({"hall": "a"}) == {}
    resume.write([("hall", "a", shot)])
    assert resume.read({"hall": "a"})["hall"].time == START
    assert resume.read({"hall": "b"}) == {}, "the plant is another one"
    file = tmp_path / FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    caplog.clear()
    assert resume.read({"hall": "a"}) == {}
    assert FILE in caplog.text, "set aside, and told"
    assert [p.name for p in tmp_path.iterdir() if "damaged" in p.name]
    with pytest.raises(Unavailable, match="cannot be written"):
        Resume(tmp_path / "nowhere").write([("hall", "a", shot)])


# ------------------------------------------------------------------------------- real processes


@pytest.mark.timeout(90)
async def test_a_twin_and_an_edge_that_begin_again_leave_what_was(kit, tmp_path):
    """Over a real broker: the edge says again what it said, with its old time; both are new."""
    begun = UtcClock().now() - 100 * SECOND

    def steps(twin):
        rows = twin.reader.read(["saw/state"], 0, 10**14)
        known = dict(zip(rows.source_time.tolist(), rows.value.tolist(), strict=True))
        return [known[at] for at in sorted(known)]

    async def heard(up):
        index = {s.path: at for at, s in enumerate(up.signals)}
        now = UtcClock().now()
        for time in (begun, now):
            rows = [index["saw/activity"], index["gauge/activity"]]
            await up.accept(SampleBatch.of(rows, time, [2.0, 2.0]))
        await kit.until(lambda: up.outbox.count.rows == 0)

    for _ in range(2):
        async with kit.twin(kit.plant, tmp_path) as twin, kit.edge(kit.plant, tmp_path / "e") as up:
            await heard(up)
            await kit.until(lambda: set(steps(twin)) == {float(PackML.Execute)}, deadline_s=30.0)
            assert (tmp_path / "twin" / FILE).exists()
