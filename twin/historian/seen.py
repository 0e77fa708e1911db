"""What is seen of one signal over a range, of whatever kind of historian, drawn and summed up.

Where cells answer they stand for rows; what they leave is read raw. Both figures equal those over
all raw rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Aggregate, Series, Trend
from plant.flow.sample import Float64, Int64, SampleBatch
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window, aggregate_cells, state_durations, window_cells
from twin.historian.cell import Cells
from twin.historian.trend import (
    STEPS,
    Plan,
    cell_trend,
    least_changes,
    row_trend,
    step_changes,
    trend_cells,
)

Range = tuple[int, int]
"""ms UTC, half-open."""


class Seen(Protocol):
    """One signal over a range, as one moment saw it."""

    @property
    def series(self) -> Series:
        """What is known of the signal."""

    @property
    def cell_ms(self) -> int:
        """Width of the cells that serve, 0 where none do."""

    @property
    def unread(self) -> Sequence[Range]:
        """What cells do not answer for, in order."""

    def cells(self) -> Cells:
        """The cells that serve, numbered 0, by start."""

    def rows(self, ranges: Sequence[Range] | None = None) -> SampleBatch:
        """Raw rows of some ranges in order of time; None: all of it."""

    def parts(
        self, ranges: Sequence[Range] | None = None
    ) -> Iterator[tuple[Sequence[Range], SampleBatch]]:
        """The same in pieces, each with the ranges it is about."""


def draw(sight: Seen, plan: Plan, held: SampleBatch) -> Trend:
    """The trend of what was seen; equal to ``trend.trend_of_rows`` over all of it."""
    steps = sight.series.kind in STEPS
    cells = sight.cells()
    if steps and least_changes(cells) <= plan.most:  # the rows themselves decide
        cells, ranges = Cells.empty(), None
    else:
        ranges = sight.unread
    width = plan.cell_ms if len(cells) else plan.bucket_ms
    pieces, shown, count = [cells], SampleBatch.empty(), int(cells.count.sum())
    for _, part in sight.parts(ranges):
        count += len(part)
        pieces.append(trend_cells(part, plan, width))
        if steps:
            shown = step_changes(SampleBatch.concat([shown, part]))
        elif count <= plan.most:
            shown = SampleBatch.concat([shown, part])
    if len(cells) and count <= plan.most:
        return row_trend(held, sight.rows(), count)
    if not len(cells) and (len(shown) if steps else count) <= plan.most:
        return row_trend(held, shown, count)
    found = Cells.concat(pieces)
    found = found.take(np.argsort(found.start, kind="stable"))
    return cell_trend(held, found, plan, plan.tier if len(cells) else "raw")


def sum_up(sight: Seen, window: Window, carried: SampleBatch) -> Aggregate:
    """The aggregate of what was seen; equal to ``aggregate.aggregate`` over all of it."""
    series = sight.series
    width = sight.cell_ms or window.width_ms
    cells, shown = [sight.cells()], [carried]
    for ranges, rows in sight.parts(sight.unread):
        if len(rows):
            cells.append(window_cells(rows, _edges(ranges, width, window.start), series))
        if series.kind is SignalKind.STATE:
            shown.append(rows)
    durations: Mapping[int, Float64] = {}
    if series.kind is SignalKind.STATE:
        durations = state_durations(SampleBatch.concat(shown), window, series.hold_ms)
    found = Cells.concat(cells)
    found = found.take(np.argsort(found.start, kind="stable"))
    return aggregate_cells(carried, found, window, series, durations)


def _edges(ranges: Sequence[Range], width: int, origin: int) -> Int64:
    """Ends of some ranges, and what lies in them of the edges from an origin on."""
    edges = [
        np.r_[
            start,
            np.arange(origin + ((start - origin) // width + 1) * width, end, width),
            end,
        ]
        for start, end in ranges
    ]
    return np.unique(np.concatenate(edges))


def without(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """Ordered ranges with ordered holes cut out.

    >>> without([(0, 10), (20, 30)], [(2, 3), (9, 22)])
    [(0, 2), (3, 9), (22, 30)]
    """
    found = []
    for start, end in ranges:
        at = start
        for low, high in holes:
            if high <= at or low >= end:
                continue
            if low > at:
                found.append((at, low))
            at = high
        if at < end:
            found.append((at, end))
    return found


def inside(time: Int64, ranges: Sequence[Range]) -> NDArray[np.bool_]:
    """Where a time is in one of some ordered ranges."""
    edges = np.array([t for span in ranges for t in span], np.int64)
    found: NDArray[np.bool_] = np.searchsorted(edges, time, "right") % 2 == 1
    return found
