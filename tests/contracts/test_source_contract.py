"""What every source kind must do, with the peer of its kind in simulators; no peer, no pass."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.adapters import KINDS
from edge.clock import EdgeClock
from edge.runner import Read, Runner
from edge.scaling import Scaling
from edge.source import Session, Source
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad
from plant.model.signal import Label, Signal, SignalKind
from simulators.link import Link
from simulators.peer import KINDS as PEERS
from simulators.peer import Peer

COUNT = 8
DEADLINE_S = 20.0

pytestmark = pytest.mark.parametrize("kind", list(KINDS))


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Peer]:
    assert kind in PEERS, f"the source kind {kind!r} has no peer in simulators/peer.py"
    async with PEERS[kind](count=COUNT, folder=folder) as peer:
        yield peer


def configured(peer: Peer, **more: object) -> tuple[Source, list[Any]]:
    """The source and its points, read as plant.yaml gives them."""
    model: Any = KINDS[peer.kind]
    given = peer.source() | more
    if "poll_ms" in model.model_fields:
        given.setdefault("poll_ms", 100)
    return model.model_validate(given), [model.Point.model_validate(at) for at in peer.points]


def signals(count: int) -> list[Signal]:
    return [
        Signal(f"a/s{i}", "a", f"s{i}", Label("", ""), SignalKind.MEASUREMENT) for i in range(count)
    ]


async def heard(session: Session, wanted: Callable[[SampleBatch], bool]) -> SampleBatch:
    """The newest sample of every point, once they are as wanted."""
    newest: dict[int, tuple[int, float, int]] = {}
    async with asyncio.timeout(DEADLINE_S):
        while True:
            samples = (await session.read()).samples
            columns = (samples.signal, samples.source_time, samples.value, samples.status)
            for signal, *row in zip(*(c.tolist() for c in columns), strict=True):
                newest[signal] = tuple(row)
            if len(newest) == COUNT:
                rows = [newest[i] for i in range(COUNT)]
                batch = SampleBatch.of(range(COUNT), *zip(*rows, strict=True))
                if wanted(batch):
                    return batch


def shows(peer: Peer, values: list[float]) -> Callable[[SampleBatch], bool]:
    step = np.array(peer.resolution)
    return lambda b: bool((np.abs(b.value - values) <= step).all()) and not b.status.any()


@asynccontextmanager
async def running(peer: Peer, folder: Path, **more: object) -> AsyncIterator[tuple[Runner, Any]]:
    """A runner at work, and a function that waits for the first answer that is as wanted."""
    source, points = configured(peer, **more)
    scaling = Scaling(signals(COUNT), range(COUNT))
    runner = Runner("peer", source, points, scaling, clock=EdgeClock(UtcClock()), folder=folder)

    async def until(wanted: Callable[[Read], bool]) -> Read:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                read = await runner.answers.get()
                if wanted(read):
                    return read

    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        yield runner, until
        task.cancel()


def all_good(read: Read) -> bool:
    return read.good and len(read.batch) == COUNT and not read.batch.status.any()


def files() -> int:
    """How many files and sockets this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_reads_what_the_peer_shows(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as peer:
        values = [1.5 + i for i in range(COUNT)]
        await peer.show(values)
        source, points = configured(peer)
        before = time.time_ns() // 1_000_000
        async with source.open(points, UtcClock(), tmp_path) as session:
            batch = await heard(session, shows(peer, values))
            assert (np.abs(batch.source_time - before) < 30_000).all()
            values = [7.0 + i for i in range(COUNT)]
            await peer.show(values)
            later = await heard(session, shows(peer, values))
        assert (later.source_time >= batch.source_time).all()


async def test_no_peer_is_unavailable(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as peer:
        source, points = configured(peer)
        await peer.fail(Link(offline=True))
        with pytest.raises(Unavailable):
            async with source.open(points, UtcClock(), tmp_path) as session:
                await session.read()


async def test_a_peer_that_went_is_bad_and_comes_back(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as peer:
        await peer.show([2.0] * COUNT)
        async with running(peer, tmp_path) as (runner, until):
            await until(all_good)
            for link in (Link(offline=True), Link(silent=True)):
                await peer.fail(link)
                lost = await until(lambda read: not read.good)
                assert lost.batch.signal.tolist() == list(range(COUNT))
                assert (lost.batch.status == StatusCode.BadNoCommunication).all()
                assert np.isnan(lost.batch.value).all()
                assert runner.lost
                await peer.fail(Link())
                await peer.show([3.0] * COUNT)
                back = await until(all_good)
                assert (back.batch.source_time > lost.batch.source_time).all()
                assert not runner.lost


async def test_rubbish_is_bad_and_ends_nothing(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as peer:
        await peer.show([2.0] * COUNT)
        async with running(peer, tmp_path) as (_, until):
            await until(all_good)
            await peer.fail(Link(garbage=True))
            read = await until(
                lambda read: bool(len(read.batch)) and is_bad(read.batch.status).all()
            )
            assert np.isnan(read.batch.value).all()
            await peer.fail(Link())
            await peer.show([4.0] * COUNT)
            await until(all_good)


async def test_a_point_that_does_not_exist_disturbs_no_other(kind: str, tmp_path: Path) -> None:
    strange = {
        "modbus": "input:5000 float64",
        "dlt645": "000000000042 02060000",
        "opcua": "ns=2;s=Nobody",
    }
    async with opened(kind, tmp_path) as peer:
        await peer.show([2.0] * COUNT)
        source, points = configured(peer)
        points[3] = type(points[3]).model_validate(strange[kind])
        async with source.open(points, UtcClock(), tmp_path) as session:
            batch = await heard(session, lambda b: bool(is_bad(b.status)[3]))
        assert np.flatnonzero(is_bad(batch.status)).tolist() == [3]


async def test_stops_in_any_state_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as peer:
        await peer.show([2.0] * COUNT)
        async with running(peer, tmp_path) as (_, until):  # the first time imports the library
            await until(all_good)
        await _quiet(lambda: len(asyncio.all_tasks()) == 1 or peer.kind == "opcua")
        gc.collect()
        tasks, held = len(asyncio.all_tasks()), files()
        for link in (Link(), Link(silent=True)):
            async with asyncio.timeout(2 * DEADLINE_S), running(peer, tmp_path) as (_, until):
                await until(all_good)
                await peer.fail(link)
                if link.silent:
                    await until(lambda read: not read.good)
            await peer.fail(Link())
        await _quiet(lambda: len(asyncio.all_tasks()) <= tasks and files() <= held)


async def _quiet(wanted: Callable[[], bool]) -> None:
    """Wait until the peer has noticed that we are gone."""
    async with asyncio.timeout(DEADLINE_S):
        while not wanted():
            await asyncio.sleep(0.01)
            gc.collect()
