"""The host's end: aliases, sequence, deaths, strangers, and what it never does."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest

from plant.flow.live import SignalTable
from plant.flow.sample import Event, Gap, SampleBatch
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.codec import TextSample, encode_metrics, encode_texts
from plant.wire.edge_session import EdgeSession
from plant.wire.host_event import (
    Born,
    Data,
    Died,
    HostEvent,
    RebirthWanted,
    Refused,
    RunsAnnounced,
    SequenceGap,
)
from plant.wire.host_session import HostSession
from plant.wire.host_state import HostState
from plant.wire.message import Outgoing, Row, Runs, RunState
from plant.wire.node import HELD_MESSAGES
from plant.wire.record import RECORD, encode_event, encode_gap
from plant.wire.topic import NodeId

NOW = 1_795_000_000_000
EDGE1 = NodeId("g", "edge1")
LATHE = DeviceBirth("lathe", (MetricBirth("power", 128, value=3.5), MetricBirth("speed", 129)))
SAW = DeviceBirth(
    "saw",
    (MetricBirth("current", 130, value=1.0), MetricBirth("program", 131, DataType.String, "A")),
)
NODE = (
    MetricBirth("outbox_rows", 140, value=0.0),
    MetricBirth(RECORD, 141, DataType.String, None),
)
RUNS = Runs("r1", (RunState("r0", 3, 9),))
T = TypeVar("T")


class Bus:
    """One edge and one host with nothing between them but a clock."""

    def __init__(self, runs: Runs | None = RUNS, own: Iterable[str] = ("edge1",)) -> None:
        self.table = SignalTable()
        self.host = HostSession("g", set(own), self.table, random=lambda: 0.5)
        self.edge = EdgeSession("g", "edge1")
        self.runs = runs
        self.mono = 100.0
        self.bd_seq = -1

    def take(self, *messages: Outgoing) -> list[HostEvent]:
        out: list[HostEvent] = []
        for m in messages:
            out += self.host.on_message(m.topic, m.payload, self.mono)
        return out

    def connect(self) -> Outgoing:
        self.bd_seq += 1
        return self.edge.will(self.bd_seq)

    def birth(self) -> list[Outgoing]:
        return self.edge.birth(NOW, [LATHE, SAW], self.runs, NODE)

    def born(self) -> list[HostEvent]:
        self.will = self.connect()
        return self.take(*self.birth())

    def data(
        self,
        *values: float,
        row: Row | None = None,
        device: str = "lathe",
        historical: bool = False,
        first: int = 128,
        status: int = 0,
    ) -> Outgoing:
        n = len(values)
        batch = SampleBatch.of(range(n), [NOW + 1] * n, values, [status] * n)
        body = encode_metrics(np.arange(first, first + n), batch, historical)
        return self.edge.data(device, body, NOW + 2, row)

    def wait(self, seconds: float) -> list[HostEvent]:
        out: list[HostEvent] = []
        for _ in range(round(seconds / 0.25)):
            self.mono += 0.25
            out += self.host.tick(self.mono)
        return out

    def paths(self, signals: Iterable[int]) -> list[str]:
        return [self.table.path(int(i)) for i in signals]


def only(kind: type[T], events: Iterable[HostEvent]) -> list[T]:
    return [e for e in events if isinstance(e, kind)]


def test_births_of_our_edges_are_live_and_not_stored() -> None:
    bus = Bus()
    events = bus.born()
    births = only(Born, events)
    assert [(b.device, b.announced) for b in births] == [
        (None, True),
        ("lathe", True),
        ("saw", True),
    ]
    assert [bus.paths(b.signals) for b in births] == [
        ["edge1/outbox_rows"],
        ["lathe/power", "lathe/speed"],
        ["saw/current", "saw/program"],
    ]
    assert {(d.live, d.stored, d.row) for d in only(Data, events)} == {(True, False, None)}
    assert only(RunsAnnounced, events) == [RunsAnnounced(EDGE1, RUNS)]
    lathe = only(Data, events)[1]
    assert lathe.samples.value[0] == 3.5
    assert math.isnan(lathe.samples.value[1])
    saw = only(Data, events)[2]
    assert [(bus.table.path(t.signal), t.text) for t in saw.texts] == [("saw/program", "A")]


def test_rows_are_stored_and_live_unless_historical() -> None:
    """tck: operational-behavior-data-publish-nbirth-change
    operational-behavior-data-publish-dbirth-change
    """
    bus = Bus()
    bus.born()
    row = Row("r1", 1)
    (fresh,) = only(Data, bus.take(bus.data(4.0, 5.0, row=row)))
    assert (fresh.row, fresh.live, fresh.stored, fresh.historical) == (row, True, True, False)
    assert bus.paths(fresh.samples.signal) == ["lathe/power", "lathe/speed"]
    late = Row("r1", 2, 1, resend=True)
    (old,) = only(Data, bus.take(bus.data(6.0, row=late, historical=True)))
    assert (old.row, old.live, old.stored, old.historical) == (late, False, True, True)
    (plain,) = only(Data, bus.take(bus.data(7.0)))
    assert (plain.row, plain.live, plain.stored) == (None, True, False)


def test_records_of_an_edge_arrive_as_events_and_gaps() -> None:
    bus = Bus()
    bus.born()
    event = Event(NOW, "lathe", "meter.reset", {"from": 5})
    gap = Gap("g/edge1", 1, 2, 3, "outbox full", ("lathe/power",))
    texts = [TextSample(141, NOW, t) for t in (encode_event(event), encode_gap(gap), "rubbish")]
    events = bus.take(bus.edge.data(None, encode_texts(texts), NOW, Row("r1", 1)))
    (data,) = only(Data, events)
    assert (list(data.events), list(data.gaps)) == ([event], [gap])
    assert len(only(Refused, events)) == 1


def test_a_device_dies_at_once_and_lives_again_by_its_birth() -> None:
    """tck: operational-behavior-edge-node-termination-host-action-ddeath-devices-offline
    operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale
    """
    bus = Bus()
    bus.born()
    (died,) = bus.take(bus.edge.death("lathe", NOW))
    assert isinstance(died, Died)
    assert (died.device, bus.paths(died.signals)) == ("lathe", ["lathe/power", "lathe/speed"])
    assert only(Born, bus.take(bus.edge.device_birth(LATHE, NOW)))


def test_a_node_takes_its_devices_with_it() -> None:
    """tck: operational-behavior-edge-node-termination-host-action-ndeath-node-offline
    operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale
    operational-behavior-edge-node-termination-host-action-ndeath-devices-offline
    operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale
    payloads-ndeath-will-message
    """
    bus = Bus()
    bus.born()
    deaths = only(Died, bus.take(bus.will))
    assert [d.device for d in deaths] == [None, "lathe", "saw"]
    assert bus.take(bus.will) == []


def test_a_late_will_of_an_earlier_session_kills_nobody() -> None:
    bus = Bus()
    bus.born()
    earlier = bus.will
    bus.born()
    assert bus.take(earlier) == []
    assert only(Data, bus.take(bus.data(1.0)))
    assert only(Died, bus.take(bus.will))


def test_rows_of_a_dead_device_are_stored_and_touch_no_live_value() -> None:
    bus = Bus()
    bus.born()
    bus.take(bus.edge.death("lathe", NOW))
    dead = DeviceBirth("lathe", LATHE.metrics, dead=True)
    events = bus.take(bus.edge.device_birth(dead, NOW))
    assert [b.dead for b in only(Born, events)] == [True]
    assert [d.live for d in only(Data, events)] == [False]
    (data,) = only(Data, bus.take(bus.data(4.0, row=Row("r1", 5))))
    assert (data.live, data.stored) == (False, True)
    assert only(Died, bus.take(bus.edge.death("lathe", NOW)))


def test_an_unknown_node_is_asked_at_once_and_its_rows_wait() -> None:
    bus = Bus()
    bus.connect()
    births = bus.birth()
    assert bus.take(bus.data(1.0, row=Row("r1", 1))) == []
    wanted = only(RebirthWanted, bus.wait(1.0))
    assert [w.node for w in wanted] == [EDGE1]
    events = bus.take(*births)
    rows = [d for d in only(Data, events) if d.row]
    assert [(d.row, d.live, d.stored) for d in rows] == [(Row("r1", 1), False, True)]
    assert only(RebirthWanted, bus.wait(60)) == []


def test_an_unknown_alias_waits_two_seconds_before_anybody_is_asked() -> None:
    bus = Bus()
    bus.born()
    assert bus.take(bus.data(1.0, row=Row("r1", 1), first=900)) == []
    assert bus.wait(1.75) == []
    (wanted,) = bus.wait(1.0)
    assert isinstance(wanted, RebirthWanted)
    assert "900" in wanted.reason
    more = DeviceBirth("lathe", (*LATHE.metrics, MetricBirth("torque", 900)))
    events = bus.take(*bus.edge.birth(NOW, [more, SAW], RUNS, NODE))
    (row,) = [d for d in only(Data, events) if d.row]
    assert bus.paths(row.samples.signal) == ["lathe/torque"]


def test_a_birth_in_the_waiting_time_answers_without_asking() -> None:
    bus = Bus()
    bus.born()
    bus.take(bus.data(1.0, first=900))
    bus.wait(1.0)
    bus.take(*bus.birth())
    assert only(RebirthWanted, bus.wait(30.0)) == []


def test_requests_pause_longer_and_longer() -> None:
    bus = Bus()
    bus.born()
    asked = []
    for _ in range(1200):
        bus.take(bus.data(1.0, first=900))
        asked += [bus.mono for e in bus.wait(0.25) if isinstance(e, RebirthWanted)]
    pauses = [b - a for a, b in pairwise(asked)]
    assert pauses[0] >= 5.0
    assert pauses == sorted(pauses)
    assert max(pauses) <= 75.0
    assert len(asked) <= 9


def test_data_of_a_device_that_was_never_born_waits() -> None:
    bus = Bus()
    bus.connect()
    bus.take(bus.birth()[0])
    assert bus.take(bus.data(1.0, row=Row("r1", 1))) == []
    assert only(RebirthWanted, bus.wait(3.0))


def test_a_gap_that_heals_is_no_gap() -> None:
    """tck: operational-behavior-host-reordering-start
    operational-behavior-host-reordering-success
    """
    bus = Bus()
    bus.born()
    first, second, third = (bus.data(float(i)) for i in range(3))
    bus.take(first, third)
    assert bus.wait(1.0) == []
    bus.take(second)
    assert bus.wait(10.0) == []


def test_a_gap_that_does_not_heal_asks_for_rebirth() -> None:
    """tck: operational-behavior-host-reordering-rebirth"""
    bus = Bus()
    bus.born()
    bus.data(1.0)
    bus.data(2.0)
    bus.take(bus.data(3.0))
    events = bus.wait(4.0)
    (gap,) = only(SequenceGap, events)
    assert (gap.node, gap.announced, gap.lost) == (EDGE1, True, 2)
    assert only(RebirthWanted, events)
    bus.take(*bus.birth())
    assert bus.wait(10.0) == []


def test_the_sequence_wraps_without_a_gap() -> None:
    bus = Bus()
    bus.born()
    for i in range(600):
        bus.take(bus.data(float(i)))
    assert bus.wait(5.0) == []


def test_an_alias_twice_is_refused_by_name() -> None:
    bus = Bus()
    bus.born()
    twice = pb.Payload(timestamp=NOW, seq=3)
    for name in ("a", "b"):
        twice.metrics.add(name=name, alias=200, datatype=pb.Double, double_value=1.0)
    topic = "spBv1.0/g/DBIRTH/edge1/press"
    (refused,) = bus.host.on_message(topic, twice.SerializeToString(), bus.mono)
    assert isinstance(refused, Refused)
    assert refused.reason == "alias 200 stands for both 'a' and 'b'"
    assert refused.device == "press"
    bus.edge.born.add("press")
    assert bus.take(bus.data(1.0, first=200, device="press")) == []  # waits, is not guessed


@pytest.mark.parametrize("payload", [b"\x12\x7f", b"\xff" * 9, b'{"online":true}'])
def test_rubbish_is_refused_and_others_go_on(payload: bytes) -> None:
    bus = Bus()
    bus.born()
    (refused,) = bus.host.on_message("spBv1.0/g/DDATA/edge1/lathe", payload, bus.mono)
    assert isinstance(refused, Refused)
    assert only(Data, bus.take(bus.data(1.0)))


def test_retained_messages_and_commands_are_not_heard() -> None:
    bus = Bus()
    bus.connect()
    for message in bus.birth():
        assert bus.host.on_message(message.topic, message.payload, 1.0, retain=True) == []
    assert bus.host.on_message("spBv1.0/g/NCMD/edge1", b"", 1.0) == []
    assert bus.host.on_message("spBv1.0/STATE/x", b"", 1.0) == []


def test_a_device_that_is_not_born_again_is_dead() -> None:
    bus = Bus()
    bus.born()
    bus.take(*bus.edge.birth(NOW, [SAW], RUNS, NODE))
    assert bus.wait(4.0) == []
    assert [d.device for d in only(Died, bus.wait(2.0))] == ["lathe"]


def test_losing_our_own_connection_makes_everything_unknown() -> None:
    bus = Bus()
    bus.born()
    assert [d.device for d in only(Died, bus.host.reset())] == [None, "lathe", "saw"]
    assert bus.take(bus.data(1.0)) == []
    assert only(RebirthWanted, bus.wait(1.0))


def test_the_same_device_under_two_nodes() -> None:
    """tck: topic-structure-namespace-duplicate-device-id-across-edge-node"""
    bus = Bus(own=("edge1", "kaikou_twin"))
    bus.born()
    twin = EdgeSession("g", "kaikou_twin")
    twin.will(0)  # its aliases are its own: 128 is another node's as well
    births = twin.birth(NOW, [DeviceBirth("lathe", (MetricBirth("state", 128),))], Runs("t"))
    (born,) = [b for b in only(Born, bus.take(*births)) if b.device == "lathe"]
    assert bus.paths(born.signals) == ["lathe/state"]
    (data,) = only(Data, bus.take(bus.data(1.0)))
    assert bus.paths(data.samples.signal) == ["lathe/power"]
    assert only(Died, bus.take(twin.death("lathe", NOW)))
    assert only(Data, bus.take(bus.data(1.0)))


# ------------------------------------------------------------------------------------- strangers


def foreign() -> Bus:
    return Bus(runs=None, own=())


def test_a_strangers_births_and_data_are_stored_under_its_own_path() -> None:
    bus = foreign()
    events = bus.born()
    assert {b.announced for b in only(Born, events)} == {False}
    assert {(d.live, d.stored) for d in only(Data, events)} == {(True, True)}
    assert only(RunsAnnounced, events) == []
    (data,) = only(Data, bus.take(bus.data(1.0)))
    assert bus.paths(data.samples.signal) == ["g/edge1/lathe/power"]
    assert (data.row, data.live, data.stored) == (None, True, True)


def test_a_strangers_field_1000_in_data_promises_nothing() -> None:
    bus = foreign()
    bus.born()
    (data,) = only(Data, bus.take(bus.data(1.0, row=Row("x", 1))))
    assert (data.row, data.stored) == (None, True)


def test_a_strangers_gap_is_told_when_it_is_certain() -> None:
    bus = foreign()
    bus.born()
    bus.data(1.0)
    bus.take(bus.data(2.0))
    (gap,) = only(SequenceGap, bus.wait(3.0))
    assert (gap.announced, gap.lost, gap.first, gap.last) == (False, 1, NOW, NOW + 2)
    bus.data(3.0)
    bus.take(bus.data(4.0))
    (gap,) = only(SequenceGap, bus.take(bus.will))  # it died before anybody could heal it
    assert gap.lost == 1


def test_a_strangers_data_that_no_birth_explains_is_lost_and_said_so() -> None:
    bus = foreign()
    bus.born()
    bus.take(bus.data(1.0, first=900))
    gaps = only(SequenceGap, bus.wait(31.0))
    assert [(g.lost, g.reason) for g in gaps] == [(1, "no birth came")]
    bus.take(bus.data(1.0, first=900))
    gaps = only(SequenceGap, bus.take(*bus.birth()))
    assert [(g.lost, g.reason) for g in gaps] == [(1, "unknown alias")]


def test_rows_of_ours_that_come_before_its_birth_are_never_told_as_lost() -> None:
    """A host that has just started hears a window of resent rows before it is answered."""
    bus = Bus()
    bus.will = bus.connect()
    birth = bus.birth()
    rows = [bus.data(float(n), row=Row("r1", n, n - 1)) for n in range(1, HELD_MESSAGES + 70)]
    events = bus.take(*rows) + bus.wait(31.0)
    assert only(SequenceGap, events) == []
    assert only(RebirthWanted, events)
    bus.take(*rows[-3:])
    events = bus.take(*birth)
    offsets = [d.row.offset for d in only(Data, events) if d.row]
    assert offsets == [HELD_MESSAGES + n for n in (67, 68, 69)]


def test_a_strangers_types_mean_what_its_birth_says() -> None:
    """Whole numbers stand unsigned on the wire; the birth knows the sign."""
    types = {
        "i8": (pb.Int8, 1, -5),
        "i16": (pb.Int16, 2, -300),
        "i32": (pb.Int32, 3, -70_000),
        "i64": (pb.Int64, 4, -5),
        "u32": (pb.UInt32, 5, 4_000_000_000),
        "u64": (pb.UInt64, 2**40, 2**63),
        "flag": (pb.Boolean, 7, True),
        "f": (pb.Float, 8, 0.5),
    }
    birth = pb.Payload(timestamp=NOW, seq=0)
    data = pb.Payload(timestamp=NOW, seq=1)
    for name, (kind, alias, value) in types.items():
        birth.metrics.add(name=name, alias=alias, datatype=kind, is_null=True, timestamp=NOW)
        metric = data.metrics.add(alias=alias, timestamp=NOW)
        if kind in (pb.Int64, pb.UInt64):
            metric.long_value = int(value) % 2**64
        elif kind == pb.Float:
            metric.float_value = value
        elif kind == pb.Boolean:
            metric.boolean_value = bool(value)
        else:
            metric.int_value = int(value) % 2**32
    host = HostSession("g", (), SignalTable())
    host.on_message("spBv1.0/x/NBIRTH/n", birth.SerializeToString(), 1.0)
    (found,) = only(Data, host.on_message("spBv1.0/x/NDATA/n", data.SerializeToString(), 1.0))
    got = {
        host.table.path(int(i)): v
        for i, v in zip(found.samples.signal, found.samples.value, strict=True)
    }
    assert got == {f"x/n/{name}": float(value) for name, (_, _, value) in types.items()}


def test_a_stranger_that_names_its_metrics_and_mixes_old_with_new() -> None:
    birth = pb.Payload(timestamp=NOW, seq=0)
    birth.metrics.add(name="t/in", datatype=pb.Int16, int_value=2**32 - 7, timestamp=NOW)
    birth.metrics.add(name="s", datatype=pb.String, string_value="a", timestamp=NOW)
    data = pb.Payload(timestamp=NOW, seq=1)
    data.metrics.add(name="t/in", int_value=9, timestamp=NOW - 9, is_historical=True)
    data.metrics.add(name="t/in", int_value=8, timestamp=NOW)
    data.metrics.add(name="s", string_value="b", timestamp=NOW)
    host = HostSession("g", (), SignalTable())
    (values,) = only(Data, host.on_message("spBv1.0/x/NBIRTH/n", birth.SerializeToString(), 1.0))
    assert values.samples.value.tolist() == [-7.0]
    past, now = only(Data, host.on_message("spBv1.0/x/NDATA/n", data.SerializeToString(), 1.0))
    assert (past.live, past.historical, past.samples.value.tolist()) == (False, True, [9.0])
    assert (now.live, now.historical, now.samples.value.tolist()) == (True, False, [8.0])
    assert [t.text for t in now.texts] == ["b"]


def test_a_birth_with_another_sequence_number_is_refused() -> None:
    birth = pb.Payload(timestamp=NOW, seq=3)
    host = HostSession("g", (), SignalTable())
    (event,) = host.on_message("spBv1.0/x/NBIRTH/n", birth.SerializeToString(), 1.0)
    assert isinstance(event, Refused)


def test_what_waits_is_bounded() -> None:
    bus = foreign()
    bus.born()
    lost = [e for i in range(600) for e in bus.take(bus.data(float(i), first=900))]
    lost += bus.wait(10.0)
    assert sum(gap.lost for gap in only(SequenceGap, lost)) == 600 - 512


# ----------------------------------------------------------------------------------------- STATE


def test_state_of_the_host() -> None:
    """tck: host-topic-phid-birth-qos host-topic-phid-birth-retain host-topic-phid-birth-topic
    host-topic-phid-birth-payload host-topic-phid-birth-payload-timestamp
    host-topic-phid-death-qos host-topic-phid-death-retain host-topic-phid-death-topic
    host-topic-phid-death-required host-topic-phid-death-payload
    host-topic-phid-death-payload-timestamp-connect
    host-topic-phid-death-payload-timestamp-disconnect-clean
    message-flow-phid-sparkplug-state-publish-payload
    message-flow-phid-sparkplug-state-publish-payload-timestamp
    operational-behavior-host-application-connect-will-topic
    operational-behavior-host-application-connect-will-payload
    operational-behavior-host-application-connect-will-qos
    operational-behavior-host-application-connect-will-retained
    operational-behavior-host-application-connect-birth-topic
    operational-behavior-host-application-connect-birth-payload
    operational-behavior-host-application-connect-birth-qos
    operational-behavior-host-application-connect-birth-retained
    operational-behavior-host-application-death-topic
    operational-behavior-host-application-death-payload
    operational-behavior-host-application-death-qos
    operational-behavior-host-application-death-retained
    payloads-state-will-message payloads-state-will-message-qos
    payloads-state-will-message-retain payloads-state-will-message-payload
    payloads-state-birth payloads-state-birth-payload
    """
    state = HostState("kaikou")
    will, online, offline = state.will(NOW), state.online(), state.offline(NOW + 9)
    for message, said in (
        (will, b'{"online":false,"timestamp":1795000000000}'),
        (online, b'{"online":true,"timestamp":1795000000000}'),
        (offline, b'{"online":false,"timestamp":1795000000009}'),
    ):
        assert (message.topic, message.qos, message.retain) == ("spBv1.0/STATE/kaikou", 1, True)
        assert message.payload == said


def test_a_false_word_without_end_is_contradicted_once_a_second() -> None:
    state = HostState("kaikou")
    topic, will = "spBv1.0/STATE/kaikou", state.will(NOW)
    answers = [state.on_message(topic, will.payload, 100.0 + i / 1000) for i in range(3000)]
    assert [i for i, answer in enumerate(answers) if answer] == [0, 1000, 2000]
    assert state.tick(102.5) is None
    assert state.tick(103.0) == state.online(), "the last word is ours"
    assert state.tick(104.0) is None


def test_a_false_word_about_us_is_contradicted() -> None:
    """tck: message-flow-hid-sparkplug-state-message-delivered payloads-state-subscribe"""
    state = HostState("kaikou")
    topic, qos = state.subscription
    assert (topic, qos) == ("spBv1.0/STATE/kaikou", 1)
    will = state.will(NOW)
    assert state.on_message(topic, state.online().payload) is None
    assert state.on_message(topic, will.payload) == state.online()
    assert state.on_message("spBv1.0/STATE/other", will.payload) is None
    state.offline(NOW)
    assert state.on_message(topic, will.payload) is None
    with pytest.raises(RuntimeError, match="no connection"):
        state.online()
