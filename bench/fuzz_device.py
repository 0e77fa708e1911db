"""What the polled targets of ``bench fuzz`` share: devices that spoil, runners that are watched.

A device spoils about half of its answers; after a streak of them it is sound until the runner that
reads it has all its values again. A runner's values are compared with what the device showed last
before anything more is asked.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.fuzz import Figures
from edge.clock import EdgeClock
from edge.runner import Runner
from edge.scaling import Scaling
from edge.source import Source
from plant.flow.clock import UtcClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import is_bad
from plant.model.signal import Label, Signal, SignalKind

STREAK = 30
"""Spoiled answers until a device is sound for a while."""
SPOILED = 0.5
"""Share of a device's answers that are spoiled."""
HEAL_S, HEAL_ANSWERS, HOPELESS_S = 30.0, 25, 600.0
"""Never healed: not within so many seconds and answers of the runner (a busy machine has few)."""


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

    def figures(self) -> Figures:
        """For the bench."""
        told: dict[str, float | int | str] = {
            "reads": self.reads,
            "healed": self.healed,
            "first": "; ".join(self.fatal[:3]),
        }
        return Figures(self.spoiled, len(self.fatal), self.wrong, self.never, told)


class Device:
    """What is read; ``shown`` is, of each point, what the last answer to a question for it says."""

    def __init__(self, points: int, random: random.Random, tally: Tally) -> None:
        self.random = random
        self.tally = tally
        self.port = 0
        self.number = 0
        self.sound = False
        self.enough = asyncio.Event()
        self.shown = np.full(points, np.nan)
        self._streak = 0

    def begin(self) -> None:
        """Spoil answers from now on."""
        self._streak, self.sound = 0, False
        self.enough.clear()

    def spoils(self) -> bool:
        """Whether the next answer is spoiled, which is counted."""
        if self.sound or self.random.random() >= SPOILED:
            return False
        self._streak += 1
        self.tally.spoiled += 1
        if self._streak >= STREAK or self.tally.spoiled >= self.tally.wanted:
            self.sound = True
            self.enough.set()
        return True

    def connection(self) -> asyncio.Protocol:
        """Who talks on a new connection."""
        raise NotImplementedError

    def source(self) -> Source:
        """How it is read."""
        raise NotImplementedError

    def points(self) -> Sequence[Any]:
        """What is read of it."""
        raise NotImplementedError


class Talker(asyncio.Protocol):
    """One connection of a device: sends pieces when it is told to."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, pieces: Sequence[bytes], after_s: float, *, closes: bool) -> None:
        """Pieces a millisecond apart; then perhaps the end."""
        loop = asyncio.get_running_loop()
        for piece in pieces:
            loop.call_later(after_s, self._send, piece, False)
            after_s += 0.001
        if closes:
            loop.call_later(after_s, self._send, b"", True)

    def _send(self, piece: bytes, closes: bool) -> None:
        if not self.transport.is_closing():
            self.transport.write(piece)
            if closes:
                self.transport.close()


class CheckedRunner(Runner):
    """A runner whose values are looked at before anything more is asked."""

    device: Device
    healthy: asyncio.Event
    told = 0
    """Answers and losses so far."""

    async def _put(self, batch: SampleBatch, texts: Sequence[Text], *, good: bool) -> None:
        self.told += 1
        if good:
            tally, taken = self.device.tally, ~is_bad(batch.status)
            tally.reads += 1
            shown = self.device.shown[batch.signal]
            tally.wrong += int((batch.value[taken] != shown[taken]).any())
            if taken.all():
                self.healthy.set()
        await super()._put(batch, texts, good=good)


@contextmanager
def hastened(**constants: Any) -> Iterator[None]:
    """Other values for constants of a module, given as ``module__NAME``; the log is silent."""
    import edge.adapters
    import edge.runner

    places: list[tuple[Any, str, Any]] = []
    for name, value in constants.items():
        module, _, constant = name.partition("__")
        holder: Any = edge.runner if module == "runner" else getattr(edge.adapters, module)
        places.append((holder, constant, getattr(holder, constant)))
        setattr(holder, constant, value)
    logging.getLogger("kaikou").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for holder, constant, was in places:
            setattr(holder, constant, was)
        logging.getLogger("kaikou").setLevel(logging.NOTSET)


async def meet(tally: Tally, make: Callable[[int], Device], devices: int) -> None:
    """Devices side by side until all wanted answers are spoiled; unhandled errors are counted."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: tally.fatal.append(str(context)))
    async with asyncio.TaskGroup() as group:
        for number in range(min(devices, max(1, tally.wanted // STREAK))):
            group.create_task(_read(make(number)))


async def _read(device: Device) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(device.connection, "127.0.0.1", 0)
    device.port = server.sockets[0].getsockname()[1]
    tally, runner = device.tally, _runner(device)
    task = asyncio.create_task(runner.run())
    taking = asyncio.create_task(_take(runner))
    try:
        while tally.spoiled < tally.wanted and not task.done():
            device.begin()
            enough = asyncio.create_task(device.enough.wait())
            await asyncio.wait([task, enough], return_when=asyncio.FIRST_COMPLETED)
            enough.cancel()
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


async def _heal(tally: Tally, runner: CheckedRunner) -> None:
    runner.healthy.clear()
    told, began = runner.told, time.monotonic()
    while not runner.healthy.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAL_S):
                await runner.healthy.wait()
        if not runner.healthy.is_set() and (
            runner.told - told >= HEAL_ANSWERS or time.monotonic() - began > HOPELESS_S
        ):
            tally.never += 1
            return
    tally.healed += 1


def _runner(device: Device) -> CheckedRunner:
    points = device.points()
    signals = [
        Signal(f"a/s{n}", "a", f"s{n}", Label("", ""), SignalKind.MEASUREMENT)
        for n in range(len(points))
    ]
    runner = CheckedRunner(
        "fuzz",
        device.source(),
        points,
        Scaling(signals, range(len(points))),
        clock=EdgeClock(UtcClock()),
        folder=Path(),
        stagger=device.random.random(),
    )
    runner.device, runner.healthy = device, asyncio.Event()
    return runner


async def _take(runner: Runner) -> None:
    async for _ in runner.answers:
        pass
