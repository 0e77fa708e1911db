"""The gateway over real sockets: a real broker, a real historian, a real WebSocket client."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from gateway import service
from gateway.person import People, Right
from plant.errors import Unavailable
from plant.flow.clock import plant_clock
from plant.flow.port import Commit, Ports, Series
from plant.flow.sample import Event, Gap, SampleBatch
from plant.model.load import load
from plant.model.plant import Gateway, Plant
from plant.model.signal import Origin, SignalKind
from plant.outbox.uplink import Uplink
from tests.wire.broker_support import Mosquitto, free_port, until
from twin.historian import KINDS as HISTORIANS

KINDS = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
PASSWORD = "correct-horse-battery"
PLANT = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂, en: Works}, timezone: Asia/Shanghai}
gateway: {port: %d}
broker: {port: %d}
edges:
  edge1:
    name: {zh: 一号, en: One}
    sources: {io: {kind: modbus, host: 127.0.0.1, port: 502}}
assets:
  saw:
    type: band_saw
    name: {zh: 锯床, en: Saw}
    edge: edge1
    signals:
      current: {source: io, at: "input:0 uint16", scale: 0.01}
"""
HOUR = 3_600_000


class Rig:
    """A running gateway, its plant, and what it was given to remember."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant, self.folder = plant, folder
        self.url = f"http://127.0.0.1:{plant.gateway.port}"
        self.now = plant_clock().now()

    def client(self) -> httpx.AsyncClient:
        """A client that keeps cookies."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False)

    @contextlib.asynccontextmanager
    async def logged_in(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client after log-in."""
        async with self.client() as client:
            answer = await client.post("/api/login", json={"user": "wang", "password": PASSWORD})
            assert answer.status_code == 200
            yield client


@pytest.fixture
async def rig(need: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Rig]:
    broker = Mosquitto(need("mosquitto"), tmp_path)
    await broker.start()
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT % (free_port(), broker.port), "utf-8")
    plant = load(file, KINDS, {})
    rig = Rig(plant, tmp_path)
    _remember(rig)
    people = People(tmp_path / "gateway" / "people.sqlite")
    people.add("wang", PASSWORD, [Right.VIEWER])
    people.close()
    ready = asyncio.Event()
    store = plant.historian
    ports = Ports(
        plant_clock(),
        tmp_path / "gateway",
        reader=lambda: store.reader(tmp_path / "historian"),  # type: ignore[attr-defined]
        ready=ready.set,
    )
    task = asyncio.create_task(service.run(plant, ports))
    try:
        await until(lambda: ready.is_set() or task.done(), "the gateway's start")
        yield rig
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)  # as it is stopped in a plant
        await task
        broker.kill()


def _remember(rig: Rig) -> None:
    """Two hours of a current at 1 s with a spike and a gap, and some states."""
    folder = rig.folder / "historian"
    folder.mkdir()
    writer = rig.plant.historian.writer(folder)  # type: ignore[attr-defined]
    writer.declare([Series("saw/current"), Series("saw/state", SignalKind.STATE)])
    time = np.arange(rig.now - 2 * HOUR, rig.now, 1000)
    value = 5.0 + np.sin(np.arange(len(time)) / 50.0)
    value[3333] = 99.0
    status = np.zeros(len(time), np.uint32)
    value[5000:5010], status[5000:5010] = np.nan, 0x80310000
    states = SampleBatch.of(
        [1] * 3, [rig.now - 3 * HOUR, rig.now - HOUR, rig.now - 60_000], [6, 5, 6]
    )
    current = SampleBatch.of(np.zeros(len(time)), time, value, status)
    gap = Gap("acme-works/edge1", rig.now - HOUR, rig.now, 7, "outbox full")
    event = Event(rig.now - 1000, "saw", "meter.reset", {"register": "energy"})
    writer.write(Commit(SampleBatch.concat([current, states]), gaps=[gap], events=[event]), rig.now)
    writer.close()


async def test_nobody_gets_anything_without_logging_in(rig: Rig) -> None:
    async with rig.client() as client:
        for path in ("/api/plant", "/api/latest?path=saw/current", "/api/me", "/api/gaps"):
            assert (await client.get(path, params={"start": 0, "end": 1})).status_code == 401
        wrong = await client.post("/api/login", json={"user": "wang", "password": "x"})
        nobody = await client.post("/api/login", json={"user": "nobody", "password": "x"})
        assert (wrong.status_code, wrong.json()) == (nobody.status_code, nobody.json())
        assert wrong.status_code == 401
        cross = await client.post(
            "/api/login",
            json={"user": "wang", "password": PASSWORD},
            headers={"Origin": "http://elsewhere.example"},
        )
        assert cross.status_code == 403
    with pytest.raises(InvalidStatus, match="403"):
        async with connect(f"{rig.url.replace('http', 'ws')}/api/live"):
            pass


async def test_the_plant_tree_has_no_hidden_signal_and_both_languages(rig: Rig) -> None:
    async with rig.logged_in() as client:
        plant = (await client.get("/api/plant")).json()
        assert (plant["timezone"], plant["name"]["zh"]) == ("Asia/Shanghai", "工厂")
        saw = next(a for a in plant["assets"] if a["id"] == "saw")
        ids = {s["id"]: s for s in saw["signals"]}
        assert ids["current"]["unit"] == "A"
        assert ids["state"]["states"]["6"] == {"zh": "运行", "en": "Execute"}
        assert (await client.get("/api/me")).json()["rights"] == ["viewer"]
        await client.post("/api/logout")
        assert (await client.get("/api/me")).status_code == 401


async def test_history_keeps_every_spike_and_every_gap(rig: Rig) -> None:
    async with rig.logged_in() as client:
        query = {"path": "saw/current", "start": rig.now - 2 * HOUR, "end": rig.now, "px": 100}
        trend = (await client.get("/api/history", params=query)).json()
        assert trend["raw_count"] == 7200
        assert len(trend["time"]) <= 100 * 4 + 20
        assert trend["bucket_ms"] == 72_000
        assert max(v for v in trend["value"] if v is not None) == 99.0
        assert None in trend["value"], "the gap is still a gap"
        whole = (await client.get("/api/history", params={**query, "px": 4000})).json()
        assert (len(whole["time"]), whole["bucket_ms"]) == (7200, 0)
        query = {
            "path": "saw/current",
            "start": rig.now - HOUR,
            "end": rig.now,
            "width_ms": 600_000,
        }
        buckets = (await client.get("/api/aggregate", params=query)).json()
        assert sum(buckets["count"]) == 3600
        assert sum(buckets["good_s"]) == pytest.approx(3600 - 10, abs=60)


async def test_a_state_that_began_before_the_window_is_drawn(rig: Rig) -> None:
    async with rig.logged_in() as client:
        query = {"path": "saw/state", "start": rig.now - 2 * HOUR, "end": rig.now + HOUR}
        runs = (await client.get("/api/states", params=query)).json()["runs"]
        assert [r["state"] for r in runs] == [6, 5, 6]
        assert runs[0]["start"] == rig.now - 2 * HOUR
        assert runs[-1]["end"] >= rig.now, "the last state lasts to now"
        assert runs[-1]["end"] < rig.now + HOUR, "and not into the future"
        bad = await client.get("/api/states", params={**query, "path": "saw/current"})
        assert bad.status_code == 422
        assert (await client.get("/api/gaps", params=query)).json()[0]["samples"] == 7
        assert (await client.get("/api/events", params=query)).json()[0]["kind"] == "meter.reset"


async def test_what_does_not_exist_is_said_clearly(rig: Rig) -> None:
    async with rig.logged_in() as client:
        query = {"path": "saw/curent", "start": 0, "end": 1}
        answer = await client.get("/api/history", params=query)
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "no signal 'saw/curent' in this plant",
        )
        back = {"path": "saw/current", "start": 10, "end": 5}
        assert (await client.get("/api/history", params=back)).status_code == 422
        assert (await client.get("/api/nothing")).status_code == 404
        schema = (await client.get("/api/openapi.json")).json()
        assert "/api/history" in schema["paths"]
        assert all(
            m.get("description") or m.get("summary")
            for p in schema["paths"].values()
            for m in p.values()
        )


async def test_live_values_of_a_real_edge_reach_a_real_websocket(rig: Rig) -> None:
    published = rig.plant.published(Origin.EDGE, "edge1")
    at = [s.path for s in published].index("saw/current")
    uplink = Uplink(
        rig.plant.group,
        "edge1",
        rig.plant.broker,
        rig.folder / "edge",
        published,
        plant_clock(),
        "kaikou",
    )
    edge = asyncio.create_task(uplink.run())
    url = f"{rig.url.replace('http', 'ws')}/api/live"
    async with rig.logged_in() as client:
        cookie = {"Cookie": f"kaikou_session={client.cookies['kaikou_session']}"}
        async with connect(url, additional_headers=cookie) as socket:
            await _watch(rig, client, socket, uplink, at)
    uplink.close()
    await edge


async def _watch(
    rig: Rig, client: httpx.AsyncClient, socket: ClientConnection, uplink: Uplink, at: int
) -> None:
    await socket.send(json.dumps({"view": ["saw/current", "no/such"], "hz": 10}))
    snapshot = json.loads(await socket.recv())
    assert (snapshot["type"], snapshot["paths"]) == ("snapshot", ["saw/current"])
    uplink.accept(SampleBatch.of([at], [rig.now], [7.25]))
    seen: dict[str, dict] = {}
    async with asyncio.timeout(15):
        while "frame" not in seen or seen["frame"]["value"] != [7.25]:
            message = json.loads(await socket.recv())
            seen[message["type"]] = message
    assert seen["frame"]["source_time"] == [rig.now]
    async with asyncio.timeout(15):
        while seen.get("links", {}).get("links", [{}])[0].get("state") != "up":
            message = json.loads(await socket.recv())
            seen[message["type"]] = message
    latest = (await client.get("/api/latest", params={"path": "saw/current"})).json()
    assert latest["value"] == [7.25]
    health = (await client.get("/healthz")).json()
    assert (health["status"], health["viewers"]) == ("ok", 1)
    metrics = (await client.get("/metrics")).text
    assert 'kaikou_link_up{edge="edge1"} 1.0' in metrics
    await socket.send("{}")
    await socket.wait_closed()
    assert socket.close_code == 1008, "what is not understood ends the stream"


async def test_pages_are_served_with_security_headers(rig: Rig) -> None:
    async with rig.client() as client:
        page = await client.get("/line/anything")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        assert "default-src 'self'" in page.headers["content-security-policy"]
        outside = await client.get("/..%2f..%2fpyproject.toml")
        assert "hatchling" not in outside.text


async def test_a_taken_port_is_one_clear_line(rig: Rig, tmp_path: Path) -> None:
    plant = replace(rig.plant, gateway=Gateway(port=rig.plant.gateway.port))
    ports = Ports(plant_clock(), tmp_path / "second", reader=lambda: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(Unavailable, match="is not to be had"):
        await service.run(plant, ports)
