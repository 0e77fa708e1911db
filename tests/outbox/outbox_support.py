"""A small twin that keeps what it is told in memory, and an uplink at work."""

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager

from plant.errors import Unavailable
from plant.flow.live import LiveTable, SignalTable
from plant.model.signal import Label, Origin, Signal, SignalKind
from plant.wire.client import MqttClient
from plant.wire.host_event import Born, Data, Died, RebirthWanted, RunsAnnounced
from plant.wire.host_session import HostSession, rebirth_command
from plant.wire.message import Ack, Outgoing
from plant.wire.topic import NodeId, ack_topic
from tests.wire.broker_support import until

GROUP, NODE, HOST = "kaikou-test", "edge1", "kaikou"


def signal(path, kind=SignalKind.MEASUREMENT, **more):
    asset, _, name = path.partition("/")
    return Signal(path, asset, name, Label(name, name), kind, origin=Origin.EDGE, **more)


class Twin:
    """Takes rows by the rules of DESIGN section 4; commits when told to, or at once."""

    def __init__(self, broker, host=HOST):
        self.broker, self.host = broker, host
        self.session = HostSession(GROUP, [NODE], SignalTable())
        self.live = LiveTable(self.session.table)
        self.marks = defaultdict(int)
        self.stored = defaultdict(list)
        self.records, self.texts, self.log, self.announced = [], [], [], []
        self.rows = self.repeated = self.historical = 0
        self.commits = True
        self.answers = True
        self.extra = []
        self.mqtt = None

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self._run())
        try:
            await until(lambda: self.mqtt is not None or task.done())
            yield self
        finally:
            task.cancel()
            (end,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(end, (asyncio.CancelledError, Unavailable)):
                raise AssertionError("the twin failed") from end

    async def _run(self):
        async with MqttClient(self.broker, f"twin{id(self)}") as mqtt:
            await mqtt.subscribe(self.session.subscriptions)
            self.mqtt = mqtt
            try:
                await asyncio.gather(self._hear(mqtt), self._repeat(mqtt))
            finally:
                self.mqtt = None

    async def _repeat(self, mqtt):
        while True:
            await asyncio.sleep(0.2)
            for event in self.session.tick(time.monotonic()):
                await self._obey(mqtt, event)
            if self.announced:
                await self.ack(mqtt)

    async def ack(self, mqtt):
        marks = [(run.run, self.marks[run.run]) for run in self.announced[-1].runs]
        if self.answers:
            message = Ack(self.host, tuple(marks + self.extra)).encode()
            await mqtt.publish(Outgoing(ack_topic(NodeId(GROUP, NODE)), message))

    async def _hear(self, mqtt):
        while True:
            for message in await mqtt.receive():
                for event in self.session.on_message(
                    message.topic, message.payload, time.monotonic(), message.retain
                ):
                    await self._obey(mqtt, event)

    async def _obey(self, mqtt, event):
        match event:
            case RunsAnnounced(runs=runs):
                self.announced.append(runs)
                await self.ack(mqtt)
            case RebirthWanted(node=node):
                await mqtt.publish(rebirth_command(node, 1))
            case Born(device=device, dead=dead):
                self.log.append(("dead birth" if dead else "birth", device))
            case Died(device=device):
                self.log.append(("death", device))
            case Data():
                await self._data(mqtt, event)

    async def _data(self, mqtt, event):
        table = self.session.table
        if event.live:
            self.live.update(event.samples)
        if event.row is None or not event.stored:
            return
        self.log.append(("row", event.device))
        row = event.row
        if row.offset <= self.marks[row.run]:
            self.repeated += 1
            return
        if row.after > self.marks[row.run] or not self.commits:
            return
        self.rows += 1
        self.historical += event.historical
        s = event.samples
        for i in range(len(s)):
            key = (table.path(int(s.signal[i])), int(s.source_time[i]))
            self.stored[key].append((float(s.value[i]), int(s.status[i])))
        self.texts += [(table.path(t.signal), t.time, t.text) for t in event.texts]
        self.records += [*event.events, *event.gaps]
        self.marks[row.run] = row.offset
        await self.ack(mqtt)

    async def holds(self, count):
        await until(lambda: len(self.stored) > count, f"row {count}", 30)

    def value(self, path):
        return float(self.live.value[self.session.table.index(path)])


@asynccontextmanager
async def running(uplink):
    """An uplink that runs, and is closed properly."""
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
        assert not task.done(), task.result()
    finally:
        uplink.close()
        try:
            async with asyncio.timeout(10):
                await task
        except Unavailable:
            pass
