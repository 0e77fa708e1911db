"""The live table: the newest value of every signal, as each process sees it from the bus."""

from collections.abc import Iterator, Sequence

import numpy as np

from plant.flow.sample import Float64, Int32, Int64, SampleBatch, UInt32
from plant.flow.status import StatusCode

_GROW = 256


class SignalTable:
    """Paths and their indices in this process. Grows, never shrinks, never renumbers.

    >>> table = SignalTable(["lathe/power", "lathe/state"])
    >>> table.index("lathe/state"), table.add("press/power"), table.add("lathe/power")
    (1, 2, 0)
    """

    def __init__(self, paths: Sequence[str] = ()) -> None:
        self._paths: list[str] = []
        self._index: dict[str, int] = {}
        for path in paths:
            self.add(path)

    def add(self, path: str) -> int:
        """The index of a path, given now if it has none."""
        index = self._index.setdefault(path, len(self._paths))
        if index == len(self._paths):
            self._paths.append(path)
        return index

    def index(self, path: str) -> int:
        """The index of a known path; KeyError otherwise."""
        return self._index[path]

    def get(self, path: str) -> int | None:
        """The index of a path, None where it is not known."""
        return self._index.get(path)

    def path(self, index: int) -> str:
        """The path at an index."""
        return self._paths[index]

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)


class LiveTable:
    """The newest sample of every signal of a ``SignalTable``, in columns.

    Live order is order of arrival in the session, not source time (clocks step back), so an
    update always replaces. Rows that are historical must not be given to it. Each viewer holds a
    ``Cursor`` and asks what changed since it last asked; nothing is pushed.

    >>> live = LiveTable(SignalTable(["a/x", "a/y"]))
    >>> cursor = live.cursor()
    >>> live.update(SampleBatch.of([1], [5000], [2.5]))
    >>> cursor.changed().tolist(), live.value[1]
    ([1], np.float64(2.5))
    >>> cursor.changed().tolist()
    []
    """

    def __init__(self, table: SignalTable) -> None:
        self.table = table
        self.revision = 0
        self.value: Float64 = np.empty(0, np.float64)
        self.status: UInt32 = np.empty(0, np.uint32)
        self.source_time: Int64 = np.empty(0, np.int64)
        self.changed_at: Int64 = np.empty(0, np.int64)
        self._fit()

    def _fit(self) -> None:
        have, need = len(self.value), len(self.table)
        if have >= need:
            return
        more = max(need - have, _GROW if have else 0)
        self.value = np.concatenate([self.value, np.full(more, np.nan)])
        waiting = np.full(more, StatusCode.BadWaitingForInitialData, np.uint32)
        self.status = np.concatenate([self.status, waiting])
        self.source_time = np.concatenate([self.source_time, np.zeros(more, np.int64)])
        self.changed_at = np.concatenate([self.changed_at, np.zeros(more, np.int64)])

    def update(self, batch: SampleBatch) -> None:
        """Take over newer samples; of one signal twice in a batch the later row wins."""
        if not len(batch):
            return
        self._fit()
        self.revision += 1
        self.value[batch.signal] = batch.value
        self.status[batch.signal] = batch.status
        self.source_time[batch.signal] = batch.source_time
        self.changed_at[batch.signal] = self.revision

    def mark(self, signals: Int32, status: StatusCode) -> None:
        """Give signals another status and keep value and time: a dead device, a lost link."""
        if not len(signals):
            return
        self._fit()
        self.revision += 1
        self.status[signals] = status
        self.changed_at[signals] = self.revision

    def snapshot(self, signals: Int32) -> SampleBatch:
        """The newest samples of some signals; never seen is NaN, BadWaitingForInitialData, 0."""
        self._fit()
        return SampleBatch.of(
            signals, self.source_time[signals], self.value[signals], self.status[signals]
        )

    def cursor(self) -> "Cursor":
        """A place to ask from what has changed; starts with "everything so far is known"."""
        return Cursor(self)


class Cursor:
    """One reader's place in a live table."""

    def __init__(self, live: LiveTable) -> None:
        self._live = live
        self._seen = live.revision

    def changed(self) -> Int32:
        """Indices of the signals that changed since the last call."""
        live = self._live
        if live.revision == self._seen:
            return np.empty(0, np.int32)
        at = np.flatnonzero(live.changed_at > self._seen).astype(np.int32)
        self._seen = live.revision
        return at
