"""The OPC UA client: security, short and long losses, nodes that come and go, strings."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.adapters.opcua import NodePoint, OpcUa
from edge.source import Answer, Session
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.status import StatusCode
from simulators.opcua import NodeServer

NODES = [("Count", "Double"), ("Program", "String"), ("Door", "Boolean")]
USER = {"user": "edge", "password": "secret-of-this-test"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's key and certificate, made once."""
    return tmp_path_factory.mktemp("server")


def now() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def serving(keys: Path, nodes: list[tuple[str, str]] = NODES) -> AsyncIterator[NodeServer]:
    server = NodeServer(nodes, keys, user=USER["user"], password=USER["password"])
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def config(port: int, **more: object) -> OpcUa:
    given = {"url": f"opc.tcp://127.0.0.1:{port}/", "publish_ms": 50, "timeout_ms": 2000}
    return OpcUa.model_validate(given | USER | more)


def points(*ids: str) -> list[NodePoint]:
    return [NodePoint(node=f"ns=2;s={id}") for id in ids or ("Count", "Program", "Door")]


async def read_until(session: Session, wanted: Callable[[list[Answer]], object]) -> list[Answer]:
    answers: list[Answer] = []
    async with asyncio.timeout(15):
        while not wanted(answers):
            answers.append(await session.read())
    return answers


def rows(answers: list[Answer], signal: int) -> list[tuple[int, float, int]]:
    return [
        (time, value, status)
        for a in answers
        for s, time, value, status in zip(
            a.samples.signal.tolist(),
            a.samples.source_time.tolist(),
            a.samples.value.tolist(),
            a.samples.status.tolist(),
            strict=True,
        )
        if s == signal
    ]


async def test_values_strings_times_and_statuses_pass_through(keys: Path, tmp_path: Path) -> None:
    async with serving(keys) as server:
        uncertain = int(StatusCode.UncertainLastUsableValue)
        await server.write([("Count", 5.5, 1_700_000_000_123, 0), ("Program", "O1234", now(), 0)])
        await server.write([("Door", True, 1_700_000_000_456, uncertain)])
        async with config(server.port).open(points(), UtcClock(), tmp_path) as session:
            answers = await read_until(session, lambda a: rows(a, 0) and rows(a, 2))
            assert rows(answers, 0) == [(1_700_000_000_123, 5.5, 0)]
            assert rows(answers, 2) == [(1_700_000_000_456, 1.0, uncertain)]
            assert [t.text for a in answers for t in a.texts] == ["O1234"]


async def test_a_missing_node_is_looked_for_again(keys: Path, tmp_path: Path) -> None:
    async with serving(keys) as server:
        await server.write([("Count", 1.0, now(), 0)])
        asked = points("Count", "Later")
        async with config(server.port).open(asked, UtcClock(), tmp_path) as session:
            answers = await read_until(session, lambda a: rows(a, 0) and rows(a, 1))
            assert rows(answers, 1)[0][2] == 0x8034_0000  # as the server said
            told = [a.why[1] for a in answers if 1 in a.why]
            assert told[0] == "BadNodeIdUnknown"
            await _add(server, "Later", 7.0)
            answers = await read_until(session, lambda a: any(not r[2] for r in rows(a, 1)))
            assert rows(answers, 1)[-1][1] == 7.0


async def _add(server: NodeServer, id: str, value: float) -> None:
    """A new node while the server runs."""
    from asyncua import ua

    inner = server._server
    assert inner is not None
    node = ua.NodeId(ua.String(id), ua.Int16(2))
    await inner.nodes.objects.add_variable(node, ua.QualifiedName(id, 2), value)


class Proxy:
    """A line that can be cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def cut_now(self) -> None:
        self.cut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def test_a_short_cut_loses_nothing(keys: Path, tmp_path: Path) -> None:
    async with serving(keys) as server:
        proxy = Proxy(server.port)
        listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        await server.write([("Count", 0.0, now(), 0)])
        got: list[Answer] = []
        number = 0.0

        async def count(times: int) -> None:
            nonlocal number
            for _ in range(times):
                number += 1
                await server.write([("Count", number, now(), 0)])
                await asyncio.sleep(0.01)

        async with config(port).open(points("Count"), UtcClock(), tmp_path) as session:
            got += await read_until(session, lambda a: rows(a, 0))
            await count(20)
            proxy.cut_now()
            got += await read_until(session, lambda a: any(not x.alive for x in a))
            await count(100)
            proxy.cut = False
            got += await read_until(session, lambda a: any(r[1] == 120 for r in rows(a, 0)))
        proxy.cut_now()
        listening.close()
    seen = [value for _, value, _ in rows(got, 0)]
    assert sorted(set(seen)) == [float(i) for i in range(121)]


async def test_another_certificate_is_refused(tmp_path: Path) -> None:
    first, second, mine = (tmp_path / name for name in ("first", "second", "mine"))
    async with serving(first) as server:
        port = server.port
        async with config(port).open(points("Count"), UtcClock(), mine):
            pass
    impostor = NodeServer(NODES, second, user=USER["user"], password=USER["password"])
    await impostor.open(port=port)
    try:
        with pytest.raises(Unavailable, match="another certificate"):
            async with config(port).open(points("Count"), UtcClock(), mine):
                pass
    finally:
        await impostor.close()


async def test_a_wrong_password_is_unavailable_with_a_reason(keys: Path, tmp_path: Path) -> None:
    async with serving(keys) as server:
        with pytest.raises(Unavailable, match=r"(?i)denied|identity|user"):
            async with config(server.port, password="no").open(points(), UtcClock(), tmp_path):
                pass


@pytest.mark.parametrize(
    "more",
    [
        {"security": "None"},
        {"url": "opc.tcp://10.0.0.1:4840/", "security": "None", "lab": True},
        {"user": None, "password": None},
        {"password": None},
        {"url": "http://127.0.0.1:4840/"},
        {"url": "opc.tcp://user:word@127.0.0.1:4840/"},
        {"certificate": "own.der"},
        {"publish": 5},
    ],
)
def test_what_is_never_the_default(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        config(4840, **more)


def test_the_password_is_not_printed() -> None:
    assert USER["password"] not in repr(config(4840))
