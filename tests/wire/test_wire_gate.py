"""The gate: what no message may be, and that whoever sends it ends nobody."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from plant.errors import DecodeError
from plant.flow.json_text import read_json, shown, stored_json
from plant.flow.live import SignalTable
from plant.flow.sample import Event
from plant.wire import kaikou_pb2
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.birth import BD_SEQ
from plant.wire.codec import encode_payload
from plant.wire.decode import decode_payload
from plant.wire.edge_session import EdgeSession, parse_state
from plant.wire.gate import RECORD_BYTES, RUNS, TEXT_BYTES, TIME_LAST
from plant.wire.host_event import Born, Data, Died, HostEvent, RebirthWanted, Refused
from plant.wire.host_session import HostSession
from plant.wire.message import Ack, Runs, RunState
from plant.wire.ownership import Ownership
from plant.wire.quota import ASKS, HELD_BYTES, MORE_METRICS, NODE_SIGNALS, NODES, SIGNALS
from plant.wire.record import decode_record, encode_event
from plant.wire.request import Reply, Request
from plant.wire.topic import NodeId, parse_topic

NOW = 1_795_000_000_000
NODE = "spBv1.0/x/{}/n"
DEEP = "[" * 900 + "]" * 900


def birth(seq: int | None = 0, bd_seq: float | None = 7) -> pb.Payload:
    payload = pb.Payload(timestamp=NOW, seq=seq)
    if isinstance(bd_seq, int):
        payload.metrics.add(name=BD_SEQ, datatype=pb.Int64, long_value=bd_seq)
    elif bd_seq is not None:
        payload.metrics.add(name=BD_SEQ, datatype=pb.Double, double_value=bd_seq)
    payload.metrics.add(name="t", alias=1, datatype=pb.Double, double_value=1.5, timestamp=NOW)
    return payload


def data(**head: Any) -> pb.Payload:
    payload = pb.Payload(**{"timestamp": NOW, "seq": 1, **head})
    payload.metrics.add(alias=1, timestamp=NOW, double_value=2.5)
    return payload


class Hearing:
    """A host and what it learned."""

    def __init__(self) -> None:
        self.host = HostSession("g", ("edge1",), SignalTable(), random=lambda: 0.5)
        self.mono = 100.0

    def hear(self, kind: str, payload: pb.Payload | bytes, node: str = "n") -> list[HostEvent]:
        raw = payload if isinstance(payload, bytes) else payload.SerializeToString()
        return self.host.on_message(f"spBv1.0/x/{kind}/{node}", raw, self.mono)

    def wait(self, seconds: float) -> list[HostEvent]:
        events: list[HostEvent] = []
        for _ in range(round(seconds / 0.5)):
            self.mono += 0.5
            events += self.host.tick(self.mono)
        return events


def _alias_beyond(payload: pb.Payload) -> None:
    payload.metrics[-1].alias = 2**63


def _alias_of_a_text(payload: pb.Payload) -> None:
    payload.metrics.add(alias=2**64 - 1, timestamp=NOW, string_value="a")


def _late_payload(payload: pb.Payload) -> None:
    payload.timestamp = 2**64 - 1


def _offset_beyond(payload: pb.Payload) -> None:
    row = payload.Extensions[kaikou_pb2.extension].row
    row.run, row.offset = "r", 2**64 - 1


def _run_of_a_shell(payload: pb.Payload) -> None:
    row = payload.Extensions[kaikou_pb2.extension].row
    row.run, row.offset = "a\nb", 1


def _many_properties(payload: pb.Payload) -> None:
    for i in range(100):
        payload.metrics[-1].properties.keys.append(str(i))
        payload.metrics[-1].properties.values.add(type=3, int_value=i)


def _long_name(payload: pb.Payload) -> None:
    payload.metrics.add(name="n" * 100_000, double_value=1.0)


def _large_metric(payload: pb.Payload) -> None:
    payload.metrics.add(alias=9, bytes_value=bytes(2 << 20))


@pytest.mark.parametrize(
    "spoil",
    [
        _alias_beyond,
        _alias_of_a_text,
        _late_payload,
        _offset_beyond,
        _run_of_a_shell,
        _many_properties,
        _long_name,
        _large_metric,
    ],
)
@pytest.mark.parametrize("kind", ["NBIRTH", "NDATA"])
def test_a_message_beyond_the_gate_is_refused_by_name(
    spoil: Callable[[pb.Payload], None], kind: str
) -> None:
    hearing = Hearing()
    assert any(isinstance(e, Born) for e in hearing.hear("NBIRTH", birth()))
    payload = birth() if kind == "NBIRTH" else data()
    spoil(payload)
    (refused,) = hearing.hear(kind, payload)
    assert isinstance(refused, Refused)
    assert refused.node == NodeId("x", "n")
    assert refused.reason.partition(":")[0].strip()
    assert hearing.host.refused == 1
    (going_on,) = hearing.hear("NDATA", data())
    assert isinstance(going_on, Data)


@pytest.mark.parametrize("seq", [256, 2**32, 2**64 - 1])
def test_a_sequence_number_is_a_byte(seq: int) -> None:
    hearing = Hearing()
    hearing.hear("NBIRTH", birth())
    (refused,) = hearing.hear("NDATA", data(seq=seq))
    assert isinstance(refused, Refused)
    assert "seq out of range" in refused.reason


@pytest.mark.parametrize("bd_seq", [math.nan, math.inf, -math.inf, 1e300, -1.0, 0.5, 2**64 - 1])
@pytest.mark.parametrize("kind", ["NBIRTH", "NDEATH"])
def test_a_bd_seq_that_is_no_number_is_refused(bd_seq: float, kind: str) -> None:
    hearing = Hearing()
    hearing.hear("NBIRTH", birth())
    (refused,) = hearing.hear(kind, birth(0 if kind == "NBIRTH" else None, bd_seq))
    assert isinstance(refused, Refused)
    assert "bdSeq" in refused.reason


def test_a_gbk_edge_is_born_with_names_that_people_read() -> None:
    """Asked for its births it would give the same ones for ever."""
    payload = pb.Payload(timestamp=NOW, seq=0)
    raw = payload.SerializeToString()
    name, unit = "主轴温度".encode("gbk"), "℃".encode("gbk")
    prop = (
        b"\x0a\x07engUnit" + b"\x12" + bytes([len(unit) + 2]) + b"\x42" + bytes([len(unit)]) + unit
    )
    metric = (
        b"\x0a" + bytes([len(name)]) + name + b"\x10\x05" + b"\x20\x0a"
        + b"\x4a" + bytes([len(prop)]) + prop + b"\x69" + bytes(8)
    )  # fmt: skip
    text = "一号机".encode("gbk")
    string = b"\x0a\x01s\x10\x06\x20\x0c\x7a" + bytes([len(text)]) + text
    raw += b"".join(b"\x12" + bytes([len(m)]) + m for m in (metric, string))
    hearing = Hearing()
    born, values = hearing.hear("NBIRTH", raw)
    assert isinstance(born, Born)
    assert isinstance(values, Data)
    assert [hearing.host.table.path(int(i)) for i in born.signals] == ["x/n/主轴温度", "x/n/s"]
    assert born.metrics[0].properties["engUnit"] == "℃"
    assert [text.text for text in values.texts] == ["一号机"]
    assert not [e for e in hearing.wait(120.0) if isinstance(e, RebirthWanted)]


def test_a_name_that_is_no_text_at_all_is_shown_escaped() -> None:
    raw = b"\x08\x01\x18\x00\x12\x08\x0a\x04a\xff\x1b\n\x20\x0a"
    (metric,) = decode_payload(raw).metrics
    assert metric.name == r"a\xff\x1b\n"


@pytest.mark.parametrize("datatype", [35, 255, 2**32 - 1])
def test_a_datatype_of_nobody_makes_no_signal(datatype: int) -> None:
    payload = birth()
    payload.metrics.add(name="odd", alias=2, datatype=datatype, double_value=1.0)
    hearing = Hearing()
    assert any(isinstance(e, Born) for e in hearing.hear("NBIRTH", payload))
    assert hearing.host.table.get("x/n/odd") is None


def test_a_single_metric_out_of_range_leaves_the_others() -> None:
    hearing = Hearing()
    hearing.hear("NBIRTH", birth())
    payload = data()
    payload.metrics.add(alias=1, timestamp=2**64 - 1, double_value=9.0)
    payload.metrics.add(alias=1, timestamp=TIME_LAST + 1, double_value=9.0)
    refused, taken = hearing.hear("NDATA", payload)
    assert isinstance(refused, Refused)
    assert refused.reason == "a time out of range: 2 metrics"
    assert isinstance(taken, Data)
    assert taken.samples.value.tolist() == [2.5]


def test_a_row_of_ours_with_a_metric_out_of_range_leaves_a_gap_record() -> None:
    """It is acknowledged, or it would come again for ever."""
    hearing = Hearing()
    born = birth()
    born.Extensions[kaikou_pb2.extension].runs.current = "r"
    hearing.host.on_message("spBv1.0/g/NBIRTH/edge1", born.SerializeToString(), hearing.mono)
    payload = data()
    payload.metrics.add(alias=1, timestamp=2**63, double_value=9.0)
    row = payload.Extensions[kaikou_pb2.extension].row
    row.run, row.offset = "r", 1
    raw = payload.SerializeToString()
    *_, taken = hearing.host.on_message("spBv1.0/g/NDATA/edge1", raw, hearing.mono)
    assert isinstance(taken, Data)
    assert taken.row is not None
    (gap,) = taken.gaps
    assert (gap.edge, gap.samples, gap.reason) == ("g/edge1", 1, "refused: a time out of range")


def test_an_outbox_announces_so_many_runs_and_no_more() -> None:
    for count, taken in ((RUNS, True), (RUNS + 1, False)):
        states = tuple(RunState(f"r{i}", 0, 1) for i in range(count))
        raw = encode_payload(b"", NOW, 0, runs=Runs("r0", states))
        if taken:
            assert decode_payload(raw).runs == Runs("r0", states)
        else:
            with pytest.raises(DecodeError, match="too many runs"):
                decode_payload(raw)


def test_a_text_too_long_is_born_without_its_value() -> None:
    payload = birth()
    payload.metrics.add(
        name="s", alias=2, datatype=pb.String, string_value="x" * (TEXT_BYTES + 1), timestamp=NOW
    )
    hearing = Hearing()
    refused, born, _ = hearing.hear("NBIRTH", payload)
    assert isinstance(refused, Refused)
    assert isinstance(born, Born)
    assert hearing.host.table.get("x/n/s") is not None


# ------------------------------------------------------------------------------------------ JSON


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        "[" * 100_000,
        '{"a":' * 20 + "1" + "}" * 20,
        "[9223372036854775808]",
        "[-9223372036854775809]",
        "9" * 5000,
        "[NaN]",
        "[Infinity]",
        "[1e999]",
        r'["\ud800"]',
        r'{"\udfff":1}',
        b"\xff\xfe\x00",
        b"[1",
        "",
    ],
)
def test_json_that_others_cannot_take_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError):
        read_json(text, 1 << 20)
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    for decode in (Ack.decode, Reply.decode):
        with pytest.raises(DecodeError):
            decode(raw)
    assert parse_state(raw) is None
    if isinstance(text, str):
        with pytest.raises(DecodeError):
            Request.decode(text)
        with pytest.raises(DecodeError):
            decode_record('{"event":{"time":1,"asset":"a","kind":"k","data":{"x":' + text + "}}}")


@pytest.mark.parametrize(
    "change",
    [
        {"time": 2**63},
        {"time": -1},
        {"time": True},
        {"asset": "a\nb"},
        {"asset": "a" * 2000},
        {"kind": "\x1b[2J"},
        {"data": {"x": 2**64}},
        {"data": {"x": "y" * RECORD_BYTES}},
    ],
)
def test_a_record_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    event = {"time": NOW, "asset": "saw", "kind": "jam", "data": {}}
    good = decode_record(json.dumps({"event": event}))
    assert isinstance(good, Event)
    assert encode_event(good)
    with pytest.raises(DecodeError):
        decode_record(json.dumps({"event": event | change}))


def test_what_was_stored_before_is_shown_with_its_depth_cut() -> None:
    told = stored_json('{"a":' + DEEP + "}")
    assert json.dumps(told).count("[") == 15
    assert stored_json("[" * 100_000)["unreadable"].startswith("[[[")
    assert shown({"n": 2**64, "t": "\ud800"}) == {"n": "18446744073709551616", "t": "\\ud800"}


@pytest.mark.parametrize(
    "marks",
    [
        [["r", 2**63]],
        [["r", -1]],
        [["r" * 100, 1]],
        [["a\nb", 1]],
        [["", 1]],
        [["r", True]],
        [["r", 1]] * 2000,
    ],
)
def test_an_acknowledgement_out_of_bounds_is_none(marks: list[list[object]]) -> None:
    payload = json.dumps({"host": "kaikou", "marks": marks}).encode()
    with pytest.raises(DecodeError):
        Ack.decode(payload)
    edge = EdgeSession("g", "edge1", ack_host="kaikou")
    assert edge.on_message("kaikou/ack/g/edge1", payload) == []


@pytest.mark.parametrize("timestamp", ["1e400", str(2**63), "-1", "true", '"now"', "null", "NaN"])
def test_a_state_out_of_bounds_is_none(timestamp: str) -> None:
    assert parse_state(b'{"online":true,"timestamp":' + timestamp.encode() + b"}") is None


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/g/NBIRTH/" + "n" * 200,
        "spBv1.0/g/NBIRTH/" + "n" * 60_000,
        "spBv1.0/g/NBIRTH/n\x1b[2J",
        "spBv1.0/g/NBIRTH/n\n",
        "spBv1.0/g\u202e/NBIRTH/n",
    ],
)
def test_an_id_that_people_cannot_read_is_no_id(topic: str) -> None:
    assert parse_topic(topic) is None
    hearing = Hearing()
    assert hearing.host.on_message(topic, b"", hearing.mono) == []
    assert hearing.host.refused == 1


# ---------------------------------------------------------------------------------------- quotas


def test_a_birth_of_too_many_metrics_is_refused_before_they_are_read() -> None:
    hearing = Hearing()
    payload = pb.Payload(timestamp=NOW, seq=0)
    for i in range(50_000):
        payload.metrics.add(name=f"m{i}", alias=i, datatype=pb.Double, double_value=1.0)
    (refused,) = hearing.hear("NBIRTH", payload)
    assert isinstance(refused, Refused)
    assert refused.reason == f"too many metrics: more than {NODE_SIGNALS}"
    assert len(hearing.host.table) == 0


def test_a_node_of_ours_has_its_signals_and_some_more() -> None:
    hearing = Hearing()
    owned = Ownership("g", ["edge1"], {f"edge1/m{i}": "edge1" for i in range(6000)})
    hearing.host = HostSession("g", ("edge1",), SignalTable(), ownership=owned)
    for count, taken in ((6000 + MORE_METRICS + 1, False), (6000 + MORE_METRICS, True)):
        raw = some_metrics(0, count).SerializeToString()
        events = hearing.host.on_message("spBv1.0/g/NBIRTH/edge1", raw, hearing.mono)
        assert any(isinstance(e, Born) for e in events) == taken


def some_metrics(first: int, count: int) -> pb.Payload:
    payload = pb.Payload(timestamp=NOW, seq=0)
    for i in range(first, first + count):
        payload.metrics.add(name=f"m{i}", alias=i, datatype=pb.Double)
    return payload


def test_strangers_bring_so_many_signals_and_no_more() -> None:
    hearing = Hearing()
    for node in range(6):
        hearing.hear("NBIRTH", some_metrics(0, NODE_SIGNALS), f"n{node}")
    assert len(hearing.host.table) == SIGNALS
    assert hearing.host.refused == 1
    hearing.hear("NBIRTH", some_metrics(0, NODE_SIGNALS), "n1")  # what it had before is its own
    assert hearing.host.refused == 1
    (refused,) = hearing.hear("DBIRTH", some_metrics(0, 1), "n1/d")
    assert isinstance(refused, Refused)
    assert refused.reason.startswith(f"too many signals: {NODE_SIGNALS + 1}")


def test_strange_nodes_without_end_are_forgotten_and_ours_never() -> None:
    hearing = Hearing()
    hearing.host.on_message("spBv1.0/g/NBIRTH/edge1", birth().SerializeToString(), hearing.mono)
    for n in range(5000):
        hearing.hear("NDATA", data(), f"n{n}")
    assert len(hearing.host.nodes) <= NODES + 1
    asked = [e for e in hearing.wait(10.0) if isinstance(e, RebirthWanted)]
    assert 0 < len(asked) <= 2 * ASKS
    assert hearing.host.nodes[NodeId("g", "edge1")].alive


def test_strange_nodes_that_live_are_not_driven_out() -> None:
    hearing = Hearing()
    hearing.hear("NBIRTH", birth(), "first")
    events: list[HostEvent] = []
    for n in range(2 * NODES):
        hearing.mono += 0.01
        events += hearing.hear("NBIRTH", birth(), f"n{n}")
    assert not [e for e in events if isinstance(e, Died)]
    assert hearing.host.nodes[NodeId("x", "first")].alive
    assert len(hearing.host.nodes) == NODES
    assert len([e for e in events if isinstance(e, Refused)]) == 1, "told once, counted each time"
    assert hearing.host.refused == NODES + 1


def test_data_that_waits_for_a_birth_is_held_in_bytes() -> None:
    hearing = Hearing()
    payload = data()
    for _ in range(20_000 - 1):
        payload.metrics.add(alias=1, timestamp=NOW, double_value=2.5)
    raw = payload.SerializeToString()
    for _ in range(20):
        hearing.hear("NDATA", raw)
    (node,) = hearing.host.nodes.values()
    assert node.held_bytes <= HELD_BYTES


def test_a_node_whose_births_are_refused_is_asked_less_and_less() -> None:
    hearing = Hearing()
    spoilt = birth(bd_seq=math.nan)
    asked = 0
    for _ in range(3600):
        hearing.mono += 1.0
        hearing.hear("NDATA", data())
        for event in hearing.host.tick(hearing.mono):
            if isinstance(event, RebirthWanted):
                asked += 1
                hearing.hear("NBIRTH", spoilt)
    assert asked <= 14


def test_a_node_that_says_nothing_is_not_asked_for_ever() -> None:
    hearing = Hearing()
    hearing.hear("NDATA", data())
    asked = [e for e in hearing.wait(1200.0) if isinstance(e, RebirthWanted)]
    assert len(asked) <= 3
