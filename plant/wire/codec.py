"""Payloads: runs of numbers by numpy, everything else by protobuf.

With two-byte aliases, Double values and no datatype every Good metric of a data message has the
same 21 bytes (23 when historical)::

    12 13 | 10 aa aa | 18 tt tt tt tt tt tt | [28 01] | 69 vv vv vv vv vv vv vv vv

so a message is a matrix of bytes. Metrics that are not Good carry the properties ``Quality`` and
``StatusCode`` and have fixed lengths of their own (``layout``). What fits no layout is read by
protobuf, which is the oracle of the tests as well.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isnan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.wire import kaikou_pb2
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.decode import decode_payload
from plant.wire.layout import BY_KIND, TIME_FROM, TIME_TO, add_quality
from plant.wire.message import Message, Metric, Row, Runs, TextSample, Value

__all__ = [
    "FIRST_ALIAS",
    "LAST_ALIAS",
    "Message",
    "Metric",
    "TextSample",
    "Value",
    "decode_payload",
    "encode_metrics",
    "encode_named",
    "encode_payload",
    "encode_texts",
]

FIRST_ALIAS = 128
"""The least alias of two bytes; ``LAST_ALIAS`` is the greatest. Ours are numbered between them."""
LAST_ALIAS = 16383


def encode_metrics(alias: ArrayLike, batch: SampleBatch, historical: bool = False) -> bytes:
    """The metrics of a data message: row ``i`` of the batch under ``alias[i]``.

    ``alias`` is an array as long as the batch (128..16383, ``ValueError`` otherwise); the batch's
    ``signal`` column is not looked at. Metrics are written in time order and, within one time,
    sorted by layout, whatever the order of the batch.
    """
    aliases = np.asarray(alias)
    if len(aliases) != len(batch):
        raise ValueError(f"{len(aliases)} aliases for {len(batch)} samples")
    if not len(aliases):
        return b""
    if int(aliases.min()) < FIRST_ALIAS or int(aliases.max()) > LAST_ALIAS:
        raise ValueError(f"an alias is not in {FIRST_ALIAS}..{LAST_ALIAS}")
    short = aliases.astype(np.uint16)
    time, value, status = batch.source_time, batch.value, batch.status
    kind = None
    if status.any():
        null = np.isnan(value) & (status >= _UNCERTAIN)
        kind = np.minimum(status >> np.uint32(30), 2).astype(np.uint8) * 2 + null
        kind[(status != 0) & (kind == 0)] = _ODD
    first, last = int(time.min()), int(time.max())
    if first < TIME_FROM or last >= TIME_TO:
        kind = np.zeros(len(time), np.uint8) if kind is None else kind
        kind[(time < TIME_FROM) | (time >= TIME_TO)] = _ODD
    if first != last and (time[1:] < time[:-1]).any():
        order = np.argsort(time, kind="stable") if kind is None else np.lexsort((kind, time))
    elif kind is not None:
        order = np.lexsort((kind, time))
    else:
        return BY_KIND[0, False, historical].write(short, time, value, status)
    columns = (short[order], time[order], value[order], status[order])
    if kind is None:
        return BY_KIND[0, False, historical].write(*columns)
    return b"".join(_encode_runs(kind[order], columns, historical))


_UNCERTAIN = np.uint32(0x4000_0000)
_ODD = 9
"""The kind of a sample that fits no layout; other kinds are severity * 2 + null."""
Columns = tuple[NDArray[np.uint16], Int64, Float64, UInt32]


def _encode_runs(kind: NDArray[np.uint8], columns: Columns, historical: bool) -> Iterator[bytes]:
    """The pieces of a mixed message in their order: each kind written at once, then cut."""
    cuts = [0, *(np.flatnonzero(kind[1:] != kind[:-1]) + 1).tolist(), len(kind)]
    written: dict[int, tuple[bytes, int]] = {}
    used: dict[int, int] = {}
    for start, end in pairwise(cuts):
        k = int(kind[start])
        if k == _ODD:
            yield _encode_odd([c[start:end] for c in columns], historical)
            continue
        if k not in written:
            layout = BY_KIND[k // 2, bool(k % 2), historical]
            of_kind = kind == k
            a, t, v, s = (c[of_kind] for c in columns)
            written[k] = layout.write(a, t, v, s), layout.stride
        data, stride = written[k]
        at = used.get(k, 0)
        used[k] = at + (end - start) * stride
        yield data[at : used[k]]


def _encode_odd(columns: Sequence[NDArray[np.generic]], historical: bool) -> bytes:
    payload = pb.Payload()
    for alias, time, value, status in zip(*(c.tolist() for c in columns), strict=True):
        metric = payload.metrics.add(alias=alias, timestamp=max(time, 0))
        if historical:
            metric.is_historical = True
        if status:
            add_quality(metric.properties, status)
        if isnan(value) and status >> 30:
            metric.is_null = True
        else:
            metric.double_value = value
    return payload.SerializeToString()


def encode_texts(texts: Sequence[TextSample]) -> bytes:
    """Strings of a data message; joins with what ``encode_metrics`` gives."""
    payload = pb.Payload()
    for text in texts:
        metric = payload.metrics.add(alias=text.alias, timestamp=text.time)
        if text.historical:
            metric.is_historical = True
        if text.status:
            add_quality(metric.properties, text.status)
        if text.text is None:
            metric.is_null = True
        else:
            metric.string_value = text.text
    return payload.SerializeToString()


def encode_named(metrics: Sequence[Metric]) -> bytes:
    """Metrics with name and datatype, for births and commands."""
    payload = pb.Payload()
    for given in metrics:
        metric = payload.metrics.add()
        if given.name:
            metric.name = given.name
        if given.alias is not None:
            metric.alias = given.alias
        if given.time is not None:
            metric.timestamp = given.time
        if given.datatype is not None:
            metric.datatype = given.datatype
        if given.historical:
            metric.is_historical = True
        for key, value in given.properties.items():
            metric.properties.keys.append(key)
            _set_property(metric.properties.values.add(), value)
        if given.status:
            add_quality(metric.properties, given.status)
        _set_value(metric, given)
    return payload.SerializeToString()


_DOUBLE, _FLOAT, _BOOLEAN, _STRING, _LONG = 10, 9, 11, 12, 4
_INT_TYPES = frozenset((1, 2, 3, 5, 6, 7))
_LONG_TYPES = frozenset((4, 8, 13))
_STRING_TYPES = frozenset((12, 14, 15))


def _set_property(to: pb.Payload.PropertyValue, value: Value | None) -> None:
    if value is None:
        to.type, to.is_null = _STRING, True
    elif isinstance(value, bool):
        to.type, to.boolean_value = _BOOLEAN, value
    elif isinstance(value, int):
        to.type, to.long_value = _LONG, value & 0xFFFF_FFFF_FFFF_FFFF
    elif isinstance(value, float):
        to.type, to.double_value = _DOUBLE, value
    else:
        to.type, to.string_value = _STRING, str(value)


def _set_value(to: pb.Payload.Metric, metric: Metric) -> None:
    value, kind = metric.value, metric.datatype
    if value is None:
        to.is_null = True
    elif isinstance(value, bytes):
        to.bytes_value = value
    elif kind in _STRING_TYPES or isinstance(value, str):
        to.string_value = str(value)
    elif kind == _BOOLEAN or (kind is None and isinstance(value, bool)):
        to.boolean_value = bool(value)
    elif kind in _INT_TYPES:
        to.int_value = int(value) & 0xFFFF_FFFF
    elif kind in _LONG_TYPES:
        to.long_value = int(value) & 0xFFFF_FFFF_FFFF_FFFF
    elif kind == _FLOAT:
        to.float_value = float(value)
    else:
        to.double_value = float(value)


def encode_payload(
    metrics: bytes,
    timestamp: int | None,
    seq: int | None,
    row: Row | None = None,
    *,
    runs: Runs | None = None,
    dead: bool = False,
) -> bytes:
    """A whole payload around encoded metrics; ``seq`` None for NDEATH and commands."""
    parts = [metrics]
    if timestamp is not None:
        parts.insert(0, b"\x08" + _varint(timestamp))
    if seq is not None:
        parts.append(b"\x18" + _varint(seq))
    if row is not None or runs is not None or dead:
        extension = _encode_extension(row, runs, dead)
        parts.append(b"\xc2\x3e" + _varint(len(extension)) + extension)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _encode_extension(row: Row | None, runs: Runs | None, dead: bool) -> bytes:
    extension = kaikou_pb2.Extension()
    if row is not None:
        to = extension.row
        to.run, to.offset, to.after = row.run, row.offset, row.after
        if row.resend:
            to.resend = True
    if runs is not None:
        extension.runs.current = runs.current
        for run in runs.runs:
            extension.runs.runs.add(run=run.run, acked=run.acked, kept=run.kept)
    if dead:
        extension.dead = True
    return extension.SerializeToString()
