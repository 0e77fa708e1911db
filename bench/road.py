"""The whole road at a plant's load: devices, edge, broker, twin, historian, gateway, a viewer.

``python -m bench road --seconds 60 --rate 5000 --broker embedded|mosquitto --json``

rate / 100 Modbus devices with 100 signals each are polled at 1 Hz, every value changing, deadband
0; one viewer watches all signals; the OPC UA server exposes 1,000 of them, none monitored.
``rate`` is read back from the historian, ``lost`` counts answers of the devices that are not
there; latencies run from the moment a device served an answer to the first WebSocket frame that
shows it or a newer one (``p50_ms``, ``p99_ms``) and to the twin's commit (``p99_durable_ms``);
``cpu_cores`` is user and system time of the rooms' process trees.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import orjson
import psutil
from websockets.asyncio.client import connect

from bench.machine import machine
from bench.rig import (
    Device,
    Ports,
    Rooms,
    answer_number,
    cpu_s,
    folder,
    free_ports,
    mosquitto,
    rss_mb,
    serving,
    write_plant,
)
from deploy.kinds import kinds
from gateway.person import People
from gateway.role import Right
from plant.flow.port import HistorianReader
from plant.model.load import load

SIGNALS = 100
ROOMS = ("broker", "twin", "edge", "opcua", "analytics", "gateway")
PASSWORD = "bench-" + os.urandom(8).hex()


class Watch:
    """The viewer's record: when each answer of each signal was first shown."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = devices
        self.paths = [f"{d.name}/v{i:03d}" for d in devices for i in range(SIGNALS)]
        self.shown = np.zeros(len(self.paths), np.int64)
        self.latencies: list[float] = []
        self.frames = 0
        self.measuring_from = float("inf")

    @property
    def live(self) -> bool:
        """Every signal was shown at least once."""
        return bool((self.shown > 0).all())

    def take(
        self, message: dict[str, list[float | None]], indices: Sequence[int], at: float
    ) -> None:
        """A frame or a snapshot that arrived at ``at`` (monotonic s)."""
        self.frames += 1
        for index, value in zip(indices, message["value"], strict=True):
            if value is None:
                continue
            device, signal = divmod(index, SIGNALS)
            served = self.devices[device].served
            number = answer_number(int(value), signal, len(served))
            last = int(self.shown[index])
            if number <= last:
                continue
            self.shown[index] = number
            if last and served[last] >= self.measuring_from:
                self.latencies += [at - s for s in served[last:number]]


async def watch(port: int, record: Watch, cookie: str) -> None:
    """One viewer of all signals, until cancelled."""
    headers = {"Cookie": cookie}
    url = f"ws://127.0.0.1:{port}/api/live"
    async with connect(url, additional_headers=headers, max_size=2**24) as socket:
        await socket.send(json.dumps({"view": record.paths, "hz": 10}))
        async for text in socket:
            at = time.monotonic()
            message = orjson.loads(text)
            if message["type"] == "snapshot":
                record.take(message, range(len(record.paths)), at)
            elif message["type"] == "frame":
                record.take(message, message["i"], at)


def _account(data: Path) -> None:
    people = People(data / "gateway" / "people.sqlite")
    people.add("bench", PASSWORD, [Right.VIEWER])
    people.close()


async def _log_in(port: int) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.post("/api/login", json={"user": "bench", "password": PASSWORD})
        answer.raise_for_status()
        return answer.headers["set-cookie"].split(";")[0]


async def _until(condition: object, timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout_s:.0f} s: {what}")
        await asyncio.sleep(0.1)


async def run(seconds: float, rate: int, broker: str) -> dict[str, object]:
    """Drive the whole; the figures."""
    devices = [Device(n, SIGNALS) for n in range(max(1, rate // SIGNALS))]
    with folder() as place, contextlib.ExitStack() as stack:
        ports = Ports(*free_ports(3))
        async with serving(devices):
            file = write_plant(place, devices, ports, embedded=broker == "embedded")
            data = place / "data"
            _account(data)
            os.environ["KAIKOU_BENCH_PASSWORD"] = PASSWORD
            rooms = Rooms(file, data)
            processes: dict[str, psutil.Process] = {}
            if broker == "mosquitto":
                processes["broker"] = stack.enter_context(mosquitto(ports.broker, place))
            names = [r for r in ROOMS if r not in processes]
            try:
                await rooms.start(*names)
                processes |= {name: rooms.process(name) for name in names}
                return await _measure(rooms, devices, processes, ports, seconds, data, file)
            except BaseException:
                print("\n".join(rooms.lines[-60:]), file=sys.stderr)
                raise
            finally:
                await rooms.stop("edge", "opcua", "analytics", "gateway", "twin", "broker")


async def _measure(
    rooms: Rooms,
    devices: Sequence[Device],
    processes: dict[str, psutil.Process],
    ports: Ports,
    seconds: float,
    data: Path,
    file: Path,
) -> dict[str, object]:
    record = Watch(devices)
    cookie = await _log_in(ports.gateway)
    viewer = asyncio.create_task(watch(ports.gateway, record, cookie), name="viewer")
    try:
        await _until(lambda: record.live or viewer.done(), 60, "all signals live")
        if viewer.done():
            viewer.result()
        await asyncio.sleep(3.0)
        before = {name: cpu_s(p) for name, p in processes.items()}
        start = record.measuring_from = time.monotonic()
        first = [len(d.served) for d in devices]
        print(f"measuring for {seconds:.0f} s ...", file=sys.stderr)
        await asyncio.sleep(seconds)
        took = time.monotonic() - start
        cpu = {name: (cpu_s(p) - before[name]) / took for name, p in processes.items()}
        rss = {name: rss_mb(p) for name, p in processes.items()}
        last = [len(d.served) for d in devices]
        # asyncua is Python only; the compiled library it cannot be imported without shows it
        maps = processes["edge"].memory_maps()
        asyncua = any("cryptography" in m.path for m in maps)
        await asyncio.sleep(2.0)
    finally:
        viewer.cancel()
        await asyncio.gather(viewer, return_exceptions=True)
    await rooms.stop("edge")
    plant = load(file, kinds())
    reader: HistorianReader = plant.historian.reader(data / "historian")  # type: ignore[attr-defined]
    try:
        stored = await _read_back(reader, devices, first, last)
    finally:
        reader.close()
    size = sum(f.stat().st_size for f in (data / "historian").rglob("*") if f.is_file())
    latency = np.array(record.latencies) * 1000
    return {
        "rate": round(stored["rows"] / took, 1),
        "asked": len(devices) * SIGNALS,
        "lost": stored["lost"],
        "dropped_before_accept": stored["dropped"],
        "p50_ms": round(float(np.quantile(latency, 0.5)), 1),
        "p99_ms": round(float(np.quantile(latency, 0.99)), 1),
        "p50_durable_ms": stored["p50_durable_ms"],
        "p99_durable_ms": stored["p99_durable_ms"],
        "cpu_cores": round(sum(cpu.values()), 3),
        "cpu_by_name": {name: round(value, 3) for name, value in cpu.items()},
        "rss_edge_mb": round(rss["edge"], 1),
        "rss_opcua_mb": round(rss["opcua"], 1),
        "rss_by_name": {name: round(value, 1) for name, value in rss.items()},
        "asyncua_in_edge": asyncua,
        "disk_bytes_per_sample": round(size / max(stored["all_rows"], 1), 2),
        "frames": record.frames,
        "shown": len(latency),
        "seconds": round(took, 1),
    }


async def _read_back(
    reader: HistorianReader, devices: Sequence[Device], first: Sequence[int], last: Sequence[int]
) -> dict[str, float]:
    """What of the answers served while measuring is in the historian; waits for the outbox."""
    end = time.monotonic() + 30.0
    while True:
        found = _count(reader, devices, first, last)
        if not found["lost"] or time.monotonic() > end:
            return found
        await asyncio.sleep(1.0)


def _count(
    reader: HistorianReader, devices: Sequence[Device], first: Sequence[int], last: Sequence[int]
) -> dict[str, float]:
    rows = lost = everything = 0
    durable: list[np.ndarray] = []
    for device, begin, end in zip(devices, first, last, strict=True):
        paths = [f"{device.name}/v{i:03d}" for i in range(SIGNALS)]
        got = reader.read(paths, device.utc[0] - 60_000, device.utc[-1] + 60_000)
        everything += len(got)
        want = np.arange(begin + 1, end + 1)
        served = np.array(device.utc)
        for i in range(SIGNALS):
            mine = got.take(got.signal == i)
            near = np.searchsorted(served, mine.source_time, side="right")
            base = (mine.value.astype(np.int64) - 37 * i) % 60_000
            number = base + 60_000 * np.round((near - base) / 60_000).astype(np.int64)
            here = np.isin(want, number)
            rows += int(here.sum())
            lost += int((~here).sum())
            inside = (number > begin) & (number <= end)
            durable.append(mine.received_time[inside] - served[number[inside] - 1])
    delay = np.concatenate(durable) if durable else np.zeros(1)
    dropped = reader.as_of(["edge1/dropped_before_accept"], 2**62)
    return {
        "rows": rows,
        "lost": lost,
        "all_rows": everything,
        "dropped": float(dropped.value[0]) if len(dropped) else -1.0,
        "p50_durable_ms": float(np.quantile(delay, 0.5)) if len(delay) else -1.0,
        "p99_durable_ms": float(np.quantile(delay, 0.99)) if len(delay) else -1.0,
    }


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="bench road", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=5000, help="samples per second asked for")
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="embedded")
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    figures = asyncio.run(run(given.seconds, given.rate, given.broker))
    print(json.dumps({"bench": "road", "broker": given.broker, **figures, "machine": machine()}))
    return 0
