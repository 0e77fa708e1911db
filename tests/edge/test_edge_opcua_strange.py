"""The OPC UA source against servers of others: limits, silence, restarts, refusals."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua as _ua
from asyncua.server.internal_subscription import InternalSubscription

from edge.adapters import opcua_session, opcua_subscription
from edge.adapters.opcua import NodePoint, OpcUa
from edge.clock import EdgeClock
from edge.filter import Filter
from edge.runner import Read, Runner
from edge.scaling import Scaling
from edge.source import Session
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.status import StatusCode
from plant.model.signal import Label, Signal, SignalKind
from tests.edge.opcua_strange import Strange, at_most, lab, strange
from tests.edge.opcua_support import PASSWORD, serving, trust

ua: Any = _ua
GONE = 0x8034_0000
"""BadNodeIdUnknown"""


def points(count: int) -> list[NodePoint]:
    return [NodePoint(node=f"ns=2;s=n{at}") for at in range(count)]


def signals(count: int) -> list[Signal]:
    return [
        Signal(f"m/n{i}", "m", f"n{i}", Label("", ""), SignalKind.MEASUREMENT) for i in range(count)
    ]


def a_runner(source: OpcUa, at: Sequence[NodePoint], folder: Path) -> Runner:
    scaling = Scaling(signals(len(at)), range(len(at)))
    return Runner("m", source, at, scaling, clock=EdgeClock(UtcClock()), folder=folder)


class Heard:
    """What a runner gave, by signal."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.rows: list[tuple[int, float, int]] = []

    async def until(self, enough: Callable[["Heard"], object]) -> None:
        """Take answers until it is enough."""
        async with asyncio.timeout(40):
            while not enough(self):
                self._take(await anext(aiter(self.runner.answers)))

    def _take(self, read: Read) -> None:
        b = read.batch
        columns = (b.signal.tolist(), b.value.tolist(), b.status.tolist())
        self.rows += zip(*columns, strict=True)

    def of(self, signal: int) -> list[tuple[float, int]]:
        """Values and statuses of one."""
        return [(value, status) for s, value, status in self.rows if s == signal]

    def good(self, signal: int, value: float) -> bool:
        """Whether it was told so."""
        return (value, 0) in self.of(signal)


async def values_of(session: Session, count: int) -> list[float]:
    """The first values, of so many points."""
    values: list[float] = []
    async with asyncio.timeout(15):
        while len(values) < count:
            values += (await session.read()).samples.value.tolist()
    return sorted(values)


async def write(server: Strange, values: Sequence[float]) -> None:
    now = UtcClock().now()
    await server.write([(f"n{at}", value, now, 0) for at, value in enumerate(values)])


async def test_a_server_that_takes_few_nodes_a_call_is_read_in_portions(tmp_path: Path) -> None:
    sizes: list[int] = []
    async with strange(tmp_path, at_most(3, sizes), count=8) as server:
        await write(server, range(8))
        async with lab(server.port).open(points(8), UtcClock(), tmp_path) as session:
            assert await values_of(session, 8) == [float(i) for i in range(8)]
            assert sizes[0] == 8  # it told no limit
            assert max(sizes[3:]) <= 3
        limit = ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall
        told = ua.DataValue(ua.Variant(3, ua.VariantType.UInt32))
        await server.inner.iserver.write_attribute_value(ua.NodeId(limit), told)
        sizes.clear()
        async with lab(server.port).open(points(8), UtcClock(), tmp_path):
            assert sizes == [3, 3, 2]


async def test_a_subscription_that_never_reports_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_subscription, "_LATE_S", 0.5)
    monkeypatch.setattr(opcua_subscription, "_ALIVE_S", 0.2)
    async with strange(tmp_path) as server:
        await write(server, [1.0, 2.0, 3.0])
        with monkeypatch.context() as silent:
            silent.setattr(InternalSubscription, "has_published_results", lambda _: False)
            with pytest.raises(Unavailable, match="reports nothing"):
                async with lab(server.port).open(points(3), UtcClock(), tmp_path):
                    pass
        runner = a_runner(lab(server.port), points(3), tmp_path)
        heard = Heard(runner)
        task = asyncio.create_task(runner.run())
        try:
            await heard.until(lambda h: h.good(0, 1.0))
            with monkeypatch.context() as silent:
                silent.setattr(InternalSubscription, "has_published_results", lambda _: False)
                await heard.until(lambda h: h.of(0)[-1][1] == StatusCode.BadNoCommunication)
            heard.rows.clear()
            await heard.until(lambda h: h.good(0, 1.0))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_after_a_restart_only_what_the_new_session_says_is_good(tmp_path: Path) -> None:
    """Its subscriptions begin again at the same number, a node is gone, a namespace has moved."""
    asked = [
        NodePoint(node="nsu=urn:kaikou:simulator:machine;s=n0"),
        NodePoint(node="nsu=urn:kaikou:simulator:machine;s=n1"),
        NodePoint(node="ns=2;s=n2"),
    ]
    async with strange(tmp_path) as server:
        await write(server, [10.0, 20.0, 30.0])
        runner = a_runner(lab(server.port), asked, tmp_path)
        heard = Heard(runner)
        task = asyncio.create_task(runner.run())
        try:
            await heard.until(lambda h: h.good(0, 10.0) and h.good(1, 20.0) and h.good(2, 30.0))
            await server.close()
            server.nodes = {"n0": "Double", "n2": "Double"}
            build = server._build

            async def moved(inner: Any) -> None:
                await inner.register_namespace("urn:another")
                await build(inner)

            server._build = moved  # type: ignore[method-assign]
            await server.open()
            now = UtcClock().now()
            await server.write([("n0", 11.0, now, 0), ("n2", 31.0, now, 0)])
            await heard.until(lambda h: h.of(0)[-1][1] == StatusCode.BadNoCommunication)
            heard.rows.clear()
            await heard.until(lambda h: h.good(0, 11.0) and h.of(1) and h.of(2))
            for _ in range(3):
                heard._take(await anext(aiter(runner.answers)))
            assert not [row for row in heard.of(0) if row[0] == 10.0]
            assert {status for _, status in heard.of(1)} <= {GONE, StatusCode.BadNoCommunication}
            assert {status for _, status in heard.of(2)} <= {GONE, StatusCode.BadNoCommunication}
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_quiet_source_is_repeated_at_max_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_subscription, "_ALIVE_S", 0.2)
    async with strange(tmp_path, count=2) as server:
        await write(server, [12.5, 1.0])
        runner = a_runner(lab(server.port), points(2), tmp_path)
        often = [replace(signal, max_interval=1.5) for signal in signals(2)]
        reported = Filter(often)
        task = asyncio.create_task(runner.run())
        times: list[int] = []
        try:
            async with asyncio.timeout(30):
                while len(times) < 4:
                    read = await anext(aiter(runner.answers))
                    rows = reported.report(read.batch)
                    assert set(rows.status.tolist()) <= {0}
                    times += rows.source_time[rows.value == 12.5].tolist()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert all(b - a >= 1_500 for a, b in pairwise(times[1:]))
        assert times[-1] <= UtcClock().now()


async def test_a_session_that_outlives_the_server_is_not_resumed(tmp_path: Path) -> None:
    """Another process may answer under the same session id: its start time tells."""
    async with strange(tmp_path) as server:
        opened: Any
        async with lab(server.port).open(points(3), UtcClock(), tmp_path) as opened:
            link = opened._link
            link._drop()
            await link.resume()
            assert link.connected
            link._drop()
            began = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)
            told = ua.DataValue(ua.Variant(datetime(2026, 1, 1, tzinfo=UTC)))
            await server.inner.iserver.write_attribute_value(began, told)
            with pytest.raises(Unavailable, match="started again"):
                await link.resume()


@pytest.mark.filterwarnings(  # asyncua's server forgets to await what would tell us
    "ignore:coroutine 'MonitoredItemService:RuntimeWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
async def test_a_node_that_is_removed_while_we_listen_is_bad_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncua's own server says nothing of it: the subscription is as if the value stood."""
    monkeypatch.setattr(opcua_session, "EVERY_S", 0.3)
    monkeypatch.setattr(opcua_session, "_PROBE_S", 0.1)
    monkeypatch.setattr(opcua_session, "_MISSING_FIRST_S", 0.2)
    async with strange(tmp_path) as server:
        await write(server, [1.0, 2.0, 3.0])
        async with lab(server.port).open(points(3), UtcClock(), tmp_path) as session:
            await values_of(session, 3)
            node = server.inner.get_node("ns=2;s=n1")
            await server.inner.delete_nodes([node])
            told: list[tuple[int, int]] = []
            async with asyncio.timeout(15):
                while (1, GONE) not in told:
                    batch = (await session.read()).samples
                    told += zip(batch.signal.tolist(), batch.status.tolist(), strict=True)
            assert {signal for signal, _ in told} == {1}
            await server.inner.nodes.objects.add_variable(node.nodeid, node.nodeid.Identifier, 7.0)
            assert 7.0 in await values_of(session, 2)


async def test_an_item_that_the_server_forgot_is_asked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_session, "EVERY_S", 0.3)
    monkeypatch.setattr(opcua_session, "_PROBE_S", 0.1)
    async with strange(tmp_path) as server:
        await write(server, [1.0, 2.0, 3.0])
        async with lab(server.port).open(points(3), UtcClock(), tmp_path) as session:
            await values_of(session, 3)
            (subscription,) = server.inner.iserver.subscription_service.subscriptions.values()
            items = subscription.monitored_item_srv
            forgotten = next(
                id for id, item in items._monitored_items.items() if item.client_handle % 2 == 0
            )
            items._delete_monitored_items(forgotten)
            await write(server, [10.0, 20.0, 30.0])
            async with asyncio.timeout(20):
                values: set[float] = set()
                while values != {10.0, 20.0, 30.0}:
                    values |= set((await session.read()).samples.value.tolist())


async def test_a_server_that_does_not_trust_us_is_told_with_the_file_to_give(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "pki") as server:
        source = OpcUa(
            url=server.url,
            user="scada",
            password=PASSWORD,  # type: ignore[arg-type]
            publish_ms=100,
        )
        mine = tmp_path / "edge"
        at = [NodePoint(node="ns=2;s=lathe/power")]
        with pytest.raises(Unavailable, match=r"does not trust our certificate.*own\.der") as told:
            async with source.open(at, UtcClock(), mine):
                pass
        assert "administrator" in str(told.value)
        own = mine / "opcua_client" / "own.der"
        trust(server.folder, (own, own))
        server.show("lathe/power", 7.25)
        async with source.open(at, UtcClock(), mine) as session:
            assert await values_of(session, 1) == [7.25]
        wrong = source.model_copy(update={"user": "nobody"})
        with pytest.raises(Unavailable, match="refuses the user 'nobody'"):
            async with wrong.open(at, UtcClock(), mine):
                pass
        own.write_bytes(b"")
        with pytest.raises(Unavailable, match=r"our OPC UA certificate .*own\.der"):
            async with source.open(at, UtcClock(), mine):
                pass


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + b"F" + (8 + len(body)).to_bytes(4, "little") + body


async def _answers(*frames: bytes) -> asyncio.Server:
    """A server that answers one frame with the next of these, and then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for frame in frames:
                await reader.read(65536)
                writer.write(frame)
            await reader.read(65536)
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


ACK = _frame(b"ACK", np.array([0, 65536, 65536, 0, 0], np.uint32).tobytes())
# an OpenSecureChannel answer that holds a ServiceFault (i=397): BadSecurityChecksFailed
FAULT = bytes.fromhex("01008d01") + bytes(8) + bytes(4) + (0x80130000).to_bytes(4, "little")
FAULT += bytes([0]) + bytes(4) + bytes(3)
POLICY = b"http://opcfoundation.org/UA/SecurityPolicy#None"
OPN = (1).to_bytes(4, "little") + len(POLICY).to_bytes(4, "little") + POLICY + b"\xff" * 8
OPN += (1).to_bytes(4, "little") + (1).to_bytes(4, "little")


@pytest.mark.parametrize(
    "frames",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (_frame(b"ACK", b"\x01"),),
        (ACK, _frame(b"OPN", OPN + FAULT)),
        (ACK, _frame(b"OPN", OPN + b"\xff" * 40)),
        (ACK, _frame(b"MSG", b"\x00" * 30)),
        (ACK, b"MSGF\xff\xff\xff\xff"),
        (b"",),
    ],
    ids=["http", "short", "fault", "rubbish", "unasked", "four gigabytes", "nothing"],
)
async def test_what_is_no_answer_is_told_and_leaves_nothing_behind(
    frames: tuple[bytes, ...], tmp_path: Path
) -> None:
    before = asyncio.all_tasks()
    server = await _answers(*frames)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            async with lab(port, timeout_ms=500).open(points(1), UtcClock(), tmp_path):
                pass
    finally:
        server.close()
    await asyncio.sleep(0.05)
    left = {t for t in asyncio.all_tasks() - before if "serve" not in repr(t)}
    assert not left
