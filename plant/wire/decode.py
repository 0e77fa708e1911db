"""Reading a payload: runs of one layout by numpy, everything else by protobuf.

A piece that has a layout's length but not its bytes, and everything of another length, is read by
protobuf; a payload with fields that the walk does not know, whole. All of it is held to the bounds
of ``plant.wire.gate``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError as ProtobufError
from numpy.typing import NDArray

from plant.errors import DecodeError
from plant.flow.sample import Float64, Int64, UInt32
from plant.flow.status import StatusCode
from plant.wire import raw
from plant.wire.gate import (
    INT64_LAST,
    METRICS,
    NAME_CHARS,
    PAYLOAD_BYTES,
    PROPERTIES,
    PROPERTY_BYTES,
    RUN_CHARS,
    RUNS,
    TEXT_BYTES,
    TIME_LAST,
    check_head,
    check_offset,
    check_run,
    check_size,
    decoded,
    text_of,
)
from plant.wire.layout import BY_STRIDE, QUALITY_BAD, QUALITY_GOOD
from plant.wire.message import Message, Metric, Row, Runs, RunState, TextSample, Value
from plant.wire.walk import Piece, Walk, walk_payload

_NONE: Mapping[str, int] = {}
_UNFRAMED_BYTES = 1 << 16
"""A payload whose metrics cannot be counted beforehand is short."""


def decode_payload(
    data: bytes, most_bytes: int = PAYLOAD_BYTES, most_metrics: int = METRICS
) -> Message:
    """Read any Sparkplug B payload.

    Raises
    ------
    DecodeError
        Protobuf could not read it, or it is beyond the bounds of ``plant.wire.gate``. Single
        metrics that cannot be taken do not spoil the others: ``unread`` of the message counts them.
    """
    check_size(data, most_bytes)
    try:
        walk = walk_payload(data, most_metrics)
        if walk is None:
            check_size(data, _UNFRAMED_BYTES)
            return _read_whole(data)
        return _read_whole(data) if walk.odd else _read(data, walk)
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
    parsed = raw.Payload.FromString(b"".join(piece for _, piece in odd)).metrics
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
    payload = raw.Payload.FromString(data)
    walk = Walk(timestamp=payload.timestamp, seq=payload.seq if payload.HasField("seq") else None)
    if payload.HasExtension(raw.field_1000):
        walk.extension = payload.Extensions[raw.field_1000].SerializeToString()
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
    walk: Walk, columns: _Columns, places: Sequence[int], metrics: Iterable[Any]
) -> Message:
    """Put what protobuf read into its places; what is no number by alias goes beside."""
    texts: list[TextSample] = []
    others: list[Metric] = []
    unread: Counter[str] = Counter()
    for place, metric in zip(places, metrics, strict=True):
        value, kind = _value(metric)
        time = metric.timestamp if metric.HasField("timestamp") else walk.timestamp
        status, properties = _status(metric, value is None)
        if metric.alias > INT64_LAST:
            raise DecodeError(f"alias out of range: {metric.alias}")
        if time > TIME_LAST:
            unread["a time out of range"] += 1
            if not metric.name:
                continue
            time, value, status = walk.timestamp, None, int(StatusCode.BadDecodingError)
        if isinstance(value, str) and len(value) > TEXT_BYTES:
            unread["a text too long"] += 1
            value, status = None, int(StatusCode.BadDecodingError)
        if metric.name or not metric.HasField("alias") or kind == "other":
            others.append(_metric(metric, value, time, status, properties))
        elif kind == "text":
            text = None if value is None else str(value)
            texts.append(TextSample(metric.alias, time, text, status, metric.is_historical))
        else:
            columns.alias[place] = metric.alias
            columns.time[place] = time
            columns.value[place] = np.nan if value is None else float(value)
            columns.status[place] = status
            columns.historical[place] = metric.is_historical
    if texts or others or unread:
        numbers = columns.alias >= 0
        columns = _Columns(
            columns.alias[numbers],
            columns.time[numbers],
            columns.value[numbers],
            columns.status[numbers],
            columns.historical[numbers],
        )
    return _message(walk, columns, texts, others, unread)


_FIELDS = {
    "double_value": "number",
    "float_value": "number",
    "int_value": "number",
    "long_value": "number",
    "boolean_value": "number",
    "string_value": "text",
    "bytes_value": "other",
}


def _value(metric: Any) -> tuple[Value | None, str]:
    """The value and what it is: a number (or null), a text, or something else."""
    which = metric.WhichOneof("value")
    if metric.is_null or which is None:
        return None, "number"
    kind = _FIELDS.get(which, "other")
    if which not in _FIELDS:
        return None, kind
    value: Value = getattr(metric, which)
    if kind == "text" and isinstance(value, bytes):
        value = decoded(value)
    if which == "long_value" and isinstance(value, int) and value > INT64_LAST:
        value -= 1 << 64
    return value, kind


def _status(metric: Any, null: bool) -> tuple[int, dict[str, Value | None]]:
    """StatusCode of ours, else Quality of anyone, else Good unless null; and other properties."""
    if not metric.HasField("properties"):
        return (int(StatusCode.BadNoData) if null else 0), {}
    properties = _properties(metric.properties)
    code, quality = properties.pop("StatusCode", None), properties.pop("Quality", None)
    if type(code) is int:  # a boolean is an int too, and no status
        return code & 0xFFFF_FFFF, properties
    if type(quality) is int and quality != QUALITY_GOOD:
        bad = quality == QUALITY_BAD
        return int(StatusCode.Bad if bad else StatusCode.UncertainLastUsableValue), properties
    return (int(StatusCode.BadNoData) if null else 0), properties


def _properties(given: Any) -> dict[str, Value | None]:
    keys, values = given.keys, given.values
    if len(keys) > PROPERTIES:
        raise DecodeError(f"too many properties: {len(keys)}; a metric may have {PROPERTIES}")
    found = {}
    for key, value in zip(keys, values, strict=False):
        one = _value(value)[0]
        if isinstance(one, str | bytes) and len(one) > PROPERTY_BYTES:
            raise DecodeError(f"property too long: {len(one)}; {PROPERTY_BYTES} are taken")
        found[_property_name(key)] = one
    return found


@lru_cache(maxsize=512)
def _property_name(raw: bytes) -> str:
    """Births say the same few names thousands of times."""
    return text_of(raw, NAME_CHARS, "name of a property")


def _metric(
    metric: Any,
    value: Value | None,
    time: int,
    status: int,
    properties: dict[str, Value | None],
) -> Metric:
    return Metric(
        text_of(metric.name, NAME_CHARS, "name of a metric"),
        metric.alias if metric.HasField("alias") else None,
        time,
        metric.datatype if metric.HasField("datatype") else None,
        value,
        status,
        metric.is_historical,
        properties,
    )


def _message(
    walk: Walk,
    columns: _Columns,
    texts: Sequence[TextSample],
    metrics: Sequence[Metric],
    unread: Mapping[str, int] = _NONE,
) -> Message:
    check_head(walk.timestamp, walk.seq)
    row, runs, dead = _extension(walk.extension)
    return Message(
        walk.timestamp,
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
        unread,
    )


def _extension(data: bytes) -> tuple[Row | None, Runs | None, bool]:
    """Field 1000 where it is ours; a stranger may use the same number for something else."""
    if not data:
        return None, None, False
    try:
        extension = raw.Extension.FromString(data)
    except ProtobufError:
        return None, None, False
    row = runs = None
    if extension.row.run and extension.row.offset:
        row = _row(extension.row)
    if extension.runs.current:
        runs = _runs(extension.runs)
    return row, runs, extension.dead


def _row(given: Any) -> Row:
    check_offset(given.offset)
    check_offset(given.after)
    return Row(_run(given.run), given.offset, given.after, given.resend)


def _runs(given: Any) -> Runs:
    if len(given.runs) > RUNS:
        raise DecodeError(f"too many runs: {len(given.runs)}; {RUNS} are taken")
    for run in given.runs:
        check_offset(run.acked)
        check_offset(run.kept)
    states = tuple(RunState(_run(run.run), run.acked, run.kept) for run in given.runs)
    return Runs(_run(given.current), states)


def _run(name: bytes) -> str:
    run = decoded(name[: 4 * RUN_CHARS])
    check_run(run)
    return run
