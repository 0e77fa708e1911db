"""Values at given times: between rows where the kind allows it, held where it does not.

Over any ``HistorianReader``. A measurement or counter goes straight from one row to the next; not
across Bad, not over a counter's reset or rollover, not over a hole longer than ``hold_ms``: there
the former value holds as long as it counts (``plant.flow.port.Aggregate`` says how long), then
nothing is known. A state or setpoint always holds.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import HistorianReader, Series
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import SEVERITY, StatusCode, is_bad
from plant.model.signal import SignalKind

_PART_MS = 86_400_000
"""So much raw is read at once."""
_LINEAR = frozenset({SignalKind.MEASUREMENT, SignalKind.COUNTER})
_NOTHING = np.uint32(StatusCode.BadNoData)
_FOREVER = np.iinfo(np.int64).max


def interpolate(  # noqa: PLR0917
    reader: HistorianReader,
    series: Sequence[Series],
    start: int,
    end: int,
    step_ms: int,
    known_at: int | None = None,
) -> SampleBatch:
    """Each series at ``start``, ``start + step_ms`` … before ``end`` (ms UTC).

    ``signal`` is the index into ``series``, ``source_time`` the time asked for; every series has
    every time, by series and time. Where nothing is known the value is NaN and the status Bad: the
    row's own, else BadNoData. Between two rows the worse of their statuses counts. The row that
    ends the last piece is looked for as far as a value counts, where that is for ever as far as
    the range is long.
    """
    if step_ms <= 0:
        raise ValueError("a step is at least a millisecond")
    times = np.arange(start, end, step_ms, dtype=np.int64)
    paths = [s.path for s in series]
    kept = [reader.as_of(paths, start, known_at)]
    for low, high in _parts(start + 1, end):
        rows = reader.read(paths, low, high, known_at)
        inside = times[(times >= low) & (times < high)]
        kept += [_needed(rows.take(rows.signal == i), inside) for i in range(len(paths))]
    waiting = np.arange(len(paths))
    for low, high in _parts(end, end + max((s.hold_ms or end - start for s in series), default=0)):
        rows = reader.read([paths[i] for i in waiting], low, high, known_at)
        index, first = np.unique(rows.signal, return_index=True)
        kept.append(_numbered(rows.take(first), waiting[index]))
        waiting = np.delete(waiting, index)
        if not len(waiting):
            break
    found = SampleBatch.concat(kept)
    found = found.take(np.lexsort((found.source_time, found.signal)))
    return SampleBatch.concat(
        [_at(found.take(found.signal == i), times, one, i) for i, one in enumerate(series)]
    )


def _parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    for low in range(start, end, _PART_MS):
        yield low, min(low + _PART_MS, end)


def _numbered(rows: SampleBatch, index: Int64) -> SampleBatch:
    return SampleBatch.of(index, rows.source_time, rows.value, rows.status)


def _needed(rows: SampleBatch, times: Int64) -> SampleBatch:
    """First and last row, and what stands beside each time."""
    if len(rows) < 4 or len(rows) < len(times):
        return rows
    beside = np.searchsorted(rows.source_time, times, "right")
    at = np.concatenate([[0, len(rows) - 1], beside - 1, beside])
    return rows.take(np.unique(np.clip(at, 0, len(rows) - 1)))


def _at(rows: SampleBatch, times: Int64, series: Series, index: int) -> SampleBatch:
    """One series at some times.

    >>> rows = SampleBatch.of([0, 0], [0, 10], [1.0, 2.0])
    >>> _at(rows, np.array([-5, 0, 5, 10, 15]), Series("a/x", hold_ms=12), 0).value.tolist()
    [nan, 1.0, 1.5, 2.0, 2.0]
    """
    n = len(times)
    value, status = np.full(n, np.nan), np.full(n, _NOTHING)
    before = np.searchsorted(rows.source_time, times, "right") - 1
    some = np.flatnonzero(before >= 0)
    if len(some):
        a = before[some]
        usable = ~is_bad(rows.status) & ~np.isnan(rows.value)
        counts = times[some] - rows.source_time[a] < (series.hold_ms or _FOREVER)
        held = np.where(usable[a], rows.value[a], np.nan)
        told = np.where(usable[a] | is_bad(rows.status[a]), rows.status[a], _NOTHING)
        if series.kind in _LINEAR:
            straight = _straight(rows, usable, a, times[some], series)
            held[straight], told[straight] = _between(rows, a[straight], times[some][straight])
        value[some] = np.where(counts, held, np.nan)
        status[some] = np.where(counts | ~usable[a], told, _NOTHING)
    return SampleBatch.of(np.full(n, index), times, value, status)


def _straight(
    rows: SampleBatch, usable: NDArray[np.bool_], a: Int64, times: Int64, series: Series
) -> NDArray[np.intp]:
    """Which times lie on a line from row ``a`` to the next."""
    b = np.minimum(a + 1, len(rows) - 1)
    linked = (b > a) & usable[a] & usable[b] & (times > rows.source_time[a])
    linked &= rows.source_time[b] - rows.source_time[a] <= (series.hold_ms or _FOREVER)
    if series.kind is SignalKind.COUNTER:  # after a reset or rollover it is less
        linked &= rows.value[b] >= rows.value[a]
    return np.flatnonzero(linked)


def _between(rows: SampleBatch, a: Int64, times: Int64) -> tuple[Float64, UInt32]:
    """Value on the line from row ``a`` to the next, and the worse of their statuses."""
    b = a + 1
    share = (times - rows.source_time[a]) / (rows.source_time[b] - rows.source_time[a])
    value = rows.value[a] * (1 - share) + rows.value[b] * share
    worse = (rows.status[b] & SEVERITY) > (rows.status[a] & SEVERITY)
    return value, np.where(worse, rows.status[b], rows.status[a])
