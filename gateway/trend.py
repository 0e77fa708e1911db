"""What a chart asks of the historian: a trend at pixel resolution, and the runs of a state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.m4 import m4
from plant.flow.port import HistorianReader
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import is_bad
from plant.model.signal import SignalKind


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """Rows of one signal for drawing.

    ``tier`` names where they come from; ``bucket_ms`` is the M4 bucket width, 0 where every row
    is given; ``raw_count`` is how many rows lie in the range.
    """

    tier: str
    bucket_ms: float
    raw_count: int
    time: Int64
    value: Float64
    status: UInt32


def read_trend(
    reader: HistorianReader, path: str, kind: SignalKind, start: int, end: int, *, px: int
) -> Trend:
    """The signal from ``start`` to ``end`` (ms UTC) for ``px`` pixels.

    The row that still held at ``start`` comes first, with its own time. Steps (states, setpoints)
    keep every change and drop repetitions; the rest is M4 where there are more than 4 rows a pixel.
    """
    held = reader.as_of([path], start - 1)
    rows = reader.read([path], start, end)
    raw_count = len(rows)
    bucket_ms = 0.0
    if kind in {SignalKind.STATE, SignalKind.SETPOINT}:
        rows = _changes(rows)
    elif raw_count > 4 * px:
        bucket_ms = (end - start) / px
        value = np.where(is_bad(rows.status), np.nan, rows.value)
        rows = rows.take(m4(rows.source_time, value, start, bucket_ms))
    rows = SampleBatch.concat([held, rows])
    value = np.where(is_bad(rows.status), np.nan, rows.value)
    return Trend("raw", bucket_ms, raw_count, rows.source_time, value, rows.status)


@dataclass(frozen=True, slots=True)
class StateRun:
    """A time in one state; ``state`` None where nothing good is known. ms UTC, half-open."""

    start: int
    end: int
    state: int | None
    status: int


def read_states(reader: HistorianReader, path: str, start: int, end: int) -> Sequence[StateRun]:
    """The runs of a state that touch the range, the first and last clipped to it.

    A state that began before the range is there from its start, the last one lasts to its end.
    """
    rows = SampleBatch.concat([reader.as_of([path], start - 1), reader.read([path], start, end)])
    rows = _changes(rows)
    if not len(rows):
        return []
    begins = np.maximum(rows.source_time, start)
    ends = np.r_[rows.source_time[1:], end]
    unknown = is_bad(rows.status) | np.isnan(rows.value)
    return [
        StateRun(int(b), int(e), None if u else int(v), int(s))
        for b, e, v, s, u in zip(begins, ends, rows.value, rows.status, unknown, strict=True)
        if e > b
    ]


def _changes(rows: SampleBatch) -> SampleBatch:
    """Only the rows where value or status differ from the row before."""
    if len(rows) < 2:
        return rows
    value, status = rows.value, rows.status
    same = (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
    return rows.take(np.r_[True, ~(same & (status[1:] == status[:-1]))])
