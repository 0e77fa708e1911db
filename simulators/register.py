"""What a Modbus device shows: registers as data, each with the quantity behind it."""

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Table = Literal["coil", "discrete", "input", "holding"]

_FORMAT = {
    "bool": "?",
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "uint64": ">Q",
    "int64": ">q",
    "float32": ">f",
    "float64": ">d",
}
_BITS = {"uint16": 16, "uint32": 32, "uint64": 64}

M = TypeVar("M")


@dataclass(slots=True)
class Moment:
    """When and which answer: ``real_s`` real seconds, ``number`` answers given by this device."""

    real_s: float
    number: int
    plant_ms: int = 0

    @classmethod
    def now(cls, number: int = 0, plant_ms: int = 0) -> "Moment":
        """The present one."""
        return cls(time.monotonic(), number, plant_ms)


Quantity = Callable[[M, Moment], float]


class Register(Generic[M]):
    """One value of a device: where, as what type, and the quantity that it shows.

    >>> r = Register("input:4", "uint16", "pulses", lambda m, t: 65_540)
    >>> r.pack(None, Moment(0.0, 0)).hex()
    '0004'
    """

    def __init__(self, at: str, type: str, text: str, quantity: Quantity[M]) -> None:
        table, _, address = at.partition(":")
        self.table = table
        self.address = int(address)
        self.type = type
        self.text = text
        self.quantity = quantity
        self._pack = struct.Struct(_FORMAT[type]).pack
        self._bits = _BITS.get(type, 0)
        self.width = max(1, struct.calcsize(_FORMAT[type]) // 2)

    def pack(self, machine: M, moment: Moment) -> bytes:
        """The registers' bytes, first register first; unsigned whole numbers roll over."""
        value = self.quantity(machine, moment)
        if self._bits:
            return self._pack(int(value) & ((1 << self._bits) - 1))
        if self.type in ("int16", "int32", "int64"):
            half = 1 << (16 * self.width - 1)
            return self._pack(max(-half, min(half - 1, int(value))))
        return self._pack(value)


def running_number(at: str) -> Register[Any]:
    """How many answers this device has given, this one counted, as uint32 that rolls over."""
    return Register(at, "uint32", "running number of the answer", lambda m, t: t.number)


class RegisterMap(Generic[M]):
    """All registers of one unit id."""

    def __init__(self, text: str, *registers: Register[M]) -> None:
        self.text = text
        self.registers = registers
        self._size: dict[str, int] = {}
        for r in registers:
            self._size[r.table] = max(self._size.get(r.table, 0), r.address + r.width)

    def __iter__(self) -> Iterator[Register[M]]:
        return iter(self.registers)

    def words(self, machine: M, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """``count`` registers as bytes; None where the device has no such addresses."""
        end = first + count
        if end > self._size.get(table, 0):
            return None
        image = bytearray(2 * count)
        for r in self.registers:
            if r.table == table and r.address < end and r.address + r.width > first:
                data = r.pack(machine, moment)
                low = max(first, r.address)
                high = min(end, r.address + r.width)
                image[2 * (low - first) : 2 * (high - first)] = data[
                    2 * (low - r.address) : 2 * (high - r.address)
                ]
        return bytes(image)

    def bits(self, machine: M, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """``count`` coils or discrete inputs, packed as the protocol does; None where none are."""
        if first + count > self._size.get(table, 0):
            return None
        image = 0
        for r in self.registers:
            if r.table == table and first <= r.address < first + count:
                image |= bool(r.quantity(machine, moment)) << (r.address - first)
        return image.to_bytes((count + 7) // 8, "little")
