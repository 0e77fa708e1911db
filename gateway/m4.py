"""M4 down-sampling: of every bucket the first, last, least and greatest row.

Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014: a line drawn
through these four rows per pixel column colours the same pixels as the line through all rows, so
every spike an engineer looks for is still there.
"""

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int64


def m4(time: Int64, value: Float64, start: int, bucket_ms: float) -> NDArray[np.intp]:
    """Indices of the rows to keep, ascending; ``time`` ascending (ms), buckets from ``start``.

    NaN (a gap) is kept wherever it first appears after a value, so a gap stays a gap.

    >>> t = np.arange(8, dtype=np.int64)
    >>> v = np.array([1.0, 9.0, 0.0, 2.0, 2.0, 2.0, 2.0, 5.0])
    >>> m4(t, v, 0, 4.0).tolist()
    [0, 1, 2, 3, 4, 7]
    """
    n = len(time)
    if n == 0:
        return np.empty(0, np.intp)
    bucket = np.floor_divide(time - start, bucket_ms).astype(np.int64)
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    last = np.r_[first[1:], n] - 1
    missing = np.isnan(value)
    low = _extreme(np.where(missing, np.inf, value), first, np.minimum)
    high = _extreme(np.where(missing, -np.inf, value), first, np.maximum)
    breaks = np.flatnonzero(missing[1:] & ~missing[:-1]) + 1
    return np.unique(np.concatenate([first, last, low, high, breaks]))


def _extreme(value: Float64, first: NDArray[np.intp], ufunc: np.ufunc) -> NDArray[np.intp]:
    """The earliest index of the extreme in each bucket."""
    extreme = ufunc.reduceat(value, first)
    lengths = np.diff(np.r_[first, len(value)])
    hits = np.flatnonzero(value == np.repeat(extreme, lengths))
    of = np.searchsorted(first, hits, side="right") - 1
    keep: NDArray[np.intp] = hits[np.r_[True, of[1:] != of[:-1]]]
    return keep
