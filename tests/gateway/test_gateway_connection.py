"""Connections: who waits too long or does not read is cut off, who fills the house makes room."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import OP_PING, Frame

from gateway import protocol
from gateway.connection import STALL_S, WAIT_S, Connections
from gateway.service import Server, listen
from plant.model.plant import Gateway
from tests.wire.broker_support import until

BIG = b"x" * 2**20
Scope = dict


class House:
    """A server of one small application, with a clock that is turned by hand."""

    def __init__(self, **bounds: int) -> None:
        self.now = 0.0
        self.connections = Connections(mono_s=lambda: self.now, **bounds)
        self.port = 0

    async def app(self, scope: Scope, receive: object, send: object) -> None:
        """20 MB to /big, an echo of the body's length to others; a WebSocket says nothing."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20 if scope["path"] == "/big" else 0):
            await send({"type": "http.response.body", "body": BIG, "more_body": True})
        await send({"type": "http.response.body", "body": b"ok"})

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        """Serve."""
        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            **protocol.protocols(self.connections),
        )
        server, listener = Server(config), listen(Gateway(port=0), self.connections)
        self.port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started, "the start")
            yield self
        finally:
            server.should_exit = True
            server.force_exit = True
            await task
            listener.close()

    async def ask(self, text: bytes, *, limit: int = 65_536) -> asyncio.StreamReader:
        """A connection on which something was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        writer.write(text)
        await writer.drain()
        self.writers.append(writer)
        return reader

    def later(self, seconds: float) -> None:
        """Turn the clock, and look."""
        self.now += seconds
        self.connections.sweep()

    writers: list[asyncio.StreamWriter]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """The house with its usual bounds."""
    one = House()
    one.writers = []
    async with one.open():
        yield one
        for writer in one.writers:
            writer.transport.abort()


async def _gone(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while await reader.read(65_536):
                pass
    return True


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHo",
    ],
)
async def test_a_request_is_whole_in_time_or_its_connection_ends(house: House, half: bytes) -> None:
    reader = await house.ask(half)
    await until(lambda: len(house.connections) == 1, "the connection")
    await asyncio.sleep(0.1)
    house.later(WAIT_S - 1)
    assert len(house.connections) == 1
    house.later(2)
    assert await _gone(reader)
    assert (len(house.connections), house.connections.stalled) == (0, 1)


_UPGRADE = (
    b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "handshake",
    [
        b"POST / HTTP/1.1\r\n" + _UPGRADE + b"\r\n",
        b"POST / HTTP/1.1\r\n" + _UPGRADE + b"Content-Length: 5\r\n\r\nabcde",
        b"GET / HTTP/1.1\r\n" + _UPGRADE + b"Content-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + _UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + _UPGRADE + b"Cookie: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + _UPGRADE + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
async def test_a_handshake_that_nobody_understands_is_answered_and_holds_no_place(
    house: House, handshake: bytes
) -> None:
    reader = await house.ask(handshake)
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    assert await _gone(reader)
    await until(lambda: not len(house.connections), "the end of the connection")


async def test_who_does_not_read_his_answer_is_cut_off_and_who_reads_slowly_is_not(
    house: House,
) -> None:
    dead = await house.ask(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", limit=1024)
    slow = await house.ask(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", limit=1024)
    read = 0
    for _ in range(8):
        while read < 1_000_000:
            read += len(await slow.read(65_536))
        read = 0
        await asyncio.sleep(0.02)
        house.later(STALL_S / 4)
    assert house.connections.stalled == 1
    assert len(house.connections) == 1
    assert await _gone(slow)
    assert house.connections.stalled == 1, "the slow one got all of it"
    assert await _gone(dead)


async def test_a_websocket_that_only_pings_and_never_reads_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "UNREAD_BYTES", 65_536)
    async with connect(f"ws://127.0.0.1:{house.port}/", close_timeout=1) as socket:
        socket.transport.pause_reading()
        ping = Frame(OP_PING, b"p" * 125).serialize(mask=True) * 2_000
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(400):
                socket.transport.write(ping)
                await asyncio.sleep(0.005)
                if not len(house.connections):
                    break
        await until(lambda: not len(house.connections), "the end")
        with contextlib.suppress(ConnectionClosed):
            socket.transport.resume_reading()


async def test_a_websocket_in_a_thousand_pieces_ends(house: House) -> None:
    async with connect(f"ws://127.0.0.1:{house.port}/", close_timeout=1) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send("" for _ in range(2_000))
        with pytest.raises(ConnectionClosed):
            await socket.recv()


def _pairs(count: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    for _ in range(count):
        yield socket.socketpair()


def test_who_was_answered_before_gives_way_last_and_not_to_many_of_his_kind() -> None:
    register = Connections(most=100, each=4)
    with contextlib.ExitStack() as stack:
        ours = []
        for one, other in _pairs(9):
            ours.append(stack.enter_context(one))
            stack.enter_context(other)

        def let_in(i: int, answered: bool) -> None:
            assert register.let_in(ours[i], ("10.0.0.1", 1))
            if answered:
                mine = register._open[ours[i].fileno()]
                register.busy(mine)
                register.waits(mine)

        def there(i: int) -> bool:
            return ours[i].fileno() in register._open

        let_in(0, answered=True)
        for i in range(1, 6):
            let_in(i, answered=False)
        assert [there(i) for i in range(6)] == [True, False, False, True, True, True]
        for i in range(6, 9):
            let_in(i, answered=True)
        assert there(8)
        assert not there(0), "many that were answered give way to others too"
        for one in ours:
            register.closed(one.fileno())


def test_the_longest_waiting_makes_room_and_never_one_at_work() -> None:
    clock = [0.0]
    register = Connections(most=6, each=3, proxies=["10.0.0.5"], mono_s=lambda: clock[0])
    with contextlib.ExitStack() as stack:
        ours = []
        for one, other in _pairs(12):
            ours.append(stack.enter_context(one))
            stack.enter_context(other)

        def let_in(i: int, address: str) -> bool:
            clock[0] += 1
            return register.let_in(ours[i], (address, 1))

        assert all(let_in(i, "10.0.0.1") for i in range(3))
        first = register._open[ours[0].fileno()]
        register.busy(first)
        assert let_in(3, "10.0.0.1")
        assert ours[1].fileno() not in register._open, "the first is at work, so the second went"
        for fd in (ours[2].fileno(), ours[3].fileno()):
            register.busy(register._open[fd])
        assert not let_in(4, "10.0.0.1"), "all are at work"
        assert all(let_in(i, "10.0.0.5") for i in range(5, 8)), "others are not concerned"
        assert let_in(8, "10.0.0.5"), "a proxy has the room of all"
        assert len(register) == 6
        assert ours[5].fileno() not in register._open
        assert let_in(9, "10.0.0.2")
        assert len(register) == 6
        assert (register.refused, register.evicted) == (1, 3)
        for one in ours:
            register.closed(one.fileno())
        assert (len(register), register._peers) == (0, {})
