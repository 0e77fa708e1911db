"""A gateway over real sockets: a real broker, a real historian; with a twin where it is needed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from argon2 import PasswordHasher

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from gateway import service
from gateway.person import People
from gateway.role import Right
from plant.flow.clock import plant_clock
from plant.flow.port import Commit, HistorianReader, Ports, Series
from plant.flow.sample import Event, Gap, SampleBatch
from plant.model.load import load
from plant.model.plant import Plant
from plant.model.signal import SignalKind
from tests.wire.broker_support import Mosquitto, free_port, until
from twin import service as twin_service
from twin.historian import KINDS as HISTORIANS

KINDS = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
PASSWORD = "correct-horse-battery"
HOUR = 3_600_000
PLANT = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂, en: Works}, timezone: Asia/Shanghai}
gateway: {port: %d}
broker: {port: %d}
calendar:
  shifts:
    day: {name: {zh: 白班, en: Day shift}, start: "08:00", end: "20:00", breaks: ["12:00-12:30"]}
    night: {name: {zh: 夜班, en: Night shift}, start: "20:00", end: "08:00"}
products:
  shell: {name: {zh: 壳体, en: Shell}, cycle_s: {saw: 30}}
lines:
  hall: {name: {zh: 一线, en: Line one}, constraint: saw, flow: [saw, 4, gauge]}
edges:
  edge1:
    name: {zh: 一号, en: One}
    sources: {io: {kind: modbus, host: 127.0.0.1, port: 502}}
assets:
  saw:
    type: band_saw
    name: {zh: 锯床, en: Saw}
    edge: edge1
    cycle_s: 40
    signals:
      current: {source: io, at: "input:0 uint16", scale: 0.01}
      part_count: {source: io, at: "input:1 uint16"}
  gauge:
    type: gauge
    name: {zh: 检具, en: Gauge}
    edge: edge1
    signals:
      good_count: {source: io, at: "input:2 uint16"}
      reject_count: {source: io, at: "input:3 uint16"}
"""
PEOPLE = {
    "wang": [Right.VIEWER],
    "li": [Right.VIEWER, Right.OPERATOR],
    "zhao": [Right.VIEWER, Right.OPERATOR, Right.ENGINEER],
    "root": [Right.VIEWER, Right.ADMIN],
}


class Rig:
    """A running gateway, its plant, and what it was given to remember."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant, self.folder = plant, folder
        self.url = f"http://127.0.0.1:{plant.gateway.port}"
        self.now = plant_clock().now()
        self.known = 0  # when the historian came to know the late row
        self.twin: asyncio.Task[None] | None = None

    def client(self) -> httpx.AsyncClient:
        """A client that keeps cookies."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20)

    @contextlib.asynccontextmanager
    async def logged_in(self, name: str = "wang") -> AsyncIterator[httpx.AsyncClient]:
        """A client after log-in."""
        async with self.client() as client:
            answer = await client.post("/api/login", json={"user": name, "password": PASSWORD})
            assert answer.status_code == 200
            yield client

    def ports(self, name: str, ready: Callable[[], None]) -> Ports:
        """What deploy would hand in."""
        store, place = self.plant.historian, self.folder / "historian"

        def reader() -> HistorianReader:
            return store.reader(place)

        writer = (lambda: store.writer(place)) if name == "twin" else None
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Ports(plant_clock(), folder, reader=reader, writer=writer, ready=ready)


@contextlib.asynccontextmanager
async def running(start: Callable[[Callable[[], None]], object]) -> AsyncIterator[asyncio.Task]:
    """A room's service as a task, ready; it ends by being cancelled."""
    ready = asyncio.Event()
    task = asyncio.create_task(start(ready.set))
    try:
        await until(lambda: ready.is_set() or task.done(), "the start")
        if task.done():
            await task
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def plant_text() -> str:
    """plant.yaml with two holes: the gateway's and the broker's port."""
    return PLANT


@pytest.fixture
async def rig(mosquitto: Mosquitto, tmp_path: Path, plant_text: str) -> AsyncIterator[Rig]:
    """A gateway with two hours of history and no twin."""
    file = tmp_path / "plant.yaml"
    file.write_text(plant_text % (free_port(), mosquitto.port), "utf-8")
    rig = Rig(load(file, KINDS, {}), tmp_path)
    _remember(rig)
    people = People(tmp_path / "gateway" / "people.sqlite")
    people._hasher = PasswordHasher(
        time_cost=1, memory_cost=64, parallelism=1
    )  # tests log in often
    for name, rights in PEOPLE.items():
        people.add(name, PASSWORD, rights)
    people.close()
    async with running(lambda ready: service.run(rig.plant, rig.ports("gateway", ready))):
        yield rig


@pytest.fixture
async def with_twin(rig: Rig) -> AsyncIterator[Rig]:
    """The same with a twin beside it."""
    async with running(lambda ready: twin_service.run(rig.plant, rig.ports("twin", ready))) as twin:
        rig.twin = twin
        yield rig


def _remember(rig: Rig) -> None:
    """Two hours of a current at 1 s with a spike and a gap; states, told every minute; parts.

    The saw works until an hour ago and makes a part every 40 s; then it waits until a minute ago.
    """
    folder, now = rig.folder / "historian", rig.now
    folder.mkdir()
    writer = rig.plant.historian.writer(folder)
    writer.remember("values", "real")
    writer.declare(
        [
            Series("saw/current"),
            Series("saw/state", SignalKind.STATE, hold_ms=180_000),
            Series("saw/part_count", SignalKind.COUNTER, modulus=65536.0, hold_ms=180_000),
        ]
    )
    time = np.arange(now - 2 * HOUR, now, 1000)
    value = 5.0 + np.sin(np.arange(len(time)) / 50.0)
    value[3333] = 99.0
    status = np.zeros(len(time), np.uint32)
    value[5000:5010], status[5000:5010] = np.nan, 0x80310000
    told = np.arange(now - 3 * HOUR, now, 60_000)
    held = (told >= now - HOUR) & (told < now - 60_000)
    parts = np.arange(now - 3 * HOUR, now, 40_000)
    count = np.minimum(np.arange(len(parts)), 180) + 65_500
    batch = SampleBatch.concat(
        [
            SampleBatch.of(np.zeros(len(time)), time, value, status),
            SampleBatch.of(np.ones(len(told)), told, np.where(held, 5.0, 6.0)),
            SampleBatch.of(np.full(len(parts), 2), parts, (count % 65_536).astype(float)),
        ]
    )
    gap = Gap("acme-works/edge1", now - HOUR, now, 7, "outbox full")
    event = Event(now - 1000, "saw", "meter.reset", {"register": "energy"})
    deep: object = []
    for _ in range(900):  # as versions before the gate stored it
        deep = [deep]
    odd = Event(now - 500, "saw", "odd", {"deep": deep, "large": 2**70})
    writer.write(Commit(batch, gaps=[gap], events=[event, odd]), now - 1000)
    late = SampleBatch.of([0], [now - 90 * 60_000 + 500], [50.0])
    rig.known = writer.write(Commit(late), now)
    writer.close()
