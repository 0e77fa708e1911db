"""First rows of a new edge: what a simulated plant would have published before it began."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.stage import PUBLISHED
from plant.flow.sample import SampleBatch
from plant.model.signal import Signal

log = logging.getLogger("kaikou.edge")


@dataclass(frozen=True, slots=True, eq=False)
class Preload:
    """Samples in time order, and where counting goes on: path -> total, raw, time (ms UTC)."""

    batch: SampleBatch
    seeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def parts(self, size: int) -> Sequence[SampleBatch]:
        """In pieces of ``size`` samples."""
        return [
            self.batch.take(np.arange(start, min(start + size, len(self.batch))))
            for start in range(0, len(self.batch), size)
        ]


def read_preload(file: Path, signals: Sequence[Signal]) -> Preload:
    """Read what ``simulators.preload`` wrote; paths this edge does not publish are left out."""
    index = {signal.path: at for at, signal in enumerate(signals)}
    with np.load(file) as data:
        paths = [str(path) for path in data["paths"]]
        place = np.array([index.get(path, -1) for path in paths] or [-1], np.int32)
        signal = place[data["signal"]]
        batch = SampleBatch.of(signal, data["source_time"], data["value"], data["status"])
        seeds = {
            str(path): {
                "total": float(total),
                "raw": float(raw),
                "time": float(time),
                PUBLISHED: 1.0,
            }
            for path, total, raw, time in zip(
                data["seed_paths"],
                data["seed_total"],
                data["seed_raw"],
                data["seed_time"],
                strict=True,
            )
        }
    unknown = [path for path in paths if path not in index]
    if unknown:
        log.warning("first rows of signals this edge does not have: %s", ", ".join(unknown))
    return Preload(batch.take(signal >= 0), seeds)
