"""The state band of a machine: its runs of state, what it waited for and its mode, from rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.port import HistorianReader
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32, distinct
from plant.flow.status import StatusCode, is_bad
from plant.model.mode import Mode, Waiting
from plant.model.packml import PackML

HOLD_MS = 180_000
"""A row counts for so long without a newer one (three repetitions) where nothing else is said."""
_SIGNALS = ("state", "waiting", "mode")


@dataclass(frozen=True, slots=True)
class StateRun:
    """A time in one state, ms UTC, half-open.

    state    a PackML number; None where nothing good is known
    waiting  a number of ``Waiting``: of a Suspended machine why, where that is known
    mode     a number of ``Mode``
    status   of the state
    """

    start: int
    end: int
    state: int | None
    waiting: int = 0
    mode: int = 0
    status: int = int(StatusCode.BadNoData)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """A signal as steps: what holds from each ``time`` on; NaN where nothing does."""

    time: Int64
    value: Float64
    status: UInt32

    def at(self, moments: Int64) -> tuple[Float64, UInt32]:
        """Value and status at each moment."""
        place = np.searchsorted(self.time, moments, "right") - 1
        before = place < 0
        place = np.maximum(place, 0)
        if not len(self.time):
            return np.full(len(moments), np.nan), np.full(len(moments), _NONE)
        value = np.where(before, np.nan, self.value[place])
        return value, np.where(before, _NONE, self.status[place]).astype(np.uint32)


_NONE = np.uint32(StatusCode.BadNoData)


def state_runs(
    reader: HistorianReader,
    asset: str,
    start: int,
    end: int,
    known_at: int | None = None,
) -> Sequence[StateRun]:
    """The runs of ``asset`` that touch [start, end), clipped to it, without a gap between them.

    A row holds until the next one, at most its series' ``hold_ms``: what follows is unknown, as
    are Bad rows and the state Unknown. ``known_at`` (ms UTC) reads as the twin then believed.
    """
    if end <= start:
        return []
    paths = [f"{asset}/{id}" for id in _SIGNALS]
    holds = {s.path: s.hold_ms for s in reader.series() if s.path in paths}
    rows = SampleBatch.concat(
        [reader.as_of(paths, start - 1, known_at), reader.read(paths, start, end, known_at)]
    )
    steps = [
        _steps(rows.take(rows.signal == i), holds.get(path, HOLD_MS) or HOLD_MS)
        for i, path in enumerate(paths)
    ]
    edges = distinct(np.concatenate([s.time for s in steps] + [np.array([start, end])]))
    edges = edges[(edges >= start) & (edges <= end)]
    begins = edges[:-1]
    (state, status), (waiting, _), (mode, _) = (s.at(begins) for s in steps)
    return _joined(begins, edges[1:], (state, status, waiting, mode))


def _steps(rows: SampleBatch, hold_ms: int) -> _Steps:
    """Rows of one signal in time order; where one holds no longer, nothing does."""
    rows = rows.take(np.argsort(rows.source_time, kind="stable"))
    time = rows.source_time
    value = np.where(is_bad(rows.status), np.nan, rows.value)
    ends = time + hold_ms
    short = np.append(ends[:-1] < time[1:], True) if len(time) else np.empty(0, np.bool_)
    at = np.concatenate([time, ends[short]])
    values = np.concatenate([value, np.full(int(short.sum()), np.nan)])
    statuses = np.concatenate([rows.status, np.full(int(short.sum()), _NONE, np.uint32)])
    order = np.argsort(at, kind="stable")
    return _Steps(at[order], values[order], statuses[order])


def _joined(begins: Int64, ends: Int64, columns: Sequence[Float64 | UInt32]) -> Sequence[StateRun]:
    """Neighbours that say the same are one run; columns: state, its status, waiting, mode."""
    told, code, why, how = columns
    known = ~np.isnan(told) & (told != PackML.Unknown)
    suspended = known & (told == PackML.Suspended) & ~np.isnan(why)
    state = np.where(known, told, -1).astype(np.int64)
    waiting = np.where(suspended, why, Waiting.Nothing).astype(np.int64)
    mode = np.where(np.isnan(how), Mode.Unknown, how).astype(np.int64)
    change = np.ones(len(begins), np.bool_)
    change[1:] = False
    for column in (state, code, waiting, mode):
        change[1:] |= column[1:] != column[:-1]
    at = np.flatnonzero(change)
    last = np.append(at[1:], len(begins)) - 1
    rows = zip(
        begins[at].tolist(),
        ends[last].tolist(),
        *(c[at].tolist() for c in (state, waiting, mode, code)),
        strict=True,
    )
    return [StateRun(b, e, None if s < 0 else s, w, m, c) for b, e, s, w, m, c in rows]
