"""Real brokers on free loopback ports, and a line in between that can be cut or clogged."""

import asyncio
import contextlib
import gc
import socket
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from plant.errors import Unavailable
from plant.model.plant import Broker
from plant.wire.client import MqttClient

DEADLINE_S = 15.0


async def until(
    condition: Callable[[], object], what: str = "it", deadline_s: float = DEADLINE_S
) -> None:
    """Wait for a condition; a deadline that passes is a failure."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class Mosquitto:
    """A mosquitto that can be killed and started again on its port."""

    def __init__(self, program: str, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._program = program
        self._config = folder / "mosquitto.conf"
        access = lines or ("allow_anonymous true",)
        lines = ("user root", f"listener {self.port} 127.0.0.1", *access)
        self._config.write_text("\n".join([*lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def broker(self) -> Broker:
        """Where it is."""
        return Broker("127.0.0.1", self.port)

    async def start(self) -> None:
        """Start, and wait until it listens."""
        self._launch()
        await listening(self.port)

    def _launch(self) -> None:
        quiet = subprocess.DEVNULL
        command = [self._program, "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)

    def kill(self) -> None:
        """Kill it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def listening(port: int) -> None:
    """Wait until something accepts connections."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return


@contextlib.asynccontextmanager
async def amqtt_broker() -> AsyncIterator[Broker]:
    """The embedded broker with one account that may publish anything."""
    from deploy.loopback import LoopbackBroker

    port = free_port()
    running = LoopbackBroker(port, {"test": "secret"}, {"test": ("#",)})
    await running.start()
    try:
        yield Broker("127.0.0.1", port, username="test", password="secret")
    finally:
        await running.shutdown()
        with warnings.catch_warnings():  # amqtt forgets the socket of who ended without DISCONNECT
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


class Line:
    """A TCP line to a broker; ``flowing`` cleared, it swallows nothing and passes nothing on."""

    def __init__(self, target: int) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.port = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target, limit=4096)
        self._writers += [writer, forth]
        for source, sink in ((reader, forth), (back, writer)):
            task = asyncio.ensure_future(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                await self.flowing.wait()
                data = await source.read(4096)
                await self.flowing.wait()
                if not data:
                    sink.close()
                    return
                sink.write(data)
                await sink.drain()


async def connectable(broker: Broker) -> None:
    """Wait until a client is let in."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with MqttClient(broker, "probe"):
                    return
            except Unavailable:
                await asyncio.sleep(0.05)
