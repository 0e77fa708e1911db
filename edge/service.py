"""One edge gateway: its sources, what is made of them, and the uplink that loses nothing."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edge.acquisition import Acquisition
from edge.clock import EARLIEST_MS, EdgeClock, is_synchronised, kernel_offset_ms
from edge.feed import served
from edge.preload import Preload, read_preload
from edge.runner import Runner
from edge.scaling import Scaling
from edge.stage import Stage
from plant.errors import ConfigError
from plant.flow.port import Ports
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.flow.supervisor import Supervisor
from plant.model.plant import Edge, Plant
from plant.model.signal import Origin, Signal
from plant.outbox.uplink import Uplink

log = logging.getLogger("kaikou.edge")

_TICK_S = 0.5
_REPORT_S = 5.0
_PART = 50_000
_BEGUN = "edge/begun"
"""Key of the outbox's state: this edge has started before, its first rows are accepted."""


async def run(plant: Plant, ports: Ports) -> None:
    """Read an edge's machines and publish what they say until stopped.

    ``ports.options``: ``edge`` (id; the only one where there is one), ``preload`` (file of first
    rows, accepted at the first start only), ``on_commit`` (is given every row made durable).
    """
    edge = choose(plant, ports.options.get("edge"))
    published = plant.published(Origin.EDGE, edge.id)
    clock = EdgeClock(ports.clock, synchronised=is_synchronised)
    uplink = Uplink(
        plant.group,
        edge.id,
        plant.broker,
        ports.data,
        published,
        clock,
        plant.host_id,
        options=edge.outbox,
        plant_hash=plant.hash,
    )
    clock.not_before(max(uplink.outbox.trusted_ms, EARLIEST_MS))
    uplink.is_trusted = lambda: clock.trusted
    hook: Any = ports.options.get("on_commit")
    if hook is not None:
        uplink.outbox.on_commit = hook
    preload = _first_rows(ports, uplink, published)
    node = EdgeNode(plant, edge, uplink, clock, folder=ports.data, preload=preload)
    async with served(uplink.feed, edge, ports.data), Supervisor() as supervisor:
        supervisor.on_signals()
        supervisor.start("uplink", uplink.run)
        supervisor.start("node", partial(node.run, supervisor, ports))


def choose(plant: Plant, name: object) -> Edge:
    """The edge to be: the named one, or the only one."""
    if name is None and len(plant.edges) == 1:
        return next(iter(plant.edges.values()))
    edge = plant.edges.get(str(name))
    if edge is None:
        raise ConfigError(f"no edge {name!r}; this plant has {', '.join(plant.edges) or 'none'}")
    return edge


def _first_rows(ports: Ports, uplink: Uplink, published: Sequence[Signal]) -> Preload | None:
    file = ports.options.get("preload")
    if file is None or _BEGUN in uplink.saved or not Path(str(file)).exists():
        return None
    return read_preload(Path(str(file)), published)


class EdgeNode:
    """Everything of one edge between its machines and its uplink."""

    def __init__(
        self,
        plant: Plant,
        edge: Edge,
        uplink: Uplink,
        clock: EdgeClock,
        *,
        folder: Path,
        preload: Preload | None = None,
    ) -> None:
        published = list(plant.published(Origin.EDGE, edge.id))
        hidden = [
            s
            for a in plant.assets.values()
            if a.edge == edge.id
            for s in a.signals
            if s.origin is Origin.EDGE and s.hidden
        ]
        self.signals = [*published, *hidden]
        self._uplink = uplink
        self._clock = clock
        self._preload = preload
        saved = {**uplink.saved, **(preload.seeds if preload else {})}
        stage = Stage(self.signals, saved, clock.factor)
        self.acquisition = Acquisition(self.signals, len(published), stage, uplink)
        self.runners = self._runners(edge, folder)
        self._own = {s.id: at for at, s in enumerate(published) if s.asset == edge.id}
        self._dropped = 0

    def _runners(self, edge: Edge, folder: Path) -> list[Runner]:
        """A runner for every source that some signal is read from."""
        of: dict[str, list[int]] = {}
        for at, signal in enumerate(self.signals):
            if signal.reading is not None:
                of.setdefault(signal.reading.source, []).append(at)
        runners = []
        for number, (name, indices) in enumerate(of.items()):
            signals = [self.signals[at] for at in indices]
            source: Any = edge.sources[name]
            runners.append(
                Runner(
                    name,
                    source,
                    [s.reading.at for s in signals if s.reading is not None],
                    Scaling(signals, indices),
                    clock=self._clock,
                    folder=folder,
                    stagger=number / len(of),
                    names=[f"{s.path} at {s.reading.at}" for s in signals if s.reading is not None],
                )
            )
        return runners

    async def run(self, supervisor: Supervisor, ports: Ports) -> None:
        """Accept the first rows, then run every source; ends when all sources have ended."""
        await self._begin()
        if supervisor.stopping.is_set():
            self._uplink.close()
            return
        reading, delivering = [], []
        for runner in self.runners:
            reading.append(supervisor.source(f"source {runner.name}", runner.run, retry=False))
            deliver = partial(self.acquisition.deliver, runner)
            delivering.append(supervisor.start(f"deliver {runner.name}", deliver))
        supervisor.source("tick", self._tick, contained=True)
        log.info("%d sources, %d signals", len(self.runners), len(self.signals))
        ports.ready()
        await supervisor.stopping.wait()
        await asyncio.wait(reading)
        for runner in self.runners:  # one that was stopped before it began has not closed it
            runner.answers.close()
        await asyncio.gather(*delivering)
        self._uplink.close()

    async def _begin(self) -> None:
        """The first rows of a new edge go in before any live one."""
        if _BEGUN in self._uplink.saved:
            return
        state: dict[str, Mapping[str, float]] = {_BEGUN: {"at": float(self._clock.now())}}
        if self._preload is not None:
            began = time.monotonic()
            for part in self._preload.parts(_PART):
                if not await self._uplink.accept(part, live=False):
                    log.error("%d first rows were not accepted", len(part))
            state |= self._preload.seeds
            count = len(self._preload.batch)
            log.info("%d first rows accepted in %.1f s", count, time.monotonic() - began)
            self._preload = None
        await self._uplink.accept(state=state)

    async def _tick(self) -> None:
        report_s = 0.0
        while True:
            await asyncio.sleep(_TICK_S)
            self.acquisition.tick(self._clock.now())
            if time.monotonic() - report_s >= _REPORT_S:
                report_s = time.monotonic()
                self._report()

    def _report(self) -> None:
        """The edge's own signals; those of the queue are the uplink's."""
        dropped = sum(r.count.dropped for r in self.runners)
        self._uplink.dropped_before_accept += dropped - self._dropped
        self._dropped = dropped
        faults = float(sum(r.count.lost for r in self.runners))
        offset = kernel_offset_ms()
        known = {
            "device_faults": (faults, StatusCode.Good),
            "clock_offset_ms": (
                float("nan") if offset is None else offset,
                StatusCode.BadNoData if offset is None else StatusCode.Good,
            ),
        }
        rows = [(self._own[name], *told) for name, told in known.items() if name in self._own]
        if rows:
            signal, value, status = zip(*rows, strict=True)
            self._uplink.accept(SampleBatch.of(signal, self._clock.now(), value, status))
