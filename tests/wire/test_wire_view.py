"""The live picture: values, links, completeness, and a broker that comes and goes."""

import asyncio
from typing import Any

import numpy as np
import pytest

from plant.errors import Unavailable
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import Broker
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.client import MqttClient
from plant.wire.codec import encode_metrics
from plant.wire.edge_session import EdgeSession
from plant.wire.message import Ack, Outgoing, Row, Runs, RunState
from plant.wire.view import SILENT_S, LinkState, LiveView
from tests.wire.broker_support import DEADLINE_S, Mosquitto, until

NOW = 1_795_000_000_000
LATHE = DeviceBirth("lathe", (MetricBirth("power", 128, value=3.5), MetricBirth("speed", 129)))


class Picture:
    """A view and an edge, with a hand on the clock."""

    def __init__(self, runs: Runs | None = Runs("r1")) -> None:  # noqa: B008 - it is frozen
        self.clock = ManualClock(NOW)
        self.data: list[Any] = []
        self.view = LiveView(
            "g", ["edge1"], host_id="kaikou", clock=self.clock, on_data=self.data.append
        )
        self.edge = EdgeSession("g", "edge1")
        self.will = self.edge.will(0)
        self.runs = runs
        self.mono = 50.0

    def hear(self, *messages: Outgoing) -> None:
        for m in messages:
            self.view.on_message(m.topic, m.payload, self.mono)

    def born(self) -> None:
        self.hear(*self.edge.birth(NOW, [LATHE], self.runs))

    def send(
        self, value: float, row: Row | None = None, *, past: bool = False, at: int = 0
    ) -> None:
        batch = SampleBatch.of([0], [NOW + at], [value])
        self.hear(self.edge.data("lathe", encode_metrics([128], batch, past), NOW + at, row))

    def wait(self, seconds: float) -> list[Outgoing]:
        out: list[Outgoing] = []
        for _ in range(round(seconds / 0.25)):
            self.mono += 0.25
            self.clock.advance(250)
            out += self.view.tick(self.mono)
        return out

    def power(self) -> tuple[float, int]:
        live, at = self.view.live, self.view.table.index("lathe/power")
        return float(live.value[at]), int(live.status[at])

    def link(self) -> LinkState:
        return self.view.links()[0].state


def test_values_arrive_and_the_past_does_not_touch_them() -> None:
    p = Picture()
    assert p.link() is LinkState.UNKNOWN
    p.born()
    assert p.link() is LinkState.UP
    assert p.power() == (3.5, 0)
    cursor = p.view.live.cursor()
    p.send(4.0, Row("r1", 1))
    assert p.power() == (4.0, 0)
    assert cursor.changed().tolist() == [p.view.table.index("lathe/power")]
    p.send(9.0, Row("r1", 2, 1, True), past=True)
    assert p.power() == (4.0, 0)
    assert cursor.changed().tolist() == []
    assert [d.row for d in p.data] == [None, Row("r1", 1), Row("r1", 2, 1, True)]


def test_a_dead_device_keeps_its_last_value_and_is_bad() -> None:
    p = Picture()
    p.born()
    p.hear(p.edge.death("lathe", NOW))
    assert p.power() == (3.5, StatusCode.BadNoCommunication)
    assert p.link() is LinkState.UP
    p.hear(p.edge.device_birth(DeviceBirth("lathe", LATHE.metrics, dead=True), NOW))
    p.send(9.0, Row("r1", 1))
    assert p.power() == (3.5, StatusCode.BadNoCommunication)
    p.hear(p.edge.death("lathe", NOW), p.edge.device_birth(LATHE, NOW))
    assert p.power() == (3.5, 0)


def test_silence_is_a_lost_link_and_a_word_brings_it_back() -> None:
    p = Picture()
    p.born()
    p.wait(SILENT_S)
    assert p.link() is LinkState.UP
    p.wait(0.25)
    assert p.link() is LinkState.LOST
    assert p.view.links()[0].since == NOW + SILENT_S * 1000 + 250
    assert p.power() == (3.5, 0)  # no status is invented: the page joins the link's
    before = p.view.revision
    p.send(4.0)
    p.wait(0.25)
    assert p.link() is LinkState.UP
    assert p.view.revision == before + 1


def test_a_will_is_a_lost_link_at_once() -> None:
    p = Picture()
    p.born()
    p.hear(p.will)
    assert p.link() is LinkState.LOST
    assert p.power() == (3.5, StatusCode.BadNoCommunication)


def test_a_foreign_edge_may_be_silent_and_is_best_effort() -> None:
    p = Picture(runs=None)
    p.edge = EdgeSession("other", "n")
    p.edge.will(0)
    p.born()
    p.wait(30.0)
    links = {link.edge: link for link in p.view.links()}
    assert links["edge1"].state is LinkState.UNKNOWN
    assert (links["other/n"].state, links["other/n"].best_effort) == (LinkState.UP, True)


def test_births_are_asked_for_once_when_data_comes_first() -> None:
    p = Picture()
    births = p.edge.birth(NOW, [LATHE], p.runs)
    p.send(4.0)
    p.send(4.5)
    asked = p.wait(1.0)
    assert [m.topic for m in asked] == ["spBv1.0/g/NCMD/edge1"]
    p.hear(*births)
    assert p.power() == (3.5, 0)
    assert p.wait(20.0) == []


def test_complete_up_to_follows_the_acknowledgements() -> None:
    p = Picture(Runs("r1", (RunState("r0", 3, 9), RunState("r1", 0, 0))))
    p.born()
    for offset in (1, 2, 3):
        p.send(1.0, Row("r1", offset, offset - 1), at=offset * 1000)
    p.send(1.0, Row("r0", 9, 3, True), past=True, at=-5000)

    def ack(host: str, *marks: tuple[str, int]) -> int:
        p.view.on_message("kaikou/ack/g/edge1", Ack(host, marks).encode(), p.mono)
        return p.view.links()[0].complete_up_to

    assert ack("kaikou", ("r1", 2)) == 0  # an earlier run still waits
    assert ack("other", ("r0", 9)) == 0
    assert ack("kaikou", ("r0", 9)) == NOW + 2000
    assert ack("kaikou", ("r1", 3)) == NOW + 3000
    p.view.on_message("kaikou/ack/g/edge1", b"rubbish", p.mono)
    assert p.view.links()[0].complete_up_to == NOW + 3000


def test_a_link_says_on_which_plant_yaml_its_node_runs() -> None:
    p = Picture()
    p.edge = EdgeSession("g", "edge1", plant_hash="a1b2")
    p.edge.will(0)
    p.born()
    assert p.view.links()[0].plant_hash == "a1b2"
    before = p.view.revision
    p.edge = EdgeSession("g", "edge1", plant_hash="c3d4")
    p.edge.will(1)
    p.born()
    assert p.view.links()[0].plant_hash == "c3d4"
    assert p.view.revision > before


async def publish(
    broker: Broker, edge: EdgeSession, begun: asyncio.Event, stop: asyncio.Event
) -> None:
    """An edge that answers rebirth requests."""
    async with MqttClient(broker, "edge1", edge.will(0)) as mqtt:
        await mqtt.subscribe(edge.subscriptions)
        for message in edge.birth(NOW, [LATHE], Runs("r1")):
            await mqtt.publish(message)
        count = 0
        while not stop.is_set():
            count += 1
            body = encode_metrics(np.array([128]), SampleBatch.of([0], [NOW], [float(count)]))
            await mqtt.publish(edge.data("lathe", body, NOW))
            begun.set()
            try:
                async with asyncio.timeout(0.05):
                    messages = await mqtt.receive()
            except TimeoutError:
                continue
            if any(edge.on_message(m.topic, m.payload, m.retain) for m in messages):
                for message in edge.birth(NOW, [LATHE], Runs("r1")):
                    await mqtt.publish(message)


async def test_a_view_that_comes_late_asks_and_then_follows(broker: Broker) -> None:
    begun, stop = asyncio.Event(), asyncio.Event()
    view = LiveView("g", ["edge1"], host_id="kaikou", clock=ManualClock(NOW))
    edge = asyncio.ensure_future(publish(broker, EdgeSession("g", "edge1"), begun, stop))
    await until(begun.is_set, "the edge")
    watching = asyncio.ensure_future(view.run(broker, "view"))
    try:
        await until(lambda: view.table.get("lathe/power") is not None, "the birth")
        await until(lambda: view.live.value[view.table.index("lathe/power")] > 5, "data")
        assert view.links()[0].state is LinkState.UP
        stop.set()
        await edge
    finally:
        watching.cancel()
        await asyncio.gather(watching, edge, return_exceptions=True)


async def test_a_lost_broker_makes_everything_unknown(mosquitto: Mosquitto) -> None:
    """tck: message-flow-phid-sparkplug-subscription"""
    stop = asyncio.Event()
    view = LiveView("g", ["edge1"], host_id="kaikou", clock=ManualClock(NOW))
    watching = asyncio.ensure_future(view.run(mosquitto.broker, "view"))
    edge = asyncio.ensure_future(
        publish(mosquitto.broker, EdgeSession("g", "edge1"), asyncio.Event(), stop)
    )
    try:
        await until(lambda: view.links()[0].state is LinkState.UP, "the link")
        mosquitto.kill()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(watching, DEADLINE_S)
        assert view.links()[0].state is LinkState.LOST
        at = view.table.index("lathe/power")
        assert view.live.status[at] == StatusCode.BadNoCommunication
        with pytest.raises(Unavailable):
            await asyncio.wait_for(edge, DEADLINE_S)
    finally:
        for task in (watching, edge):
            task.cancel()
        await asyncio.gather(watching, edge, return_exceptions=True)
