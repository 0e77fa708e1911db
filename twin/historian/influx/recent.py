"""What was written last, in memory, so that only rows older than that are asked of the server.

``top`` is the latest source time stored of each series; from ``cover`` on, everything stored of a
series is in memory: a row there that memory does not hold is not stored.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int64, SampleBatch
from twin.historian.hot import HotLog

NEVER = int(np.iinfo(np.int64).min)
ROWS = 400_000
"""Bound of memory: about 20 MB."""


class Recent:
    """Rows by series number."""

    def __init__(self, rows: int = ROWS) -> None:
        self._bound = rows
        self._log = HotLog(seek=True)
        self._commits: deque[int] = deque()
        self.top: Int64 = np.empty(0, np.int64)
        self.cover: Int64 = np.empty(0, np.int64)

    def fit(self, series: int) -> None:
        """Room for so many series."""
        if series > len(self.top):
            more = np.full(max(series, 2 * len(self.top), 256) - len(self.top), NEVER, np.int64)
            self.top = np.concatenate([self.top, more])
            self.cover = np.concatenate([self.cover, more])

    def begin(self, series: int, latest: SampleBatch) -> None:
        """Start with nothing in memory; ``latest`` is each series' last stored row."""
        self._log, self._commits = HotLog(seek=True), deque()
        self.top = self.cover = np.empty(0, np.int64)
        self.fit(series)
        np.maximum.at(self.top, latest.signal, latest.source_time)
        np.maximum.at(self.cover, latest.signal, latest.source_time + 1)

    def remember(self, rows: SampleBatch) -> None:
        """Rows that are stored now, newer than all before."""
        if not len(rows):
            return
        np.maximum.at(self.top, rows.signal, rows.source_time)
        self._log.append(rows)
        self._commits.append(len(rows))
        if self._log.rows > self._bound:
            self._forget(self._log.rows - self._bound // 2)

    def surpass(self, rows: SampleBatch) -> None:
        """Rows are stored that memory does not take."""
        np.maximum.at(self.top, rows.signal, rows.source_time)
        np.maximum.at(self.cover, rows.signal, rows.source_time + 1)

    def _forget(self, at_least: int) -> None:
        rows = 0
        while rows < at_least and len(self._commits) > 1:
            rows += self._commits.popleft()
        gone = self._log.view()
        signal, time = gone.signal[:rows], gone.source_time[:rows]
        np.maximum.at(self.cover, signal, time + 1)
        self._log = self._log.after(rows)

    def newest(self, rows: SampleBatch) -> tuple[NDArray[np.bool_], SampleBatch]:
        """(where memory holds a row of this series and time, the newest of those)."""
        place = self._log.newest(rows.signal, rows.source_time)
        there = place >= 0
        value, status = rows.value.copy(), rows.status.copy()
        if there.any():
            found = self._log.view().take(place[there])
            value[there], status[there] = found.value, found.status
        stored = SampleBatch(rows.signal, rows.source_time, value, status, rows.received_time)
        return there, stored
