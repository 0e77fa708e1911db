"""The top level of a payload, walked byte by byte: where the metrics are, and how long.

The walk relies on framing alone (tag and length of every field), so it finds exactly the metrics
that protobuf would find.
"""

from dataclasses import dataclass, field

_WINDOW = 2048
"""A run is looked for over this many metrics at a time, so hostile framing stays linear."""


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
    """What stands at the top level of a payload."""

    timestamp: int = 0
    seq: int | None = None
    extension: bytes = b""
    count: int = 0
    pieces: list[Piece] = field(default_factory=list)


def walk_payload(data: bytes) -> Walk | None:
    """The top level, None where it holds anything but what the specification's messages have."""
    found = Walk()
    at, end = 0, len(data)
    try:
        while at < end:
            tag = data[at]
            if tag == 0x12:
                at = _metrics(data, at, found)
            elif tag == 0x08:
                found.timestamp, at = _varint(data, at + 1)
            elif tag == 0x18:
                found.seq, at = _varint(data, at + 1)
            elif tag == 0xC2 and data[at + 1] == 0x3E:
                length, at = _varint(data, at + 2)
                found.extension += data[at : at + length]
                at += length
            else:
                return None
    except (IndexError, _OddVarintError):
        return None
    return found if at == end else None


class _OddVarintError(Exception):
    """A varint of more than nine bytes: left to protobuf."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 56:
            raise _OddVarintError


def _metrics(data: bytes, at: int, walk: Walk) -> int:
    """One metric, or all that follow with the same length; returns where they end."""
    length = data[at + 1]
    if length >= 0x80:
        length, body = _varint(data, at + 1)
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
