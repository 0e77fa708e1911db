"""npm's sparkplug-payload reads our edge; npm's sparkplug-client is an edge to our host."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plant.flow.live import SignalTable
from plant.flow.sample import SampleBatch
from plant.model.plant import Broker
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.client import MqttClient
from plant.wire.codec import TextSample, encode_metrics, encode_texts
from plant.wire.edge_session import EdgeSession
from plant.wire.host_event import Born, Data, Died, HostEvent, RebirthWanted, SequenceGap
from plant.wire.host_session import HostSession, rebirth_command
from plant.wire.host_state import HostState
from plant.wire.message import Row, Runs
from tests.wire.broker_support import DEADLINE_S

PEERS = Path(__file__).parents[1] / "peers"
NOW = 1_795_000_000_000


class Peer:
    """A Node program that takes words and gives JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: list[dict[str, Any]] = []
        self._process = process

    async def read(self, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Lines up to the one that is waited for."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while True:
                line = await self._process.stdout.readline()
                assert line, f"the peer ended; it had told {self.told[-3:]}"
                self.told.append(json.loads(line))
                if done(self.told[-1]):
                    return self.told[-1]

    async def tell(self, word: str) -> None:
        """Say a word and wait until it is obeyed."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self.read(lambda line: line.get("did") == word)


@asynccontextmanager
async def peer(node: str, script: str, options: dict[str, Any]) -> AsyncIterator[Peer]:
    """Run it; its end is the end of its standard input."""
    if not (PEERS / "node_modules" / "sparkplug-payload").is_dir():
        pytest.skip("npm ci in tests/peers installs the Sparkplug peers")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, str(PEERS / script), json.dumps(options), stdin=pipe, stdout=pipe, cwd=PEERS
    )
    try:
        yield Peer(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def url(broker: Broker) -> str:
    return f"mqtt://{broker.host}:{broker.port}"


async def test_sparkplug_payload_reads_every_message_type(
    broker: Broker, need: Callable[[str], str]
) -> None:
    """tck: payloads-metric-datatype-req payloads-name-birth-data-requirement topics-ncmd-payload
    host-topic-phid-birth-message host-topic-phid-birth-required
    host-topic-phid-birth-sub-required message-flow-phid-sparkplug-subscription
    message-flow-phid-sparkplug-state-publish operational-behavior-host-application-connect-birth
    """
    where = {"url": url(broker), "username": broker.username, "password": broker.password}
    edge = EdgeSession("g", "edge1", ack_host="kaikou", plant_hash="abc")
    state = HostState("kaikou")
    births = [
        DeviceBirth(
            "lathe",
            (
                MetricBirth("power", 128, value=3.5),
                MetricBirth("speed", 16383, value=None, status=0x8032_0000),
                MetricBirth("program", 130, DataType.String, "O1000"),
            ),
        )
    ]
    async with peer(need("node"), "sparkplug_host.js", where) as reader:
        await reader.read(lambda line: line.get("ready", False))
        async with (
            MqttClient(broker, "host", state.will(NOW)) as host,
            MqttClient(broker, "edge1", edge.will(7)) as mqtt,
        ):
            await host.subscribe([state.subscription])
            await host.publish(state.online())
            await mqtt.subscribe(edge.subscriptions)
            for message in edge.birth(
                NOW, births, Runs("r1"), [MetricBirth("rows", 140, value=0.0)]
            ):
                await mqtt.publish(message)
            values = [1.25, math.nan, -0.0, 7.5]
            batch = SampleBatch.of(
                [0, 1, 0, 1], [NOW, NOW, NOW + 1, NOW + 2], values, [0, 0x8031_0000, 0, 0x4093_0000]
            )
            alias = np.array([128, 16383, 128, 16383])
            body = encode_metrics(alias, batch) + encode_texts([TextSample(130, NOW + 3, "程序")])
            await mqtt.publish(edge.data("lathe", body, NOW + 5, Row("r1", 1)))
            old = encode_metrics(alias, batch, historical=True)
            await mqtt.publish(edge.data("lathe", old, NOW + 6, Row("r1", 2, 1, True)))
            rows = encode_metrics([140], SampleBatch.of([0], [NOW + 7], [9.0]))
            await mqtt.publish(edge.data(None, rows, NOW + 7))
            await mqtt.publish(edge.death("lathe", NOW + 8))
            await host.publish(rebirth_command(edge.node, NOW + 9))
            await mqtt.publish(edge.node_death())
            await host.publish(state.offline(NOW + 10))
            await reader.read(lambda line: line.get("state", {}).get("online") is False)
    told = reader.told[1:]
    by_kind = {line["topic"].split("/")[2]: line for line in told if "state" not in line}
    assert [line for line in told if "error" in line] == []
    assert set(by_kind) == {"NBIRTH", "DBIRTH", "DDATA", "NDATA", "DDEATH", "NCMD", "NDEATH"}
    assert [t["state"] for t in told if "state" in t] == [
        {"online": True, "timestamp": NOW},
        {"online": False, "timestamp": NOW + 10},
    ]
    in_session = [t for t in told if "/NCMD/" not in t["topic"] and "state" not in t]
    assert [t["seq"] for t in in_session] == [0, 1, 2, 3, 4, 5, None]
    birth = {m["name"]: m for m in by_kind["NBIRTH"]["metrics"]}
    assert birth["bdSeq"]["value"] == by_kind["NDEATH"]["metrics"][0]["value"] == 7
    assert birth["Node Control/Rebirth"]["value"] is False
    assert birth["Node Control/Rebirth"]["type"] == "Boolean"
    device = {m["name"]: (m["type"], m["value"]) for m in by_kind["DBIRTH"]["metrics"]}
    assert device == {
        "power": ("Double", 3.5), "speed": ("Double", None), "program": ("String", "O1000"),
    }  # fmt: skip
    fresh, late = (t for t in told if "/DDATA/" in t["topic"])
    seen = [(m["name"], m["timestamp"], m["value"]) for m in fresh["metrics"]]
    assert seen == [
        ("power", NOW, 1.25),
        ("speed", NOW, None),
        ("power", NOW + 1, 0),
        ("speed", NOW + 2, 7.5),
        ("program", NOW + 3, "程序"),
    ]
    assert [m["properties"] for m in fresh["metrics"]] == [
        {},
        {"Quality": 0, "StatusCode": 0x8031_0000},
        {},
        {"Quality": 500, "StatusCode": 0x4093_0000},
        {},
    ]
    assert not any(m["named"] or m["typed"] for m in fresh["metrics"])
    assert [m["historical"] for m in late["metrics"]] == [True] * 4
    assert by_kind["NDATA"]["metrics"][0]["value"] == 9.0


async def test_sparkplug_client_is_a_foreign_edge(
    broker: Broker, need: Callable[[str], str]
) -> None:
    table = SignalTable()
    host = HostSession("g", ("edge1",), table)
    where = {
        "serverUrl": url(broker),
        "username": broker.username or "",
        "password": broker.password or "",
    }
    heard: list[HostEvent] = []

    async with MqttClient(broker, "host") as mqtt:
        await mqtt.subscribe(host.subscriptions)

        async def hear(done: Callable[[], object]) -> None:
            """Be a host until something came."""
            async with asyncio.timeout(DEADLINE_S):
                while not done():
                    try:
                        async with asyncio.timeout(0.1):
                            messages = await mqtt.receive()
                    except TimeoutError:
                        messages = []
                    now = time.monotonic()
                    for m in messages:
                        heard.extend(host.on_message(m.topic, m.payload, now, m.retain))
                    for event in host.tick(now):
                        heard.append(event)
                        if isinstance(event, RebirthWanted):
                            await mqtt.publish(rebirth_command(event.node, NOW))

        def values(path: str) -> list[float]:
            index = table.get(path)
            return [
                float(value)
                for event in heard
                if isinstance(event, Data)
                for signal, value in zip(event.samples.signal, event.samples.value, strict=True)
                if signal == index
            ]

        def of(kind: type[HostEvent]) -> list[Any]:
            return [e for e in heard if isinstance(e, kind)]

        async with peer(need("node"), "sparkplug_edge.js", where) as edge:
            await edge.read(lambda line: line.get("did") == "birth")
            await hear(lambda: len(of(Born)) == 2)
            base = "Foreign Plant/npm edge"
            assert values(f"{base}/uptime") == [7.0]
            assert values(f"{base}/offset") == [-40.0]
            assert values(f"{base}/pump/steps") == [-5.0]
            assert values(f"{base}/pump/on") == [1.0]
            assert values(f"{base}/pump/level") == [0.25]
            texts = [t.text for e in of(Data) for t in e.texts]
            assert texts == ["P-101"]
            assert all(e.stored and e.live and e.row is None for e in of(Data))
            assert not any(b.announced for b in of(Born))
            await edge.tell("data")
            await edge.tell("alias")
            await hear(lambda: len(values(f"{base}/offset")) == 2)
            assert values(f"{base}/pump/flow") == [1.5, 1.5]
            assert values(f"{base}/offset") == [-40.0, -41.0]
            assert of(SequenceGap) == []

            await edge.tell("gap")
            await hear(lambda: of(SequenceGap))
            (gap,) = of(SequenceGap)
            assert (gap.lost, gap.announced) == (3, False)
            await hear(lambda: len(of(Born)) == 4)  # it was asked, and it answered
            await edge.read(lambda line: line.get("did") == "rebirth")
            assert values(f"{base}/pump/flow") == [1.5, 1.5, 2.5, 1.5]

            await edge.tell("death")
            await hear(lambda: of(Died))
            assert [d.device for d in of(Died)] == ["pump"]
            await edge.tell("birth")
            await hear(lambda: len(of(Born)) == 6)
        await hear(lambda: len(of(Died)) >= 3)
    assert [d.device for d in of(Died)] == ["pump", None, "pump"]
