"""What each signal is, told to the historian before its first row and when that changes."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from plant.flow.live import SignalTable
from plant.flow.port import Commit, HistorianWriter, Series
from plant.flow.sample import Int32, SampleBatch


class Declared:
    """The series of the signals of a table; a signal nobody described is a plain measurement.

    ``learn`` is called where messages are heard, the rest in the historian's thread.
    """

    def __init__(self, table: SignalTable, series: Iterable[Series]) -> None:
        self._table = table
        self._series = {s.path: s for s in series}
        for path in self._series:
            table.add(path)
        self._anew: deque[int] = deque()
        self._count = 0
        self._place: Int32 = np.empty(0, np.int32)
        """Index of each signal in the historian's list; its own until it had to begin anew."""

    def learn(self, series: Series, anew: bool = True) -> bool:
        """Take what a foreign birth says of a path; whether it contradicts what was known.

        Where it does a new signal begins; without ``anew`` what was known stays.
        """
        signal = self._table.add(series.path)
        known = self._series.get(series.path)
        told = known is not None or signal < len(self._place)
        if told and series == (known or Series(series.path)):
            return False
        if told and not anew:
            return True
        self._series[series.path] = series
        if not told:
            return False
        self._anew.append(signal)
        return True

    def tell(self, writer: HistorianWriter) -> None:
        """Declare what is new: later rows of a signal whose unit changed are another series'."""
        if len(self._place) < len(self._table):
            fresh = range(len(self._place), len(self._table))
            self._place = np.concatenate([self._place, self._declare(writer, fresh)])
        while self._anew:
            signal = self._anew.popleft()
            self._place[signal] = self._declare(writer, [signal])[0]

    def _declare(self, writer: HistorianWriter, signals: Iterable[int]) -> Int32:
        paths = [self._table.path(i) for i in signals]
        writer.declare([self._series.get(path, Series(path)) for path in paths])
        self._count += len(paths)
        return np.arange(self._count - len(paths), self._count, dtype=np.int32)

    def placed(self, commit: Commit) -> Commit:
        """The commit as the historian counts."""
        if self._count == len(self._table):  # nothing ever began anew
            return commit
        rows = commit.samples
        samples = SampleBatch(
            self._place[rows.signal],
            rows.source_time,
            rows.value,
            rows.status,
            rows.received_time,
        )
        texts = [replace(t, signal=int(self._place[t.signal])) for t in commit.texts]
        return replace(commit, samples=samples, texts=texts)
