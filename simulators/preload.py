"""Eight hours of first rows: what the demo's edge would have published before it started.

The physics runs ahead of the live start and every machine says what its edge would have published,
by change and deadband. Written as one numpy file that the edge accepts as its first rows:

paths                    signal paths
signal, source_time,     columns of a SampleBatch over these paths, in time order
value, status
seed_paths               counting signals ("lathe/part_count"), where their count stood at the end:
seed_total, seed_raw,    the total published, the raw reading of the hardware counter it belongs to,
seed_time                and when (ms UTC); live counting goes on from there without a jump
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

from plant.flow.sample import SampleBatch
from plant.model.plant import Plant
from plant.model.signal import Origin, Signal, SignalKind
from simulators.station import Station
from simulators.world import STEP_MS, World

HOURS = 8
LOOK_MS = 1000
"""How often states and counters are looked at."""
MEASURE_MS = 5000
"""How often measurements are."""


@dataclass(slots=True)
class _Column:
    index: int
    deadband: float
    max_interval_ms: int
    every_ms: int
    value: float = float("nan")
    status: int = -1
    told_ms: int = -1

    def tells(self, now_ms: int, value: float, status: int) -> bool:
        """Whether the edge would report this, by change, deadband and longest interval."""
        same = status == self.status and (
            value == self.value
            or abs(value - self.value) < self.deadband
            or (isnan(value) and isnan(self.value))
        )
        if same and now_ms - self.told_ms < self.max_interval_ms:
            return False
        self.value, self.status, self.told_ms = value, status, now_ms
        return True


class Recorder:
    """Collects what would have been published of a world while it is stepped."""

    def __init__(self, plant: Plant, world: World) -> None:
        self._world = world
        self.paths: list[str] = []
        self._columns: dict[str, dict[str, _Column]] = {}
        self._read: dict[str, _Column] = {}
        self._signal: list[int] = []
        self._time: list[int] = []
        self._value: list[float] = []
        self._status: list[int] = []
        for signal in plant.published(Origin.EDGE):
            if signal.asset not in world.machines:
                continue
            column = self._column(signal)
            if signal.id == "last_good_read":
                self._read[signal.asset] = column
            else:
                self._columns.setdefault(signal.asset, {})[signal.id] = column

    def _column(self, signal: Signal) -> _Column:
        self.paths.append(signal.path)
        measured = signal.kind is SignalKind.MEASUREMENT or signal.unit == "kWh"
        return _Column(
            len(self.paths) - 1,
            signal.deadband,
            int(signal.max_interval * 1000),
            MEASURE_MS if measured else LOOK_MS,
        )

    def look(self) -> None:
        """Once a second of plant time."""
        now_ms = self._world.now_ms
        measuring = now_ms % MEASURE_MS == 0
        for id, columns in self._columns.items():
            told = self._world.machines[id].published(self._world)
            for name, (value, status) in told.items():
                column = columns.get(name)
                if column is None or (column.every_ms == MEASURE_MS and not measuring):
                    continue
                if column.tells(now_ms, value, status):
                    self._row(column, now_ms, value, status)
        if measuring:
            for column in self._read.values():
                self._row(column, now_ms, float(now_ms), 0)

    def _row(self, column: _Column, now_ms: int, value: float, status: int) -> None:
        self._signal.append(column.index)
        self._time.append(now_ms)
        self._value.append(value)
        self._status.append(status)

    def batch(self) -> SampleBatch:
        """Everything so far, in time order."""
        return SampleBatch.of(self._signal, self._time, self._value, self._status)


def run_ahead(plant: Plant, world: World, until_ms: int) -> Recorder:
    """Step the world to ``until_ms`` and record what would have been published."""
    recorder = Recorder(plant, world)
    while world.now_ms + STEP_MS <= until_ms:
        world.step()
        if world.now_ms % LOOK_MS == 0:
            recorder.look()
    return recorder


def counts(world: World) -> Mapping[str, tuple[float, int]]:
    """Signals that are counted from a hardware counter -> total now, raw reading now."""
    return {
        f"{id}/{name}": found
        for id, machine in world.machines.items()
        if isinstance(machine, Station)
        for name, found in machine.counts().items()
    }


def write_preload(file: Path, recorder: Recorder, world: World) -> int:
    """Write the file, whole or not at all; returns the number of rows."""
    batch = recorder.batch()
    seeds = {p: c for p, c in counts(world).items() if p in set(recorder.paths)}
    new = file.with_suffix(".new.npz")
    file.parent.mkdir(parents=True, exist_ok=True)
    with new.open("wb") as out:
        np.savez(
            out,
            paths=np.array(recorder.paths),
            signal=batch.signal,
            source_time=batch.source_time,
            value=batch.value,
            status=batch.status,
            seed_paths=np.array(list(seeds), dtype=np.str_),
            seed_total=np.array([total for total, _ in seeds.values()], np.float64),
            seed_raw=np.array([raw for _, raw in seeds.values()], np.int64),
            seed_time=np.full(len(seeds), world.now_ms, np.int64),
        )
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
    return len(batch)
