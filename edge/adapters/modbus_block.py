"""Which registers one request reads, and how its bytes become a column of numbers.

The plan is made once when a session opens. Reading then takes one gather a data type and no
Python a point: 100 float32 values are decoded in about 10 µs.

A number that is the device's code for "no value" is Bad; a whole number beyond 2^53, which float64
does not hold exactly, is Uncertain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.adapters.modbus_point import BITS, WIDTH, Order, RegisterPoint, Table
from plant.errors import DecodeError
from plant.flow.sample import Float64, Int32, UInt32
from plant.flow.status import StatusCode

EXACT = 2**53
"""The largest whole number up to which float64 holds every one."""

_DTYPE = {
    "uint16": ">u2",
    "int16": ">i2",
    "uint32": ">u4",
    "int32": ">i4",
    "uint64": ">u8",
    "int64": ">i8",
    "float32": ">f4",
    "float64": ">f8",
}


_WIDE = (np.dtype(">u8"), np.dtype(">i8"))
_NO_BITS = 2**64 - 2
"""For a code that is no pattern of bits; the number decides alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """The values of one data type in a block: where their bytes are, where the numbers go.

    take  bytes of the answer, most significant first, one row a value
    into  positions in the block's points
    none  rows whose value may be a code for "no value", and the code (as bits, as number)
    """

    dtype: np.dtype[np.generic]
    take: NDArray[np.intp]
    into: NDArray[np.intp]
    none: NDArray[np.intp]
    none_bits: NDArray[np.uint64]
    none_value: Float64

    @classmethod
    def of(
        cls, dtype: str, take: list[list[int]], into: list[int], none: list[tuple[int, float]]
    ) -> "Gather":
        """``none`` holds row and code."""
        codes = [code for _, code in none]
        return cls(
            np.dtype(dtype),
            np.array(take, np.intp),
            np.array(into, np.intp),
            np.array([row for row, _ in none], np.intp),
            np.array([int(c) if 0 <= c < 2**64 and c == int(c) else _NO_BITS for c in codes],
                     np.uint64),
            np.array(codes, np.float64),
        )  # fmt: skip

    def decode(self, raw: NDArray[np.uint8], value: Float64, status: UInt32) -> None:
        """Numbers and statuses into their places."""
        taken = raw[self.take]
        number = taken.view(self.dtype)[:, 0]
        with np.errstate(invalid="ignore"):  # a signalling NaN is one like any other
            value[self.into] = number
        if self.dtype in _WIDE:
            inexact = (number > EXACT) | (number < -EXACT)
            if inexact.any():
                status[self.into[inexact]] = StatusCode.Uncertain
        if len(self.none):
            bits = taken.view(f">u{self.dtype.itemsize}")[self.none, 0].astype(np.uint64)
            nothing = (bits == self.none_bits) | (value[self.into[self.none]] == self.none_value)
            at = self.into[self.none[nothing]]
            value[at], status[at] = np.nan, StatusCode.BadNoData


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One request: ``count`` registers (or bits) of ``table`` from ``first``.

    ``points`` are the indices of the points it answers, in the order of ``decode``'s columns.
    """

    table: Table
    first: int
    count: int
    points: Int32
    members: tuple[tuple[int, RegisterPoint], ...]
    gathers: tuple[Gather, ...]
    bits: NDArray[np.intp]
    """Positions whose value is one bit of the register gathered for them."""
    bit: NDArray[np.int64]
    booleans: NDArray[np.intp]
    """Positions that are 1 where their register is not 0."""

    @classmethod
    def of(cls, members: Sequence[tuple[int, RegisterPoint]], order: Order) -> "Block":
        """Plan the block that spans some points of one table."""
        table = members[0][1].span[0]
        first = min(p.span[1] for _, p in members)
        end = max(p.span[2] for _, p in members)
        groups: dict[str, tuple[list[list[int]], list[int], list[tuple[int, float]]]] = {}
        for position, (_, point) in enumerate(members):
            take, into, none = groups.setdefault(_DTYPE.get(point.type, ">u2"), ([], [], []))
            none.extend((len(take), code) for code in point.no_value)
            take.append(_bytes(point, first, order))
            into.append(position)
        bits = [(at, p.bit) for at, (_, p) in enumerate(members) if p.bit is not None]
        flags = [at for at, (_, p) in enumerate(members) if p.type == "bool" and p.bit is None]
        return cls(
            table,
            first,
            end - first,
            np.array([index for index, _ in members], np.int32),
            tuple(members),
            tuple(Gather.of(dtype, *group) for dtype, group in groups.items()),
            np.array([at for at, _ in bits], np.intp),
            np.array([bit for _, bit in bits], np.int64),
            np.array(flags, np.intp),
        )

    def decode(self, data: bytes) -> tuple[Float64, UInt32]:
        """Numbers and statuses, one a point; NaN where a float is NaN or infinite.

        Raises
        ------
        DecodeError
            There are more or fewer bytes than the block has.

        >>> at = [RegisterPoint.model_validate(f"input:{t}") for t in ("0 int16", "1 float32 CDAB")]
        >>> block = Block.of(list(enumerate(at)), "ABCD")
        >>> block.decode(bytes.fromhex("ffff 0000 41c8"))[0].tolist()
        [-1.0, 25.0]
        """
        raw = np.frombuffer(data, np.uint8)
        status: UInt32 = np.zeros(len(self.points), np.uint32)
        if len(data) != ((self.count + 7) // 8 if self.table in BITS else self.count * 2):
            raise DecodeError(f"{len(data)} bytes for {self.table} {self.first} + {self.count}")
        if self.table in BITS:
            flags = np.unpackbits(raw, bitorder="little")[self._bit_places()]
            return flags.astype(np.float64), status
        value = np.empty(len(self.points), np.float64)
        for gather in self.gathers:
            gather.decode(raw, value, status)
        if len(self.bits):
            value[self.bits] = (value[self.bits].astype(np.int64) >> self.bit) & 1
        if len(self.booleans):
            value[self.booleans] = value[self.booleans] != 0
        value[np.isinf(value)] = np.nan
        return value, status

    def _bit_places(self) -> list[int]:
        return [point.span[1] - self.first for _, point in self.members]

    def halves(self, order: Order) -> "tuple[Block, Block] | None":
        """Two smaller blocks of the same points; None where it cannot be cut."""
        spans = [point.span for _, point in self.members]
        middle = len(spans) // 2
        while 0 < middle < len(spans) and spans[middle] == spans[middle - 1]:
            middle -= 1
        if middle == 0:
            middle = next((i for i in range(1, len(spans)) if spans[i] != spans[i - 1]), 0)
        if middle == 0:
            return None
        return Block.of(self.members[:middle], order), Block.of(self.members[middle:], order)


def _bytes(point: RegisterPoint, first: int, order: Order) -> list[int]:
    """Places of a value's bytes in the answer, most significant byte first.

    >>> _bytes(RegisterPoint.model_validate("input:1 float32 CDAB"), 0, "ABCD")
    [4, 5, 2, 3]
    """
    start = (point.span[1] - first) * 2
    words = [[start + 2 * i, start + 2 * i + 1] for i in range(WIDTH[point.type])]
    arranged = point.order or order
    if arranged in ("CDAB", "DCBA"):
        words.reverse()
    if arranged in ("BADC", "DCBA") and len(words) > 1:
        words = [word[::-1] for word in words]
    return [place for word in words for place in word]


def plan(
    points: Sequence[RegisterPoint],
    *,
    order: Order = "ABCD",
    max_registers: int = 125,
    max_bits: int = 2000,
    max_gap: int = 0,
) -> list[Block]:
    """Read all points with few requests: neighbours together, no more than a device answers.

    ``max_gap`` is how many registers nobody asked for may lie between two neighbours.

    >>> at = [RegisterPoint.model_validate(t) for t in ("input:0", "input:1", "input:5", "coil:0")]
    >>> [(b.table, b.first, b.count) for b in plan(at)]
    [('coil', 0, 1), ('input', 0, 2), ('input', 5, 1)]
    >>> [(b.table, b.first, b.count) for b in plan(at, max_gap=4)]
    [('coil', 0, 1), ('input', 0, 6)]
    """
    blocks: list[Block] = []
    members: list[tuple[int, RegisterPoint]] = []
    start = reach = 0
    for index, point in sorted(enumerate(points), key=lambda item: (item[1].span, item[0])):
        table, first, end = point.span
        limit = max_bits if table in BITS else max_registers
        joins = (
            members
            and members[-1][1].span[0] == table
            and first - reach <= max_gap
            and max(end, reach) - start <= limit
        )
        if joins:
            reach = max(end, reach)
        else:
            if members:
                blocks.append(Block.of(members, order))
            members, start, reach = [], first, end
        members.append((index, point))
    if members:
        blocks.append(Block.of(members, order))
    return blocks
