"""One signal over a range, as one moment saw it: its rows, and the cells that stand for rows.

A tier's span says that every row of the signal in it is in cells, a dirty mark takes parts of that
back. What is left is read from raw rows; both are taken in one transaction, so a row that is
sealed, merged, corrected or built into cells meanwhile is seen once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Aggregate, Series, Trend
from plant.flow.sample import Float64, Int64, SampleBatch
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window, aggregate_cells, state_durations, window_cells
from twin.historian.cell import Cells
from twin.historian.manifest import FOREVER, Manifest
from twin.historian.segment import DAY_MS, Segment, newest, scan
from twin.historian.store import TIERS, select
from twin.historian.tier import TIER_COLUMNS, TierFile, scan_cells
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

_PART_ROWS = 4_000_000
"""So many raw rows are held at a time, 32 bytes each."""
_ORS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Which ranges cells answer for, which files hold them, and what has to be read raw."""

    tier: str
    width: int
    files: Sequence[TierFile]
    clean: Sequence[Range]
    raw: Sequence[Range]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one transaction saw of a signal between two source times."""

    manifest: Manifest
    id: int
    series: Series
    start: int
    end: int
    known: int
    segments: Sequence[Segment]
    hot: SampleBatch
    cover: Cover | None

    @classmethod
    def of(
        cls, manifest: Manifest, path: str, span: Range, known: int, tier: tuple[str, int] | None
    ) -> "Sight":
        """``tier``: name and width (ms) of the cells that may serve, None: none."""
        start, end = span
        with manifest.transaction() as db:
            id_, series = manifest.find(path)
            view = manifest.view([path], start, end - 1, known)
            found = None
            if tier is not None and id_ >= 0 and known == FOREVER:
                name, width = tier
                rows = select(
                    db,
                    f"SELECT {TIER_COLUMNS} FROM tier"  # noqa: S608 - names are ours
                    " WHERE tier = ? AND upto > ? AND first < ? ORDER BY first",
                    (name, start, end),
                )
                files = [TierFile(*row) for row in rows]
                dirty = select(
                    db,
                    "SELECT first, upto FROM dirty WHERE signal IN (?, -1) AND upto > ?"
                    " AND first < ? ORDER BY first",
                    (id_, start, end),
                )
                found = _cover(manifest, id_, name, files, dirty, width, span)
        return cls(manifest, id_, series, start, end, known, view.segments, view.hot, found)

    @property
    def unread(self) -> Sequence[Range]:
        """What cells do not answer for."""
        whole = [(self.start, self.end)] if self.start < self.end else []
        return whole if self.cover is None else self.cover.raw

    def cells(self) -> Cells:
        """The cells that serve, by start."""
        if self.cover is None or not self.cover.clean:
            return Cells.empty()
        clean = self.cover.clean
        files = [self.manifest.folder / TIERS / f.file for f in self.cover.files]
        with self.manifest.cursor() as cursor:
            where = "signal = ? AND start >= ? AND start < ?"
            found = scan_cells(cursor, files, where, (self.id, clean[0][0], clean[-1][1]))
        found = found.take(np.argsort(found.start, kind="stable"))
        found = found.take(_inside(found.start, clean)) if len(clean) > 1 else found
        return replace(found, signal=np.zeros(len(found), np.int32))

    def rows(self, ranges: Sequence[Range] | None = None) -> SampleBatch:
        """Raw rows of some ranges in order of time; None: all of it."""
        ranges = [(self.start, self.end)] if ranges is None else ranges
        if self.id < 0 or not ranges:
            return SampleBatch.empty()
        segments = [s for s, _ in self._holding(ranges)]
        condition, parameters = "source_time >= ? AND source_time < ?", list(ranges[0])
        if len(ranges) <= _ORS:
            condition = " OR ".join([condition] * len(ranges))
            parameters = [t for span in ranges for t in span]
        else:
            parameters[1] = ranges[-1][1]
        where = f"signal = {self.id} AND received_time <= ? AND ({condition})"
        found = self.manifest.scan(scan, segments, where, [self.known, *parameters])
        rows = newest(SampleBatch.concat([found, self.hot]))
        return rows.take(_inside(rows.source_time, ranges))

    def parts(
        self, ranges: Sequence[Range] | None = None
    ) -> Iterator[tuple[Sequence[Range], SampleBatch]]:
        """The same in order of time, a few million rows at once; parted at UTC midnight."""
        ranges = [(self.start, self.end)] if ranges is None else ranges
        days: dict[int, int] = {}
        for segment, rows in self._holding(ranges):
            days[segment.day] = days.get(segment.day, 0) + rows
        if sum(days.values()) + len(self.hot) <= _PART_ROWS:
            yield ranges, self.rows(ranges)
            return
        begin, total = self.start, 0
        for day in sorted(days):
            if total + days[day] > _PART_ROWS and total:
                part = _clip(ranges, begin, day * DAY_MS)
                yield part, self.rows(part)
                begin, total = day * DAY_MS, 0
            total += days[day]
        part = _clip(ranges, begin, self.end)
        yield part, self.rows(part)

    def _holding(self, ranges: Sequence[Range]) -> Iterator[tuple[Segment, int]]:
        """Segments that may hold rows of some ranges, and how many rows of the signal."""
        wanted = np.array([self.id], np.int32)
        for segment in self.segments:
            if not any(segment.first < end and segment.last >= start for start, end in ranges):
                continue
            spans = self.manifest.spans(segment)
            at = int(spans.find(wanted)[0])
            if at < 0:
                continue
            first, last = spans.first[at], spans.last[at]
            if any(first < end and last >= start for start, end in ranges):
                yield segment, int(spans.rows[at])


def draw(sight: Sight, plan: Plan, held: SampleBatch) -> Trend:
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


def sum_up(sight: Sight, window: Window, carried: SampleBatch) -> Aggregate:
    """The aggregate of what was seen; equal to ``aggregate.aggregate`` over all of it."""
    series = sight.series
    width = sight.cover.width if sight.cover else window.width_ms
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


def _cover(  # noqa: PLR0917
    manifest: Manifest,
    signal: int,
    tier: str,
    files: Sequence[TierFile],
    dirty: Sequence[Range],
    width: int,
    span: Range,
) -> Cover:
    start, end = span
    clean: list[Range] = []
    serving = []
    for file in files:
        spans = manifest.tier_spans(file.id)
        low, high = np.searchsorted(spans.signal, [signal, signal + 1])
        mine = [
            (-(-max(int(a), start) // width) * width, min(int(b), end) // width * width)
            for a, b in zip(spans.first[low:high], spans.last[low:high], strict=True)
        ]
        mine = [(a, b) for a, b in mine if a < b]
        if mine:
            serving.append(file)
            clean += mine
    out = [(a // width * width, -(-b // width) * width) for a, b in dirty]
    clean = _without(_joined(clean), _joined(out))
    return Cover(tier, width, serving, clean, _without([span] if start < end else [], clean))


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """In order, those that touch made one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _without(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """Ordered ranges with ordered holes cut out.

    >>> _without([(0, 10), (20, 30)], [(2, 3), (9, 22)])
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


def _clip(ranges: Sequence[Range], start: int, end: int) -> list[Range]:
    clipped = [(max(a, start), min(b, end)) for a, b in ranges]
    return [(a, b) for a, b in clipped if a < b]


def _inside(time: Int64, ranges: Sequence[Range]) -> NDArray[np.bool_]:
    """Where a time is in one of some ordered ranges."""
    edges = np.array([t for span in ranges for t in span], np.int64)
    inside: NDArray[np.bool_] = np.searchsorted(edges, time, "right") % 2 == 1
    return inside
