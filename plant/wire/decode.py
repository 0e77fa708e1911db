"""Reading a payload: runs of one layout by numpy, everything else by protobuf.

A piece that has a layout's length but not its bytes, and everything of another length, is read by
protobuf; a payload with fields that the walk does not know, whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError as ProtobufError
from numpy.typing import NDArray

from plant.errors import DecodeError
from plant.flow.sample import Float64, Int64, UInt32
from plant.flow.status import StatusCode
from plant.wire import kaikou_pb2
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.layout import BY_STRIDE, QUALITY_BAD, QUALITY_GOOD
from plant.wire.message import Message, Metric, Row, Runs, RunState, TextSample, Value
from plant.wire.walk import Piece, Walk, walk_payload

_INT64_MAX = (1 << 63) - 1


def decode_payload(data: bytes) -> Message:
    """Read any Sparkplug B payload; raises ``DecodeError`` where protobuf could not read it."""
    try:
        walk = walk_payload(data)
        return _read_whole(data) if walk is None else _read(data, walk)
    except ProtobufError as error:
        raise DecodeError("no Sparkplug payload", data[:40]) from error


def _read(data: bytes, walk: Walk) -> Message:
    if len(walk.pieces) == 1:
        piece = walk.pieces[0]
        layout = BY_STRIDE.get(piece.stride)
        run = data[piece.start : piece.end]
        if layout is not None and layout.matches_all(run):
            alias, time, value, status = layout.read(run)
            columns = _Columns(
                alias,
                time,
                value if isinstance(value, np.ndarray) else np.full(piece.count, value),
                status if isinstance(status, np.ndarray) else np.zeros(piece.count, np.uint32),
                np.full(piece.count, layout.historical),
            )
            return _message(walk, columns, (), ())
    return _read_mixed(data, walk)


@dataclass(slots=True)
class _Columns:
    alias: Int64
    time: Int64
    value: Float64
    status: UInt32
    historical: NDArray[np.bool_]


def _read_mixed(data: bytes, walk: Walk) -> Message:
    """Pieces of several layouts, and pieces of none."""
    columns = _empty(walk.count)
    odd: list[tuple[int, bytes]] = []
    by_stride: dict[int, list[Piece]] = {}
    for piece in walk.pieces:
        if piece.stride in BY_STRIDE:
            by_stride.setdefault(piece.stride, []).append(piece)
        elif piece.stride:
            odd += _cut(data, piece, range(piece.count))
        else:
            odd.append((piece.first, data[piece.start : piece.end]))
    for stride, pieces in by_stride.items():
        odd += _read_layout(data, pieces, stride, columns)
    if not odd:
        return _message(walk, columns, (), ())
    odd.sort(key=lambda pair: pair[0])
    parsed = pb.Payload.FromString(b"".join(piece for _, piece in odd)).metrics
    return _with_odd(walk, columns, [i for i, _ in odd], parsed)


def _cut(data: bytes, piece: Piece, which: Iterable[int]) -> list[tuple[int, bytes]]:
    start, stride = piece.start, piece.stride
    return [(piece.first + i, data[start + i * stride : start + (i + 1) * stride]) for i in which]


def _read_layout(
    data: bytes, pieces: Sequence[Piece], stride: int, columns: _Columns
) -> list[tuple[int, bytes]]:
    """All pieces of one length at once; returns those metrics that are none of the layout."""
    layout = BY_STRIDE[stride]
    run = b"".join([data[p.start : p.end] for p in pieces])
    at = np.concatenate([np.arange(p.first, p.first + p.count) for p in pieces])
    matching = layout.matches(run)
    odd: list[tuple[int, bytes]] = []
    if not matching.all():
        rows = np.flatnonzero(~matching).tolist()
        odd = [(int(at[i]), run[i * stride : (i + 1) * stride]) for i in rows]
        kept = np.frombuffer(run, np.uint8).reshape(-1, stride)[matching]
        run, at = kept.tobytes(), at[matching]
    if len(at):
        columns.alias[at], columns.time[at], columns.value[at], columns.status[at] = layout.read(
            run
        )
        columns.historical[at] = layout.historical
    return odd


def _read_whole(data: bytes) -> Message:
    """By protobuf alone: unknown fields, uuid, body, fields in an order of their own."""
    payload = pb.Payload.FromString(data)
    walk = Walk(payload.timestamp, payload.seq if payload.HasField("seq") else None)
    field_1000: Any = kaikou_pb2.extension
    if payload.HasExtension(field_1000):
        walk.extension = payload.Extensions[field_1000].SerializeToString()
    count = len(payload.metrics)
    return _with_odd(walk, _empty(count), list(range(count)), payload.metrics)


def _empty(count: int) -> _Columns:
    return _Columns(
        np.full(count, -1, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.float64),
        np.zeros(count, np.uint32),
        np.zeros(count, np.bool_),
    )


def _with_odd(
    walk: Walk, columns: _Columns, places: Sequence[int], metrics: Iterable[pb.Payload.Metric]
) -> Message:
    """Put what protobuf read into its places; what is no number by alias goes beside."""
    texts: list[TextSample] = []
    others: list[Metric] = []
    for place, metric in zip(places, metrics, strict=True):
        value, kind = _value(metric)
        time = metric.timestamp if metric.HasField("timestamp") else walk.timestamp
        time = min(time, _INT64_MAX)
        status, properties = _status(metric, value is None)
        if metric.name or not metric.HasField("alias") or kind == "other":
            others.append(_metric(metric, value, time, status, properties))
        elif kind == "text":
            texts.append(TextSample(metric.alias, time, str(value), status, metric.is_historical))
        else:
            columns.alias[place] = min(metric.alias, _INT64_MAX)
            columns.time[place] = time
            columns.value[place] = np.nan if value is None else float(value)
            columns.status[place] = status
            columns.historical[place] = metric.is_historical
    if texts or others:
        numbers = columns.alias >= 0
        columns = _Columns(
            columns.alias[numbers],
            columns.time[numbers],
            columns.value[numbers],
            columns.status[numbers],
            columns.historical[numbers],
        )
    return _message(walk, columns, texts, others)


_FIELDS = {
    "double_value": "number",
    "float_value": "number",
    "int_value": "number",
    "long_value": "number",
    "boolean_value": "number",
    "string_value": "text",
    "bytes_value": "other",
}


def _value(metric: pb.Payload.Metric | pb.Payload.PropertyValue) -> tuple[Value | None, str]:
    """The value and what it is: a number (or null), a text, or something else."""
    which = metric.WhichOneof("value")
    if metric.is_null or which is None:
        return None, "number"
    kind = _FIELDS.get(which, "other")
    if which not in _FIELDS:
        return None, kind
    value: Value = getattr(metric, which)
    if which == "long_value" and isinstance(value, int) and value > _INT64_MAX:
        value -= 1 << 64
    return value, kind


def _status(metric: pb.Payload.Metric, null: bool) -> tuple[int, dict[str, Value | None]]:
    """StatusCode of ours, else Quality of anyone, else Good unless null; and other properties."""
    if not metric.HasField("properties"):
        return (int(StatusCode.BadNoData) if null else 0), {}
    keys, values = metric.properties.keys, metric.properties.values
    properties = {k: _value(v)[0] for k, v in zip(keys, values, strict=False)}
    code, quality = properties.pop("StatusCode", None), properties.pop("Quality", None)
    if type(code) is int:  # a boolean is an int too, and no status
        return code & 0xFFFF_FFFF, properties
    if type(quality) is int and quality != QUALITY_GOOD:
        bad = quality == QUALITY_BAD
        return int(StatusCode.Bad if bad else StatusCode.UncertainLastUsableValue), properties
    return (int(StatusCode.BadNoData) if null else 0), properties


def _metric(
    metric: pb.Payload.Metric,
    value: Value | None,
    time: int,
    status: int,
    properties: dict[str, Value | None],
) -> Metric:
    return Metric(
        metric.name,
        metric.alias if metric.HasField("alias") else None,
        time,
        metric.datatype if metric.HasField("datatype") else None,
        value,
        status,
        metric.is_historical,
        properties,
    )


def _message(
    walk: Walk, columns: _Columns, texts: Sequence[TextSample], metrics: Sequence[Metric]
) -> Message:
    row, runs, dead = _extension(walk.extension)
    return Message(
        min(walk.timestamp, _INT64_MAX),
        walk.seq,
        columns.alias,
        columns.time,
        columns.value,
        columns.status,
        columns.historical,
        texts,
        metrics,
        row,
        runs,
        dead,
    )


def _extension(data: bytes) -> tuple[Row | None, Runs | None, bool]:
    """Field 1000 where it is ours; a stranger may use the same number for something else."""
    if not data:
        return None, None, False
    try:
        extension = kaikou_pb2.Extension.FromString(data)
    except ProtobufError:
        return None, None, False
    row = runs = None
    if extension.row.run and extension.row.offset:
        given = extension.row
        row = Row(given.run, given.offset, given.after, given.resend)
    if extension.runs.current:
        states = (RunState(r.run, r.acked, r.kept) for r in extension.runs.runs)
        runs = Runs(extension.runs.current, tuple(states))
    return row, runs, extension.dead
