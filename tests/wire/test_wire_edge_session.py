"""The edge's session: what it publishes, in which order, and what it obeys."""

import json

import numpy as np
import pytest

from plant.flow.sample import SampleBatch
from plant.model.signal import Label, Signal, SignalKind
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.codec import Metric, encode_metrics, encode_named, encode_payload
from plant.wire.edge_session import (
    AckReceived,
    Command,
    EdgeEvent,
    EdgeSession,
    HostOffline,
    HostOnline,
    RebirthWanted,
)
from plant.wire.host_session import rebirth_command
from plant.wire.message import Ack, Outgoing, Row, Runs
from plant.wire.topic import NodeId, check_id, parse_topic

NOW = 1_795_000_000_000
REBIRTH = rebirth_command(NodeId("g", "edge1"), NOW)

power = Signal(
    "lathe/power", "lathe", "power", Label("功率", "Power"), SignalKind.MEASUREMENT, "kW", (0, 30)
)
light = Signal(
    "lathe/light",
    "lathe",
    "light",
    Label("灯", "Light"),
    SignalKind.STATE,
    states={0: Label("关", "off")},
)
program = Signal("lathe/program", "lathe", "program", Label("程序", "Program"), SignalKind.TEXT)
LATHE = DeviceBirth(
    "lathe",
    (
        MetricBirth.of(power, 128, 3.5, 0, NOW - 5),
        MetricBirth.of(light, 129),
        MetricBirth.of(program, 130, "O1000", 0, NOW - 9),
    ),
)
SAW = DeviceBirth("saw", (MetricBirth("current", 131, value=1.0),))
OWN = (MetricBirth("outbox_rows", 140, value=0.0),)


def read(message: Outgoing) -> pb.Payload:
    return pb.Payload.FromString(message.payload)


def born(**more: str) -> tuple[EdgeSession, list[Outgoing]]:
    session = EdgeSession("g", "edge1", ack_host="kaikou", plant_hash="abc", **more)
    session.will(4)
    return session, session.birth(NOW, [LATHE, SAW], Runs("r1"), OWN)


def numbers(*values: float) -> bytes:
    n = len(values)
    return encode_metrics(np.arange(128, 128 + n), SampleBatch.of(range(n), [NOW] * n, values))


def test_will() -> None:
    """tck: topics-ndeath-topic topics-ndeath-payload topics-ndeath-seq payloads-ndeath-seq
    payloads-ndeath-will-message-qos payloads-ndeath-will-message-retain
    message-flow-edge-node-birth-publish-will-message-topic
    message-flow-edge-node-birth-publish-will-message-payload
    message-flow-edge-node-birth-publish-will-message-payload-bdSeq
    message-flow-edge-node-birth-publish-will-message-qos
    message-flow-edge-node-birth-publish-will-message-will-retained
    """
    will = EdgeSession("g", "edge1").will(255)
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/g/NDEATH/edge1", 1, False)
    payload = read(will)
    assert not payload.HasField("seq")
    (metric,) = payload.metrics
    assert (metric.name, metric.datatype, metric.long_value) == ("bdSeq", pb.Int64, 255)


@pytest.mark.parametrize("bd_seq", [-1, 256])
def test_bd_seq_is_a_byte(bd_seq: int) -> None:
    with pytest.raises(ValueError, match="bdSeq"):
        EdgeSession("g", "edge1").will(bd_seq)


def test_birth_of_the_node() -> None:
    """tck: topics-nbirth-topic topics-nbirth-mqtt topics-nbirth-seq-num topics-nbirth-timestamp
    topics-nbirth-metric-reqs topics-nbirth-metrics topics-nbirth-bdseq-included
    topics-nbirth-bdseq-matching topics-nbirth-rebirth-metric
    message-flow-edge-node-birth-publish-nbirth-topic
    message-flow-edge-node-birth-publish-nbirth-payload
    message-flow-edge-node-birth-publish-nbirth-payload-bdSeq
    message-flow-edge-node-birth-publish-nbirth-qos
    message-flow-edge-node-birth-publish-nbirth-retained
    message-flow-edge-node-birth-publish-nbirth-payload-seq
    operational-behavior-data-publish-nbirth operational-behavior-data-publish-nbirth-values
    operational-behavior-data-commands-rebirth-name
    operational-behavior-data-commands-rebirth-name-aliases
    operational-behavior-data-commands-rebirth-datatype
    operational-behavior-data-commands-rebirth-value
    payloads-sequence-num-zero-nbirth payloads-nbirth-timestamp payloads-nbirth-seq
    payloads-nbirth-bdseq payloads-nbirth-rebirth-req payloads-nbirth-qos payloads-nbirth-retain
    payloads-name-requirement payloads-metric-datatype-req
    """
    _, births = born()
    birth = births[0]
    assert (birth.topic, birth.qos, birth.retain) == ("spBv1.0/g/NBIRTH/edge1", 0, False)
    payload = read(birth)
    assert (payload.seq, payload.timestamp) == (0, NOW)
    metrics = {m.name: m for m in payload.metrics}
    assert set(metrics) == {
        "bdSeq",
        "Node Control/Rebirth",
        "Properties/Plant Hash",
        "outbox_rows",
    }
    assert all(m.HasField("datatype") and m.HasField("timestamp") for m in payload.metrics)
    assert metrics["bdSeq"].long_value == 4
    rebirth = metrics["Node Control/Rebirth"]
    assert not rebirth.HasField("alias")
    assert rebirth.datatype == pb.Boolean
    assert rebirth.HasField("boolean_value")
    assert rebirth.boolean_value is False
    assert metrics["Properties/Plant Hash"].string_value == "abc"
    assert metrics["outbox_rows"].alias == 140


def test_births_of_the_devices() -> None:
    """tck: topics-dbirth-topic topics-dbirth-mqtt topics-dbirth-seq topics-dbirth-timestamp
    topics-dbirth-metric-reqs topics-dbirth-metrics
    message-flow-device-birth-publish-dbirth-topic
    message-flow-device-birth-publish-dbirth-match-edge-node-topic
    message-flow-device-birth-publish-dbirth-payload
    message-flow-device-birth-publish-dbirth-qos
    message-flow-device-birth-publish-dbirth-retained
    message-flow-device-birth-publish-dbirth-payload-seq
    operational-behavior-data-publish-dbirth operational-behavior-data-publish-dbirth-values
    payloads-dbirth-timestamp payloads-dbirth-seq payloads-dbirth-seq-inc payloads-dbirth-order
    payloads-dbirth-qos payloads-dbirth-retain payloads-alias-birth-requirement
    payloads-alias-uniqueness payloads-metric-propertyvalue-type-req
    """
    _, births = born()
    lathe, saw = births[1:]
    assert [b.topic for b in births[1:]] == [
        "spBv1.0/g/DBIRTH/edge1/lathe",
        "spBv1.0/g/DBIRTH/edge1/saw",
    ]
    assert {(b.qos, b.retain) for b in births} == {(0, False)}
    assert [read(b).seq for b in births] == [0, 1, 2]
    metrics = {m.name: m for m in read(lathe).metrics}
    aliases = [m.alias for b in births for m in read(b).metrics if m.HasField("alias")]
    assert len(aliases) == len(set(aliases)) == 5
    assert all(m.HasField("datatype") and m.HasField("alias") for m in metrics.values())
    assert (metrics["power"].datatype, metrics["power"].double_value) == (pb.Double, 3.5)
    assert metrics["power"].timestamp == NOW - 5
    assert metrics["program"].string_value == "O1000"
    assert metrics["light"].is_null
    assert metrics["light"].WhichOneof("value") is None
    said = metrics["power"].properties
    assert all(v.HasField("type") for v in said.values)
    properties = dict(zip(said.keys, said.values, strict=True))
    assert properties["engUnit"].string_value == "kW"
    assert (properties["engLow"].double_value, properties["engHigh"].double_value) == (0, 30)
    assert properties["estimated"].boolean_value is False
    assert read(saw).timestamp == NOW


def test_data_of_node_and_device() -> None:
    """tck: topics-ndata-topic topics-ndata-mqtt topics-ndata-seq-num topics-ndata-timestamp
    topics-ndata-payload topics-ddata-topic topics-ddata-mqtt topics-ddata-seq-num
    topics-ddata-timestamp topics-ddata-payload payloads-ndata-timestamp payloads-ndata-seq
    payloads-ndata-seq-inc payloads-ndata-qos payloads-ndata-retain payloads-ddata-timestamp
    payloads-ddata-seq payloads-ddata-seq-inc payloads-ddata-qos payloads-ddata-retain
    """
    session, _ = born()
    row = Row("r1", 9, 8)
    first = session.data(None, numbers(1.0), NOW)
    second = session.data("lathe", numbers(1.0, 2.0), NOW + 1, row)
    assert (first.topic, second.topic) == (
        "spBv1.0/g/NDATA/edge1",
        "spBv1.0/g/DDATA/edge1/lathe",
    )
    assert {(m.qos, m.retain) for m in (first, second)} == {(0, False)}
    assert [read(m).seq for m in (first, second)] == [3, 4]
    assert [read(m).timestamp for m in (first, second)] == [NOW, NOW + 1]
    assert [m.double_value for m in read(second).metrics] == [1.0, 2.0]


def test_sequence_wraps_after_255() -> None:
    """tck: payloads-sequence-num-always-included payloads-sequence-num-incrementing"""
    session, births = born()
    seqs = [read(b).seq for b in births]
    seqs += [read(session.data("lathe", numbers(1.0), NOW)).seq for _ in range(600)]
    assert seqs == [i % 256 for i in range(603)]


def test_death_of_a_device() -> None:
    """tck: topics-ddeath-topic topics-ddeath-mqtt topics-ddeath-seq-num
    operational-behavior-device-ddeath payloads-ddeath-timestamp payloads-ddeath-seq
    payloads-ddeath-seq-inc payloads-ddeath-seq-number
    """
    session, _ = born()
    death = session.death("lathe", NOW + 7)
    assert (death.topic, death.qos, death.retain) == ("spBv1.0/g/DDEATH/edge1/lathe", 0, False)
    assert (read(death).seq, read(death).timestamp) == (3, NOW + 7)
    with pytest.raises(RuntimeError, match="before its birth"):
        session.data("lathe", numbers(1.0), NOW)
    again = session.device_birth(LATHE, NOW + 9)
    assert read(again).seq == 4
    assert read(session.data("lathe", numbers(1.0), NOW)).seq == 5


def test_an_alias_belongs_to_one_metric_of_the_whole_node() -> None:
    session, _ = born()
    with pytest.raises(ValueError, match="alias 128 stands for both"):
        session.device_birth(DeviceBirth("press", (MetricBirth("force", 128),)), NOW)
    with pytest.raises(ValueError, match="alias 128 stands for both"):
        session.birth(NOW, [], None, [MetricBirth("rows", 128)])


def test_a_dead_device_is_born_null_and_bad_while_its_rows_wait() -> None:
    session, _ = born()
    session.death("lathe", NOW)
    dead = DeviceBirth("lathe", LATHE.metrics, dead=True)
    payload = read(session.device_birth(dead, NOW))
    for metric in payload.metrics:
        assert metric.is_null
        assert metric.WhichOneof("value") is None
        said = dict(zip(metric.properties.keys, metric.properties.values, strict=True))
        assert said["Quality"].int_value == 0
        assert said["StatusCode"].int_value == 0x8031_0000


def test_nothing_is_sent_before_its_birth() -> None:
    """tck: message-flow-edge-node-birth-publish-connect
    message-flow-device-birth-publish-nbirth-wait payloads-ndata-order payloads-ddata-order
    """
    session = EdgeSession("g", "edge1")
    with pytest.raises(RuntimeError, match="no connection"):
        session.birth(NOW, [LATHE])
    session.will(0)
    with pytest.raises(RuntimeError, match="before NBIRTH"):
        session.device_birth(LATHE, NOW)
    with pytest.raises(RuntimeError, match="before NBIRTH"):
        session.data(None, numbers(1.0), NOW)
    session.birth(NOW, [LATHE])
    session.lost()
    with pytest.raises(RuntimeError, match="before its birth"):
        session.data("lathe", numbers(1.0), NOW)


def test_rebirth_keeps_bd_seq_and_starts_the_sequence_again() -> None:
    """tck: operational-behavior-data-commands-rebirth-action-1
    operational-behavior-data-commands-rebirth-action-2
    operational-behavior-data-commands-rebirth-action-3 payloads-nbirth-bdseq-repeat
    operational-behavior-data-commands-ncmd-rebirth-verb
    operational-behavior-data-commands-ncmd-rebirth-name
    operational-behavior-data-commands-ncmd-rebirth-value topics-ncmd-topic topics-ncmd-mqtt
    topics-ncmd-timestamp topics-ncmd-payload payloads-ncmd-timestamp payloads-ncmd-seq
    payloads-ncmd-qos payloads-ncmd-retain payloads-name-cmd-requirement
    operational-behavior-data-commands-ncmd-verb
    operational-behavior-data-commands-ncmd-metric-name
    operational-behavior-data-commands-ncmd-metric-value
    """
    session, births = born()
    session.data("lathe", numbers(1.0), NOW)
    assert (REBIRTH.topic, REBIRTH.qos, REBIRTH.retain) == ("spBv1.0/g/NCMD/edge1", 0, False)
    asked = read(REBIRTH)
    assert asked.timestamp == NOW
    assert not asked.HasField("seq")
    assert [(m.name, m.boolean_value) for m in asked.metrics] == [("Node Control/Rebirth", True)]
    assert session.on_message(REBIRTH.topic, REBIRTH.payload) == [RebirthWanted()]
    again = session.birth(NOW, [LATHE, SAW], Runs("r1"), OWN)
    assert [m.payload for m in again] == [m.payload for m in births]


def test_connecting_again_counts_bd_seq_on() -> None:
    """tck: topics-nbirth-bdseq-increment payloads-ndeath-bdseq"""
    session = EdgeSession("g", "edge1")
    for bd_seq in (0, 1, 2):
        will = session.will(bd_seq)
        birth = session.birth(NOW, [])[0]
        seqs = [next(m for m in read(x).metrics if m.name == "bdSeq") for x in (will, birth)]
        assert [m.long_value for m in seqs] == [bd_seq, bd_seq]
        assert session.node_death() == will
        session.lost()


def test_subscriptions() -> None:
    """tck: message-flow-edge-node-ncmd-subscribe message-flow-device-dcmd-subscribe"""
    session = EdgeSession("g", "edge1", ack_host="kaikou", primary_host="scada")
    assert session.subscriptions == [
        ("spBv1.0/g/NCMD/edge1", 1),
        ("spBv1.0/g/DCMD/edge1/#", 1),
        ("kaikou/ack/g/edge1", 1),
        ("spBv1.0/STATE/scada", 1),
    ]


def state(online: object, timestamp: object) -> bytes:
    return json.dumps({"online": online, "timestamp": timestamp}).encode()


def test_births_wait_for_the_primary_host() -> None:
    """tck: message-flow-edge-node-birth-publish-phid-wait
    message-flow-edge-node-birth-publish-phid-wait-id
    message-flow-edge-node-birth-publish-phid-wait-online
    message-flow-edge-node-birth-publish-phid-wait-timestamp
    message-flow-edge-node-birth-publish-phid-offline
    operational-behavior-edge-node-birth-sequence-wait
    operational-behavior-edge-node-termination-host-offline
    operational-behavior-edge-node-termination-host-offline-timestamp
    operational-behavior-edge-node-termination-host-offline-reconnect
    """
    session = EdgeSession("g", "edge1", primary_host="scada")
    session.will(0)
    ours = "spBv1.0/STATE/scada"

    def hear(topic: str, payload: bytes) -> list[EdgeEvent]:
        return session.on_message(topic, payload, retain=True)

    with pytest.raises(RuntimeError, match="not online"):
        session.birth(NOW, [])
    assert hear("spBv1.0/STATE/other", state(True, 5)) == []
    assert hear(ours, state(False, 5)) == []
    assert hear(ours, state("yes", 6)) == []
    assert hear(ours, b"ONLINE") == []
    assert not session.may_publish
    assert hear(ours, state(True, 7)) == [HostOnline()]
    assert session.birth(NOW, [])
    assert hear(ours, state(False, 6)) == []  # a late will of an earlier session
    assert hear(ours, state(True, 7)) == []
    assert hear(ours, state(False, 7)) == [HostOffline()]
    assert not session.may_publish
    assert read(session.node_death()).metrics[0].long_value == 0  # then DISCONNECT, and again:
    assert read(session.will(1)).metrics[0].long_value == 1
    assert not session.may_publish
    assert hear(ours, state(True, 8)) == [HostOnline()]
    assert read(session.birth(NOW, [])[0]).seq == 0


def test_without_a_primary_host_nothing_is_waited_for() -> None:
    session = EdgeSession("g", "edge1")
    assert not session.may_publish
    session.will(0)
    assert session.may_publish


@pytest.mark.parametrize(
    ("payload", "retain", "obeyed"),
    [
        (Ack("kaikou", (("r1", 5),)).encode(), False, True),
        (Ack("other", (("r1", 5),)).encode(), False, False),
        (Ack("kaikou", (("r1", 5),)).encode(), True, False),
        (b'{"host":"kaikou","marks":[["r1",-5]]}', False, False),
        (b'{"host":"kaikou","marks":[["r1",true]]}', False, False),
        (b'{"host":"kaikou","marks":7}', False, False),
        (b'["kaikou"]', False, False),
        (b"\xff\xfe", False, False),
    ],
)
def test_only_our_twins_fresh_acknowledgements_are_obeyed(
    payload: bytes, retain: bool, obeyed: bool
) -> None:
    session, _ = born()
    events = session.on_message("kaikou/ack/g/edge1", payload, retain)
    assert events == ([AckReceived(Ack("kaikou", (("r1", 5),)))] if obeyed else [])


def test_a_stranger_obeys_no_acknowledgement() -> None:
    session = EdgeSession("g", "edge1")
    payload = Ack("kaikou", (("r1", 5),)).encode()
    assert session.on_message("kaikou/ack/g/edge1", payload) == []


def test_retained_and_misaddressed_commands_are_left_alone() -> None:
    session, _ = born()
    assert session.on_message(REBIRTH.topic, REBIRTH.payload, retain=True) == []
    assert session.on_message("spBv1.0/g/NCMD/edge2", REBIRTH.payload) == []
    assert session.on_message("spBv1.0/g/NDATA/edge1", REBIRTH.payload) == []
    assert session.on_message(REBIRTH.topic, b"\x12\x7f") == []


def test_other_commands_are_handed_on() -> None:
    """tck: topics-dcmd-topic operational-behavior-data-commands-dcmd-verb"""
    session, _ = born()
    body = encode_named([Metric("setpoint", 131, NOW, DataType.Double, 7.5)])
    (event,) = session.on_message("spBv1.0/g/DCMD/edge1/lathe", encode_payload(body, NOW, None))
    assert isinstance(event, Command)
    assert (event.device, event.metrics[0].name, event.metrics[0].value) == (
        "lathe",
        "setpoint",
        7.5,
    )


@pytest.mark.parametrize("id", ["a/b", "a+b", "#", "", "a\x00", "a\nb"])
def test_ids_that_cannot_stand_in_a_topic(id: str) -> None:
    """tck: topic-structure-namespace-valid-group-id topic-structure-namespace-valid-edge-node-id
    topic-structure-namespace-valid-device-id
    """
    with pytest.raises(ValueError, match="group id"):
        EdgeSession(id, "edge1")
    with pytest.raises(ValueError, match="edge node id"):
        EdgeSession("g", id)
    with pytest.raises(ValueError, match="device id"):
        check_id(id, "device id")
    session, _ = born()
    with pytest.raises(ValueError, match="device id"):
        session.device_birth(DeviceBirth(id, ()), NOW)


def test_topics() -> None:
    """tck: topic-structure topic-structure-namespace-a
    topic-structure-namespace-device-id-associated-message-types
    topic-structure-namespace-device-id-non-associated-message-types
    """
    for kind in ("NBIRTH", "NDEATH", "NDATA", "NCMD", "DBIRTH", "DDEATH", "DDATA", "DCMD"):
        node, device = f"spBv1.0/g/{kind}/e", f"spBv1.0/g/{kind}/e/d"
        good, bad = (device, node) if kind[0] == "D" else (node, device)
        topic = parse_topic(good)
        assert topic is not None
        assert topic.format() == good
        assert parse_topic(bad) is None
    for other in (
        "spAv1.0/g/NDATA/e",
        "spBv1.0/STATE/h",
        "spBv1.0/g/XDATA/e",
        "a",
        "spBv1.0//NDATA/e",
    ):
        assert parse_topic(other) is None
