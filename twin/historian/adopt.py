"""Another historian's rows taken as they are: copies, imports, migrations.

A big page goes straight into segments; a small one is hot for a while like a commit. A page that
comes again is known by its mark, else by its received times: only where the historian knows
something of that time are the rows compared.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import apsw
import numpy as np

from plant.flow.port import Changes, Mark
from plant.flow.sample import Gap, Int32, SampleBatch
from twin.historian.aside import sound_segments
from twin.historian.record import as_json, insert_gap
from twin.historian.seal import Part, write_days
from twin.historian.segment import SEGMENT_COLUMNS, Segment, connect, scan
from twin.historian.store import SAMPLES, naming, select, writing
from twin.historian.writer import OLDER

if TYPE_CHECKING:
    from twin.historian.dirt import Touched
    from twin.historian.writer import EmbeddedWriter

_BIG_PAGE = 20_000
"""Rows of a page that is worth files of its own."""


def adopt(writer: "EmbeddedWriter", changes: Changes, mark: Mark | None) -> None:
    """See ``HistorianWriter``."""
    with writer.lock:
        if mark is not None and writer.marks().get((mark.edge, mark.run), -1) >= mark.offset:
            return
        touched: list[Touched] = []
        with writing(writer.database) as db:
            ids = np.array([writer.admit(db, s, touched) for s in changes.series], np.int32)
            writer.dirt.mark(db, touched)
        writer.dirt.marked(touched)
        rows, old = _split(writer, _with_ids(changes.samples, ids))
        rows = unknown(writer, rows)
        newest = max((t for t, _ in _records(changes)), default=0)
        if len(rows):
            newest = max(newest, int(rows.received_time.max()))
        # what is hot is newer than all that is sealed, so older rows go into files
        straight = len(rows) >= _BIG_PAGE or (
            len(rows) > 0 and int(rows.received_time.min()) <= writer.received
        )
        parts = write_days(writer, rows) if straight else []
        gaps = [_gap(changes, old, mark)] if len(old) else []
        _commit(writer, changes, ids, (parts, [] if straight else _commits(rows), gaps), mark)
        writer.committed(max(writer.received, newest))


def _with_ids(rows: SampleBatch, ids: Int32) -> SampleBatch:
    if not len(rows):
        return SampleBatch.empty()
    return SampleBatch(
        ids[rows.signal], rows.source_time, rows.value, rows.status, rows.received_time
    )


def _split(writer: "EmbeddedWriter", rows: SampleBatch) -> tuple[SampleBatch, SampleBatch]:
    """Rows that may be stored, and those of a time whose raw rows are gone here."""
    old = rows.source_time < writer.raw_from
    return (rows, SampleBatch.empty()) if not old.any() else (rows.take(~old), rows.take(old))


def unknown(writer: "EmbeddedWriter", rows: SampleBatch) -> SampleBatch:
    """Rows that are not here yet with the same signal, source time and received time."""
    if not len(rows):
        return rows
    low, high = int(rows.received_time.min()), int(rows.received_time.max())
    here = [_between(writer.hot.view(), low, high)]
    query = (
        f"SELECT {SEGMENT_COLUMNS} FROM segment"  # noqa: S608 - names are ours
        " WHERE last_received >= ? AND first_received <= ? AND last >= ? AND first <= ?"
    )
    span = (low, high, int(rows.source_time.min()), int(rows.source_time.max()))
    files = sound_segments(writer, [Segment(*row) for row in select(writer.database, query, span)])
    if files:
        with connect() as duck:
            paths = [writer.folder / SAMPLES / segment.file for segment in files]
            here.append(scan(duck, paths, "received_time BETWEEN ? AND ?", (low, high)))
    known = SampleBatch.concat(here)
    if not len(known):
        return rows
    both = SampleBatch.concat([known, rows])
    is_new = np.arange(len(both)) >= len(known)
    order = np.lexsort((is_new, both.received_time, both.source_time, both.signal))
    same = np.zeros(len(both), np.bool_)
    columns = (both.signal[order], both.source_time[order], both.received_time[order])
    same[1:] = np.logical_and.reduce([c[1:] == c[:-1] for c in columns])
    keep = np.zeros(len(both), np.bool_)
    keep[order] = ~same
    return rows.take(keep[len(known) :])


def _between(rows: SampleBatch, low: int, high: int) -> SampleBatch:
    return rows.take((rows.received_time >= low) & (rows.received_time <= high))


def _commits(rows: SampleBatch) -> list[SampleBatch]:
    """Rows parted by the commit they came with."""
    if not len(rows):
        return []
    rows = rows.take(np.argsort(rows.received_time, kind="stable"))
    edges = np.flatnonzero(np.diff(rows.received_time)) + 1
    return [rows.take(part) for part in np.split(np.arange(len(rows)), edges)]


def _commit(
    writer: "EmbeddedWriter",
    changes: Changes,
    ids: Int32,
    what: tuple[Sequence[Part], Sequence[SampleBatch], Sequence[Gap]],
    mark: Mark | None,
) -> None:
    parts, hot, gaps = what
    received = writer.received + 1
    touched: list[Touched] = []
    with naming(writer.database) as db:
        for part in parts:
            part.name(db, level=0)
            part.extend_signals(db)
            touched += writer.dirt.touched_by(part.day, part.spans)
        stored = [(writer.insert_hot(db, rows, touched), rows) for rows in hot]
        writer.dirt.mark(db, touched)
        _write_records(db, changes, ids)
        for gap in gaps:
            insert_gap(db, gap, received)
        if mark is not None:
            writer.move_marks(db, [mark], max(received, changes.upto))
    for id_, rows in stored:
        writer.keep(id_, rows)
    for part in parts:
        writer.raise_top(part.spans.signal, part.spans.last)
    writer.dirt.marked(touched)
    writer.touch(parts)
    if gaps or mark is not None:
        writer.committed(received)


def _records(changes: Changes) -> list[tuple[int, object]]:
    return [*changes.texts, *changes.waveforms, *changes.events, *changes.gaps]


def _write_records(db: apsw.Connection, changes: Changes, ids: Int32) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO text VALUES (?, ?, ?, ?, ?)",
        [(int(ids[t.signal]), t.time, at, t.text, t.status) for at, t in changes.texts],
    )
    db.executemany(
        "INSERT OR IGNORE INTO waveform (signal, start, received, rate_hz, status, block)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                int(ids[w.signal]),
                w.start,
                at,
                w.rate_hz,
                w.status,
                np.ascontiguousarray(w.block, "<f4").tobytes(),
            )
            for at, w in changes.waveforms
        ],
    )
    db.executemany(
        "INSERT OR IGNORE INTO event (time, received, asset, kind, data) VALUES (?, ?, ?, ?, ?)",
        [(e.time, at, e.asset, e.kind, as_json(e.data)) for at, e in changes.events],
    )
    for at, gap in changes.gaps:
        insert_gap(db, gap, at)


def _gap(changes: Changes, old: SampleBatch, mark: Mark | None) -> Gap:
    """What is not stored because its raw rows would be gone already."""
    first, last = int(old.source_time.min()), int(old.source_time.max())
    early = changes.samples.source_time <= last
    paths = sorted({changes.series[i].path for i in np.unique(changes.samples.signal[early])})
    return Gap("" if mark is None else mark.edge, first, last, len(old), OLDER, paths)
