"""Trends: M4 of a signal's rows or of a tier's cells, equal whichever they are made from.

Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014: a line drawn
through the first, last, least and greatest row of each pixel column colours the same pixels as the
line through all rows, so every spike an engineer looks for is still there.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Trend
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import is_bad
from plant.model.signal import SignalKind
from twin.historian.cell import Cells, Rules, cells_alone
from twin.historian.join import coarser

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
STEPS = frozenset({SignalKind.STATE, SignalKind.SETPOINT})
"""Kinds whose value holds until the next: what counts is where it changes."""

_TIERS = {1: "raw", MINUTE_MS: "minute", HOUR_MS: "hour"}
_PLAIN = Rules.of()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a range (ms UTC, half-open) is drawn: at most ``px`` buckets of ``bucket_ms``.

    Buckets begin at multiples of their width since 1970, and the width is a multiple of the
    tier's cell, so their edges are edges of cells. ``cell_ms`` is 1 where no tier may serve.

    >>> Plan.of(0, 365 * 86_400_000, 2000).bucket_ms
    18000000
    >>> Plan.of(500, 1500, 100).bucket_ms
    10
    """

    start: int
    end: int
    px: int
    cell_ms: int
    bucket_ms: int

    @classmethod
    def of(cls, start: int, end: int, px: int, raw: bool = False) -> Self:
        """``raw``: no tier may serve, because it knows only what is newest."""
        px = max(px, 2)  # one bucket cannot hold both sides of 1970
        length = max(end - start, 1)
        cell = 1
        if not raw:
            cell = next((c for c in (HOUR_MS, MINUTE_MS) if length >= c * px), 1)
        width = -(-length // (px * cell)) * cell
        if (start + length - 1) // width - start // width >= px:  # it does not begin on an edge
            width = -(-length // ((px - 1) * cell)) * cell
        return cls(start, end, px, cell, width)

    @property
    def tier(self) -> str:
        """Name of the tier whose cells may serve."""
        return _TIERS[self.cell_ms]

    @property
    def most(self) -> int:
        """So many rows are given as they are."""
        return 4 * self.px

    def edges(self, width_ms: int) -> Int64:
        """Edges at multiples of a width that cover the range."""
        first, last = self.start // width_ms, -(-self.end // width_ms)
        return np.arange(first, max(last, first + 1) + 1, dtype=np.int64) * width_ms


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Rows of one signal for drawing: time (ms UTC), value (NaN where Bad), status."""

    time: Int64
    value: Float64
    status: UInt32

    @classmethod
    def of(cls, rows: SampleBatch) -> Self:
        """Every row."""
        value = np.where(is_bad(rows.status), np.nan, rows.value)
        return cls(rows.source_time, value, rows.status)

    def __len__(self) -> int:
        return len(self.time)

    def take(self, which: NDArray[np.generic]) -> Self:
        """Those at an index array or a mask."""
        return type(self)(self.time[which], self.value[which], self.status[which])

    @classmethod
    def concat(cls, parts: "list[Points]") -> Self:
        """All in the order given."""
        return cls(
            np.concatenate([p.time for p in parts]),
            np.concatenate([p.value for p in parts]),
            np.concatenate([p.status for p in parts]),
        )


def m4(cells: Cells) -> Points:
    """Of every cell the first, last, least and greatest row, and its very last where Bad.

    >>> rows = SampleBatch.of([0] * 5, range(5), [1.0, 9.0, 0.0, 2.0, 5.0], [0, 0, 0, 0, 1 << 31])
    >>> m4(cells_alone(rows, np.array([0, 8]), Rules.of())).time.tolist()
    [0, 1, 2, 3, 4]
    """
    some = np.flatnonzero(~np.isnan(cells.last))
    gap = np.flatnonzero(~cells.tail_counts)
    four = [
        Points(
            getattr(cells, f"{name}_time")[some],
            getattr(cells, name)[some],
            getattr(cells, f"{name}_status")[some],
        )
        for name in ("first", "low", "high", "last")
    ]
    tail = Points(cells.tail_time[gap], np.full(len(gap), np.nan), cells.tail_status[gap])
    points = Points.concat([*four, tail])
    return points.take(np.unique(points.time, return_index=True)[1])


def step_changes(rows: SampleBatch) -> SampleBatch:
    """Only the rows where value or status differ from the row before.

    >>> step_changes(SampleBatch.of([0] * 4, [1, 2, 3, 4], [6.0, 6.0, 4.0, 6.0])).source_time
    array([1, 3, 4])
    """
    if len(rows) < 2:
        return rows
    value, status = rows.value, rows.status
    same = (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
    return rows.take(np.r_[True, ~(same & (status[1:] == status[:-1]))])


def least_changes(cells: Cells) -> int:
    """So often at least the value changed, as far as cells tell."""
    some = cells.take(~np.isnan(cells.last))
    inside = some.low != some.high
    between = some.first[1:] != some.last[:-1]
    return int(inside.sum() + between.sum())


def row_trend(held: SampleBatch, shown: SampleBatch, raw_count: int) -> Trend:
    """Rows as they are; ``held`` is the last row before the range."""
    drawn = Points.of(SampleBatch.concat([held, shown]))
    return Trend("raw", 0, raw_count, drawn.time, drawn.value, drawn.status)


def cell_trend(held: SampleBatch, cells: Cells, plan: Plan, tier: str) -> Trend:
    """M4 from sorted cells of one signal, none of which crosses a bucket's edge."""
    buckets = coarser(cells, plan.edges(plan.bucket_ms), _PLAIN)
    drawn = Points.concat([Points.of(held), m4(buckets)])
    count = int(cells.count.sum())
    return Trend(tier, plan.bucket_ms, count, drawn.time, drawn.value, drawn.status)


def trend_cells(rows: SampleBatch, plan: Plan, width_ms: int) -> Cells:
    """Cells of a signal's rows inside the range, for ``cell_trend``."""
    return cells_alone(rows, plan.edges(width_ms), _PLAIN)


def trend_of_rows(
    held: SampleBatch, rows: SampleBatch, plan: Plan, kind: SignalKind = SignalKind.MEASUREMENT
) -> Trend:
    """The trend of a signal from all rows of the range and the row before it.

    >>> rows = SampleBatch.of([0] * 100, range(100), range(100))
    >>> trend = trend_of_rows(SampleBatch.empty(), rows, Plan.of(0, 100, 10))
    >>> trend.bucket_ms, trend.time[:4].tolist(), trend.raw_count
    (10, [0, 9, 10, 19], 100)
    """
    shown = step_changes(rows) if kind in STEPS else rows
    if len(shown) <= plan.most:
        return row_trend(held, shown, len(rows))
    return cell_trend(held, trend_cells(rows, plan, plan.bucket_ms), plan, "raw")
