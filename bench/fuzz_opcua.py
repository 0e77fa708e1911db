"""OPC UA sessions with one spoiled packet between a true server and our source, then none.

Each case is a source of its own, run as the edge runs it, through a line that spoils one packet of
either direction: a flipped bit, other bytes, a wrong length, a piece, a packet twice, none, rubbish
before it, an end in the middle. Three of four sessions are secured as a plant's must be, and any
byte may change. The fourth is a test bench's without security, where nobody can tell a changed
value from a true one; there only headers change, and whole packets.

wrongly_taken  a value that the server never had, or one stated later than 5 s after it changed
never_healed   no fresh value of every node within 90 s after the packet
process_ended  a source that ended, an error nobody expected, a task or an answer left behind
"""

import asyncio
import gc
import logging
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.fuzz import Figures
from edge.adapters.opcua import NodePoint, OpcUa
from edge.clock import EdgeClock
from edge.runner import Read, Runner
from edge.scaling import Scaling
from plant.flow.clock import UtcClock
from plant.flow.status import is_bad
from plant.model.signal import Label, Signal, SignalKind
from simulators.opcua import NodeServer

NODES = [("a", "Double"), ("b", "Double"), ("c", "Double")]
AT_ONCE = 6
EVERY_S = 0.1
HEAL_S = 90.0
LATE_MS = 5_000
_STEP = 1_000_000
_HEADER = 24
"""Bytes of a packet that say what it is: length, channel, token, numbers."""
_FIRST_PACKETS = 24
_PLAIN = 3
"""Of four cases the last is without security."""
_USER = {"user": "edge", "password": "secret-of-this-bench"}


@dataclass(slots=True)
class Tally:
    """What came of all cases."""

    wrong: int = 0
    never: int = 0
    unexpected: int = 0
    left: int = 0
    spoiled: int = 0
    examples: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Keep a few examples."""
        if len(self.examples) < 20:
            self.examples.append(text)


def run(count: int, seed: int) -> Figures:
    """Spoil one packet in each of ``count`` sessions."""
    for name in ("kaikou.edge", "kaikou.opcua", "kaikou.supervisor"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    tally = asyncio.run(_all(count, seed))
    return Figures(
        count,
        tally.unexpected + tally.left,
        tally.wrong,
        tally.never,
        {"spoiled": tally.spoiled, "examples": "; ".join(tally.examples)},
    )


async def _all(count: int, seed: int) -> Tally:
    tally = Tally()

    def left_behind(_loop: object, context: Mapping[str, Any]) -> None:
        if "never retrieved" in context["message"] or "exception" in context:
            tally.left += 1
            tally.tell(f"{context['message']}: {context.get('exception')!r}")

    asyncio.get_running_loop().set_exception_handler(left_behind)
    with tempfile.TemporaryDirectory() as folder:
        secured = Source(Path(folder) / "secured", "Basic256Sha256")
        plain = Source(Path(folder) / "plain", "None")
        await secured.open()
        if count > _PLAIN:
            await plain.open()
        try:
            left = iter(range(count))

            async def worker() -> None:
                for number in left:
                    source = plain if number % 4 == _PLAIN else secured
                    await Case(source, number, random.Random(f"{seed}/{number}"), tally).run()

            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, count)):
                    group.create_task(worker())
        finally:
            await secured.close()
            await plain.close()
        gc.collect()
        await asyncio.sleep(0.1)
    return tally


class Source:
    """A true server whose nodes count, and what it said when."""

    def __init__(self, folder: Path, security: str) -> None:
        self.folder = folder
        self.security = security
        self.server = NodeServer(NODES, folder / "server", security=security, **self._user)
        self.said: list[int] = []
        """When each number was written, ms UTC."""
        self._task: asyncio.Task[None] | None = None

    @property
    def _user(self) -> dict[str, Any]:
        return {} if self.security == "None" else dict(_USER)

    async def open(self) -> None:
        """Serve and count."""
        await self.server.open()
        self._task = asyncio.create_task(self._count())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.server.close()

    async def _count(self) -> None:
        while True:
            now = time.time_ns() // 1_000_000
            number = float(len(self.said))
            self.said.append(now)
            rows = [(id, number + _STEP * at, now, 0) for at, (id, _) in enumerate(NODES)]
            await self.server.write(rows)
            await asyncio.sleep(EVERY_S)

    def config(self, port: int) -> OpcUa:
        """Our source for it, behind a line."""
        given = {
            "url": f"opc.tcp://127.0.0.1:{port}/",
            "publish_ms": 100,
            "timeout_ms": 3000,
            "security": self.security,
            "lab": self.security == "None",
        }
        return OpcUa.model_validate(given | self._user)

    def wrong(self, at: int, when: int, value: float) -> str:
        """What is wrong with a value that was taken; "" where nothing is."""
        number = value - _STEP * at
        if number != int(number) or not 0 <= number < len(self.said):
            return f"{value} of node {at} was never there"
        if when < self.said[int(number)]:
            return f"{value} of node {at} before it was"
        later = int(number) + 1
        if later < len(self.said) and when > self.said[later] + LATE_MS:
            return f"{value} of node {at} {when - self.said[later]} ms after it changed"
        return ""


class Case:
    """One source behind a line that spoils one packet."""

    def __init__(self, source: Source, number: int, dice: random.Random, tally: Tally) -> None:
        self._source = source
        self._tally = tally
        self._number = number
        plain = source.security == "None"
        self._line = Line(source.server.port, dice, header_only=plain)
        self._keeps_pair = dice.random() < 0.7

    async def run(self) -> None:
        """Read until it has healed."""
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "edge"
            await self._lend(place)
            port = await self._line.open()
            runner = self._runner(port, place)
            task = asyncio.create_task(runner.run())
            try:
                async with asyncio.timeout(HEAL_S):
                    await self._until_healed(runner)
            except TimeoutError:
                self._tally.never += 1
                self._tally.tell(f"case {self._number}, {self._line.how}: never healed")
            self._tally.unexpected += runner.count.unexpected + task.done()
            if runner.count.unexpected:
                self._tally.tell(f"case {self._number}, {self._line.how}: unexpected")
            self._tally.spoiled += self._line.done
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._line.close()
            await self._keep(place)

    async def _lend(self, place: Path) -> None:
        """Making a pair of keys takes longer than all the rest; most cases share one."""
        shared = self._source.folder / "opcua_client"
        if self._keeps_pair and shared.exists():
            await asyncio.to_thread(shutil.copytree, shared, place / "opcua_client")

    async def _keep(self, place: Path) -> None:
        shared, own = self._source.folder / "opcua_client", place / "opcua_client"
        if not shared.exists() and (own / "own.der").exists():
            shared.mkdir()
            for name in ("own.der", "own.pem"):
                await asyncio.to_thread(shutil.copy, own / name, shared / name)

    def _runner(self, port: int, place: Path) -> Runner:
        signals = [
            Signal(f"m/{id}", "m", id, Label("", ""), SignalKind.MEASUREMENT) for id, _ in NODES
        ]
        return Runner(
            "m",
            self._source.config(port),
            [NodePoint(node=f"ns=2;s={id}") for id, _ in NODES],
            Scaling(signals, range(len(signals))),
            clock=EdgeClock(UtcClock()),
            folder=place,
        )

    async def _until_healed(self, runner: Runner) -> None:
        fresh: set[int] = set()
        async for read in runner.answers:
            for at, when, value in _values(read):
                problem = self._source.wrong(at, when, value)
                if problem:
                    self._tally.wrong += 1
                    self._tally.tell(f"case {self._number}, {self._line.how}: {problem}")
                if self._line.done and when > self._line.done_at + 300:
                    fresh.add(at)
            if len(fresh) == len(NODES):
                return


def _values(read: Read) -> list[tuple[int, int, float]]:
    batch = read.batch.take(~is_bad(read.batch.status))
    columns = (batch.signal.tolist(), batch.source_time.tolist(), batch.value.tolist())
    return list(zip(*columns, strict=True))


class Line:
    """A TCP line to the server that spoils one packet of one direction."""

    def __init__(self, to: int, dice: random.Random, *, header_only: bool) -> None:
        self._to = to
        self._dice = dice
        self._header_only = header_only
        kinds = _WHOLE if header_only else _WHOLE | _INSIDE
        self.how = dice.choice(sorted(kinds))
        self._spoil = kinds[self.how]
        self._from_server = dice.random() < 0.75
        self._left = dice.randrange(_FIRST_PACKETS)
        self.done = False
        self.done_at = 0
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[Any]] = set()

    async def open(self) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)
        far: asyncio.StreamWriter | None = None
        try:
            from_server, far = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(
                self._pump(reader, far, from_server=False),
                self._pump(from_server, writer, from_server=True),
            )
        except (OSError, asyncio.CancelledError):
            pass  # asyncio's own callback would log the end of a task
        finally:
            writer.transport.abort()
            if far is not None:
                far.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(8)
                size = int.from_bytes(head[4:8], "little")
                packet = head + await reader.readexactly(max(0, size - 8))
                if self.done or from_server != self._from_server:
                    writer.write(packet)
                elif self._left:
                    self._left -= 1
                    writer.write(packet)
                else:
                    self.done, self.done_at = True, time.time_ns() // 1_000_000
                    sent, goes_on = self._spoil(packet, self._dice)
                    writer.write(sent)
                    if not goes_on:
                        break
                await writer.drain()
        writer.close()


Spoil = Callable[[bytes, random.Random], tuple[bytes, bool]]
"""A packet -> what is sent instead, and whether the line goes on."""


def _with(packet: bytes, dice: random.Random, most: int, change: Callable[[int], int]) -> bytes:
    at = dice.randrange(min(most, len(packet)))
    return packet[:at] + bytes([change(packet[at])]) + packet[at + 1 :]


def _bit(packet: bytes, dice: random.Random, most: int = 1 << 30) -> tuple[bytes, bool]:
    return _with(packet, dice, most, lambda byte: byte ^ (1 << dice.randrange(8))), True


def _header_bit(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    return _bit(packet, dice, _HEADER)


def _length(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    wrong = dice.choice([0, 7, 8, 12, len(packet) * 1000, 1 << 31, (1 << 32) - 1])
    return packet[:4] + wrong.to_bytes(4, "little") + packet[8:], True


def _piece(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    return packet[: dice.randrange(len(packet))], False


def _twice(packet: bytes, _dice: random.Random) -> tuple[bytes, bool]:
    return packet + packet, True


def _never(_packet: bytes, _dice: random.Random) -> tuple[bytes, bool]:
    return b"", True


def _rubbish(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    return dice.randbytes(dice.randrange(1, 40)) + packet, True


def _bytes(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    start = dice.randrange(len(packet))
    some = dice.randbytes(dice.randrange(1, 40))
    return packet[:start] + some + packet[start + len(some) :], True


def _shorter(packet: bytes, dice: random.Random) -> tuple[bytes, bool]:
    return packet[: dice.randrange(8, len(packet))], True


_WHOLE: dict[str, Spoil] = {
    "header bit": _header_bit,
    "length": _length,
    "piece": _piece,
    "twice": _twice,
    "never": _never,
    "rubbish": _rubbish,
}
_INSIDE: dict[str, Spoil] = {"bit": _bit, "bytes": _bytes, "shorter": _shorter}
