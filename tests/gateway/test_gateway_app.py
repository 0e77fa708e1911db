"""The gateway over real sockets: a real broker, a real historian, a real WebSocket client."""

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from gateway import service
from gateway.connection import Connections
from plant.errors import Unavailable
from plant.flow.clock import plant_clock
from plant.flow.port import Ports
from plant.flow.sample import SampleBatch
from plant.model.plant import Gateway
from plant.model.signal import Origin
from plant.outbox.uplink import Uplink
from plant.wire.client import MqttClient
from plant.wire.codec import encode_payload
from plant.wire.message import Outgoing
from tests.gateway.conftest import HOUR, PASSWORD, Rig


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
        assert trend["raw_count"] == 7201
        assert len(trend["time"]) <= 100 * 4 + 20
        assert (trend["bucket_ms"] >= 72_000, trend["bucket_ms"] % 60_000) == (True, 0)
        assert trend["tier"] in {"raw", "minute"}
        assert max(v for v in trend["value"] if v is not None) == 99.0
        whole = (await client.get("/api/history", params={**query, "px": 4000})).json()
        assert (len(whole["time"]), whole["bucket_ms"]) == (7201, 0)
        assert whole["value"].count(None) == 10, "the gap is still a gap"
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
        other = await client.get("/api/logout")
        assert (other.status_code, other.headers["allow"]) == (405, "POST")
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


async def test_health_tells_no_names_to_who_is_not_logged_in(rig: Rig) -> None:
    """Not even where there are many: an answer as short as ever."""
    broker = rig.plant.broker
    topic = "spBv1.0/strange/NBIRTH/secret{}"
    birth = encode_payload(b"", rig.now, 0)
    async with MqttClient(broker, "stranger") as stranger, rig.logged_in() as viewer:
        for n in range(300):
            await stranger.publish(Outgoing(topic.format(n), birth))
        async with asyncio.timeout(20):
            while (health := (await viewer.get("/healthz")).json())["strange_links"] < 250:
                await asyncio.sleep(0.05)
        assert len(health["links"]) <= 110
        assert health["version"]
        async with rig.client() as nobody:
            answer = await nobody.get("/healthz")
            metrics = (await nobody.get("/metrics")).text
    assert answer.json() == {"status": "ok", "broker": True, "edges": 1, "edges_up": 0}
    assert "secret" not in metrics
    assert "kaikou_strange_links 256" in metrics


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


async def test_no_answer_waits_for_an_acknowledgement() -> None:
    listener = service.listen(Gateway(port=0), Connections())
    delay: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Peer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            delay.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    server = await asyncio.get_running_loop().create_server(Peer, sock=listener)
    async with server:
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await delay == 1
        writer.close()
        await writer.wait_closed()
