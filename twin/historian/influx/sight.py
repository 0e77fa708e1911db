"""A series over a range: the cells that stand for rows, and what has to be read raw.

What is before "built" and not dirty is in the tiers; both come from the mark bucket. Minutes are
kept where an hour has so many rows that they are worth it: the hour's own count says which.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Aggregate, Series, Trend
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window
from twin.historian.cell import Cells
from twin.historian.influx import flux
from twin.historian.influx.cell import cells_of_result
from twin.historian.influx.journal import HOUR_MS, dirty_records
from twin.historian.influx.line import joined
from twin.historian.influx.series import Entry
from twin.historian.influx.table import records
from twin.historian.influx.tier import DENSE
from twin.historian.seen import draw, inside, sum_up, without
from twin.historian.segment import newest
from twin.historian.tier import MINUTE_MS
from twin.historian.trend import Plan, row_trend

if TYPE_CHECKING:
    from twin.historian.influx.reader import InfluxReader

Range = tuple[int, int]
"""ms UTC, half-open."""

_DAY_MS = 86_400_000
_PART_ROWS = 200_000


def trend(reader: "InfluxReader", path: str, span: Range, px: int, known_at: int | None) -> Trend:
    """See ``HistorianReader.trend``."""
    start, end = span
    plan = Plan.of(start, end, px, raw=known_at is not None)
    entry = reader.registry([path]).find(path)
    if entry is None:
        return row_trend(SampleBatch.empty(), SampleBatch.empty(), 0)
    held = reader.latest([entry], start - 1, known_at)
    sight = Sight.of(reader, entry, span, known_at, plan.cell_ms)
    return draw(sight, plan, _first(held))


def total(
    reader: "InfluxReader", entry: Entry, window: Window, carried: SampleBatch, known_at: int | None
) -> Aggregate:
    """See ``HistorianReader.aggregate``; of cells where start and width fall on their edges."""
    width = 1
    if known_at is None and entry.series.kind is not SignalKind.STATE:  # cells tell no durations
        on_edges = (
            c for c in (HOUR_MS, MINUTE_MS) if not (window.start % c or window.width_ms % c)
        )
        width = next(on_edges, 1)
    sight = Sight.of(reader, entry, (window.start, window.end), known_at, width)
    return sum_up(sight, window, _first(carried))


def _first(rows: SampleBatch) -> SampleBatch:
    zero = np.zeros(len(rows), np.int32)
    return SampleBatch(zero, rows.source_time, rows.value, rows.status, rows.received_time)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What cells say of a series between two source times, and what they leave to raw rows."""

    reader: "InfluxReader"
    entry: Entry
    start: int
    end: int
    known_at: int | None
    found: Cells
    unread: Sequence[Range]
    cell_ms: int

    @classmethod
    def of(
        cls, reader: "InfluxReader", entry: Entry, span: Range, known_at: int | None, width: int
    ) -> "Sight":
        """``width`` (ms) of the cells that may serve: minutes, hours, or others: none."""
        whole = [span] if span[0] < span[1] else []
        clean: list[Range] = []
        if width in {MINUTE_MS, HOUR_MS} and known_at is None:
            clean = clean_hours(reader, entry.number, span)
        cells = Cells.empty()
        if clean:
            cells = stored(reader, "hour", entry, clean)
            if width == MINUTE_MS:
                sparse = cells.start[cells.count < DENSE].tolist()
                gone = _gone(reader)
                clean = without(clean, [gone, *((h, h + HOUR_MS) for h in sparse if h >= gone[1])])
                cells = stored(reader, "minute", entry, clean) if clean else Cells.empty()
        return cls(
            reader, entry, *span, known_at, cells, without(whole, clean), width * bool(clean)
        )

    @property
    def series(self) -> Series:
        """What is known of the series."""
        return self.entry.series

    def cells(self) -> Cells:
        """The cells that serve, by start."""
        return self.found

    def rows(self, ranges: Sequence[Range] | None = None) -> SampleBatch:
        """Raw rows of some ranges in order of time; None: all of it."""
        return SampleBatch.concat([rows for _, rows in self.parts(ranges)])

    def parts(
        self, ranges: Sequence[Range] | None = None
    ) -> Iterator[tuple[Sequence[Range], SampleBatch]]:
        """The same in pieces, each of about as many rows as is worth one answer."""
        width = _DAY_MS
        for first, last in [(self.start, self.end)] if ranges is None else ranges:
            at = first
            while at < last:  # a piece ends with a whole day, hour or minute, as buckets do
                upto = min((at // width + 1) * width, last)
                rows = self.reader.rows([self.entry], at, upto, self.known_at, timed=False)
                yield [(at, upto)], _first(newest(rows))
                at = upto
                if len(rows) < _PART_ROWS // 4:
                    width *= 4
                elif len(rows) > _PART_ROWS:
                    width = max(width // 4, HOUR_MS)


def clean_hours(reader: "InfluxReader", number: int, span: Range) -> list[Range]:
    """Ranges of whole hours whose cells are made and not dirty."""
    built, cleaned = built_of(reader)
    start, end = -(-span[0] // HOUR_MS) * HOUR_MS, min(span[1] // HOUR_MS * HOUR_MS, built)
    if start >= end:
        return []
    dirty = []
    for record in dirty_records(reader.server, cleaned):
        hours = json.loads(joined("cells", record.fields)).get(str(number), [])
        dirty += [(h * HOUR_MS, (h + 1) * HOUR_MS) for h in hours]
    return without([(start, end)], sorted(dirty))


def _gone(reader: "InfluxReader") -> Range:
    """Where minutes may have been dropped by the server already."""
    days = reader.settings.minute_days
    if days is None:
        return flux.FIRST_MS, flux.FIRST_MS
    cut = time.time_ns() // 1_000_000 - int(days * _DAY_MS)
    return flux.FIRST_MS, -(-cut // HOUR_MS) * HOUR_MS


def built_of(reader: "InfluxReader") -> tuple[int, int]:
    """(tiers are made of all before this, and of what was dirty by then), ms UTC."""
    bucket = reader.settings.bucket("mark")
    query = flux.records(bucket, flux.FIRST_MS, flux.LAST_MS, last=True, _measurement="built")
    for record in records(reader.server.query(query)):
        return record.integer("hour"), record.integer("dirty")
    return flux.FIRST_MS, 0


def stored(reader: "InfluxReader", which: str, entry: Entry, ranges: Sequence[Range]) -> Cells:
    """A series' cells in some ranges, numbered 0, by start."""
    series = flux.among([entry.tags], 1 << 30)
    query = flux.cells(reader.settings.bucket(which), ranges[0][0], ranges[-1][1], series, True)
    found = cells_of_result(reader.server.query(query), {entry.tags: 0})
    found = found.take(inside(found.start, ranges)) if len(ranges) > 1 else found
    return replace(found, signal=np.zeros(len(found), np.int32))
