"""The local feed: births first, the same payloads as on the bus, no broker."""

import asyncio
import socket
import time

import pytest

from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.model.plant import Broker
from plant.model.signal import Label, Signal, SignalKind
from plant.outbox.feed import FeedClient
from plant.outbox.uplink import Uplink
from plant.wire.host_event import Born, Data, Died
from plant.wire.host_session import HostSession
from tests.wire.broker_support import until

CLOCK = UtcClock()


def signal(path):
    asset, _, name = path.partition("/")
    return Signal(path, asset, name, Label(name, name), SignalKind.MEASUREMENT)


SIGNALS = [signal("lathe/power"), signal("edge1/outbox_rows")]


class Screen:
    """What an OPC UA server would know."""

    def __init__(self):
        self.session = HostSession("g", ["edge1"], SignalTable())
        self.live = LiveTable(self.session.table)
        self.log = []
        self.times = []

    async def watch(self, port):
        async for topic, payload in FeedClient(port):
            for event in self.session.on_message(topic, payload, time.monotonic()):
                if isinstance(event, Data):
                    self.times += event.samples.source_time.tolist()
                    if event.live:
                        self.live.update(event.samples)
                elif isinstance(event, (Born, Died)):
                    self.log.append((type(event).__name__, event.device))

    def value(self, path):
        index = self.session.table.get(path)
        return None if index is None else float(self.live.value[index])


@pytest.fixture
async def up(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = s.getsockname()[1]
    uplink = Uplink("g", "edge1", Broker("127.0.0.1", nobody), tmp_path, SIGNALS, CLOCK, "kaikou")
    task = asyncio.create_task(uplink.run())
    yield uplink
    uplink.close()
    await task


async def test_births_come_first_and_the_broker_is_not_needed(up):
    await up.accept(SampleBatch.of([0], [CLOCK.now()], [5.0]))
    screen = Screen()
    async with up.feed.serve(0) as port:
        watching = asyncio.create_task(screen.watch(port))
        await until(lambda: screen.value("lathe/power") == 5.0)
        up.accept(SampleBatch.of([0], [CLOCK.now()], [6.0]))
        await until(lambda: screen.value("lathe/power") == 6.0)
        up.device_lost("lathe")
        await until(lambda: ("Died", "lathe") in screen.log)
        up.accept(SampleBatch.of([0], [CLOCK.now()], [7.0]))
        up.device_back("lathe")
        await until(lambda: screen.value("lathe/power") == 7.0)
        assert screen.log == [
            ("Born", None),
            ("Born", "lathe"),
            ("Died", "lathe"),
            ("Born", "lathe"),
        ]
    with pytest.raises(Unavailable, match="connection lost"):
        await watching


async def test_the_past_is_not_told(up):
    screen = Screen()
    async with up.feed.serve(0) as port:
        watching = asyncio.create_task(screen.watch(port))
        await until(lambda: screen.log)
        past = 1_700_000_000_000
        await up.accept(SampleBatch.of([0], [past], [1.0]), live=False)
        await up.accept(SampleBatch.of([0], [CLOCK.now()], [2.0]))
        await until(lambda: screen.value("lathe/power") == 2.0)
        assert past not in screen.times
        watching.cancel()


async def test_a_client_that_does_not_read_is_cut_off(up, monkeypatch):
    monkeypatch.setattr("plant.outbox.feed._WAITING_BYTES", 200_000)
    async with up.feed.serve(0) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        await until(lambda: up.feed.wanted)
        async with asyncio.timeout(20):
            while up.feed.wanted:
                for _ in range(200):
                    up.feed.data("lathe", bytes(100_000))
                await asyncio.sleep(0)
        assert up.feed.dropped == 1
        writer.close()


async def test_a_port_that_is_taken(up):
    async with up.feed.serve(0) as port:
        with pytest.raises(Unavailable, match="cannot listen"):
            async with up.feed.serve(port):
                pass


async def test_nobody_listens():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(Unavailable):
        async for _ in FeedClient(port):
            pass
