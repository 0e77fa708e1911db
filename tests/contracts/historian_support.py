"""One historian of any kind, opened again and again; rows as tuples."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from plant.flow.port import HistorianReader, HistorianWriter, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from twin.historian import KINDS

BAD = int(StatusCode.BadNoCommunication)
UNCERTAIN = int(StatusCode.UncertainSubNormal)
DAY = 86_400_000


class Place:
    """One historian of one kind."""

    def __init__(self, kind: str, folder: Path, **settings) -> None:
        self.kind = kind
        self.settings = KINDS[kind](kind=kind, **settings)
        self.folder = folder
        self.open: list = []

    def writer(self, *series: Series) -> HistorianWriter:
        writer = self.settings.writer(self.folder)
        self.open.append(writer)
        writer.declare(series)
        return writer

    def reader(self) -> HistorianReader:
        reader = self.settings.reader(self.folder)
        self.open.append(reader)
        return reader

    def close(self) -> None:
        for it in self.open:
            it.close()


Settle = Callable[[HistorianWriter], None]
PlaceOf = Callable[..., Place]


def batch(*rows) -> SampleBatch:
    """(signal, time, value[, status]) as a batch."""
    signal, time, value, status = zip(*[(*r, 0)[:4] for r in rows], strict=True)
    return SampleBatch.of(signal, time, value, status)


def rows(b: SampleBatch) -> list:
    """A batch as (signal, time, value, status), NaN as None."""
    return [
        (s, t, None if np.isnan(v) else v, q)
        for s, t, v, q in zip(
            b.signal.tolist(),
            b.source_time.tolist(),
            b.value.tolist(),
            b.status.tolist(),
            strict=True,
        )
    ]
