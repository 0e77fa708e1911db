"""Why a machine stands: starved, blocked, Held, and nothing said where it is not known."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.model.packml import PackML
from plant.model.plant import Broker
from tests.twin.conftest import a_plant
from twin.cause import LineCause
from twin.fold import folds
from twin.level import Level
from twin.state import Group
from twin.stated import StatedModes
from twin.timeline import Record, Timeline

EXECUTE, IDLE, ABORTED, HELD = (
    int(s) for s in (PackML.Execute, PackML.Idle, PackML.Aborted, PackML.Held)
)


BEGIN = 1_000_000


class ThreeMachines:
    """a, 2 parts, b, 2 parts, c; a minute a part. Seconds in, statements as words out."""

    def __init__(self):
        self.cause = LineCause.of([60.0] * 3, [2, 2])
        self.parts = [100, 50, 20]
        self.known = [Timeline() for _ in range(3)]
        for station in range(3):
            self.cause.counted(BEGIN, station, self.parts[station])
            self.cause.told(BEGIN, station, EXECUTE, 0)
        self._settle(0)

    def _settle(self, second):
        time = BEGIN + int(second * 1000)
        said = []
        while (due := min(self.cause.due(), default=time + 1)) <= time:
            said += self.cause.settle(due)
        for s in said + self.cause.settle(time):
            words = (PackML(s.state).name, ("", "starved", "blocked")[s.waiting], s.certain)
            self.known[s.station].say(s.since, words)

    def part(self, second, *stations):
        self._until(second)
        for station in stations:
            self.parts[station] += 1
            self.cause.counted(BEGIN + int(second * 1000), station, self.parts[station])
        self._settle(second)

    def says(self, second, station, state, waiting=0):
        self._until(second)
        self.cause.told(BEGIN + int(second * 1000), station, state, waiting)
        self._settle(second)

    def _until(self, second):
        time = BEGIN + int(second * 1000)
        while (due := min(self.cause.due(), default=time + 1)) < time:
            self._settle((due - BEGIN) / 1000)

    def at(self, second, station):
        return self.known[station].at(BEGIN + int(second * 1000))

    def starve(self, second, station=2):
        """A part comes, the station begins, finishes it, and stands again."""
        self.part(second, station - 1)
        self.says(second + 1, station, EXECUTE)
        self.part(second + 50, station)
        self.says(second + 51, station, IDLE)


@pytest.fixture
def line():
    return ThreeMachines()


def learnt(line):
    """Twice c began when b's part came: now it is known that nothing was there."""
    line.says(5, 2, IDLE)
    line.starve(60)
    line.starve(120)


def test_nothing_is_guessed_before_levels_are_known(line):
    line.says(5, 2, IDLE)
    assert line.at(5, 2) == ("Idle", "", False)
    line.says(8, 1, int(PackML.Suspended))
    assert line.at(8, 1) == ("Suspended", "", False)


def test_a_machine_without_a_part_is_starved_since_its_last_one(line):
    learnt(line)
    assert line.at(175, 2) == ("Suspended", "starved", True)
    assert line.at(170, 2) == ("Suspended", "starved", True), "since it counted, not since it said"
    assert line.at(169, 2) == ("Execute", "", True)
    assert line.at(120, 2) == ("Execute", "", True), "since the part came"


def test_a_machine_with_part_and_room_is_held_after_its_patience(line):
    learnt(line)
    line.part(200, 1)
    line._settle(205)
    assert line.at(205, 2) == ("Suspended", "starved", True), "it may take a moment to begin"
    line._settle(216)
    assert line.at(200, 2) == ("Held", "", True), "it did not"
    line.says(260, 2, EXECUTE)
    assert line.at(259, 2) == ("Held", "", True)
    assert line.at(260, 2) == ("Execute", "", True)


def test_a_fault_after_a_part_keeps_it_from_the_next_machine(line):
    learnt(line)
    line.part(200, 1)
    line.says(201, 1, ABORTED)
    line._settle(260)
    assert line.at(259, 2) == ("Suspended", "starved", True), "b holds the finished part"
    line.says(300, 1, EXECUTE)
    line.says(301, 2, EXECUTE)
    assert line.at(300, 2) == ("Execute", "", True)


def test_a_machine_behind_a_full_buffer_is_blocked(line):
    learnt(line)
    line.says(171, 2, ABORTED)
    for n in range(2):
        line.part(200 + 60 * n, 1)
    assert line.at(261, 1) == ("Execute", "", True)
    line.part(320, 1)
    line.says(321, 1, IDLE)
    assert line.at(320, 1) == ("Suspended", "blocked", True), "two in the buffer, one in hand"
    line.says(400, 2, EXECUTE)
    line.says(401, 1, EXECUTE)
    assert line.at(400, 1) == ("Execute", "", True), "since room came"


def test_a_machine_that_says_why_is_believed(line):
    line.says(5, 1, int(PackML.Suspended), 2)
    assert line.at(5, 1) == ("Suspended", "blocked", True)
    line.says(9, 1, HELD)
    assert line.at(9, 1) == ("Held", "", True)


def test_a_part_taken_out_by_hand_is_noticed():
    level = Level(2)
    level.update(10)
    assert level.saw(0) is False
    assert level.saw(0)
    level.update(12)
    assert level.range == (2, 2)
    assert [level.saw(1) for _ in range(3)] == [False, False, True], "three times it began at 2"
    assert level.range == (1, 1)
    assert level.update(20) is False
    assert level.range == (0, 4)


moments = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["saw/activity", "gauge/activity", "saw/part_count", "gauge/good_count"]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(moments, st.randoms(use_true_random=False), st.integers(1, 7))
def test_what_is_certain_does_not_depend_on_how_rows_arrive(moments, random, pieces):
    """In order and at once, or late, shuffled within the slack and in pieces: the same states."""
    plant = a_plant(Broker())
    table = SignalTable([s.path for s in plant.signals])
    counts: dict[str, int] = {}
    rows = []
    for second, path in sorted(set(moments)):
        value = random.randrange(3)
        if path.endswith("count"):
            value = counts[path] = counts.get(path, 0) + 1
        rows.append((BEGIN + second * 1000, table.index(path), float(value)))
    rows.append((BEGIN + 41_000, table.index("gauge/reject_count"), 0.0))
    shuffled = sorted(rows, key=lambda r: r[0] + random.randrange(4000))

    def told(rows, pieces):
        group = _group(plant, table)
        live = LiveTable(table)
        found: dict[str, dict[int, tuple[float, int]]] = {}
        cuts = np.array_split(np.arange(len(rows)), pieces)
        for cut in [*cuts, []]:
            if len(cut):
                group.add(_batch([rows[i] for i in cut]))
                group.complete("edge1", max(rows[i][0] for i in cut))
            else:
                group.complete("edge1", 10_000_000)
            for d in group.settle(20_000_000, 0.0):
                found.setdefault(d.path, {})[d.time] = (d.value, d.status)
        assert live.revision == 0
        return {p: _steps(f) for p, f in found.items()}

    assert told(rows, 1) == told(shuffled, pieces)


def _group(plant, table):
    (fold, line), *_ = folds(plant, table)
    paths = frozenset(s.path for s in plant.signals)
    return Group(fold, line, paths, StatedModes(), repeat_ms=100_000)


def _batch(rows):
    return SampleBatch.of(*zip(*((s, t, v) for t, s, v in rows), strict=True))


def _steps(told):
    """Rows as steps: repetitions left out."""
    return [(v, next(rows)[0]) for v, rows in groupby(sorted(told.items()), key=lambda r: r[1])]


happenings = st.lists(
    st.tuples(
        st.integers(0, 90_000),
        st.integers(0, 3),
        st.sampled_from([*PackML, "part", "starved", "blocked"]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), happenings)
def test_whatever_machines_say_statements_are_sane_and_reach_back_no_further(n, happenings):
    cause = LineCause.of([30.0] * n, [1] * (n - 1))
    time, parts = BEGIN, [0] * n
    for after, which, what in happenings:
        time, station = time + after, which % n
        while (due := min(cause.due(), default=time + 1)) <= time:
            _sane(cause, cause.settle(due), due)
        if what == "part":
            parts[station] += 1
            cause.counted(time, station, parts[station])
        elif what in ("starved", "blocked"):
            cause.told(time, station, int(PackML.Suspended), 1 + (what == "blocked"))
        else:
            cause.told(time, station, int(what), 0)
        _sane(cause, cause.settle(time), time)


def _sane(cause, said, time):
    for s in said:
        assert time - cause.reach_ms <= s.since <= time
        assert s.state == PackML.Suspended or not s.waiting
        assert s.state or not s.certain


steps = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2)), max_size=12)


@given(st.lists(st.tuples(steps, st.integers(0, 60)), max_size=5))
def test_a_record_agrees_with_what_holds_whatever_was_told_before(rounds):
    record, rows = Record("a/state"), {}
    for changes, end in rounds:
        line = Timeline()
        for since, value in sorted(changes):
            line.say(since, value)

        def holds(time, line=line):
            value = line.at(time)
            return None if value is None else (float(value), 0)

        for d in record.agree(line.moments(0, end), holds, 0, end):
            rows[d.time] = d.value
        for time in range(end + 1):
            if holds(time) is None:
                continue
            last = max((t for t in rows if t <= time), default=None)
            assert last is not None
            assert rows[last] == holds(time)[0]
