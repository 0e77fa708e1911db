"""Every source kind of the edge has a peer that its adapter can read and quarrel with."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge.adapters import KINDS as SOURCES
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from simulators.link import Link
from simulators.peer import KINDS as PEERS
from simulators.plugin import simulated_device  # noqa: F401 - a fixture


def test_no_kind_is_without_a_peer():
    assert set(PEERS) == set(SOURCES)


@pytest.mark.parametrize("kind", list(SOURCES))
async def test_the_adapter_reads_what_the_peer_shows(kind: str, tmp_path: Path):
    async with PEERS[kind](count=5, folder=tmp_path) as peer, asyncio.timeout(40):
        source: Any = SOURCES[kind].model_validate(peer.source())
        points = [source.Point.model_validate(at) for at in peer.points]
        values = [1.5, 22.25, 3.5, 44.0, 5.5]
        await peer.show(values)
        seen: dict[int, float] = {}
        async with source.open(points, UtcClock(), tmp_path) as session:
            while len(seen) < 5 or any(
                abs(seen[i] - v) > step + 1e-9
                for i, (v, step) in enumerate(zip(values, peer.resolution, strict=True))
            ):
                samples = (await session.read()).samples
                good = samples.take(samples.status == 0)
                seen.update(zip(good.signal.tolist(), good.value.tolist(), strict=True))


@pytest.mark.parametrize("kind", [k for k in SOURCES if k != "opcua"])
async def test_a_silent_peer_is_unavailable_and_comes_back(kind: str, tmp_path: Path):
    async with PEERS[kind](count=1, folder=tmp_path) as peer, asyncio.timeout(30):
        source: Any = SOURCES[kind].model_validate(peer.source())
        points = [source.Point.model_validate(at) for at in peer.points]
        await peer.fail(Link(silent=True))

        async def read_bad() -> bool:
            try:
                async with source.open(points, UtcClock(), tmp_path) as session:
                    samples = (await session.read()).samples
                    return bool((samples.status & 0x8000_0000).all())
            except Unavailable:
                return True

        assert await read_bad()
        await peer.fail(Link(garbage=True))
        assert await read_bad()
        await peer.fail(Link(offline=True))
        assert await read_bad()
        await peer.fail(Link())
        await peer.show([7.5])
        async with source.open(points, UtcClock(), tmp_path) as session:
            assert (await session.read()).samples.value.tolist() == [7.5]


async def test_the_plug_in_gives_devices(simulated_device):  # noqa: F811
    async with simulated_device("modbus", count=2) as device:
        await device.show([1.0, 2.0])
        source: Any = SOURCES["modbus"].model_validate(device.source())
        points = [source.Point.model_validate(at) for at in device.points]
        async with source.open(points, UtcClock(), device.folder) as session:
            assert (await session.read()).samples.value.tolist() == [1.0, 2.0]
