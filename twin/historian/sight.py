"""One signal over a range, as one moment saw it: its rows, and the cells that stand for rows.

A tier's span says that every row of the signal in it is in cells, a dirty mark takes parts of that
back. What is left is read from raw rows; both are taken in one transaction, so a row that is
sealed, merged, corrected or built into cells meanwhile is seen once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plant.flow.port import Series
from plant.flow.sample import SampleBatch
from twin.historian.cell import Cells
from twin.historian.manifest import FOREVER, Manifest
from twin.historian.seen import Range, inside, without
from twin.historian.segment import DAY_MS, Segment, newest, scan
from twin.historian.store import select
from twin.historian.tier import TIER_COLUMNS, TierFile, scan_cells

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
                files = manifest.sound([TierFile(*row) for row in rows])
                dirty = select(
                    db,
                    "SELECT first, upto FROM dirty WHERE signal IN (?, -1) AND upto > ?"
                    " AND first < ? ORDER BY first",
                    (id_, start, end),
                )
                found = _cover(manifest, id_, name, files, dirty, width, span)
        return cls(manifest, id_, series, start, end, known, view.segments, view.hot, found)

    @property
    def cell_ms(self) -> int:
        """Width of the cells that serve, 0 where none do."""
        return self.cover.width if self.cover and self.cover.clean else 0

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
        files = [self.manifest.file(f) for f in self.cover.files]
        with self.manifest.cursor() as cursor:
            where = "signal = ? AND start >= ? AND start < ?"
            found = scan_cells(cursor, files, where, (self.id, clean[0][0], clean[-1][1]))
        found = found.take(np.argsort(found.start, kind="stable"))
        found = found.take(inside(found.start, clean)) if len(clean) > 1 else found
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
        return rows.take(inside(rows.source_time, ranges))

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
    clean = without(_joined(clean), _joined(out))
    return Cover(tier, width, serving, clean, without([span] if start < end else [], clean))


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """In order, those that touch made one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _clip(ranges: Sequence[Range], start: int, end: int) -> list[Range]:
    clipped = [(max(a, start), min(b, end)) for a, b in ranges]
    return [(a, b) for a, b in clipped if a < b]
