"""Sealing, merging and retention: everything that turns hot batches into Parquet files.

The order is the whole of the safety: a file is written under a temporary name, synced, renamed,
the folder synced, and only then does one transaction name it in the manifest and delete what it
replaces. A file that no table names is an orphan and is removed at the next start.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import apsw

from plant.flow.sample import SampleBatch
from twin.historian.hot import HotLog
from twin.historian.segment import (
    DAY_MS,
    SEGMENT_COLUMNS,
    Segment,
    SignalSpans,
    by_day,
    connect,
    last_rows,
    scan,
    write_segment,
)
from twin.historian.store import RETIRED_KEEP_S, SAMPLES, select, shrink, writing

if TYPE_CHECKING:
    from twin.historian.writer import EmbeddedWriter

_MARK_KEEP_MS = 30 * DAY_MS
_CARRIED = -1
"""Level of the segment that holds each signal's last row before the retention's cut."""
_MERGE_ROWS = 2_000_000
"""Most rows of a merged segment: it is sorted in memory, 32 bytes a row."""


def remove_orphans(writer: "EmbeddedWriter") -> None:
    """Delete files that a crash left behind: nothing names them, so nobody reads them."""
    folder = writer.folder / SAMPLES
    named = {
        row[0]
        for table in ("segment", "retired")
        for row in writer.database.execute(f"SELECT file FROM {table}")  # noqa: S608
    }
    for file in folder.iterdir():
        if file.name not in named:
            file.unlink()


def retain(writer: "EmbeddedWriter", now: int, force: bool) -> None:
    """Seal when due, merge small segments, drop what is too old and what was replaced."""
    sealed = seal(writer, force)
    while merge(writer):
        sealed += 1
    sealed += expire(writer, now)
    with writer.lock, writing(writer.database) as db:
        db.execute("DELETE FROM mark WHERE written < ?", (now - _MARK_KEEP_MS,))
    _remove_retired(writer)
    if sealed:
        with writer.lock:
            shrink(writer.database)


def seal(writer: "EmbeddedWriter", force: bool = False) -> int:
    """Move hot rows into segments when enough wait or they wait long enough; rows moved."""
    with writer.lock:
        rows, hot_id, since = writer.hot.view(), writer.hot_id, writer.hot_since
    if not len(rows) or since is None:
        return 0
    due = len(rows) >= writer.settings.seal_rows
    if not (force or due or time.monotonic() - since >= writer.settings.seal_s):
        return 0
    parts = _write(writer, rows)
    with writer.lock:
        with writing(writer.database) as db:
            for part in parts:
                _name(db, part, level=0)
                _extend_signals(db, part[3])
            db.execute("DELETE FROM hot WHERE id <= ?", (hot_id,))
        writer.hot.drop(len(rows))
        writer.warm = HotLog()
        writer.warm.append(rows)
        writer.warm_files = frozenset(part[1] for part in parts)
        writer.hot_since = time.monotonic() if writer.hot.rows else None
    return len(rows)


_Part = tuple[int, str, int, SampleBatch]  # day, file, bytes, rows


def _write(writer: "EmbeddedWriter", rows: SampleBatch) -> list[_Part]:
    folder = writer.folder / SAMPLES
    return [(day, *write_segment(folder, day, part), part) for day, part in by_day(rows.sorted())]


def _name(db: apsw.Connection, part: _Part, level: int) -> None:
    day, file, size, rows = part
    db.execute(
        "INSERT INTO segment (file, level, day, first, last, first_received, last_received, rows,"
        " bytes, signals) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            file,
            level,
            day,
            int(rows.source_time.min()),
            int(rows.source_time.max()),
            int(rows.received_time.min()),
            int(rows.received_time.max()),
            len(rows),
            size,
            SignalSpans.of(rows).encode(),
        ),
    )


def _extend_signals(db: apsw.Connection, rows: SampleBatch) -> None:
    spans = SignalSpans.of(rows)
    db.executemany(
        "UPDATE signal SET first = min(ifnull(first, ?2), ?2), last = max(ifnull(last, ?3), ?3)"
        " WHERE id = ?1",
        list(zip(spans.signal.tolist(), spans.first.tolist(), spans.last.tolist(), strict=True)),
    )


def merge(writer: "EmbeddedWriter") -> int:
    """Merge one day's segments of one level into one, when enough are there; how many.

    Every row stays, superseded ones too: they are what was known before.
    """
    with writer.lock:
        old = _mergeable(writer)
    if not old:
        return 0
    folder, day = writer.folder / SAMPLES, old[0].day
    with connect() as duck:
        rows = scan(duck, [folder / s.file for s in old]).sorted()
    file, size = write_segment(folder, day, rows)
    with writer.lock, writing(writer.database) as db:
        _replace(db, old)
        _name(db, (day, file, size, rows), level=old[0].level + 1)
    return len(old)


def _mergeable(writer: "EmbeddedWriter") -> Sequence[Segment]:
    """The oldest segments of some day and level that fit into one file, none where too few."""
    groups = writer.database.execute(
        "SELECT day, level FROM segment WHERE level >= 0 GROUP BY day, level HAVING count(*) >= ?",
        (writer.settings.merge,),
    ).fetchall()
    for group in groups:
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE day = ? AND level = ? ORDER BY id"  # noqa: S608
        segments = [Segment(*row) for row in select(writer.database, query, group)]
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


def expire(writer: "EmbeddedWriter", now: int) -> int:
    """Drop segments that ended before the retention's cut, but for each signal's last row.

    The last rows go into one small segment, so that "as of" still knows what held at the cut.
    """
    cut = writer.settings.cut(now)
    if cut is None:
        return 0
    with writer.lock:
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE last < ?"  # noqa: S608
        old = [Segment(*row) for row in select(writer.database, query, (cut,))]
    if not any(segment.level != _CARRIED for segment in old):
        return 0
    folder = writer.folder / SAMPLES
    with connect() as duck:
        found = last_rows(duck, [folder / s.file for s in old])
    rows = found.sorted()
    file, size = write_segment(folder, old[0].day, rows)
    with writer.lock, writing(writer.database) as db:
        _replace(db, old)
        _name(db, (old[0].day, file, size, rows), level=_CARRIED)
    return len(old)


def _replace(db: apsw.Connection, old: Sequence[Segment]) -> None:
    at = int(time.time())
    for segment in old:
        db.execute("DELETE FROM segment WHERE id = ?", (segment.id,))
        db.execute("INSERT INTO retired VALUES (?, ?)", (segment.file, at))


def _remove_retired(writer: "EmbeddedWriter") -> None:
    """Delete files that were replaced ten minutes ago (real time, also under a plant clock)."""
    before = int(time.time()) - RETIRED_KEEP_S
    with writer.lock:
        files = [
            row[0]
            for row in writer.database.execute("SELECT file FROM retired WHERE at < ?", (before,))
        ]
    for file in files:
        (writer.folder / SAMPLES / file).unlink(missing_ok=True)
    if files:
        with writer.lock, writing(writer.database) as db:
            db.execute("DELETE FROM retired WHERE at < ?", (before,))
