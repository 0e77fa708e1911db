"""Modbus devices that answer spoiled, read by the edge's own runners over real sockets.

Each device has four blocks, one of each table, and gives every answer a running number, which all
values of it carry. A value is wrongly taken where it is Good and not the one that the device gave
to the last question for it. Modbus TCP has no check-sum: a
flipped bit of the data *is* the value, so bits are flipped in the nine bytes before the data, and
bytes are lost, added and repeated anywhere.
"""

import asyncio
import random
import struct
from collections.abc import Callable
from functools import partial

from bench.fuzz import Figures
from bench.fuzz_device import Device, Talker, Tally, hastened, meet
from edge.adapters.modbus import Modbus
from edge.adapters.modbus_point import RegisterPoint
from edge.source import Source
from plant.flow.supervisor import Backoff

DEVICES = 48
TIMEOUT_MS = 30
POINTS = (
    "input:0 uint32", "input:2 uint32", "input:4 float64",
    "holding:100 uint16", "holding:101 uint32 CDAB",
    *(f"coil:{at}" for at in range(16)),
    *(f"discrete:{at}" for at in range(40, 56)),
)  # fmt: skip
BLOCKS = {4: slice(0, 3), 3: slice(3, 5), 1: slice(5, 21), 2: slice(21, 37)}
"""Function -> its points."""
FIRST = {4: 0, 3: 100, 1: 0, 2: 40}
AT = [RegisterPoint.model_validate(text) for text in POINTS]


def data_of(function: int, number: int, first: int = 0, count: int = 0) -> bytes:
    """Registers or bits of a block, all where ``count`` is 0; every value says the number."""
    at = first - FIRST[function] if count else 0
    if function in (1, 2):
        bits = (number & 0xFFFF) >> at
        return (bits & (1 << (count or 16)) - 1).to_bytes(((count or 16) + 7) // 8, "little")
    low = number & 0xFFFF
    words = (
        struct.pack(">IId", number, number, float(number))
        if function == 4
        else struct.pack(">HHH", low, low, number >> 16)
    )
    return words[2 * at : 2 * (at + count) if count else len(words)]


def value_of(point: int, number: int) -> float:
    """What a point shows of a number."""
    if point == 3:
        return float(number & 0xFFFF)
    if point >= 5:
        return float(number >> (point - 5) % 16 & 1)
    return float(number)


Spoil = Callable[["ModbusDevice", bytes, bytes], list[bytes]]
"""(device, question, sound answer) -> what is sent, in pieces."""


def _flipped(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    head = bytearray(answer[:9])
    for _ in range(device.random.choice((1, 1, 1, 2, 3))):
        bit = device.random.randrange(72)
        head[bit // 8] ^= 1 << bit % 8
    return [bytes(head) + answer[9:]]


def _cut(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    return [answer[: device.random.randrange(len(answer))]]


def _longer(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    return [answer + device.random.randbytes(device.random.choice((1, 2, 3, 9, 40)))]


def _shifted(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    """Bytes lost or added in the midst of it."""
    at, size = device.random.randrange(len(answer)), device.random.choice((1, 2, 4))
    if device.random.random() < 0.5:
        return [answer[:at] + answer[at + size :]]
    return [answer[:at] + device.random.randbytes(size) + answer[at:]]


def _old(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    """Former answers: before this one, behind it, instead of it, and spoiled themselves."""
    old = device.random.choice(device.sent) if device.sent else b""
    if len(old) > 11 and device.random.random() < 0.5:
        size = old[8] - device.random.choice((1, 2))
        old = old[:4] + bytes((0, size + 3)) + old[6:8] + bytes((size,)) + old[9 : 9 + size]
    elif old and device.random.random() < 0.3:
        old = old[:7] + bytes((device.random.randrange(1, 5),)) + old[8:]
    return device.random.choice(([old + answer], [old, answer], [answer + old], [old]))


def _other(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    """Another unit, another transaction, or the answer to another block."""
    kind = device.random.randrange(4)
    if kind == 0:
        return [answer[:6] + bytes((device.random.choice((0, 2, 255)),)) + answer[7:]]
    if kind == 1:
        return [b"\0\0" + answer[2:]]
    if kind == 2:
        number = int.from_bytes(answer[:2], "big") + device.random.choice((-1, 1, 7))
        return [(number & 0xFFFF).to_bytes(2, "big") + answer[2:]]
    function = device.random.choice([f for f in BLOCKS if f != answer[7]])
    data = data_of(function, device.number)
    return [answer[:4] + struct.pack(">HBBB", len(data) + 3, 1, function, len(data)) + data]


def _exception(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    length = device.random.choice((3, 3, 0, 2, 4, 6, 300, 0xFFFF))
    code = device.random.choice((1, 2, 3, 4, 5, 6, 8, 10, 11, 0, 200))
    behind = device.random.choice((b"", b"", b"\0\0\0", answer))
    return [answer[:4] + struct.pack(">HBBB", length, 1, answer[7] | 0x80, code) + behind]


def _rubbish(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    return [device.random.randbytes(device.random.choice((1, 8, 9, 11, 60, 600)))]


def _echo(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    return [question + answer] if device.random.random() < 0.5 else [question]


def _nothing(device: "ModbusDevice", question: bytes, answer: bytes) -> list[bytes]:
    return []


SPOILS: tuple[Spoil, ...] = (
    _flipped, _flipped, _cut, _longer, _shifted, _old, _old, _other, _exception, _rubbish, _echo,
    _nothing,
)  # fmt: skip


class ModbusDevice(Device):
    """A device with four blocks."""

    def __init__(self, random: random.Random, tally: Tally) -> None:
        super().__init__(len(AT), random, tally)
        self.sent: list[bytes] = []

    def connection(self) -> asyncio.Protocol:
        return Connection(self)

    def source(self) -> Source:
        return Modbus.model_validate(
            {"host": "127.0.0.1", "port": self.port, "poll_ms": 10, "timeout_ms": TIMEOUT_MS}
        )

    def points(self) -> list[RegisterPoint]:
        return AT

    def answer(self, question: bytes) -> bytes:
        """The sound answer to a question."""
        transaction, _, _, unit, function, first, count = struct.unpack(">HHHBBHH", question)
        self.number += 1
        for point in range(BLOCKS[function].start, BLOCKS[function].stop):
            _, begin, end = AT[point].span
            if first <= begin and end <= first + count:
                self.shown[point] = value_of(point, self.number)
        data = data_of(function, self.number, first, count)
        head = struct.pack(">HHHBBB", transaction, 0, len(data) + 3, unit, function, len(data))
        return head + data


class Connection(Talker):
    """Sends what the device thought of."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device

    def data_received(self, data: bytes) -> None:
        device = self._device
        for at in range(0, len(data) - 11, 12):
            question = data[at : at + 12]
            answer = device.answer(question)
            if device.spoils():
                late_s = device.random.choice((0.5, 1.1, 2.0)) * TIMEOUT_MS / 1000
                pieces = device.random.choice(SPOILS)(device, question, answer)
                self.send(
                    pieces,
                    late_s if device.random.random() < 0.02 else 0.0,
                    closes=device.random.random() < 0.1,
                )
            else:
                self.send([answer], 0.0, closes=False)
            device.sent = [*device.sent[-7:], answer]


def run(count: int, seed: int) -> Figures:
    """Meet ``count`` spoiled answers."""
    tally = Tally(count)

    def make(number: int) -> Device:
        return ModbusDevice(random.Random(f"{seed}/{number}"), tally)

    with hastened(
        runner__Backoff=partial(Backoff, 0.01, 0.05),
        modbus_session__FIRST_S=0.1,
        modbus_stretch__FIRST_S=0.1,
        modbus_stretch__LAST_S=1.0,
        modbus_session__LAST_S=1.0,
        modbus_session___REST_S=1.0,
    ):
        asyncio.run(meet(tally, make, DEVICES))
    return tally.figures()
