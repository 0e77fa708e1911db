"""What does not fit a float64 column: texts, waveforms, events and gap records, in SQLite.

A commit writes them in its own transaction, by the duplicate rule: the same again changes nothing,
another text or block of the same signal and time is a correction, a further row.
"""

import json
from collections.abc import Sequence

import apsw
import numpy as np

from plant.flow.port import Commit
from plant.flow.sample import Event, Gap, Int32, Text, Waveform
from twin.historian.store import select


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


def read_texts(db: apsw.Connection, paths: Sequence[str], start: int, end: int) -> Sequence[Text]:
    """Texts of the range (ms UTC, half-open), newest correction of each, oldest first."""
    found: dict[tuple[int, int], Text] = {}
    for index, path in enumerate(paths):
        rows = select(
            db,
            "SELECT time, text, status FROM text JOIN signal ON signal.id = text.signal"
            " WHERE path = ? AND time >= ? AND time < ? ORDER BY time, received",
            (path, start, end),
        )
        for time, text, status in rows:
            found[index, time] = Text(index, time, text, status)
    return sorted(found.values(), key=lambda t: (t.time, t.signal))


def read_waveforms(
    db: apsw.Connection, paths: Sequence[str], start: int, end: int
) -> Sequence[Waveform]:
    """Blocks that start in the range, newest correction of each, oldest first."""
    found: dict[tuple[int, int], Waveform] = {}
    for index, path in enumerate(paths):
        rows = select(
            db,
            "SELECT start, rate_hz, block, status FROM waveform"
            " JOIN signal ON signal.id = waveform.signal"
            " WHERE path = ? AND start >= ? AND start < ? ORDER BY start, received",
            (path, start, end),
        )
        for begin, rate, block, status in rows:
            data = np.frombuffer(block, "<f4")
            found[index, begin] = Waveform(index, begin, rate, data, status)
    return sorted(found.values(), key=lambda w: (w.start, w.signal))


def read_events(db: apsw.Connection, start: int, end: int) -> Sequence[Event]:
    """Events of the range, oldest first."""
    query = (
        "SELECT time, asset, kind, data FROM event WHERE time >= ? AND time < ? ORDER BY time, id"
    )
    rows = select(db, query, (start, end))
    return [Event(time, asset, kind, json.loads(data)) for time, asset, kind, data in rows]


def read_gaps(db: apsw.Connection, start: int, end: int) -> Sequence[Gap]:
    """Gap records that touch the range, and those whose time is not known."""
    rows = select(
        db,
        "SELECT edge, first, last, samples, reason, signals FROM gap"
        " WHERE (first < ? AND last >= ?) OR last = 0 ORDER BY first, id",
        (end, start),
    )
    return [
        Gap(edge, first, last, samples, reason, tuple(json.loads(signals)))
        for edge, first, last, samples, reason, signals in rows
    ]


def as_json(data: object) -> str:
    """One text for equal data, so that the duplicate rule can compare it."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
