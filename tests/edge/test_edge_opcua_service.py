"""The OPC UA process fed by a real edge uplink over its feed, with no broker anywhere."""

import asyncio
import contextlib
import os
import signal as signals
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua

from edge.feed import served
from edge.opcua import service
from edge.opcua.server import OpcUaServer
from edge.opcua.service import Bus, Feed, exposed, take, which_edge
from edge.opcua.window import Window
from plant.errors import ConfigError, Unavailable
from plant.flow.clock import UtcClock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.port import Ports
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.plant import Broker, OpcUa
from plant.model.signal import Origin
from plant.outbox.uplink import Uplink
from plant.wire.host_event import Died
from plant.wire.topic import NodeId
from tests.edge.opcua_support import (
    LATHE,
    T0,
    Notes,
    a_certificate,
    a_client,
    a_plant,
    a_signal,
    an_asset,
    node,
    trust,
)
from tests.wire.broker_support import Mosquitto, until

EDGE = an_asset("edge1", [a_signal("edge1", "outbox_rows", unit="")])
STATE = a_signal("lathe", "state", origin=Origin.TWIN)
PLANT = a_plant([replace(LATHE, signals=(*LATHE.signals, STATE)), EDGE])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@contextlib.asynccontextmanager
async def an_edge(folder: Path) -> AsyncIterator[Uplink]:
    """An edge's uplink without a broker, its feed served."""
    nowhere = Broker(port=free_port())
    signals = PLANT.published(Origin.EDGE, "edge1")
    uplink = Uplink(PLANT.group, "edge1", nowhere, folder, signals, UtcClock(), PLANT.host_id)
    async with served(uplink.feed, PLANT.edges["edge1"], folder):
        running = asyncio.create_task(uplink.run(), name="uplink")
        try:
            yield uplink
        finally:
            uplink.close()
            async with asyncio.timeout(10):
                await running


def a_folder(data: Path, name: str = "edge1") -> Path:
    """The edge's folder in a data folder."""
    folder = data / name
    folder.mkdir(exist_ok=True)
    return folder


def accept(uplink: Uplink, path: str, value: float, status: int = 0, time: int = T0) -> Any:
    """Hand one sample to the edge's outbox."""
    at = [s.path for s in uplink.signals].index(path)
    return uplink.accept(SampleBatch.of([at], [time], [value], [status]))


async def test_values_reach_a_subscriber_without_a_broker(tmp_path: Path) -> None:
    opcua_port = free_port()
    plant = replace(
        PLANT,
        edges={
            "edge1": replace(
                PLANT.edges["edge1"],
                opcua=OpcUa(port=opcua_port, users=PLANT.edges["edge1"].opcua.users),  # type: ignore[union-attr]
            )
        },
    )
    pair = a_certificate(tmp_path / "client")
    folder = tmp_path / "opcua" / "pki"
    (folder / "trusted").mkdir(parents=True)
    trust(folder, pair)
    up = asyncio.Event()
    ports = Ports(UtcClock(), tmp_path / "opcua", ready=up.set)
    serving = asyncio.create_task(service.run(plant, ports))
    try:
        async with asyncio.timeout(30):
            await up.wait()
        async with an_edge(a_folder(tmp_path)) as uplink:
            await accept(uplink, "lathe/power", 5.5)
            async with await a_client(f"opc.tcp://127.0.0.1:{opcua_port}", pair) as client:
                notes = Notes()
                subscription = await client.create_subscription(100, notes)
                await subscription.subscribe_data_change(node(client, "lathe/power"))
                async with asyncio.timeout(10):
                    while (await notes.next())[1] != 5.5:
                        pass
                await accept(uplink, "lathe/power", 6.5, time=T0 + 1000)
                assert (await notes.next())[1] == 6.5
                with pytest.raises(ua.uaerrors.BadNodeIdUnknown):  # the twin's: not of this edge
                    await node(client, "lathe/state").read_value()
                uplink.device_lost("lathe")
                async with asyncio.timeout(10):
                    lost = StatusCode.BadNoCommunication
                    while (
                        await node(client, "lathe/power").read_data_value(raise_on_bad_status=False)
                    ).StatusCode.value != lost:
                        await asyncio.sleep(0.02)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_a_lost_feed_makes_everything_bad_and_a_new_one_good_again(tmp_path: Path) -> None:
    window = Window(LiveTable(SignalTable(["lathe/power"])))
    feed = Feed(PLANT.group, "edge1", tmp_path / "edge1", window)
    with pytest.raises(Unavailable):
        await feed.hear()
    for value in (1.0, 2.0):
        async with an_edge(a_folder(tmp_path)) as uplink:
            await accept(uplink, "lathe/power", value)
            hearing = asyncio.create_task(feed.hear())
            await until(lambda expected=value: window.live.value[0] == expected)  # type: ignore[misc]
            assert window.live.status[0] == 0
        with pytest.raises(Unavailable):
            await hearing
        assert window.live.status[0] == StatusCode.BadNoCommunication


async def test_a_feed_that_falls_silent_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SILENT_S", 0.2)
    window = Window(LiveTable(SignalTable(["lathe/power"])))
    async with an_edge(a_folder(tmp_path)) as uplink:
        await accept(uplink, "lathe/power", 1.0)
        with pytest.raises(Unavailable, match="silent"):
            await Feed(PLANT.group, "edge1", tmp_path / "edge1", window).hear()
    assert window.live.status[0] == StatusCode.BadNoCommunication


def test_what_is_shown_by_the_feed_and_by_the_broker() -> None:
    of_edge = {s.path for _, signals in exposed(PLANT, "edge1", whole=False) for s in signals}
    whole = {s.path for _, signals in exposed(PLANT, "edge1", whole=True) for s in signals}
    assert whole - of_edge == {"lathe/state"}
    assert "edge1/outbox_rows" in of_edge
    few = replace(PLANT.edges["edge1"], opcua=OpcUa(assets=("edge1",)))
    shown = exposed(replace(PLANT, edges={"edge1": few}), "edge1", whole=True)
    assert [asset.id for asset, _ in shown] == ["edge1"]


def test_which_edge_is_meant() -> None:
    assert which_edge(PLANT) == which_edge(PLANT, "edge1") == "edge1"
    with pytest.raises(ConfigError, match="edge9"):
        which_edge(PLANT, "edge9")
    bare = replace(PLANT.edges["edge1"], opcua=None)
    with pytest.raises(ConfigError, match="no edge has"):
        which_edge(replace(PLANT, edges={"edge1": bare}))
    two = {"edge1": PLANT.edges["edge1"], "edge2": replace(PLANT.edges["edge1"], id="edge2")}
    with pytest.raises(ConfigError, match="say which"):
        which_edge(replace(PLANT, edges=two))


def test_a_text_of_a_signal_that_is_not_shown_is_left_alone() -> None:
    window = Window(LiveTable(SignalTable(["lathe/power"])))
    window.text(Text(0, T0, "x"))
    take([Died(NodeId("g", "n"), None, window.live.cursor().changed())], window)
    assert window.monitored == 0


def test_the_server_class_needs_an_opcua_section(tmp_path: Path) -> None:
    bare = replace(PLANT, edges={"edge1": replace(PLANT.edges["edge1"], opcua=None)})
    with pytest.raises(ConfigError, match="no 'opcua:'"):
        OpcUaServer(bare, "edge1", tmp_path, Window(LiveTable(SignalTable())), [])


async def test_from_the_broker_the_whole_plant_is_seen(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    mosquitto = Mosquitto(need("mosquitto"), tmp_path)
    await mosquitto.start()
    plant = replace(PLANT, broker=mosquitto.broker)
    table = SignalTable()
    bus = Bus(plant, "edge1", UtcClock(), table)
    for index, signal in enumerate(plant.signals):
        table.add(signal.path)
        bus.window.pane(index, signal.kind)
    tasks = [asyncio.create_task(run()) for _, run in bus.tasks]
    published = {"edge1": Origin.EDGE, "kaikou_twin": Origin.TWIN}
    uplinks = {
        name: Uplink(
            plant.group,
            name,
            plant.broker,
            a_folder(tmp_path, name),
            plant.published(origin),
            UtcClock(),
            plant.host_id,
        )
        for name, origin in published.items()
    }
    running = [asyncio.create_task(uplink.run()) for uplink in uplinks.values()]
    try:
        now = UtcClock().now()
        accept(uplinks["edge1"], "lathe/power", 4.0, time=now)
        accept(uplinks["kaikou_twin"], "lathe/state", 6.0, time=now)
        live = bus.window.live
        power, state = table.index("lathe/power"), table.index("lathe/state")
        both = np.array([power, state], np.int32)
        await until(lambda: live.snapshot(both).value.tolist() == [4.0, 6.0])
        assert (live.status[power], live.status[state]) == (0, 0)
        uplinks["edge1"].close()
        await until(lambda: live.status[power] == StatusCode.BadNoCommunication)
        assert live.status[state] == 0
        mosquitto.kill()
        await until(lambda: live.status[state] == StatusCode.BadNoCommunication)
        with pytest.raises(Unavailable):
            await tasks[0]
    finally:
        for uplink in uplinks.values():
            uplink.close()
        tasks[1].cancel()
        await asyncio.wait([*tasks, *running], timeout=10)
        mosquitto.kill()


async def test_a_hangup_has_our_certificate_read_again() -> None:
    class Server:
        renewed = reviewed = 0

        async def renew(self) -> bool:
            self.renewed += 1
            return False

        def review(self) -> None:
            self.reviewed += 1

    server: Any = Server()
    task = asyncio.create_task(service.keep_certificates(server))
    try:
        await asyncio.sleep(0)
        os.kill(os.getpid(), signals.SIGHUP)
        async with asyncio.timeout(20):
            while not (server.renewed and server.reviewed):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert server.renewed == 1
