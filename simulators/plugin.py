"""A pytest plug-in: simulated devices as a fixture.

pytest_plugins = ["simulators.plugin"]

async def test_my_reader(simulated_device):
    async with simulated_device("modbus", count=4) as device:
        await device.show([1.0, 2.0, 3.0, 4.0])
        ... device.source(), device.points ...
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.peer import KINDS, Peer


@pytest.fixture
def simulated_device(tmp_path: Path) -> Callable[..., Peer]:
    """``simulated_device(kind, count)`` makes a peer of a source kind; ``async with`` opens it."""

    def make(kind: str, count: int = 1) -> Peer:
        peer: Any = KINDS[kind](count=count, folder=tmp_path)
        if not isinstance(peer, Peer):
            raise TypeError(f"the peer of {kind!r} is none")
        return peer

    return make
