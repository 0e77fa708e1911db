"""Machine states, line state, counts: only from what is Good, and unknown otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from plant.model.mode import ItemState, Mode
from plant.model.packml import PackML
from plant.model.plant import Broker, StateRule
from plant.model.signal import Origin, Signal, SignalKind
from twin.count import Rise
from twin.fold import folds
from twin.line import Mirror
from twin.link import LOST, UP, Links
from twin.output import line_state
from twin.state import Group
from twin.stated import StatedModes

BAD = int(StatusCode.BadNoCommunication)
UNCERTAIN = int(StatusCode.UncertainSubNormal)
NOBODY: frozenset[str] = frozenset()


@pytest.fixture
def plant(a_plant):
    return a_plant(Broker())


@pytest.fixture
def live(plant):
    return LiveTable(SignalTable([s.path for s in plant.signals]))


@pytest.fixture
def group(plant, live):
    """The hall: saw and gauge, three parts between them."""
    return a_group(plant, live)


def a_group(plant, live, **more):
    (fold, line), *_ = folds(plant, live.table)
    return Group(fold, line, frozenset(s.path for s in plant.signals), StatedModes(), **more)


def batch(live, time, status=0, **values):
    at = [live.table.index(k.replace("_", "/", 1)) for k in values]
    return SampleBatch.of(at, time, list(map(float, values.values())), status)


def tick(group, live, now, lost=NOBODY, settled=True, path="saw/state"):
    """What a tick tells of one signal."""
    return named(group.tick(now, live, lost, settled), path)


def named(derived, path="saw/state"):
    mine = [d for d in derived if d.path == path]
    if path.endswith("state"):
        return [(d.time, PackML(int(d.value)).name, d.status == 0) for d in mine]
    return [(d.time, d.value, d.status == 0) for d in mine]


def heard(group, batch, now=None):
    """Rows of edge1, all that it has accepted so far; what is certain then."""
    group.add(batch)
    group.complete("edge1", int(batch.source_time.max()) if now is None else now)


def test_the_first_rule_that_knows_decides(live, group):
    live.update(batch(live, 1000, saw_light=3, saw_activity=2))
    assert tick(group, live, 1500) == [(1000, "Aborted", True)]
    live.update(batch(live, 2000, saw_light=0))
    assert tick(group, live, 2100) == [(2000, "Execute", True)]
    live.update(batch(live, 3000, saw_activity=9))
    assert tick(group, live, 3100) == [(3000, "Unknown", False)]


def test_only_good_values_count(live, group):
    live.update(batch(live, 1000, saw_activity=2))
    assert tick(group, live, 1100) == [(1000, "Execute", True)]
    live.update(batch(live, 2000, BAD, saw_activity=np.nan))
    assert tick(group, live, 2100) == [(2000, "Unknown", False)]
    live.update(batch(live, 3000, UNCERTAIN, saw_activity=2))
    assert tick(group, live, 3100) == []
    live.update(batch(live, 4000, saw_activity=1.5))
    assert tick(group, live, 4100) == []


def test_a_dead_device_and_a_silent_edge_make_machines_unknown(live, group):
    live.update(batch(live, 1000, saw_activity=2))
    assert tick(group, live, 1100)
    live.mark(np.array([live.table.index("saw/activity")]), StatusCode.BadNoCommunication)
    assert tick(group, live, 5000) == [(5000, "Unknown", False)], "since it was noticed"
    live.update(batch(live, 6000, saw_activity=2))
    assert tick(group, live, 6100) == [(6000, "Execute", True)]
    assert tick(group, live, 9000, frozenset({"edge1"})) == [(9000, "Unknown", False)]
    assert tick(group, live, 9500) == [(9500, "Execute", True)], "the edge can be heard again"


def test_a_state_is_told_again(live, plant):
    group = a_group(plant, live, repeat_ms=1000)
    live.update(batch(live, 1000, saw_activity=2))
    assert tick(group, live, 1000) == [(1000, "Execute", True)]
    assert tick(group, live, 1999) == []
    assert tick(group, live, 2000) == [(2000, "Execute", True)]


def test_nothing_is_said_before_everybody_had_time_to_speak(live, group):
    assert tick(group, live, 1000, settled=False) == []
    assert tick(group, live, 6000) == [(6000, "Unknown", False)]


def test_a_machine_that_does_not_say_why_it_stands_is_told_as_it_says(live, group):
    live.update(batch(live, 1000, gauge_activity=1))
    assert tick(group, live, 1100, path="gauge/state") == [(1000, "Idle", False)]
    assert tick(group, live, 1200, path="gauge/waiting") == []


def test_what_is_told_at_once_is_made_right_when_all_is_heard(live, group):
    live.update(batch(live, 10_000, saw_activity=2))
    assert tick(group, live, 10_100) == [(10_000, "Execute", True)]
    heard(group, batch(live, 10_000, saw_activity=2))
    rows = [
        batch(live, 40_000, saw_light=3), batch(live, 30_000, saw_light=3),
        batch(live, 35_000, saw_light=0),
    ]  # fmt: skip
    heard(group, SampleBatch.concat(rows), 90_000)
    live.update(batch(live, 40_000, saw_light=3))
    assert tick(group, live, 40_100) == [(40_000, "Aborted", True)]
    told = named(group.settle(100_000, 0.0))
    assert told == [(30_000, "Aborted", True), (35_000, "Execute", True)], "told late"
    assert named(group.settle(101_000, 0.0)) == []


def test_a_backlog_corrects_an_unknown_and_fills_what_was_not_told(live, plant):
    group = a_group(plant, live, repeat_ms=60_000)
    live.update(batch(live, 1000, saw_activity=2))
    tick(group, live, 1100)
    lost = frozenset({"edge1"})
    assert tick(group, live, 300_000, lost) == [(300_000, "Unknown", False)]
    assert tick(group, live, 360_000, lost) == [(360_000, "Unknown", False)]
    for time in range(1000, 500_000, 60_000):
        heard(group, batch(live, time, saw_activity=2 if time < 350_000 else 0))
    told = named(group.settle(600_000, 0.0)) + named(group.settle(600_000, 60.0))
    assert [t for t, _, _ in told if 61_000 <= t < 300_000] == [61_000, 121_000, 181_000, 241_000]
    assert (300_000, "Execute", True) in told, "a correction"
    assert (361_000, "Stopped", True) in told
    kinds = {(name, good) for t, name, good in told if t < 361_000}
    assert kinds <= {("Execute", True)}


def test_rows_that_stop_are_not_taken_for_constancy(live, plant):
    group = a_group(plant, live, repeat_ms=60_000)
    heard(group, batch(live, 1000, saw_activity=2))
    heard(group, batch(live, 3_600_000, saw_activity=2), 3_700_000)
    told = named(group.settle(4_000_000, 0.0)) + named(group.settle(4_000_000, 60.0))
    assert (181_000, "Unknown", False) in told, "three intervals without a row"
    assert (3_600_000, "Execute", True) in told


def test_a_line_waits_for_the_edge_that_is_away_and_is_right_when_it_is_back(live, plant):
    gauge = replace(plant.assets["gauge"], edge="edge2")
    group = a_group(replace(plant, assets={**plant.assets, "gauge": gauge}), live)
    live.update(batch(live, 1000, saw_activity=2))
    tick(group, live, 1100)
    lost = frozenset({"edge2"})
    group.tick(9000, live, lost, settled=True)
    heard(group, batch(live, 1000, saw_activity=2), 500_000)
    assert group.settle(500_000, 0.0) == [], "edge2 may have accepted what it could not send"
    rows = batch(live, 2000, gauge_activity=2)
    group.add(SampleBatch.concat([rows, batch(live, 5000, gauge_light=3)]))
    group.complete("edge2", 400_000)
    told = named(group.settle(500_000, 0.0), "gauge/state")
    assert told[:2] == [(2000, "Execute", True), (5000, "Aborted", True)]
    assert (185_000, "Unknown", False) in told, "it said no more"


@pytest.fixture
def moded(plant):
    """The saw with a selector of its own, and the signals that machines of the catalogue have."""
    saw = plant.assets["saw"]
    more = [
        Signal(f"saw/{id}", "saw", id, saw.name, SignalKind.STATE, origin=Origin.TWIN)
        for id in ("waiting", "mode", "item_state")
    ]
    selector = Signal("saw/selector", "saw", "selector", saw.name, SignalKind.STATE)
    rules = (StateRule("saw/selector", {0: Mode.Production, 1: Mode.Maintenance}),)
    saw = replace(saw, signals=(*saw.signals, selector, *more), mode_rules=rules)
    return replace(plant, assets={**plant.assets, "saw": saw})


def test_mode_and_item_state_follow_the_machines_own_selector(moded):
    live = LiveTable(SignalTable([s.path for s in moded.signals]))
    group = a_group(moded, live)
    live.update(batch(live, 1000, saw_activity=2, saw_selector=0))
    found = group.tick(1100, live, NOBODY, settled=True)
    assert named(found, "saw/mode") == [(1000, 1.0, True)]
    assert named(found, "saw/waiting") == [(1000, 0.0, True)]
    assert [d.value for d in found if d.path == "saw/item_state"] == [ItemState.Executing]
    live.update(batch(live, 2000, saw_selector=1))
    found = group.tick(2100, live, NOBODY, settled=True)
    assert [(d.path, d.time, d.value) for d in found] == [
        ("saw/mode", 2000, Mode.Maintenance), ("saw/item_state", 2000, ItemState.OutOfService),
    ]  # fmt: skip
    live.update(batch(live, 3000, BAD, saw_selector=np.nan))
    assert tick(group, live, 3100, path="saw/mode") == [(3000, 0.0, False)]


def test_a_person_overrules_the_selector(moded):
    live = LiveTable(SignalTable([s.path for s in moded.signals]))
    modes = StatedModes()
    (fold, line), *_ = folds(moded, live.table)
    group = Group(fold, line, frozenset(s.path for s in moded.signals), modes)
    live.update(batch(live, 1000, saw_activity=2, saw_selector=0))
    group.tick(1100, live, NOBODY, settled=True)
    data = {"start": 3000, "end": 6000, "mode": "setup", "said": 9000}
    span = modes.hear(Event(3000, "saw", "mode", data))
    assert span == (3000, 6000)
    told = named(group.restate("saw", *span, now=9000), "saw/mode")
    assert told == [(3000, float(Mode.Setup), True), (6000, float(Mode.Production), True)]


def test_modes_come_from_people_too_and_reach_back(live, plant, group):
    live.update(batch(live, 1000, saw_activity=2))
    found = group.tick(1100, live, NOBODY, settled=True)
    assert {d.path: d.value for d in found if d.path.startswith("saw")}["saw/state"] == 6
    modes = group.outputs[0].of._modes
    span = modes.hear(
        Event(1, "saw", "mode", {"start": 1, "end": None, "mode": "setup", "said": 5})
    )
    assert span is not None
    assert group.restate("saw", *span, now=2000) == [], "this plant has no signal for it"
    assert modes.at("saw", 10, 1) == 4
    modes.hear(Event(1, "saw", "mode", {"start": 1, "end": 50, "mode": "", "said": 9}))
    assert (modes.at("saw", 10, 1), modes.at("saw", 60, 1)) == (1, 4)


def test_line_state_is_that_of_its_constraint(live, group):
    idle, run, held = PackML.Idle, PackML.Execute, PackML.Held
    assert line_state({"a": run, "b": idle}, "b") == idle
    assert line_state({"a": held, "b": idle}, "b") == held
    assert line_state({"a": held, "b": run}, "b") == run
    assert line_state({"a": run, "b": PackML.Unknown}, "b") == PackML.Unknown
    assert line_state({"a": PackML.Unknown, "b": run}, None) == run
    assert line_state({"a": PackML.Unknown}, None) == PackML.Unknown
    live.update(batch(live, 1000, saw_activity=2, gauge_activity=2))
    assert tick(group, live, 1100, path="hall/state") == [(1000, "Execute", True)]
    live.update(batch(live, 2000, saw_light=3))
    assert tick(group, live, 2100, path="hall/state") == [(2000, "Aborted", True)]


def test_buffers_are_told_when_they_change(live, group):
    path = "hall/buffer_saw"
    assert tick(group, live, 900, path=path) == [], "no count is Good yet"
    live.update(batch(live, 1000, saw_part_count=100, gauge_good_count=5, gauge_reject_count=0))
    assert tick(group, live, 2000, path=path) == [(2000, 2.5, False)]
    assert tick(group, live, 3000, path=path) == []
    live.update(batch(live, 4000, saw_part_count=105))
    assert tick(group, live, 4000, path=path) == [(4000, 3.0, True)], "five more: it was empty"
    live.update(batch(live, 5000, gauge_reject_count=3))
    assert tick(group, live, 5000, path=path) == [(5000, 2.0, True)]
    live.update(batch(live, 6000, BAD, gauge_good_count=np.nan))
    assert tick(group, live, 6000, path=path) == []


def test_levels_go_on_from_what_was_stored(live, plant):
    group = a_group(plant, live)
    rows = [
        batch(live, 1000, saw_part_count=100, gauge_good_count=5, gauge_reject_count=0),
        batch(live, 2000, saw_part_count=105),
    ]
    group.warm(SampleBatch.concat(rows))
    live.update(batch(live, 3000, saw_part_count=105, gauge_good_count=7, gauge_reject_count=0))
    assert tick(group, live, 3100, path="hall/buffer_saw") == [(3100, 3.0, True)]


def test_good_and_rejected_parts_of_the_line_are_those_of_its_last_gauge(plant, live):
    mirror = Mirror(plant, live.table)
    rows = batch(live, 7, gauge_good_count=5, saw_part_count=9, gauge_reject_count=1)
    assert [(d.path, d.time, d.value) for d in mirror.add(rows)] == [
        ("hall/good_count", 7, 5.0),
        ("hall/reject_count", 7, 1.0),
    ]


def test_counts_that_stand_are_told_once_after_a_restart(plant, live):
    mirror = Mirror(plant, live.table)
    assert not list(mirror.held(live, since=50)), "nothing was heard yet"
    live.update(batch(live, 7, gauge_good_count=5, gauge_reject_count=1))
    list(mirror.add(batch(live, 6, gauge_good_count=4), historical=True))
    list(mirror.add(batch(live, 60, gauge_reject_count=1)))
    held = [(d.path, d.time, d.value) for d in mirror.held(live, since=50)]
    assert held == [("hall/good_count", 50, 5.0)]
    assert not list(mirror.held(live, since=50))


def test_counts_rise_over_resets_and_rollovers():
    rise = Rise(modulus=65536.0)
    assert [rise.add(v) for v in (65530, 65535, 4, 10, 2)] == [0, 5, 10, 16, 18]


def test_links():
    links = Links(["e1", "e2"], mono_s=0)

    def tick(heard, mono):
        return [(c.edge, c.state) for c in links.tick(heard, mono)]

    assert tick({}, 4.0) == []
    assert tick({"e1": 4.5}, 4.9) == [("e1", UP)]
    assert tick({"e1": 4.5}, 5.1) == [("e2", LOST)]
    assert tick({"e1": 4.5}, 8.4) == []
    assert tick({"e1": 4.5}, 8.6) == [("e1", LOST)], "silent for more than four seconds"
    assert links.lost == {"e1", "e2"}
    assert tick({"e1": 9.0}, 9.1) == [("e1", UP)]
    assert tick({}, 9.2) == [("e1", LOST)], "it said good-bye"
    links.listening(20.0)
    links.state["e1"] = UP
    assert tick({}, 21.0) == [], "our own connection is new: it gets its time"
