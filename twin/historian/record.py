"""What does not fit a float64 column: texts, waveforms, events and gap records, in SQLite.

A commit writes them in its own transaction, by the duplicate rule: the same again changes nothing,
another text or block of the same signal and time is a correction, a further row.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from plant.flow.json_text import stored_json
from plant.flow.port import Commit
from plant.flow.sample import Event, Gap, Int32, Text, Waveform
from twin.historian.store import select

FOREVER = int(np.iinfo(np.int64).max)
_ROW_BYTES = 16


def write_records(db: apsw.Connection, commit: Commit, ids: Int32, received: int) -> None:
    """Everything of a commit but its samples; ``ids`` maps declared signals to the database's."""
    for text in commit.texts:
        key = (int(ids[text.signal]), text.time)
        stored = db.execute(
            "SELECT text, status FROM text WHERE signal = ? AND time = ?"
            " ORDER BY received DESC LIMIT 1",
            key,
        ).fetchone()
        if stored != (text.text, text.status):
            db.execute(
                "INSERT OR REPLACE INTO text VALUES (?, ?, ?, ?, ?)",
                (*key, received, text.text, text.status),
            )
    for wave in commit.waveforms:
        _write_waveform(db, wave, int(ids[wave.signal]), received)
    for event in commit.events:
        db.execute(
            "INSERT OR IGNORE INTO event (time, received, asset, kind, data)"
            " VALUES (?, ?, ?, ?, ?)",
            (event.time, received, event.asset, event.kind, as_json(event.data)),
        )
    for gap in commit.gaps:
        insert_gap(db, gap, received)


def insert_gap(db: apsw.Connection, gap: Gap, received: int) -> None:
    """A gap record; the same again changes nothing."""
    signals = as_json(list(gap.signals))
    db.execute(
        "INSERT OR IGNORE INTO gap (edge, first, last, samples, reason, signals, received)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (gap.edge, gap.first, gap.last, gap.samples, gap.reason, signals, received),
    )


def _write_waveform(db: apsw.Connection, wave: Waveform, id_: int, received: int) -> None:
    row = (wave.rate_hz, wave.status, np.ascontiguousarray(wave.block, "<f4").tobytes())
    stored = db.execute(
        "SELECT rate_hz, status, block FROM waveform WHERE signal = ? AND start = ?"
        " ORDER BY received DESC LIMIT 1",
        (id_, wave.start),
    ).fetchone()
    if stored != row:
        db.execute(
            "INSERT OR REPLACE INTO waveform (signal, start, received, rate_hz, status,"
            " block) VALUES (?, ?, ?, ?, ?, ?)",
            (id_, wave.start, received, *row),
        )


def read_texts(
    db: apsw.Connection, paths: Sequence[str], start: int, end: int, known: int = FOREVER
) -> Sequence[Text]:
    """Texts of the range (ms UTC, half-open), newest known correction of each, oldest first."""
    found: dict[tuple[int, int], Text] = {}
    for index, path in enumerate(paths):
        rows = select(
            db,
            "SELECT time, text, status FROM text JOIN signal ON signal.id = text.signal"
            " WHERE path = ? AND time >= ? AND time < ? AND received <= ? ORDER BY time, received",
            (path, start, end, known),
        )
        for time, text, status in rows:
            found[index, time] = Text(index, time, text, status)
    return sorted(found.values(), key=lambda t: (t.time, t.signal))


def read_waveforms(
    db: apsw.Connection, paths: Sequence[str], start: int, end: int, known: int = FOREVER
) -> Sequence[Waveform]:
    """Blocks that start in the range, newest known correction of each, oldest first."""
    found: dict[tuple[int, int], Waveform] = {}
    for index, path in enumerate(paths):
        rows = select(
            db,
            "SELECT start, rate_hz, block, status FROM waveform"
            " JOIN signal ON signal.id = waveform.signal WHERE path = ? AND start >= ?"
            " AND start < ? AND received <= ? ORDER BY start, received",
            (path, start, end, known),
        )
        for begin, rate, block, status in rows:
            data = np.frombuffer(block, "<f4")
            found[index, begin] = Waveform(index, begin, rate, data, status)
    return sorted(found.values(), key=lambda w: (w.start, w.signal))


def read_events(db: apsw.Connection, start: int, end: int, known: int = FOREVER) -> Sequence[Event]:
    """Events of the range, oldest first."""
    query = (
        "SELECT time, asset, kind, data FROM event WHERE time >= ? AND time < ?"
        " AND received <= ? ORDER BY time, id"
    )
    rows = select(db, query, (start, end, known))
    return [Event(time, asset, kind, stored_json(data)) for time, asset, kind, data in rows]


def read_gaps(db: apsw.Connection, start: int, end: int, known: int = FOREVER) -> Sequence[Gap]:
    """Gap records that touch the range, and those whose time is not known."""
    rows = select(
        db,
        "SELECT edge, first, last, samples, reason, signals FROM gap"
        " WHERE ((first < ? AND last >= ?) OR last = 0) AND received <= ? ORDER BY first, id",
        (end, start, known),
    )
    return [_gap(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Records:
    """Records with the time of knowing of each, in that order."""

    texts: Sequence[tuple[int, Text]]
    waveforms: Sequence[tuple[int, Waveform]]
    events: Sequence[tuple[int, Event]]
    gaps: Sequence[tuple[int, Gap]]


def known_records(db: apsw.Connection, after: int, upto: int, index: Mapping[int, int]) -> Records:
    """What became known after one received time and by another, superseded ones too.

    ``index`` gives the number that a database id of a signal has in what comes back.
    """
    span = (after, upto)
    texts = select(
        db,
        "SELECT received, signal, time, text, status FROM text"
        " WHERE received > ? AND received <= ? ORDER BY received, signal, time",
        span,
    )
    waves = select(
        db,
        "SELECT received, signal, start, rate_hz, block, status FROM waveform"
        " WHERE received > ? AND received <= ? ORDER BY received, id",
        span,
    )
    events = select(
        db,
        "SELECT received, time, asset, kind, data FROM event"
        " WHERE received > ? AND received <= ? ORDER BY received, id",
        span,
    )
    gaps = select(
        db,
        "SELECT received, edge, first, last, samples, reason, signals FROM gap"
        " WHERE received > ? AND received <= ? ORDER BY received, id",
        span,
    )
    return Records(
        [(r, Text(index[s], t, text, status)) for r, s, t, text, status in texts],
        [
            (r, Waveform(index[s], t, rate, np.frombuffer(block, "<f4"), status))
            for r, s, t, rate, block, status in waves
        ],
        [(r, Event(t, asset, kind, stored_json(data))) for r, t, asset, kind, data in events],
        [(r, _gap(row)) for r, *row in gaps],
    )


def record_weights(db: apsw.Connection, after: int, rows: int) -> Sequence[tuple[int, int]]:
    """(received time, weight in rows) of the first records known after a time, about ``rows``.

    A page of changes is bounded by them; a waveform weighs by its bytes.
    """
    found: list[tuple[int, int]] = []
    for table, weight in (
        ("text", "1"),
        ("waveform", f"1 + length(block) / {_ROW_BYTES}"),
        ("event", "1"),
        ("gap", "1"),
    ):
        found += select(
            db,
            f"SELECT received, {weight} FROM {table}"  # noqa: S608 - names are ours
            " WHERE received > ? ORDER BY received LIMIT ?",
            (after, rows),
        )
    return sorted(found)


def last_record(db: apsw.Connection) -> int:
    """The greatest received time of all records, 0 where there is none."""
    greatest = [
        received
        for table in ("text", "waveform", "event", "gap")
        for (received,) in select(db, f"SELECT max(received) FROM {table}")  # noqa: S608
    ]
    return max(received or 0 for received in greatest)


def _gap(row: Sequence[Any]) -> Gap:
    edge, first, last, samples, reason, signals = row
    return Gap(edge, first, last, samples, reason, tuple(json.loads(signals)))


def as_json(data: object) -> str:
    """One text for equal data, so that the duplicate rule can compare it."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
