"""Machine states, line state, counts: only from what is Good, and unknown otherwise."""

import numpy as np
import pytest

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.packml import PackML
from plant.model.plant import Broker
from twin.count import BufferEstimate, Rise
from twin.line import LineTwin, Mirror, PastLine, line_state
from twin.link import LOST, UP, Links
from twin.state import MachineStates, PastStates, StateRules

BAD = int(StatusCode.BadNoCommunication)


@pytest.fixture
def plant(a_plant):
    return a_plant(Broker())


@pytest.fixture
def live(plant):
    return LiveTable(SignalTable([s.path for s in plant.signals]))


@pytest.fixture
def rules(plant, live):
    return StateRules(list(plant.assets.values()), live.table)


def batch(live, time, status=0, **values):
    at = [live.table.index(k.replace("_", "/", 1)) for k in values]
    return SampleBatch.of(at, time, list(map(float, values.values())), status)


def told(found, machine=0):
    return [(f.time, PackML(f.state).name, f.status == 0) for f in found if f.machine == machine]


def test_the_first_rule_that_knows_decides(live, rules):
    states = MachineStates(rules, live)
    live.update(batch(live, 1000, saw_light=3, saw_activity=2))
    assert told(states.tick(1500)) == [(1000, "Aborted", True)]
    live.update(batch(live, 2000, saw_light=0))
    assert told(states.tick(2100)) == [(2000, "Execute", True)]
    live.update(batch(live, 3000, saw_activity=9))
    assert told(states.tick(3100)) == [(3100, "Unknown", False)]


def test_only_good_values_count(live, rules):
    states = MachineStates(rules, live)
    live.update(batch(live, 1000, saw_activity=2))
    states.tick(1100)
    live.update(batch(live, 2000, BAD, saw_activity=np.nan))
    assert told(states.tick(2100)) == [(2100, "Unknown", False)]
    live.update(batch(live, 3000, int(StatusCode.UncertainSubNormal), saw_activity=2))
    assert told(states.tick(3100)) == []
    live.update(batch(live, 4000, saw_activity=1.5))
    assert told(states.tick(4100)) == []


def test_a_silent_edge_makes_its_machines_unknown(live, rules):
    states = MachineStates(rules, live)
    live.update(batch(live, 1000, saw_activity=2))
    assert told(states.tick(1100))
    assert told(states.tick(9000, frozenset({"edge1"}))) == [(9000, "Unknown", False)]
    assert told(states.tick(9500)) == [(9500, "Execute", True)], "the edge can be heard again"


def test_a_state_is_told_again_and_times_rise(live, rules):
    states = MachineStates(rules, live, repeat_ms=1000)
    live.update(batch(live, 1000, saw_activity=2))
    assert told(states.tick(1000)) == [(1000, "Execute", True)]
    assert told(states.tick(1999)) == []
    assert told(states.tick(2000)) == [(2000, "Execute", True)]
    live.update(batch(live, 1500, saw_activity=1))  # the device's clock stepped back
    assert told(states.tick(2000)) == [(2001, "Idle", True)]


def test_nothing_is_said_before_everybody_had_time_to_speak(live, rules):
    states = MachineStates(rules, live)
    assert told(states.tick(1000, settled=False)) == []
    assert told(states.tick(6000)) == [(6000, "Unknown", False)]


def test_states_of_the_past_follow_the_rows(live, rules):
    past = PastStates(rules)
    assert told(past.add(batch(live, 1000, saw_activity=2))) == [], "the light was not heard yet"
    assert told(past.add(batch(live, 2000, saw_light=0))) == [(2000, "Execute", True)]
    rows = SampleBatch.concat([batch(live, 4000, saw_light=3), batch(live, 3000, saw_activity=1)])
    assert told(past.add(rows)) == [(3000, "Idle", True), (4000, "Aborted", True)]
    assert told(past.add(batch(live, 3500, saw_light=0))) == [], "late among the late"
    together = SampleBatch.concat(
        [batch(live, 5000, saw_light=0), batch(live, 5000, saw_activity=0)]
    )
    assert told(past.add(together)) == [(5000, "Stopped", True)]


def test_an_unknown_that_a_backlog_explains_is_corrected(live, rules):
    past = PastStates(rules)
    assert past.add(batch(live, 1000, saw_light=0, saw_activity=2), past=False) == []
    for time in (5000, 65_000, 125_000):
        past.said_unknown(0, time)
    assert told(past.add(batch(live, 60_000, saw_activity=2))) == [
        (5000, "Execute", True),
        (60_000, "Execute", True),
    ]
    assert told(past.add(batch(live, 61_000, BAD, saw_activity=np.nan, saw_light=np.nan))) == [
        (61_000, "Unknown", False)
    ]
    assert told(past.add(batch(live, 70_000, saw_activity=1))) == [(70_000, "Idle", True)]
    assert told(past.add(batch(live, 130_000, saw_activity=1), past=False)) == [
        (125_000, "Idle", True)
    ]


def test_line_state_is_that_of_its_constraint():
    idle, run, held = PackML.Idle, PackML.Execute, PackML.Held
    assert line_state({"a": run, "b": idle}, "b") == idle
    assert line_state({"a": held, "b": idle}, "b") == held
    assert line_state({"a": held, "b": run}, "b") == run
    assert line_state({"a": run, "b": PackML.Unknown}, "b") == PackML.Unknown
    assert line_state({"a": PackML.Unknown, "b": run}, None) == run
    assert line_state({"a": PackML.Unknown}, None) == PackML.Unknown


def test_a_line_tells_state_and_buffers_when_they_change(plant, live):
    line = LineTwin(plant, plant.lines["hall"], live)
    states = {"saw": 6, "gauge": 4}
    first = {d.path: d for d in line.tick(1000, states)}
    assert first["hall/state"].value == PackML.Execute
    assert "hall/buffer_saw" not in first, "no count is Good yet"
    live.update(batch(live, 1, saw_part_count=100, gauge_good_count=5, gauge_reject_count=0))
    (buffer,) = line.tick(2000, states)
    assert (buffer.path, buffer.value) == ("hall/buffer_saw", 2.0)
    assert buffer.status == StatusCode.UncertainSubNormal
    assert list(line.tick(3000, states)) == []
    live.update(batch(live, 2, saw_part_count=104))
    (buffer,) = line.tick(4000, states)
    assert (buffer.value, buffer.status) == (4.0, 0), "four more came in: it was empty"
    live.update(batch(live, 2, gauge_reject_count=1))
    assert [d.value for d in line.tick(5000, states)] == [3.0]
    live.update(batch(live, 3, BAD, gauge_good_count=np.nan))
    assert list(line.tick(6000, states)) == []


def test_buffers_go_on_from_what_the_counters_said_before(plant, live):
    line = LineTwin(plant, plant.lines["hall"], live)
    assert line.counters == ["saw/part_count", "gauge/good_count", "gauge/reject_count"]
    line.replay(
        SampleBatch.of(
            [0, 1, 2, 0, 0, 1, 2], [1, 1, 1, 2, 4, 3, 9],
            [100, 50, 3, 104, 105, 51, np.nan], [0, 0, 0, 0, 0, 0, BAD],
        )
    )  # fmt: skip
    live.update(batch(live, 20, saw_part_count=105, gauge_good_count=53, gauge_reject_count=3))
    buffers = [d for d in line.tick(1000, {}, settled=False) if "buffer" in d.path]
    assert [(d.value, d.status) for d in buffers] == [(2.0, 0)]


def test_a_line_of_the_past_waits_until_all_machines_have_spoken(plant):
    line = PastLine(plant.lines["hall"], ["saw", "gauge"])

    def tell():
        return [(d.path, d.time, PackML(int(d.value)).name) for d in line.tell()]

    for time, state in ((1000, 6), (3000, 4), (5000, 6)):
        line.add("saw", time, state, again=False)
    assert tell() == []
    line.add("gauge", 1500, PackML.Aborted, again=False)
    line.add("gauge", 4000, PackML.Execute, again=False)
    line.add("other", 1, PackML.Execute, again=False)
    state = "hall/state"
    assert tell() == [(state, 1000, "Execute"), (state, 3000, "Held"), (state, 4000, "Idle")]
    line.add("gauge", 5000, PackML.Execute, again=False)
    assert tell() == [(state, 5000, "Execute")]
    line.add("saw", 6000, PackML.Execute, again=True)
    line.add("gauge", 6000, PackML.Execute, again=True)
    assert tell() == [(state, 6000, "Execute")], "a correction is told even where nothing changed"


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


def test_a_buffer_estimate_begins_again_when_parts_vanish():
    buffer = BufferEstimate(capacity=2)
    buffer.update(0)
    assert buffer.update(3) == 3
    assert buffer.spread == 0
    assert 0 <= buffer.update(-1) <= 3, "more came out than ever went in"


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
