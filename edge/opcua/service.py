"""Runs the OPC UA server of one edge as a process: hears the edge's feed, or the broker.

From the feed it lives when the broker does not and shows the edge's own signals; from the broker
it shows the whole plant with states and analytics.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import partial
from pathlib import Path
from signal import SIGHUP
from typing import TYPE_CHECKING, cast

import numpy as np

from edge.feed import feed_port
from plant.errors import ConfigError, Unavailable
from plant.flow.clock import Clock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.port import Ports
from plant.flow.status import StatusCode
from plant.flow.supervisor import Run, Supervisor
from plant.model.plant import Asset, Plant
from plant.model.signal import Origin, Signal
from plant.outbox.feed import FeedClient
from plant.wire.host_event import Data, Died, HostEvent
from plant.wire.host_session import HostSession

if TYPE_CHECKING:
    from edge.opcua.server import OpcUaServer
    from edge.opcua.window import Window

log = logging.getLogger("kaikou.opcua")

Messages = AsyncGenerator[tuple[str, bytes], None]

SILENT_S = 10.0
"""A feed that says nothing for this long is connected again, which brings births."""
PUSH_S = 0.1
REVIEW_S = 2.0
RENEW_S = 3600.0
TRUST_FOLDER = "pki"
"""Under the process's own folder: ``own``, ``trusted``, ``issuers``, ``rejected``."""


async def run(plant: Plant, ports: Ports) -> None:
    """Serve until SIGTERM or SIGINT.

    ``ports.options``: ``edge`` names the edge (needed when several have ``opcua:``). Its folder
    lies beside ours; the feed is found there.

    Raises
    ------
    ConfigError
        No such server in plant.yaml, no users, no certificate, port taken.
    """
    from edge.opcua.server import OpcUaServer
    from edge.opcua.window import Window

    edge = which_edge(plant, ports.options.get("edge"))
    config = plant.edges[edge].opcua
    bus = config is not None and config.feed == "broker"
    shown = exposed(plant, edge, whole=bus)
    table = SignalTable()
    source: Feed | Bus
    if bus:
        source = Bus(plant, edge, ports.clock, table)
        window = source.window
    else:
        window = Window(LiveTable(table))
        source = Feed(plant.group, edge, ports.data.parent / edge, window)
    async with (
        OpcUaServer(plant, edge, ports.data / TRUST_FOLDER, window, shown) as server,
        Supervisor() as supervisor,
    ):
        settle()
        supervisor.on_signals()
        for name, task in source.tasks:
            supervisor.source(name, task, contained=True)
        supervisor.source("certificates", partial(keep_certificates, server), contained=True)
        ports.ready()


async def keep_certificates(server: "OpcUaServer") -> None:
    """Use what lies in the folder: trust taken back at once, our own certificate before it ends.

    SIGHUP has our own certificate read at once, for one that somebody put there; at a terminal it
    ends us as ever.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.stdin is None or not sys.stdin.isatty():
        loop.add_signal_handler(SIGHUP, asked.set)
    renew_at = loop.time() + RENEW_S
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REVIEW_S):
                    await asked.wait()
            if asked.is_set() or loop.time() >= renew_at:
                asked.clear()
                renew_at = loop.time() + RENEW_S
                await server.renew()
            server.review()
    finally:
        loop.remove_signal_handler(SIGHUP)


def which_edge(plant: Plant, wanted: object = None) -> str:
    """The edge whose server this is.

    Raises
    ------
    ConfigError
        It has none, or there are several and none is named.
    """
    having = [edge.id for edge in plant.edges.values() if edge.opcua is not None]
    if wanted is not None:
        if wanted not in having:
            raise ConfigError(f"edge {wanted!r} has no 'opcua:'; these have: {', '.join(having)}")
        return str(wanted)
    if len(having) != 1:
        raise ConfigError(
            "no edge has 'opcua:' in plant.yaml"
            if not having
            else f"say which edge's OPC UA server to run: {', '.join(having)}"
        )
    return having[0]


def exposed(plant: Plant, edge: str, *, whole: bool) -> list[tuple[Asset, Sequence[Signal]]]:
    """Assets with the signals to show: those that the edge publishes, or all of the plant.

    Where ``opcua: {assets: [...]}`` names assets, only those.
    """
    config = plant.edges[edge].opcua
    wanted = set(config.assets if config else ())
    found: list[tuple[Asset, Sequence[Signal]]] = []
    for asset in plant.assets.values():
        if wanted and asset.id not in wanted:
            continue
        signals = [
            signal
            for signal in asset.signals
            if not signal.hidden
            and (whole or (signal.origin is Origin.EDGE and asset.edge == edge))
        ]
        if signals:
            found.append((asset, signals))
    return found


class Feed:
    """Hears one edge's feed into the window; ``folder`` is the edge's."""

    def __init__(self, group: str, edge: str, folder: Path, window: "Window") -> None:
        self._group = group
        self._edge = edge
        self._folder = folder
        self._window = window

    @property
    def tasks(self) -> list[tuple[str, Run]]:
        """What keeps it at work."""
        return [(f"feed of {self._edge}", self.hear)]

    async def hear(self) -> None:
        """Until the connection is lost or silent; everything is BadNoCommunication then."""
        port = feed_port(self._folder)
        session = HostSession(self._group, [self._edge], self._window.live.table)
        messages = cast("Messages", aiter(FeedClient(port)))
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    topic, payload = await anext(messages)
                take(session.on_message(topic, payload, time.monotonic()), self._window)
                await self._window.push()
        except TimeoutError as error:
            await self._lost()
            raise Unavailable(f"silent for {SILENT_S:.0f} s") from error
        except Unavailable:
            await self._lost()
            raise
        finally:
            await messages.aclose()

    async def _lost(self) -> None:
        live = self._window.live
        live.mark(np.arange(len(live.table), dtype=np.int32), StatusCode.BadNoCommunication)
        await self._window.push()


class Bus:
    """Hears the broker into the window: the whole plant."""

    def __init__(self, plant: Plant, edge: str, clock: Clock, table: SignalTable) -> None:
        from edge.opcua.window import Window
        from plant.wire.ownership import Ownership
        from plant.wire.view import LinkState, LiveView

        self._plant = plant
        self._client_id = f"{plant.group}-{edge}-opcua"
        self._view = LiveView(
            plant.group,
            plant.edges,
            host_id=plant.host_id,
            clock=clock,
            table=table,
            on_data=self._texts,
            ownership=Ownership.of(plant),
        )
        self.window = Window(self._view.live)
        self._lost_state = LinkState.LOST
        self._lost: set[str] = set()

    def _texts(self, data: Data) -> None:
        if data.live:
            for text in data.texts:
                self.window.text(text)

    @property
    def tasks(self) -> list[tuple[str, Run]]:
        """What keeps it at work."""
        return [("broker", self._hear), ("OPC UA push", self._pump)]

    async def _hear(self) -> None:
        await self._view.run(self._plant.broker, self._client_id)

    async def _pump(self) -> None:
        """Push what changed; ten times a second is as fast as anything is published."""
        revision = -1
        while True:
            await asyncio.sleep(PUSH_S)
            if revision != self._view.revision:
                revision = self._view.revision
                self._mark_lost()
            await self.window.push()

    def _mark_lost(self) -> None:
        """The signals of an edge that fell silent are no longer known."""
        lost = {link.edge for link in self._view.links() if link.state is self._lost_state}
        for edge in lost - self._lost:
            paths = [s.path for s in self._plant.published(Origin.EDGE, edge)]
            found = [i for i in map(self._view.table.get, paths) if i is not None]
            self._view.live.mark(np.array(found, np.int32), StatusCode.BadNoCommunication)
        self._lost = lost


def take(events: Iterable[HostEvent], window: "Window") -> None:
    """Bring what a session heard into the live table."""
    for event in events:
        if isinstance(event, Data) and event.live:
            window.live.update(event.samples)
            for text in event.texts:
                window.text(text)
        elif isinstance(event, Died):
            window.live.mark(event.signals, StatusCode.BadNoCommunication)


def settle() -> None:
    """The address space stays: the collector need not look at it again (0.1 s each time).

    What building it left behind goes back to the system (30 MB; glibc only).
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
