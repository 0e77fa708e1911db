"""Counts that a line takes over from its last gauge."""

from collections.abc import Iterator, Mapping
from math import inf

from plant.flow.live import LiveTable, SignalTable
from plant.flow.port import HistorianReader
from plant.flow.sample import SampleBatch
from plant.model.plant import Plant
from twin.fold import GOOD, REJECT
from twin.timeline import Derived, alike


def mirrored(plant: Plant) -> Mapping[str, str]:
    """Signals that a line takes over unchanged: path of its last gauge -> path of the line."""
    found = {}
    for line in plant.lines.values():
        own = plant.assets.get(line.id)
        for id in (GOOD, REJECT):
            stations = [s.asset for s in line.flow if plant.assets[s.asset].signal(id) is not None]
            if own is not None and own.signal(id) is not None and stations:
                found[f"{stations[-1]}/{id}"] = f"{line.id}/{id}"
    return found


class Mirror:
    """Takes over counters row by row, at their own times, historical ones too."""

    def __init__(self, plant: Plant, table: SignalTable) -> None:
        self._table = table
        self._to = {table.add(source): target for source, target in mirrored(plant).items()}
        self._untold = dict(self._to)

    @property
    def signals(self) -> list[int]:
        """Those it takes over."""
        return list(self._to)

    def add(self, samples: SampleBatch, historical: bool = False) -> Iterator[Derived]:
        """The line's samples that follow from these."""
        for index, path in self._to.items():
            for i in (samples.signal == index).nonzero()[0].tolist():
                value, status = float(samples.value[i]), int(samples.status[i])
                yield Derived(path, int(samples.source_time[i]), value, status)
                if not historical:
                    self._untold.pop(index, None)

    def missing(self, reader: HistorianReader, start: int, end: int) -> Iterator[Derived]:
        """The line's rows that an earlier process did not tell of stored rows from start to end."""
        for index, path in self._to.items():
            rows = reader.read([self._table.path(index)], start, end)
            told = reader.read([path], start, end)
            columns = (rows.source_time, rows.value, rows.status)
            there = dict(
                zip(
                    told.source_time.tolist(),
                    zip(told.value.tolist(), told.status.tolist(), strict=True),
                    strict=True,
                )
            )
            for time, value, status in zip(*(c.tolist() for c in columns), strict=True):
                if not alike(there.get(time, (inf, 0)), (value, status)):
                    yield Derived(path, time, value, status)

    def held(self, live: LiveTable, since: int) -> Iterator[Derived]:
        """What stood before this process began, at ``since``, and comes in no row soon."""
        for index, path in list(self._untold.items()):
            if live.status[index] == 0:
                del self._untold[index]
                if live.source_time[index] < since:
                    yield Derived(path, since, float(live.value[index]))
