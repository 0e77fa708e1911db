"""The demo plant on free ports, and its world."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.kinds import kinds
from plant.model.load import load
from plant.model.plant import Plant
from simulators.world import World

FILE = Path(__file__).parents[2] / "deploy" / "demo" / "plant.yaml"
MONDAY_8 = 1_789_948_800_000
"""2026-09-21 08:00 in Shanghai: two hours before the break."""


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def load_demo() -> Plant:
    names = sorted(set(re.findall(r"\$\{(KAIKOU_PORT_\w+):-", FILE.read_text("utf-8"))))
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    secrets = {"KAIKOU_OPCUA_PASSWORD": "a-test-password", "KAIKOU_MILL_PASSWORD": "mill-password"}
    return load(FILE, kinds(), {**ports, **secrets})


@pytest.fixture(scope="session")
def demo() -> Plant:
    return load_demo()


@pytest.fixture
def make_world(demo: Plant) -> Callable[..., World]:
    def make(start_ms: int = MONDAY_8, seed: int = 1, **more: object) -> World:
        return World(demo, start_ms, seed, **more)

    return make
