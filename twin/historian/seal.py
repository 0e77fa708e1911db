"""Sealing: hot batches become segments, and small segments of one day become one.

The order is the whole of the safety: a file is written under a temporary name, synced, renamed,
the folder synced, and only then does one transaction name it in the manifest and delete what it
replaces. What becomes of a file that no table names: ``twin.historian.unnamed``.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import apsw

from plant.flow.sample import SampleBatch
from twin.historian.aside import sound_segments
from twin.historian.segment import (
    SEGMENT_COLUMNS,
    Segment,
    SignalSpans,
    Written,
    by_day,
    connect,
    scan,
    write_segment,
)
from twin.historian.store import SAMPLES, TIERS, naming, retire, select
from twin.historian.tier import TIERS as TIER_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from twin.historian.writer import EmbeddedWriter

FINAL = 100
"""Level of the segments of a day that is over."""

_LONG = 1500
_DISTINCT = 1024
"""Where signals have so many rows in a file, one with few different values gets a dictionary; with
fewer rows, many signals share a row group, and their times would get one too, to no good."""

_MERGE_ROWS = 2_000_000
"""Most rows of a merged segment: it is sorted in memory, 32 bytes a row."""
_LEAST = 2
_BIG_ROWS = 250_000
_BIG_EVERY_S = 60.0
"""Segments that are big already are merged seldom: at full rate the end of the day does it."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A file of samples that is written, and in no manifest yet."""

    day: int
    file: Written
    rows: int
    spans: SignalSpans
    first: int
    last: int
    first_received: int
    last_received: int

    @classmethod
    def write(cls, writer: "EmbeddedWriter", day: int, rows: SampleBatch) -> Self:
        """Write sorted rows of one day; durable when this returns."""
        spans = SignalSpans.of(rows)
        long = len(rows) >= _LONG * len(spans.signal)
        label = writer.label(spans.signal)
        file = write_segment(writer.folder / SAMPLES, day, rows, label, _DISTINCT if long else 1)
        return cls(
            day,
            file,
            len(rows),
            spans,
            int(spans.first.min()),
            int(spans.last.max()),
            int(rows.received_time.min()),
            int(rows.received_time.max()),
        )

    def name(self, db: apsw.Connection, level: int) -> None:
        """Put it into the manifest."""
        db.execute(
            "INSERT INTO segment (file, level, day, first, last, first_received, last_received,"
            " rows, bytes, crc, signals) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.file.name,
                level,
                self.day,
                self.first,
                self.last,
                self.first_received,
                self.last_received,
                self.rows,
                self.file.bytes,
                self.file.crc,
                self.spans.encode(),
            ),
        )

    def extend_signals(self, db: apsw.Connection) -> None:
        """Each signal's first and last source time reach over these rows."""
        of = self.spans
        db.executemany(
            "UPDATE signal SET first = min(ifnull(first, ?2), ?2),"
            " last = max(ifnull(last, ?3), ?3) WHERE id = ?1",
            list(zip(of.signal.tolist(), of.first.tolist(), of.last.tolist(), strict=True)),
        )


def place(folder: "Path", file: str) -> "Path":
    """Where a file of samples or of cells lies."""
    tier = file.partition("_")[0] in TIER_NAMES
    return folder / (TIERS if tier else SAMPLES) / file


def seal(writer: "EmbeddedWriter", force: bool = False) -> int:
    """Move hot rows into segments when enough wait or they wait long enough; rows moved."""
    with writer.lock:
        since, waiting = writer.hot_since, writer.hot.rows
        if not waiting or since is None:
            return 0
        due = waiting >= writer.settings.seal_rows
        if not (force or due or time.monotonic() - since >= writer.settings.seal_s):
            return 0
        rows, hot_id = writer.hot.view(), writer.hot_id
    parts = write_days(writer, rows)
    with writer.lock:
        with naming(writer.database) as db:
            for part in parts:
                part.name(db, level=0)
                part.extend_signals(db)
            db.execute("DELETE FROM hot WHERE id <= ?", (hot_id,))
        writer.warm, writer.hot = writer.hot, writer.hot.after(len(rows))
        writer.warm_files = frozenset(part.file.name for part in parts)
        writer.hot_since = time.monotonic() if writer.hot.rows else None
        writer.touch(parts)
    return len(rows)


def write_days(writer: "EmbeddedWriter", rows: SampleBatch) -> list[Part]:
    """Rows in files, one for each day."""
    return [Part.write(writer, day, part) for day, part in by_day(rows.sorted())]


def replace_segments(db: apsw.Connection, old: Iterable[Segment]) -> None:
    """Take segments out of the manifest; their files live ten minutes longer."""
    for segment in old:
        db.execute("DELETE FROM segment WHERE id = ?", (segment.id,))
        retire(db, [segment.file])


def merge(writer: "EmbeddedWriter", force: bool = False) -> int:
    """Merge one day's segments of one level into one, when enough are there; how many.

    Every row stays, superseded ones too: they are what was known before.
    """
    seldom = time.monotonic() - writer.merged >= _BIG_EVERY_S
    with writer.lock:
        old = _mergeable(writer, _MERGE_ROWS if force or seldom else _BIG_ROWS)
    old = sound_segments(writer, old)
    if len(old) < _LEAST:
        return 0
    with connect() as duck:
        rows = scan(duck, [writer.folder / SAMPLES / s.file for s in old]).sorted()
    part = Part.write(writer, old[0].day, rows)
    with writer.lock, naming(writer.database) as db:
        replace_segments(db, old)
        part.name(db, level=old[0].level + 1)
    if max(s.rows for s in old) > _BIG_ROWS:
        writer.merged = time.monotonic()
    return len(old)


def _mergeable(writer: "EmbeddedWriter", most: int) -> Sequence[Segment]:
    """The oldest segments of some day and level that fit into one file, none where too few."""
    groups = writer.database.execute(
        "SELECT day, level FROM segment WHERE level BETWEEN 0 AND ? AND rows <= ?"
        " GROUP BY day, level HAVING count(*) >= ?",
        (FINAL - 1, most, writer.settings.merge),
    ).fetchall()
    for group in groups:
        query = (
            f"SELECT {SEGMENT_COLUMNS} FROM segment"  # noqa: S608 - names are ours
            " WHERE day = ? AND level = ? AND rows <= ? ORDER BY id"
        )
        segments = [Segment(*row) for row in select(writer.database, query, (*group, most))]
        segments = [s for s in segments if s.file not in writer.warm_files]
        total = 0
        for n, segment in enumerate(segments):
            total += segment.rows
            if total > _MERGE_ROWS:
                segments = segments[:n]
                break
        if len(segments) > 1:
            return segments
    return []
