"""Modbus devices that answer spoiled, read by the edge's own runners over real sockets.

Each device has four blocks, one of each table, and gives every answer a running number, which all
values of it carry. A value is wrongly taken where it is Good and not the one that the device gave
to the last question for it. Modbus TCP has no check-sum: a
flipped bit of the data *is* the value, so bits are flipped in the nine bytes before the data, and
bytes are lost, added and repeated anywhere. After some thirty spoiled answers a device is sound
until all its values are true again; ``never_healed`` counts where they are not within 30 s.
"""

import asyncio
import logging
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge.adapters.modbus_session
import edge.runner
from bench.fuzz import Figures
from edge.adapters.modbus import Modbus
from edge.adapters.modbus_point import RegisterPoint
from edge.clock import EdgeClock
from edge.runner import Runner
from edge.scaling import Scaling
from plant.flow.clock import UtcClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import is_bad
from plant.flow.supervisor import Backoff
from plant.model.signal import Label, Signal, SignalKind

DEVICES = 48
STREAK = 30
"""Spoiled answers until a device is sound for a while."""
SPOILED = 0.5
"""Share of a device's answers that are spoiled."""
HEAL_S = 30.0
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


Spoil = Callable[["Device", bytes, bytes], list[bytes]]
"""(device, question, sound answer) -> what is sent, in pieces."""


def _flipped(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    head = bytearray(answer[:9])
    for _ in range(device.random.choice((1, 1, 1, 2, 3))):
        bit = device.random.randrange(72)
        head[bit // 8] ^= 1 << bit % 8
    return [bytes(head) + answer[9:]]


def _cut(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    return [answer[: device.random.randrange(len(answer))]]


def _longer(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    return [answer + device.random.randbytes(device.random.choice((1, 2, 3, 9, 40)))]


def _shifted(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    """Bytes lost or added in the midst of it."""
    at, size = device.random.randrange(len(answer)), device.random.choice((1, 2, 4))
    if device.random.random() < 0.5:
        return [answer[:at] + answer[at + size :]]
    return [answer[:at] + device.random.randbytes(size) + answer[at:]]


def _old(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    """Former answers: before this one, behind it, instead of it, and spoiled themselves."""
    old = device.random.choice(device.sent) if device.sent else b""
    if len(old) > 11 and device.random.random() < 0.5:
        size = old[8] - device.random.choice((1, 2))
        old = old[:4] + bytes((0, size + 3)) + old[6:8] + bytes((size,)) + old[9 : 9 + size]
    elif old and device.random.random() < 0.3:
        old = old[:7] + bytes((device.random.randrange(1, 5),)) + old[8:]
    return device.random.choice(([old + answer], [old, answer], [answer + old], [old]))


def _other(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
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


def _exception(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    length = device.random.choice((3, 3, 0, 2, 4, 6, 300, 0xFFFF))
    code = device.random.choice((1, 2, 3, 4, 5, 6, 8, 10, 11, 0, 200))
    behind = device.random.choice((b"", b"", b"\0\0\0", answer))
    return [answer[:4] + struct.pack(">HBBB", length, 1, answer[7] | 0x80, code) + behind]


def _rubbish(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    return [device.random.randbytes(device.random.choice((1, 8, 9, 11, 60, 600)))]


def _echo(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    return [question + answer] if device.random.random() < 0.5 else [question]


def _nothing(device: "Device", question: bytes, answer: bytes) -> list[bytes]:
    return []


SPOILS: tuple[Spoil, ...] = (
    _flipped, _flipped, _cut, _longer, _shifted, _old, _old, _other, _exception, _rubbish, _echo,
    _nothing,
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What all devices came to."""

    wanted: int
    spoiled: int = 0
    reads: int = 0
    wrong: int = 0
    never: int = 0
    healed: int = 0
    fatal: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Device:
    """A device, the numbers it gave, and whether it is sound now."""

    random: random.Random
    tally: Tally
    port: int = 0
    number: int = 0
    sound: bool = False
    streak: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    shown: NDArray[np.float64] = field(default_factory=lambda: np.full(len(POINTS), np.nan))
    """Of each point, what the last answer to a question for it says."""
    sent: list[bytes] = field(default_factory=list)

    def answers(self, question: bytes) -> tuple[list[bytes], bool]:
        """What to send on a question, and whether to close then."""
        transaction, _, _, unit, function, first, count = struct.unpack(">HHHBBHH", question)
        self.number += 1
        for point in range(BLOCKS[function].start, BLOCKS[function].stop):
            _, begin, end = AT[point].span
            if first <= begin and end <= first + count:
                self.shown[point] = value_of(point, self.number)
        data = data_of(function, self.number, first, count)
        head = struct.pack(">HHHBBB", transaction, 0, len(data) + 3, unit, function, len(data))
        answer = head + data
        if self.sound or self.random.random() >= SPOILED:
            pieces, closes = [answer], False
        else:
            self.tally.spoiled += 1
            self.streak += 1
            if self.streak >= STREAK or self.tally.spoiled >= self.tally.wanted:
                self.sound = True
                self.enough.set()
            pieces = self.random.choice(SPOILS)(self, question, answer)
            closes = self.random.random() < 0.1
        self.sent = [*self.sent[-7:], answer]
        return pieces, closes


class Connection(asyncio.Protocol):
    """Sends what the device thought of."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        random = self._device.random
        for at in range(0, len(data) - 11, 12):
            pieces, closes = self._device.answers(data[at : at + 12])
            late_s = 0.0
            if not self._device.sound and random.random() < 0.02:
                late_s = TIMEOUT_MS / 1000 * random.choice((0.5, 1.1, 2.0))
            loop = asyncio.get_running_loop()
            for piece in pieces:
                loop.call_later(late_s, self._send, piece, False)
                late_s += 0.001
            if closes:
                loop.call_later(late_s, self._send, b"", True)

    def _send(self, piece: bytes, closes: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(piece)
            if closes:
                self._transport.close()


def run(count: int, seed: int) -> Figures:
    """Meet ``count`` spoiled answers."""
    tally = Tally(count)
    with hastened():
        asyncio.run(_all(tally, seed))
    return Figures(
        cases=tally.spoiled,
        process_ended=len(tally.fatal),
        wrongly_taken=tally.wrong,
        never_healed=tally.never,
        more={"reads": tally.reads, "healed": tally.healed, "first": "; ".join(tally.fatal[:3])},
    )


@contextmanager
def hastened() -> Iterator[None]:
    """Back-offs of hundredths of a second instead of seconds: more cases in the same time."""
    module: Any = edge.adapters.modbus_session
    runner: Any = edge.runner
    was = module._FIRST_S, module._LAST_S, runner.Backoff
    module._FIRST_S, module._LAST_S, runner.Backoff = 0.1, 1.0, partial(Backoff, 0.01, 0.05)
    logging.getLogger("kaikou").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        module._FIRST_S, module._LAST_S, runner.Backoff = was
        logging.getLogger("kaikou").setLevel(logging.NOTSET)


async def _all(tally: Tally, seed: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: tally.fatal.append(str(context)))
    async with asyncio.TaskGroup() as group:
        for number in range(min(DEVICES, max(1, tally.wanted // STREAK))):
            group.create_task(_device(Device(random.Random(f"{seed}/{number}"), tally)))


async def _device(device: Device) -> None:
    """One device and its runner, until all spoiled answers are given and it is sound again."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(device), "127.0.0.1", 0)
    device.port = server.sockets[0].getsockname()[1]
    runner = _runner(device)
    tally = device.tally
    task = asyncio.create_task(runner.run())
    taking = asyncio.create_task(_take(runner))
    try:
        while tally.spoiled < tally.wanted and not task.done():
            device.streak, device.sound = 0, False
            device.enough.clear()
            await asyncio.wait([task, asyncio.ensure_future(device.enough.wait())],
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            device.sound = True
            await _heal(tally, runner)
    finally:
        if task.done():
            tally.fatal.append(f"the runner ended: {task}")
        tally.fatal += ["an error nobody expected"] * runner.count.unexpected
        task.cancel()
        taking.cancel()
        await asyncio.wait([task, taking])
        server.close()


async def _heal(tally: Tally, runner: "CheckedRunner") -> None:
    runner.healthy.clear()
    try:
        async with asyncio.timeout(HEAL_S):
            await runner.healthy.wait()
        tally.healed += 1
    except TimeoutError:
        tally.never += 1


class CheckedRunner(Runner):
    """A runner whose values are looked at before anything more is asked."""

    device: Device
    healthy: asyncio.Event

    async def _put(self, batch: SampleBatch, texts: Sequence[Text], *, good: bool) -> None:
        if good:
            tally, taken = self.device.tally, ~is_bad(batch.status)
            tally.reads += 1
            shown = self.device.shown[batch.signal]
            tally.wrong += int((batch.value[taken] != shown[taken]).any())
            if taken.all():
                self.healthy.set()
        await super()._put(batch, texts, good=good)


def _runner(device: Device) -> CheckedRunner:
    signals = [
        Signal(f"a/s{n}", "a", f"s{n}", Label("", ""), SignalKind.MEASUREMENT)
        for n in range(len(AT))
    ]
    source = Modbus.model_validate(
        {"host": "127.0.0.1", "port": device.port, "poll_ms": 10, "timeout_ms": TIMEOUT_MS}
    )
    runner = CheckedRunner(
        "fuzz",
        source,
        AT,
        Scaling(signals, range(len(AT))),
        clock=EdgeClock(UtcClock()),
        folder=Path(),
        stagger=device.random.random(),
    )
    runner.device, runner.healthy = device, asyncio.Event()
    return runner


async def _take(runner: Runner) -> None:
    async for _ in runner.answers:
        pass
