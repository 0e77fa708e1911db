"""A small plant, its twin as a task, an edge that says what it is told."""

import asyncio
import os
import signal as signals
from contextlib import asynccontextmanager
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from plant.flow.clock import UtcClock
from plant.flow.port import Ports
from plant.model.packml import PACKML_LABELS, PackML
from plant.model.plant import (
    Asset,
    Edge,
    Gateway,
    Line,
    Outbox,
    Plant,
    StateRule,
    Station,
)
from plant.model.signal import Label, Origin, Signal, SignalKind
from plant.outbox.uplink import Uplink
from tests.wire.broker_support import until
from twin.historian.embedded import Embedded

NAME = Label("名", "name")
K = SignalKind
RULES = {0: PackML.Stopped, 1: PackML.Idle, 2: PackML.Execute}


def signal(path, kind=K.MEASUREMENT, origin=Origin.EDGE, **more):
    asset, _, id = path.partition("/")
    return Signal(path, asset, id, NAME, kind, origin=origin, **more)


def machine(id, *more):
    own = (
        signal(f"{id}/light", K.STATE),
        signal(f"{id}/activity", K.STATE),
        signal(f"{id}/power", unit="kW"),
        signal(f"{id}/state", K.STATE, Origin.TWIN, states=PACKML_LABELS),
        *more,
    )
    rules = (
        StateRule(f"{id}/light", {3: PackML.Aborted}),
        StateRule(f"{id}/activity", {v: int(s) for v, s in RULES.items()}),
    )
    return Asset(id, "machine", NAME, "machine", "edge1", "hall", own, rules)


@pytest.fixture(name="a_plant")
def _a_plant():
    return a_plant


def a_plant(broker, simulated=False):
    line = Line("hall", NAME, (Station("saw", 3), Station("gauge", 0)), "saw")
    twin = Origin.TWIN
    hall = tuple(
        signal(f"hall/{id}", kind, twin)
        for id, kind in (
            ("state", K.STATE), ("good_count", K.COUNTER), ("reject_count", K.COUNTER),
            ("buffer_saw", K.MEASUREMENT),
        )
    )  # fmt: skip
    own = (
        signal("edge1/link", K.STATE, twin),
        signal("edge1/complete_up_to", origin=twin),
        signal("edge1/outbox_rows"),
    )
    assets = [
        machine("saw", signal("saw/part_count", K.COUNTER, modulus=65536.0)),
        machine("gauge", *(signal(f"gauge/{n}_count", K.COUNTER) for n in ("good", "reject"))),
        Asset("hall", "production_line", NAME, "line", "", None, hall),
        Asset("edge1", "edge", NAME, "edge", "edge1", None, own),
    ]  # fmt: skip
    return Plant(
        enterprise="kaikou", site="test", name=NAME, timezone=ZoneInfo("UTC"), host_id="kaikou",
        broker=broker, historian=Embedded(kind="embedded"), gateway=Gateway(),
        lines={"hall": line}, edges={"edge1": Edge("edge1", NAME, {})},
        assets={a.id: a for a in assets}, simulated=simulated, hash="0",
    )  # fmt: skip


@asynccontextmanager
async def twin_running(plant, folder, clock=None):
    """The twin's service as a task; ends by SIGTERM, as in life."""
    from twin import service

    ready = asyncio.Event()
    store = folder / "historian"
    ports = Ports(
        clock or UtcClock(),
        folder / "twin",
        reader=lambda: plant.historian.reader(store),
        writer=lambda: plant.historian.writer(store),
        ready=ready.set,
    )
    ports.data.mkdir(parents=True, exist_ok=True)
    task = asyncio.create_task(service.run(plant, ports))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    reader = plant.historian.reader(store)
    try:
        yield SimpleNamespace(reader=reader, task=task, store=store)
    finally:
        if not task.done():
            os.kill(os.getpid(), signals.SIGTERM)
        async with asyncio.timeout(15):
            await task
        reader.close()


@asynccontextmanager
async def edge_running(plant, folder, node="edge1", group=None):
    """An uplink of the plant's edge; ``say(path, value)`` accepts a sample."""
    listed = [s for s in plant.published(Origin.EDGE) if not s.hidden]
    folder.mkdir(parents=True, exist_ok=True)
    clock = UtcClock()
    options = Outbox(commit_ms=20)
    up = Uplink(
        group or plant.group, node, plant.broker, folder, listed, clock, plant.host_id,
        options=options,
    )  # fmt: skip
    task = asyncio.create_task(up.run())
    try:
        yield up
        assert not task.done(), task.result()
    finally:
        up.close()
        async with asyncio.timeout(15):
            await task


@pytest.fixture
def kit(mosquitto):
    plant = a_plant(mosquitto.broker)
    return SimpleNamespace(
        plant=plant, mosquitto=mosquitto, twin=twin_running, edge=edge_running, until=until
    )
