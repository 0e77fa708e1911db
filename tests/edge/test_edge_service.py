"""A whole edge without a broker: what the devices say is durable, in order, once."""

import asyncio
import os
import signal as signals
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge import service
from edge.adapters import KINDS as SOURCES
from edge.clock import EARLIEST_MS, EdgeClock
from edge.conditioning import KINDS as CONDITIONS
from edge.preload import read_preload
from plant.flow.clock import Clock, ManualClock, UtcClock
from plant.flow.port import Ports
from plant.flow.status import StatusCode
from plant.model.load import load
from plant.model.plant import Plant
from plant.model.signal import Origin
from plant.outbox.row import KeptRow
from simulators.link import Link
from simulators.peer import KINDS as PEERS
from simulators.peer import Peer
from twin.historian import KINDS as HISTORIANS

NAME = {"zh": "机", "en": "M"}
BAD = StatusCode.BadNoCommunication


def plant_of(peer: Peer, folder: Path) -> Plant:
    """One asset with two values of the peer, and a count made from the second, which is hidden."""
    value = {"name": NAME, "kind": "measurement", "unit": "A", "source": "io"}
    raw = {"name": NAME, "kind": "counter", "source": "io", "hidden": True, "at": peer.points[1]}
    count = {
        "name": NAME,
        "kind": "counter",
        "of": ["raw"],
        "condition": {"kind": "pulse_count", "ceiling_per_s": 1000},
    }
    given = {
        "kaikou": 1,
        "enterprise": "test",
        "site": {"id": "edge", "name": NAME, "timezone": "Asia/Shanghai"},
        "broker": {"host": "127.0.0.1", "port": 9},
        "edges": {"edge1": {"name": NAME, "sources": {"io": peer.source() | {"poll_ms": 50}}}},
        "assets": {
            "press": {
                "type": "machine",
                "name": NAME,
                "edge": "edge1",
                "signals": {
                    "current": value | {"at": peer.points[0], "scale": 0.1},
                    "raw": raw,
                    "part_count": count,
                },
            }
        },
    }
    file = folder / "plant.yaml"
    file.write_text(yaml.safe_dump(given, allow_unicode=True), "utf-8")
    kinds: Any = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
    return load(file, kinds)


class Record:
    """What became durable, by path."""

    def __init__(self, plant: Plant) -> None:
        self._paths = [s.path for s in plant.published(Origin.EDGE, "edge1")]
        self.rows: list[tuple[str, int, float, int]] = []
        self._more = asyncio.Event()

    def __call__(self, rows: Sequence[KeptRow]) -> None:
        for kept in rows:
            batch = kept.row.batch
            if batch is None:
                continue
            columns = (batch.signal, batch.source_time, batch.value, batch.status)
            for at, *row in zip(*(c.tolist() for c in columns), strict=True):
                self.rows.append((self._paths[at], *row))
        self._more.set()

    def of(self, path: str) -> list[tuple[int, float, int]]:
        return [row for p, *row in self.rows if p == path]  # type: ignore[misc]

    async def until(self, wanted: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not wanted():
                self._more.clear()
                await self._more.wait()


async def edge(
    plant: Plant, folder: Path, record: Record, clock: Clock | None = None, **options: object
) -> asyncio.Task[None]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    ready = asyncio.Event()
    ports = Ports(
        clock=clock or UtcClock(),
        data=folder,
        ready=ready.set,
        options={"on_commit": record, **options},
    )
    task = asyncio.ensure_future(service.run(plant, ports))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    return task


async def stopped(task: asyncio.Task[None]) -> None:
    os.kill(os.getpid(), signals.SIGTERM)
    async with asyncio.timeout(5):
        await task


async def test_from_device_to_durable_rows(tmp_path: Path) -> None:
    async with PEERS["modbus"](count=2, folder=tmp_path) as peer:
        await peer.show([125.0, 1000.0])
        plant = plant_of(peer, tmp_path)
        record = Record(plant)
        task = await edge(plant, tmp_path / "edge1", record)
        await record.until(lambda: record.of("press/part_count"))
        await peer.show([130.0, 1003.0])
        await record.until(lambda: record.of("press/part_count")[-1][1] == 3.0)
        await record.until(lambda: len(record.of("press/last_good_read")) >= 2)
        await peer.fail(Link(offline=True))
        await record.until(lambda: record.of("press/current")[-1][2] == BAD)
        await peer.fail(Link())
        await record.until(lambda: record.of("press/current")[-1][2] == 0)
        await stopped(task)
    current = record.of("press/current")
    assert [value for _, value, status in current if not status] == [12.5, 13.0, 13.0]
    assert sum(status == BAD for _, _, status in current) == 1
    times = [time for time, _, _ in current]
    assert times == sorted(set(times))
    assert "press/raw" not in {path for path, *_ in record.rows}


async def test_counting_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with PEERS["modbus"](count=2, folder=tmp_path) as peer:
        await peer.show([1.0, 1000.0])
        plant = plant_of(peer, tmp_path)
        first = Record(plant)
        task = await edge(plant, tmp_path / "edge1", first)
        await first.until(lambda: first.of("press/part_count"))
        await peer.show([1.0, 1005.0])
        await first.until(lambda: first.of("press/part_count")[-1][1] == 5.0)
        await stopped(task)
        await peer.show([1.0, 1012.0])
        again = Record(plant)
        task = await edge(plant, tmp_path / "edge1", again)
        await again.until(lambda: again.of("press/part_count"))
        await stopped(task)
    assert again.of("press/part_count")[0][1] == 12.0


async def test_first_rows_go_in_before_live_ones_and_only_once(tmp_path: Path) -> None:
    async with PEERS["modbus"](count=2, folder=tmp_path) as peer:
        await peer.show([10.0, 507.0])
        plant = plant_of(peer, tmp_path)
        now = UtcClock().now()
        past = now - 8 * 3_600_000 + np.arange(3) * 1000
        file = tmp_path / "first.npz"
        np.savez(
            file,
            paths=np.array(["press/current", "press/part_count", "other/x"]),
            signal=np.array([0, 1, 2], np.int32),
            source_time=past,
            value=np.array([3.5, 400.0, 1.0]),
            status=np.zeros(3, np.uint32),
            seed_paths=np.array(["press/part_count"]),
            seed_total=np.array([400.0]),
            seed_raw=np.array([500]),
            seed_time=np.array([now]),
        )
        record = Record(plant)
        task = await edge(plant, tmp_path / "edge1", record, preload=str(file))
        await record.until(lambda: len(record.of("press/part_count")) == 2)
        await stopped(task)
        assert [row[:2] for row in record.rows[:2]] == [
            ("press/current", past[0]),
            ("press/part_count", past[1]),
        ]
        assert [value for _, value, _ in record.of("press/part_count")] == [400.0, 407.0]
        again = Record(plant)
        task = await edge(plant, tmp_path / "edge1", again, preload=str(file))
        await again.until(lambda: again.of("press/part_count"))
        await stopped(task)
        assert [value for _, value, _ in again.of("press/part_count")] == [407.0]


def test_first_rows_of_unknown_signals_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "first.npz"
    empty = np.zeros(0)
    np.savez(
        file,
        paths=np.array(["nobody/x"]),
        signal=np.zeros(1, np.int32),
        source_time=np.ones(1, np.int64),
        value=np.ones(1),
        status=np.zeros(1, np.uint32),
        seed_paths=np.zeros(0, np.str_),
        seed_total=empty,
        seed_raw=empty,
        seed_time=empty,
    )
    assert len(read_preload(file, []).batch) == 0
    assert "nobody/x" in caplog.text


class BoxWithoutBattery:
    """Starts in 1970 and knows the time once a server told it."""

    factor = 1.0

    def __init__(self) -> None:
        self._real = UtcClock()
        self._began = self._real.now()
        self.told = False

    def now(self) -> int:
        return self._real.now() - (0 if self.told else self._began)


async def test_a_new_edge_that_starts_in_1970_stores_no_good_row_of_it(tmp_path: Path) -> None:
    clock = BoxWithoutBattery()
    async with PEERS["modbus"](count=2, folder=tmp_path) as peer:
        await peer.show([125.0, 1000.0])
        plant = plant_of(peer, tmp_path)
        record = Record(plant)
        task = await edge(plant, tmp_path / "edge1", record, clock)
        await record.until(lambda: len(record.of("press/last_good_read")) >= 2)
        await peer.show([130.0, 1003.0])
        await record.until(lambda: record.of("press/current")[-1][1] == 13.0)
        doubted = list(record.rows)
        clock.told = True
        await peer.show([140.0, 1003.0])
        await record.until(lambda: record.of("press/current")[-1][1:] == [14.0, 0])
        await stopped(task)
    assert {status >> 30 for _, _, _, status in doubted} <= {1, 2}, "own signals too"
    assert min(time for _, time, _, _ in doubted) >= EARLIEST_MS
    now = UtcClock().now()
    good = [time for _, time, _, status in record.rows if not status]
    assert good
    assert min(good) > now - 60_000


async def test_a_clock_that_was_once_ahead_is_outweighed_by_a_time_server() -> None:
    now, served = UtcClock(), [False]
    clock = EdgeClock(now, synchronised=lambda: served[0])
    clock.not_before(now.now() + 10 * 365 * 86_400_000)
    assert not clock.trusted
    served[0] = True
    assert clock.trusted
    assert abs(clock.now() - now.now()) < 1000


async def test_a_clock_set_back_to_1970_while_the_edge_runs_is_doubted() -> None:
    system = ManualClock(EARLIEST_MS + 1_000_000)
    clock = EdgeClock(system)
    clock.not_before(EARLIEST_MS)
    assert clock.trusted
    system.advance(-EARLIEST_MS)
    assert not clock.trusted
    assert clock.now() > EARLIEST_MS
