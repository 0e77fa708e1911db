"""The top level of a payload, walked byte by byte: where the metrics are, and how long.

The walk relies on framing alone (tag and length of every field), so it finds exactly the metrics
that protobuf would find, and refuses too many or too long ones before anybody makes objects of
them.
"""

from dataclasses import dataclass, field

from plant.errors import DecodeError
from plant.wire.gate import METRIC_BYTES, METRICS, TIME_LAST, check_count

_WINDOW = 2048
"""A run is looked for over this many metrics at a time, so hostile framing stays linear."""
_UINT64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Metrics of equal length that follow each other; ``stride`` counts tag and length too."""

    first: int
    count: int
    stride: int
    start: int
    end: int


@dataclass(slots=True)
class Walk:
    """What stands at the top level of a payload; ``odd`` if not only what the specification's has.

    ``count`` is right either way.
    """

    odd: bool = False
    timestamp: int = 0
    seq: int | None = None
    extension: bytes = b""
    count: int = 0
    pieces: list[Piece] = field(default_factory=list)


def walk_payload(data: bytes, most_metrics: int = METRICS) -> Walk | None:
    """The top level, None where its framing is not plain; ``DecodeError`` for too much in it."""
    found = Walk()
    at, end = 0, len(data)
    try:
        while at < end:
            tag = data[at]
            if tag == 0x12:
                at = _metrics(data, at, found)
                check_count(found.count, most_metrics)
            elif tag == 0x08:
                found.timestamp, at = _varint(data, at + 1)
            elif tag == 0x18:
                found.seq, at = _varint(data, at + 1)
            elif tag == 0xC2 and data[at + 1] == 0x3E:
                length, at = _varint(data, at + 2)
                found.extension += data[at : at + length]
                at += length
            else:
                found.odd, at = True, _skip(data, at)
    except (IndexError, _OddFramingError):
        return None
    return found if at == end else None


def payload_time(data: bytes) -> int:
    """The timestamp of a payload without a look at anything else, 0 where it is not the first.

    >>> payload_time(bytes.fromhex("08 05 18 00"))
    5
    """
    try:
        return min(_varint(data, 1)[0], TIME_LAST) if data[:1] == b"\x08" else 0
    except (IndexError, _OddFramingError):
        return 0


class _OddFramingError(Exception):
    """Groups, tags in more bytes than they need: left to protobuf."""


def _skip(data: bytes, at: int) -> int:
    """Behind a field that the walk does not know."""
    start = at
    tag, at = _varint(data, at)
    if tag >> 3 == 0 or at - start > 1 + (tag.bit_length() - 1) // 7:
        raise _OddFramingError
    wire_type = tag & 7
    if wire_type == 0:
        return _varint(data, at)[1]
    if wire_type == 2:
        length, at = _varint(data, at)
        return at + length
    if wire_type in {1, 5}:
        return at + (8 if wire_type == 1 else 4)
    raise _OddFramingError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, at
        shift += 7
        if shift > 63:
            raise _OddFramingError


def _metrics(data: bytes, at: int, walk: Walk) -> int:
    """One metric, or all that follow with the same length; returns where they end."""
    length = data[at + 1]
    if length >= 0x80:
        length, body = _varint(data, at + 1)
        if length > METRIC_BYTES:
            raise DecodeError(f"metric too large: {length} bytes; {METRIC_BYTES} are taken")
        walk.pieces.append(Piece(walk.count, 1, 0, at, body + length))
        walk.count += 1
        return body + length
    stride = length + 2
    head = data[at : at + 2]
    start = at
    count = 0
    while data[at : at + 2] == head:
        window = at + _WINDOW * stride
        tags, lengths = data[at:window:stride], data[at + 1 : window : stride]
        found = min(
            len(tags) - len(tags.lstrip(head[:1])), len(lengths) - len(lengths.lstrip(head[1:]))
        )
        count += found
        at += found * stride
    walk.pieces.append(Piece(walk.count, count, stride, start, at))
    walk.count += count
    return at
