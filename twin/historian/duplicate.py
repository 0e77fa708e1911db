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
    turn = None if _rising(batch) else _turns(batch)
    known = batch.source_time <= top[batch.signal]
    if turn is not None:
        known &= turn == 0
    if known.any():
        at = np.flatnonzero(known)
        rows = batch.take(at)
        there, stored = look_up(rows)
        again = at[there & _equal(rows, stored)]
        if len(again):
            turn = np.zeros(len(batch), np.int64) if turn is None else turn
            turn[again] = -1
    if turn is None:
        return [batch]
    rounds = [batch.take(turn == k) for k in range(int(turn.max()) + 1)]
    return [r for r in rounds if len(r)]


def _rising(batch: SampleBatch) -> bool:
    """Whether the times of every signal rise strictly, as they do from our own edges."""
    order = np.argsort(batch.signal, kind="stable")
    signal, time = batch.signal[order], batch.source_time[order]
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
