"""The codec against protobuf, in both directions and over rubbish."""

import math
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError as ProtobufError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plant.errors import DecodeError
from plant.flow.sample import SampleBatch
from plant.wire import kaikou_pb2
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.codec import (
    TextSample,
    decode_payload,
    encode_metrics,
    encode_payload,
    encode_texts,
)
from plant.wire.gate import NAME_CHARS, TIME_LAST, decoded, text_of
from plant.wire.layout import LAYOUTS
from plant.wire.message import Message, Row, Runs, RunState

NOW = 1_795_000_000_000
BAD, UNCERTAIN, NO_DATA, STALE = 0x8000_0000, 0x4000_0000, 0x809B_0000, 0x4090_0000

times = st.one_of(st.integers(NOW, NOW + 5), st.integers(0, 2**45))
values = st.one_of(st.floats(width=64), st.just(math.nan))
statuses = st.one_of(
    st.just(0),
    st.sampled_from([0x8031_0000, 0x4093_0000, 0x0096_0000, 0xC000_0001, 0x4000_0000]),
    st.integers(0, 2**32 - 1),
)
samples = st.lists(st.tuples(st.integers(128, 16383), times, values, statuses), max_size=40)


pool = descriptor_pool.DescriptorPool()
pool.AddSerializedFile(pb.DESCRIPTOR.serialized_pb)
Stranger: Any = message_factory.GetMessageClass(
    pool.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload")
)
"""The payload as a decoder knows it that never heard of field 1000."""


def quality(status: int) -> int:
    return {0: 192, 1: 500}.get(status >> 30, 0)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@given(samples, st.booleans())
def test_protobuf_reads_what_numpy_wrote(
    rows: list[tuple[int, int, float, int]], historical: bool
) -> None:
    """tck: payloads-timestamp-in-UTC payloads-metric-timestamp-in-UTC
    payloads-alias-data-cmd-requirement payloads-metric-datatype-not-req
    payloads-name-birth-data-requirement payloads-propertyset-keys-array-size
    payloads-propertyset-values-array-size payloads-metric-propertyvalue-type-type
    payloads-metric-propertyvalue-type-value payloads-propertyset-quality-value-type
    payloads-propertyset-quality-value-value operational-behavior-data-publish-nbirth-order
    operational-behavior-data-publish-dbirth-order
    """
    alias = [r[0] for r in rows]
    batch = SampleBatch.of(alias, [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows])
    data = encode_metrics(np.array(alias, np.int64), batch, historical)
    payload = pb.Payload.FromString(data)
    assert payload.SerializeToString() == data
    got = [m.timestamp for m in payload.metrics]
    assert got == sorted(got)
    left = list(rows)
    for metric in payload.metrics:
        assert not metric.HasField("name")
        assert not metric.HasField("datatype")
        assert metric.is_historical == historical
        match = next(r for r in left if agrees(metric, r))
        left.remove(match)
    assert not left


def agrees(metric: pb.Payload.Metric, row: tuple[int, int, float, int]) -> bool:
    """Whether protobuf's view of a metric is this sample."""
    alias, time, value, status = row
    if (metric.alias, metric.timestamp) != (alias, time):
        return False
    if status:
        properties = metric.properties
        if list(properties.keys) != ["Quality", "StatusCode"]:
            return False
        first, second = properties.values
        if (first.type, first.int_value) != (3, quality(status)):
            return False
        if (second.type, second.int_value) != (7, status):
            return False
    elif metric.HasField("properties"):
        return False
    if math.isnan(value) and status >> 30:
        return metric.is_null and metric.WhichOneof("value") is None
    return not metric.HasField("is_null") and same(metric.double_value, value)


@given(samples, st.booleans(), st.integers(0, 255))
def test_numpy_reads_what_numpy_wrote(
    rows: list[tuple[int, int, float, int]], historical: bool, seq: int
) -> None:
    alias = [r[0] for r in rows]
    batch = SampleBatch.of(alias, [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows])
    row = Row("0123abcd", 7, 5, historical)
    data = encode_payload(
        encode_metrics(np.array(alias, np.int64), batch, historical), NOW, seq, row
    )
    message = decode_payload(data)
    assert (message.timestamp, message.seq, message.row) == (NOW, seq, row)
    assert message.historical.tolist() == [historical] * len(rows)
    check(message, pb.Payload.FromString(data))


# ------------------------------------------------------------------------------ any protobuf at all

names = st.sampled_from(["", "a", "Node Control/Rebirth", "温度"])


@st.composite
def properties(draw: st.DrawFn) -> pb.Payload.PropertySet:
    out = pb.Payload.PropertySet()
    for key in draw(st.lists(st.sampled_from(["Quality", "StatusCode", "engUnit"]), unique=True)):
        out.keys.append(key)
        if key == "engUnit":
            out.values.add(type=12, string_value="kW")
        elif key == "Quality":
            out.values.add(type=3, int_value=draw(st.sampled_from([0, 192, 500, 7])))
        else:
            out.values.add(type=7, int_value=draw(st.integers(0, 2**32 - 1)))
    return out


@st.composite
def metrics(draw: st.DrawFn) -> pb.Payload.Metric:
    metric = pb.Payload.Metric()
    if name := draw(names):
        metric.name = name
    if draw(st.booleans()) or not name:
        metric.alias = draw(st.one_of(st.integers(0, 20_000), st.integers(0, 2**63 - 1)))
    if draw(st.booleans()):
        metric.timestamp = draw(times)
    if draw(st.booleans()):
        metric.datatype = draw(st.integers(1, 20))
    if draw(st.booleans()):
        metric.is_historical = draw(st.booleans())
    if draw(st.booleans()):
        metric.properties.CopyFrom(draw(properties()))
    match draw(st.integers(0, 8)):
        case 0:
            metric.is_null = True
        case 1:
            metric.int_value = draw(st.integers(0, 2**32 - 1))
        case 2:
            metric.long_value = draw(st.integers(0, 2**64 - 1))
        case 3:
            metric.float_value = draw(st.floats(width=32))
        case 4:
            metric.double_value = draw(values)
        case 5:
            metric.boolean_value = draw(st.booleans())
        case 6:
            metric.string_value = draw(st.sampled_from(["", "abc", "程序"]))
        case 7:
            metric.bytes_value = b"\x12\x13\x00"
        case _:
            metric.dataset_value.num_of_columns = 1
    return metric


@st.composite
def fast(draw: st.DrawFn) -> pb.Payload.Metric:
    """A metric of one of the layouts, or one that only has its length."""
    layout = draw(st.sampled_from(LAYOUTS))
    payload = pb.Payload.FromString(layout.template.tobytes())
    metric = payload.metrics[0]
    metric.alias = draw(st.integers(128, 16383))
    metric.timestamp = draw(st.integers(NOW, NOW + 3))
    if not layout.null:
        metric.double_value = draw(values)
    return metric


@st.composite
def payloads(draw: st.DrawFn) -> pb.Payload:
    payload = pb.Payload()
    if draw(st.booleans()):
        payload.timestamp = draw(times)
    if draw(st.booleans()):
        payload.seq = draw(st.integers(0, 255))
    if draw(st.booleans()):
        payload.uuid = "x"
    one = st.one_of(fast(), fast(), fast(), metrics())
    payload.metrics.extend(draw(st.lists(one, max_size=30)))
    if draw(st.booleans()):
        row = payload.Extensions[kaikou_pb2.extension].row
        row.run, row.offset, row.after = "r", draw(st.integers(0, 2**50)), 3
    return payload


def check(message: Message, payload: pb.Payload) -> None:
    """Everything numpy says of a payload is what protobuf says of it."""
    assert message.timestamp == payload.timestamp
    assert message.seq == (payload.seq if payload.HasField("seq") else None)
    numbers: list[tuple[int, int, float, int, bool]] = []
    texts: list[TextSample] = []
    others: list[tuple[str, int | None, bool]] = []
    for metric in payload.metrics:
        time = metric.timestamp if metric.HasField("timestamp") else payload.timestamp
        which = None if metric.is_null else metric.WhichOneof("value")
        status = oracle_status(metric, which is None)
        if time > TIME_LAST and not metric.name:
            continue
        if metric.name or not metric.HasField("alias") or which in ("bytes_value", "dataset_value"):
            alias = metric.alias if metric.HasField("alias") else None
            name = text_of(encoded(metric.name), NAME_CHARS, "name")
            others.append((name, alias, metric.is_historical))
        elif which == "string_value":
            text = decoded(encoded(metric.string_value))
            texts.append(TextSample(metric.alias, time, text, status, metric.is_historical))
        else:
            value = math.nan if which is None else getattr(metric, which)
            if which == "long_value" and value >= 2**63:
                value -= 2**64
            numbers.append((metric.alias, time, float(value), status, metric.is_historical))
    assert message.alias.tolist() == [n[0] for n in numbers]
    assert message.source_time.tolist() == [n[1] for n in numbers]
    assert all(same(a, b[2]) for a, b in zip(message.value.tolist(), numbers, strict=True))
    assert message.status.tolist() == [n[3] for n in numbers]
    assert message.historical.tolist() == [n[4] for n in numbers]
    assert list(message.texts) == texts
    assert [(m.name, m.alias, m.historical) for m in message.metrics] == others


def oracle_status(metric: pb.Payload.Metric, null: bool) -> int:
    found = dict(zip(metric.properties.keys, metric.properties.values, strict=False))
    code, quality = (whole_number(found.get(key)) for key in ("StatusCode", "Quality"))
    if code is not None:
        return code & 0xFFFF_FFFF
    if quality is not None and quality != 192:
        return BAD if quality == 0 else STALE
    return NO_DATA if null else 0


def whole_number(value: pb.Payload.PropertyValue | None) -> int | None:
    """A property that can be a status: whatever its declared type, it came as a whole number."""
    if value is None or value.is_null:
        return None
    which = value.WhichOneof("value")
    return getattr(value, which) if which in ("int_value", "long_value") else None


@given(payloads())
def test_any_payload_is_read_as_protobuf_reads_it(payload: pb.Payload) -> None:
    """tck: payloads-metric-datatype-value-type payloads-metric-datatype-value"""
    check(decode_payload(payload.SerializeToString()), payload)


@settings(max_examples=300)
@given(payloads(), st.data())
def test_rubbish_is_refused_where_protobuf_refuses_it(
    payload: pb.Payload, data: st.DataObject
) -> None:
    raw = bytearray(payload.SerializeToString() or b"\x12")
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    agree(bytes(raw))


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"boolean_value": True}, BAD),
        ({"double_value": 1.0}, BAD),
        ({"int_value": 1, "is_null": True}, BAD),
        ({"string_value": "1"}, BAD),
        ({"long_value": 2**64 - 1}, 0xFFFF_FFFF),
        ({"int_value": 1}, 1),
    ],
)
def test_only_a_whole_number_is_a_status(given: dict[str, Any], status: int, null: bool) -> None:
    payload = pb.Payload()
    metric = payload.metrics.add(alias=1, timestamp=NOW)
    if null:
        metric.is_null = True
    else:
        metric.double_value = 1.0
    metric.properties.keys.extend(("Quality", "StatusCode"))
    metric.properties.values.add(type=3, int_value=0)
    metric.properties.values.add(type=7, **given)
    message = decode_payload(payload.SerializeToString())
    assert message.status.tolist() == [status]
    check(message, payload)


def agree(raw: bytes) -> None:
    """Refuse what protobuf refuses, and what is beyond the gate.

    A field 1000 that is not ours need not stand in the way.
    """
    try:
        whole = Stranger.FromString(raw)
    except ProtobufError:
        with pytest.raises(DecodeError):
            decode_payload(raw)
        return
    try:
        pb.Payload.FromString(raw)
        message = decode_payload(raw)
    except (ProtobufError, DecodeError):
        assert b"\xc2\x3e" in raw or beyond(whole)
    else:
        assert not beyond(whole)
        check(message, whole)


def beyond(payload: pb.Payload) -> bool:
    """Whether a payload that protobuf reads is none that the gate lets through."""
    head = payload.timestamp > TIME_LAST or payload.seq > 255
    return head or any(m.alias >= 2**63 for m in payload.metrics)


def encoded(text: str | bytes) -> bytes:
    """Protobuf gives a string that is no UTF-8 as bytes."""
    return text if isinstance(text, bytes) else text.encode()


@given(st.binary(max_size=200))
@example(b"\x12")
@example(b"\x12\x13")
@example(b"\xc2")
def test_any_bytes(raw: bytes) -> None:
    agree(raw)


def test_hostile_framing_costs_no_more_than_its_length() -> None:
    """Metrics that alternate in length make one piece each; none looks at all that follow."""
    raw = b"\x12\x00\x12\x02\x10\x05" * 10_000
    message = decode_payload(raw)
    assert len(message.alias) == 10_000
    assert len(message.metrics) == 10_000


def test_every_good_metric_has_21_bytes_and_23_when_historical() -> None:
    batch = SampleBatch.of([0, 1], [NOW, NOW], [1.0, 2.0])
    assert len(encode_metrics([128, 16383], batch)) == 2 * 21
    assert len(encode_metrics([128, 16383], batch, historical=True)) == 2 * 23


def test_one_time_is_sorted_by_layout_and_times_rise() -> None:
    status = [0, 0x8031_0000, 0, 0x4093_0000]
    batch = SampleBatch.of(
        [0, 1, 2, 3], [NOW + 1, NOW, NOW, NOW], [1.0, math.nan, 3.0, 4.0], status
    )
    message = decode_payload(encode_metrics([200, 201, 202, 203], batch))
    assert message.source_time.tolist() == [NOW, NOW, NOW, NOW + 1]
    assert message.alias.tolist() == [202, 203, 201, 200]


@pytest.mark.parametrize("alias", [127, 16384])
def test_an_alias_of_another_width_is_a_bug(alias: int) -> None:
    with pytest.raises(ValueError, match="alias"):
        encode_metrics([alias], SampleBatch.of([0], [NOW], [1.0]))


def test_texts_runs_and_death_marks_travel() -> None:
    texts = [TextSample(300, NOW, "程序 7"), TextSample(301, NOW, None, 0x8031_0000, True)]
    runs = Runs("b", (RunState("a", 3, 9), RunState("b", 0, 0)))
    data = encode_payload(encode_texts(texts), NOW, 0, runs=runs, dead=True)
    message = decode_payload(data)
    assert list(message.texts) == texts[:1]
    assert message.alias.tolist() == [301]  # a null has no type of its own
    assert message.status.tolist() == [0x8031_0000]
    assert message.runs == runs
    assert message.dead


def test_other_decoders_ignore_field_1000() -> None:
    """A schema without the extension reads the same metrics and keeps what it does not know."""
    batch = SampleBatch.of([0], [NOW], [1.5])
    with_row = encode_payload(encode_metrics([128], batch), NOW, 3, Row("r", 1))
    without = encode_payload(encode_metrics([128], batch), NOW, 3)
    assert with_row.startswith(without)
    assert Stranger.FromString(with_row).metrics == Stranger.FromString(without).metrics


def test_a_strangers_own_field_1000_is_left_alone() -> None:
    data = b"\x08\x05\xc2\x3e\x02\xff\xff"
    assert Stranger.FromString(data).timestamp == 5
    message = decode_payload(data)
    assert (message.timestamp, message.row, message.runs) == (5, None, None)
