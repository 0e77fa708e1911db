"""The edge's live messages over a local socket, so that its OPC UA server needs no broker.

The same topics and payloads as on the bus: a client gets all births first, then data of every
row when it is handed to the outbox (before it is durable), deaths and births of devices. Nothing
historical, no rows' identities. A frame is::

    u16 length of the topic, u32 length of the payload (big-endian), topic, payload

A client that does not read is cut off; it connects again and gets births.
"""

import asyncio
import logging
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from plant.errors import Unavailable
from plant.flow.clock import Clock
from plant.flow.talk import Talks
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.edge_session import EdgeSession
from plant.wire.message import Outgoing

log = logging.getLogger("kaikou.feed")

_HEAD = struct.Struct(">HI")
_WAITING_BYTES = 8 * 2**20
_LARGEST = 16 * 2**20

Births = Callable[[], tuple[Sequence[MetricBirth], Sequence[DeviceBirth]]]


@dataclass(eq=False)
class _Reader:
    """One connected client: a Sparkplug session of its own, and what waits for its socket."""

    session: EdgeSession
    waiting: deque[bytes]
    size: int
    some: asyncio.Event

    def put(self, message: Outgoing) -> bool:
        """Queue a message; False when the client is too far behind."""
        topic = message.topic.encode()
        frame = _HEAD.pack(len(topic), len(message.payload)) + topic + message.payload
        self.waiting.append(frame)
        self.size += len(frame)
        self.some.set()
        return self.size <= _WAITING_BYTES


class Feed:
    """Serves an uplink's live messages on a loopback port.

    births  gives the node's metrics and the devices that are there, with current values
    ready   set once births can be given; clients wait for it
    dropped counts clients that were cut off because they did not read
    """

    def __init__(self, group: str, node: str, clock: Clock, births: Births) -> None:
        self.ready = asyncio.Event()
        self.dropped = 0
        self._group = group
        self._node = node
        self._clock = clock
        self._births = births
        self._readers: set[_Reader] = set()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._readers)

    @asynccontextmanager
    async def serve(self, port: int, host: str = "127.0.0.1") -> AsyncIterator[int]:
        """Listen while the context lasts; gives the port (0 asks for a free one)."""
        talks = Talks(f"{self._node}: feed", self._talk)
        try:
            server = await asyncio.start_server(talks, host, port)
        except OSError as error:
            text = f"the OPC UA feed cannot listen on {host}:{port}: {error.strerror}"
            raise Unavailable(text) from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for reader in list(self._readers):
                self._cut(reader)
            await talks.end()
            await server.wait_closed()

    def data(self, device: str, metrics: bytes) -> None:
        """Encoded metrics of a device ("" is the node) that are current now."""
        for reader in list(self._readers):
            if not device or device in reader.session.born:
                self._put(reader, reader.session.data(device or None, metrics, self._clock.now()))

    def death(self, device: str) -> None:
        """A device is lost."""
        for reader in list(self._readers):
            if device in reader.session.born:
                self._put(reader, reader.session.death(device, self._clock.now()))

    def birth(self, device: DeviceBirth) -> None:
        """A device is back."""
        for reader in list(self._readers):
            self._put(reader, reader.session.device_birth(device, self._clock.now()))

    def _put(self, reader: _Reader, message: Outgoing) -> None:
        if not reader.put(message):
            self.dropped += 1
            log.warning("%s: a client of the feed does not read, it is cut off", self._node)
            self._cut(reader)

    def _cut(self, reader: _Reader) -> None:
        self._readers.discard(reader)
        reader.waiting.clear()
        reader.size = -1
        reader.some.set()

    async def _talk(self, incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.ready.wait()
        session = EdgeSession(self._group, self._node)
        session.will(0)
        reader = _Reader(session, deque(), 0, asyncio.Event())
        metrics, devices = self._births()
        for message in session.birth(self._clock.now(), devices, metrics=metrics):
            reader.put(message)
        self._readers.add(reader)
        hung_up = asyncio.ensure_future(incoming.read(1))  # a client sends nothing
        hung_up.add_done_callback(lambda _: self._cut(reader))
        try:
            while reader.size >= 0:
                reader.some.clear()
                frames = b"".join(reader.waiting)
                reader.waiting.clear()
                reader.size = 0
                writer.write(frames)
                await writer.drain()
                if not reader.waiting and reader.size >= 0:
                    await reader.some.wait()
        except OSError as error:
            log.debug("%s: a client of the feed is gone: %s", self._node, error)
        finally:
            self._readers.discard(reader)
            hung_up.cancel()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class FeedClient:
    """Hears a feed: ``async for topic, payload in FeedClient(port)``.

    Ends with ``Unavailable`` when nobody listens there or the connection is lost; the supervisor
    starts it again, and births come first.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._port = port
        self._host = host

    async def __aiter__(self) -> AsyncIterator[tuple[str, bytes]]:
        where = f"feed of the edge at {self._host}:{self._port}"
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            raise Unavailable(f"{where}: {error}") from error
        try:
            while True:
                topic_size, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                if size > _LARGEST:
                    raise Unavailable(f"{where}: this is no feed of Kaikou")
                topic = await reader.readexactly(topic_size)
                yield topic.decode(), await reader.readexactly(size)
        except UnicodeDecodeError as error:
            raise Unavailable(f"{where}: this is no feed of Kaikou") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"{where}: connection lost") from error
        finally:
            writer.close()
