"""Bad peers on the bus while the demo runs: who ends, what is forged, how old our own values get.

``python -m bench bus --json`` runs the demo's rooms on a mosquitto that lets everybody publish. A
stranger and another edge of the plant each send births that claim the signals of others, forged
statements and records, the messages that once ended a process, thousands of strange nodes, and
true messages spoiled at random.

``process_ended``: processes of the plant that ended; ``forged``: values and words of the peers that
show as somebody else's, live (at the gateway and at the OPC UA server) or stored; ``opcua_good``:
signals that were Good at the end there; ``p99_age_s``: from the source time of our own values to
the frame that shows them first; ``quiet_p99_age_s``: the same before; ``cpu_by_name``: cores of
each room under attack; ``log_mb``: what all rooms wrote.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import numpy as np
import orjson
from websockets.asyncio.client import connect

from bench.bad_message import (
    FORGED,
    FORGER,
    Peer,
    Sent,
    attacks,
    births,
    forgeries,
    spoiled,
    strange_node,
)
from bench.machine import machine
from bench.opcua_watch import OpcUaWatch
from bench.rig import Rooms, cpu_s, folder, free_ports, mosquitto
from deploy.argument import DEMO_PLANT
from deploy.demo.session import environment
from deploy.kinds import kinds
from gateway.person import People
from gateway.role import Right
from plant.model.load import load
from plant.model.plant import Broker, Plant
from plant.wire.client import MqttClient
from plant.wire.message import Outgoing

ROOMS = ("twin", "gateway", "edge", "opcua", "analytics")
WATCHED = (
    "saw/current", "saw/last_good_read", "lathe/current", "lathe/vibration",
    "lathe/last_good_read", "press/last_good_read", "washer/last_good_read",
)  # fmt: skip
"""Values dated when they were read; what is derived may begin earlier."""
VICTIMS = ("saw", "lathe", "mill", "edge1", "kaikou_twin", "kaikou_analytics", "housings")
PASSWORD = "bench-" + os.urandom(8).hex()
SETTLE_S = 5.0
EACH = 0.002
"""Every five hundredth message is one of the known attacks or forgeries, whole."""
_BROKER = re.compile(r"^broker: .*$", re.MULTILINE)
_SPARE = """
  spare:
    type: gauge
    name: {zh: 备用检具, en: Spare gauge}
    edge: edge2
    signals:
      good_count: {source: io, at: "input:2 uint16"}
      reject_count: {source: io, at: "input:3 uint16"}
"""
_EDGE2 = """
  edge2:
    name: {zh: 二号网关, en: Edge 2}
    sources: {io: {kind: modbus, host: 127.0.0.1, port: 1, poll_ms: 1000}}
"""


def write_demo(place: Path, port: int) -> tuple[Path, Path]:
    """The demo's plant on our broker, and that with OPC UA fed by it and a second edge.

    The second edge never runs: it is who the peers say they are.
    """
    text = DEMO_PLANT.read_text("utf-8")
    text = _BROKER.sub(f"broker: {{host: 127.0.0.1, port: {port}}}", text, count=1)
    simulated = place / "simulated.yaml"
    simulated.write_text(text, "utf-8")
    text = text.replace("    opcua:\n", "    opcua:\n      feed: broker\n", 1)
    text = text.replace("\nedges:\n", f"\nedges:{_EDGE2}", 1)
    text = text.replace("\nassets:\n", f"\nassets:{_SPARE}", 1)
    file = place / "plant.yaml"
    file.write_text(text, "utf-8")
    return simulated, file


# ------------------------------------------------------------------------------------- the peers


def peers(plant: Plant) -> list[Peer]:
    """A stranger of another group, one of ours, and another edge of the plant."""
    now = time.time_ns() // 1_000_000
    victims: Mapping[str, Sequence[str]] = {
        asset: [s.id for s in plant.assets[asset].signals if not s.hidden][:40]
        for asset in VICTIMS
        if asset in plant.assets
    }
    return [
        Peer(group, node, plant.group, now, victims)
        for group, node in (("far", "n"), (plant.group, "nobody"), (plant.group, "edge2"))
    ]


def messages(given: Sequence[Peer], count: int, seed: int) -> Sequence[Sent]:
    """What the peers send, in order; some of the known attacks between the spoiled ones."""
    random = Random(seed)
    whole = [m for peer in given for m in (*births(peer), *forgeries(peer), *attacks(peer))]
    small = [m for m in whole if len(m[1]) < 8192]
    sent = [m for peer in given for m in (*births(peer), *forgeries(peer))] + whole
    while len(sent) < count:
        chance = random.random()
        if chance < EACH:
            sent.append(random.choice(whole))
        elif chance < 0.03:
            sent.append(strange_node(given[0], random.randrange(5000)))
        elif chance < 0.06:  # true again, so that what is spoiled meets a session that lives
            peer = random.choice(given)
            sent += births(peer) + forgeries(peer)
        else:
            sent.append(spoiled(random, random.choice(small)))
    return sent[:count]


def attack(broker: Broker, plant_file: Path, count: int, rate: float, seed: int) -> None:
    """Send everything, in a process of its own."""
    given = peers(load(plant_file, kinds(), dict(os.environ)))
    asyncio.run(_send(broker, messages(given, count, seed), rate))


async def _send(broker: Broker, sent: Sequence[Sent], rate: float) -> None:
    begun = time.monotonic()
    async with MqttClient(broker, "bad-peers") as client:
        for i, (topic, payload) in enumerate(sent):
            await client.publish(Outgoing(topic, payload))
            ahead = i / rate - (time.monotonic() - begun)
            if ahead > 0.01:
                await asyncio.sleep(ahead)


# ------------------------------------------------------------------------------------- who looks


def is_forged(value: float) -> bool:
    """Whether a value is one of the peers'."""
    return FORGED <= value < 2 * FORGED


class Watch:
    """What a viewer sees of our own values, and what it should not."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.newest: dict[int, int] = {}
        self.forged: set[str] = set()

    async def run(self, port: int, cookie: str, paths: Sequence[str]) -> None:
        """Look at all signals of the plant until cancelled."""
        headers = {"Cookie": cookie}
        url = f"ws://127.0.0.1:{port}/api/live"
        watched = {i for i, path in enumerate(paths) if path in WATCHED}
        async with connect(url, additional_headers=headers, max_size=2**24) as socket:
            await socket.send(json.dumps({"view": list(paths), "hz": 10}))
            async for text in socket:
                now = time.time() * 1000
                message = orjson.loads(text)
                if message["type"] not in {"snapshot", "frame"}:
                    continue
                shown = message.get("i", range(len(paths)))
                for i, value, at in zip(
                    shown, message["value"], message["source_time"], strict=True
                ):
                    if value is not None and is_forged(value):
                        self.forged.add(paths[i])
                    if i in watched and at > self.newest.get(i, 0):  # a birth restates others
                        self.newest[i] = at
                        self.ages.append((now - at) / 1000)

    def take(self) -> float:
        """The 99th percentile of the ages since the last call, s."""
        ages, self.ages = self.ages, []
        print(f"{len(ages)} ages, at most {max(ages, default=-1):.2f} s", file=sys.stderr)
        return round(float(np.quantile(ages, 0.99)), 3) if ages else float("inf")


async def _log_in(port: int) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.post("/api/login", json={"user": "bench", "password": PASSWORD})
        answer.raise_for_status()
        return answer.headers["set-cookie"].split(";")[0]


async def _events(port: int, cookie: str) -> tuple[int, float]:
    """Forged words that REST shows, and how many messages the gateway refused."""
    headers = {"Cookie": cookie}
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False, headers=headers) as client:
        query = {"start": 0, "end": 2**41}
        shown = await client.get("/api/events", params=query, timeout=60)
        shown.raise_for_status()
        gaps = await client.get("/api/gaps", params=query, timeout=60)
        metrics = (await client.get("/metrics")).text
    refused = re.search(r"^kaikou_refused_total (\S+)$", metrics, re.MULTILINE)
    text = shown.text + "".join(g["reason"] for g in gaps.json() if _others(g["edge"]))
    return text.count(FORGER), float(refused[1]) if refused else 0.0


def _others(node: str) -> bool:
    """Whether a gap record is about somebody else than the peers."""
    return node.endswith(("/edge1", "/kaikou_twin", "/kaikou_analytics"))


def stored_forgeries(plant: Plant, data: Path) -> int:
    """Values and words of the peers under somebody else's name, in the historian."""
    reader = plant.historian.reader(data / "historian")  # type: ignore[attr-defined]
    try:
        rows = reader.read(_own_paths(plant), 0, 2**45)
        values = rows.value
        forged = int(((values >= FORGED) & (values < 2 * FORGED)).sum())
        return forged + sum(FORGER in json.dumps(e.data) for e in reader.events(0, 2**45))
    finally:
        reader.close()


# --------------------------------------------------------------------------------------- the run


async def run(count: int, rate: float, seed: int, quiet_s: float) -> dict[str, object]:
    """Drive the whole; the figures."""
    (port,) = free_ports(1)
    with folder() as place, mosquitto(port, place):
        data = place / "data"
        data.mkdir()
        simulated, file = write_demo(place, port)
        ports = re.findall(r"\$\{(\w+_PORT_\w+):-", file.read_text("utf-8"))
        os.environ.update(zip(ports, map(str, free_ports(len(ports))), strict=True))
        os.environ.update(environment(file, data))
        people = People(data / "gateway" / "people.sqlite")
        people.add("bench", PASSWORD, [Right.VIEWER])
        people.close()
        plant = load(file, kinds(), dict(os.environ))
        devices, rooms = Rooms(simulated, data), Rooms(file, data)
        try:
            await devices.start("simulators", timeout_s=120)
            async with asyncio.TaskGroup() as group:
                for room in ROOMS:
                    group.create_task(rooms.start(room, timeout_s=120), name=room)
            edge, password = plant.edges["edge1"], os.environ["KAIKOU_OPCUA_PASSWORD"]
            port = edge.opcua.port if edge.opcua is not None else 0
            client = OpcUaWatch(port, data / "opcua-edge1" / "pki", password)
            async with _watched(client, place, plant):
                figures = await _measure(rooms, plant, file, (count, rate, seed), quiet_s)
        except BaseException:
            print("\n".join(rooms.lines[-80:]), file=sys.stderr)
            raise
        finally:
            await rooms.stop("edge", "opcua", "analytics", "gateway", "twin")
            await devices.stop("simulators")
        stored = await asyncio.to_thread(stored_forgeries, plant, data)
        shown = int(str(figures.pop("shown"))) + len(client.forged)
        figures |= {"opcua_reads": client.reads, "opcua_good": client.good}
        return {**figures, "forged": shown + stored, "forged_shown": shown}


@asynccontextmanager
async def _watched(client: OpcUaWatch, place: Path, plant: Plant) -> AsyncIterator[None]:
    """Somebody looks at the OPC UA server meanwhile; that he fails is a failure."""
    looking = asyncio.create_task(client.run(place, _own_paths(plant), is_forged), name="opcua")
    try:
        yield
        if looking.done():
            looking.result()
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _own_paths(plant: Plant) -> list[str]:
    """Signals of others than the peers."""
    return [s.path for s in plant.signals if not s.hidden and s.asset not in {"spare", "edge2"}]


async def _measure(
    rooms: Rooms, plant: Plant, file: Path, given: tuple[int, float, int], quiet_s: float
) -> dict[str, object]:
    port = plant.gateway.port
    cookie = await _log_in(port)
    watch = Watch()
    viewer = asyncio.create_task(watch.run(port, cookie, _own_paths(plant)), name="viewer")
    try:
        settle_s = min(SETTLE_S, quiet_s)
        await asyncio.sleep(settle_s)
        watch.take()
        await asyncio.sleep(quiet_s)
        quiet = watch.take()
        logged, before = _log_bytes(rooms), _cpu(rooms)
        count, rate, seed = given
        print(f"sending {count} messages ...", file=sys.stderr)
        begun = time.monotonic()
        peer = multiprocessing.get_context("spawn").Process(
            target=attack, args=(plant.broker, file, count, rate, seed), daemon=True
        )
        peer.start()
        sending = asyncio.create_task(asyncio.to_thread(peer.join), name="peers")
        await asyncio.wait([sending, viewer], return_when=asyncio.FIRST_COMPLETED)
        peer.kill()  # where the viewer has failed
        await sending
        took = time.monotonic() - begun
        cpu = _cpu(rooms)
        await asyncio.sleep(settle_s)
        age = watch.take()
        if viewer.done():
            viewer.result()
        words, refused = await _events(port, cookie)
    finally:
        viewer.cancel()
        await asyncio.gather(viewer, return_exceptions=True)
    return {
        "messages": count,
        "sent": peer.exitcode == 0,
        "seconds": round(took, 1),
        "process_ended": _ended(rooms),
        "shown": words + len(watch.forged),
        "refused": int(refused),
        "p99_age_s": age,
        "quiet_p99_age_s": quiet,
        "cpu_by_name": {n: round((s - before[n]) / took, 2) for n, s in cpu.items()},
        "log_mb": round((_log_bytes(rooms) - logged) / 1e6, 3),
    }


def _ended(rooms: Rooms) -> int:
    """How often a process of the plant ended; what it said goes to people."""
    ended = {n: p.starts - 1 + (p.pid is None) for n, p in rooms.processes.all.items()}
    for name, times in ended.items():
        if times:
            said = [line for line in rooms.lines if line.startswith(f"{name}:")]
            print("\n".join(said[-40:]), file=sys.stderr)
    return sum(ended.values())


def _cpu(rooms: Rooms) -> dict[str, float]:
    return {name: cpu_s(rooms.process(name)) for name in ROOMS}


def _log_bytes(rooms: Rooms) -> int:
    return sum(f.stat().st_size for f in (rooms.data / "log").rglob("*") if f.is_file())


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench bus", description=__doc__)
    parser.add_argument("--messages", type=int, default=360_000)
    parser.add_argument("--rate", type=float, default=2000, help="messages a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", type=float, default=15, help="seconds before the attack")
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    figures = asyncio.run(run(given.messages, given.rate, given.seed, given.quiet))
    print(json.dumps({"bench": "bus", **figures, "machine": machine()}))
    return 0
