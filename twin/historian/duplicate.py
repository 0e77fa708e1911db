"""The duplicate rule: what of a commit is new, and in which order corrections become known.

The same signal, source time, value and status as the newest row changes nothing. Another value
or status is a correction: a further row. Of two values in one commit the later waits for the
next ``received_time``, so "newest" has no ties.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int64, SampleBatch

LookUp = Callable[[SampleBatch], tuple[NDArray[np.bool_], SampleBatch]]
"""Rows -> (where their signal and time is stored already, the newest stored there, else any)."""


def new_rounds(batch: SampleBatch, top: Int64, look_up: LookUp) -> Sequence[SampleBatch]:
    """Batches to be stored one after the other, each with a ``received_time`` of its own.

    ``top`` is the greatest source time stored of each signal; only rows not above it are looked
    up. Within a batch the order of arrival is kept.

    >>> nothing = lambda rows: (np.zeros(len(rows), bool), rows)
    >>> b = SampleBatch.of([0, 0, 0, 1], [5, 5, 5, 5], [1.0, 1.0, 2.0, 1.0])
    >>> [r.value.tolist() for r in new_rounds(b, np.array([0, 0]), nothing)]
    [[1.0, 1.0], [2.0]]
    """
    if not len(batch):
        return []
    known = batch.source_time <= top[batch.signal]
    if not known.any():
        turn = None if _single(batch) else _turns(batch)
    else:  # rows above the top and rows below it cannot be the same
        turn = np.zeros(len(batch), np.int64)
        late, new = np.flatnonzero(known), np.flatnonzero(~known)
        for part in (new, late):
            rows = batch.take(part)
            if not _single(rows):
                turn[part] = _turns(rows)
        first = np.flatnonzero(turn[late] == 0)
        there, stored = look_up(rows if len(first) == len(late) else rows.take(first))
        if there.any():
            turn[late[first[there & _equal(rows.take(first), stored)]]] = -1
        if not turn.any():
            turn = None
    if turn is None:
        return [batch]
    rounds = [batch.take(turn == k) for k in range(int(turn.max()) + 1)]
    return [r for r in rounds if len(r)]


_FEW = 4
"""Times as many ids as rows: above it counting costs more than sorting."""


def _single(batch: SampleBatch) -> bool:
    """Whether no two rows can be of one signal and time: as they come from our own edges."""
    if len(batch) < 2:
        return True
    signal, top = batch.signal, int(batch.signal.max())
    if top < _FEW * len(batch) and int(np.bincount(signal).max()) == 1:
        return True
    order = np.argsort(signal.astype(np.uint16) if top < 1 << 16 else signal, kind="stable")
    signal, time = signal[order], batch.source_time[order]
    return bool(((signal[1:] != signal[:-1]) | (time[1:] > time[:-1])).all())


def _turns(batch: SampleBatch) -> Int64:
    """-1: repeats the row before it of the same signal and time; else its place among those."""
    index = np.arange(len(batch))
    order = np.lexsort((index, batch.source_time, batch.signal))
    rows = batch.take(order)
    same = np.zeros(len(rows), np.bool_)
    same[1:] = (rows.signal[1:] == rows.signal[:-1]) & (
        rows.source_time[1:] == rows.source_time[:-1]
    )
    again = np.zeros(len(rows), np.bool_)
    again[1:] = same[1:] & _equal(rows.take(index[1:]), rows.take(index[:-1]))
    step = np.cumsum(same & ~again)
    first = np.maximum.accumulate(np.where(same, 0, index))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.where(again, -1, step - step[first])
    return turn


def _equal(a: SampleBatch, b: SampleBatch) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (a.value == b.value) | (np.isnan(a.value) & np.isnan(b.value))
    same &= a.status == b.status
    return same
