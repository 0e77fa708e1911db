"""What ``retain`` does, in order: seal, merge, make days final, drop what is too old."""

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from twin.historian.aside import lost_days, sound_segments
from twin.historian.build import Task, build
from twin.historian.check import check
from twin.historian.dirt import EVERY
from twin.historian.seal import (
    FINAL,
    Part,
    merge,
    place,
    replace_segments,
    seal,
)
from twin.historian.segment import DAY_MS, SEGMENT_COLUMNS, Segment, connect, last_rows
from twin.historian.shelf import Shelf
from twin.historian.store import RETIRED_KEEP_S, SAMPLES, naming, retire, select, shrink, writing
from twin.historian.tier import HOUR_MS, TIERS
from twin.historian.writer import NOTHING, ZONE

if TYPE_CHECKING:
    import apsw

    from twin.historian.writer import EmbeddedWriter

_MARK_KEEP_MS = 30 * DAY_MS
_CARRIED = -1
"""Level of the segment that holds each signal's last row before the retention's cut."""

_SETTLE_MS = HOUR_MS
"""A day is made final so long after its end: most of what comes late is there."""
_LOOK_S = 30.0
"""How often the days are looked at (real time)."""
_QUIET_S = 60.0
"""And when nothing was sealed into it for so long (real time)."""
_FEW = 8
"""Late rows go into the final files when they are an eighth of them, or a day old."""


def retain(writer: "EmbeddedWriter", now: int, force: bool) -> None:
    """See ``HistorianWriter``; without ``force`` one day is made at a time."""
    work = seal(writer, force)
    while merge(writer):
        work += 1
    _rezone(writer)
    if force or time.monotonic() - writer.looked >= _LOOK_S:
        writer.looked = time.monotonic()
        for task in _tasks(writer, now, force):
            build(writer, task)
            work += 1
            if not force:
                writer.looked = -math.inf  # there may be more
                break
    if work:
        with connect() as duck:
            Shelf(writer, duck).join()
    work += _expire(writer, now)
    work += _expire_tiers(writer, now)
    with writer.lock, writing(writer.database) as db:
        db.execute("DELETE FROM mark WHERE written < ?", (now - _MARK_KEEP_MS,))
    _remove_retired(writer)
    check(writer)
    if work:
        with writer.lock:
            if shrink(writer.database):
                writer.in_the_log = NOTHING


def _rezone(writer: "EmbeddedWriter") -> None:
    """Where the plant's days begin elsewhere than before, those of the tier are made anew.

    Days whose raw rows are gone are not: there the hours answer.
    """
    zone = writer.settings.timezone
    if zone is None or zone == writer.zone:
        return
    with writer.lock:
        files = [
            file for (file,) in select(writer.database, "SELECT file FROM tier WHERE tier = 'day'")
        ]
        touched = [(EVERY, day) for day in writer.dirt.built if day * DAY_MS >= writer.raw_from]
        with writing(writer.database) as db:
            db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (ZONE, zone))
            db.execute("DELETE FROM tier WHERE tier = 'day'")
            retire(db, files)
            writer.dirt.mark(db, touched)
        writer.dirt.marked(touched)
        writer.zone = zone


def _tasks(writer: "EmbeddedWriter", now: int, force: bool) -> list[Task]:
    """Days that are due to be made, the oldest first."""
    with writer.lock:
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE level >= 0"  # noqa: S608
        segments = [Segment(*row) for row in select(writer.database, query)]
    days: dict[int, list[Segment]] = {}
    for segment in segments:
        days.setdefault(segment.day, []).append(segment)
    _forget_dirt(writer, set(days))
    with writer.lock:
        lost = lost_days(writer.database) & writer.dirt.built.keys()
    tasks = []
    for day, some in sorted(days.items()):
        if day in lost:  # its cells say more than the rows that are left
            continue
        if force or time.monotonic() - writer.touched.get(day, -_QUIET_S) >= _QUIET_S:
            task = _task(writer, day, some, now, force)
            if task is not None:
                tasks.append(task)
                if not force:
                    break
    return tasks


def _forget_dirt(writer: "EmbeddedWriter", days: set[int]) -> None:
    """Marks of days without any raw row: what their cells say, they say for ever."""
    with writer.lock:
        marked = {f // DAY_MS for (f,) in select(writer.database, "SELECT first FROM dirty")} - days
        marked -= set(np.unique(writer.hot.view().source_time // DAY_MS).tolist())
        if marked:
            for day in marked:
                writer.dirt.take(writer.database, day)
            with writing(writer.database) as db:
                db.executemany("DELETE FROM dirty WHERE first = ?", [(d * DAY_MS,) for d in marked])


def _task(
    writer: "EmbeddedWriter", day: int, segments: list[Segment], now: int, force: bool
) -> Task | None:
    end = (day + 1) * DAY_MS
    with writer.lock:
        built = writer.dirt.built.get(day, 0)
        signals, mark = writer.dirt.take(writer.database, day)
    over = now >= end + _SETTLE_MS
    if over and _worth(segments, built >= end, now):
        return Task(day, segments, None, end, True, mark, now)
    if over and built < end:
        return Task(day, segments, None, end, False, mark, now)
    upto = min(end, now // HOUR_MS * HOUR_MS)
    if force and not over and upto > max(built, day * DAY_MS):
        return Task(day, segments, None, upto, False, mark, now)
    if not signals or not built:
        return None
    some = None if min(signals) < 0 else np.unique(np.array(signals, np.int32))
    return Task(day, segments, some, built, False, mark, now)


def _worth(segments: list[Segment], built: bool, now: int) -> bool:
    """Whether the segments of a day that is over are to be rewritten."""
    small = [s for s in segments if s.level < FINAL]
    if not small:
        return False
    rows = sum(s.rows for s in segments) - sum(s.rows for s in small)
    return (
        not built
        or sum(s.rows for s in small) * _FEW >= rows
        or min(s.last_received for s in small) < now - DAY_MS
    )


def _expire(writer: "EmbeddedWriter", now: int) -> int:
    """Drop days that ended before the retention's cut, but for each signal's last row.

    The last rows go into one small segment, so that "as of" still knows what held at the cut. A
    day whose cells are not made yet, or dirty, waits for them.
    """
    cut = writer.settings.cut(now)
    if cut is None:
        return 0
    with writer.lock:
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE last < ?"  # noqa: S608
        old = [Segment(*row) for row in select(writer.database, query, (cut,))]
        dirty = {first // DAY_MS for (first,) in select(writer.database, "SELECT first FROM dirty")}
        ready = {d for d, upto in writer.dirt.built.items() if upto >= (d + 1) * DAY_MS} - dirty
    old = [s for s in old if s.level == _CARRIED or s.day in ready]
    if not any(segment.level != _CARRIED for segment in old):
        return 0
    old = sound_segments(writer, old)
    if not old:
        return 0
    with connect() as duck:
        found = last_rows(duck, [writer.folder / SAMPLES / s.file for s in old])
    part = Part.write(writer, old[0].day, found.sorted())
    with writer.lock, naming(writer.database) as db:
        replace_segments(db, old)
        part.name(db, level=_CARRIED)
        _say(db, "raw", cut)
        writer.raw_from = max(writer.raw_from, cut)
    return len(old)


def _expire_tiers(writer: "EmbeddedWriter", now: int) -> int:
    """Drop files of cells that are older than their tier's retention."""
    gone = 0
    for tier in TIERS:
        cut = writer.settings.tier_cut(tier, now)
        if cut is None:
            continue
        with writer.lock:
            query = "SELECT id, file FROM tier WHERE tier = ? AND upto <= ?"
            old = select(writer.database, query, (tier, cut))
        if old:
            with writer.lock, writing(writer.database) as db:
                db.executemany("DELETE FROM tier WHERE id = ?", [(id_,) for id_, _ in old])
                retire(db, [file for _, file in old])
                _say(db, tier, cut)
            gone += len(old)
    return gone


def _say(db: "apsw.Connection", name: str, cut: int) -> None:
    """What is older than this is gone."""
    db.execute(
        "INSERT INTO horizon VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
        (name, cut),
    )


def _remove_retired(writer: "EmbeddedWriter") -> None:
    """Delete files that were replaced ten minutes ago (real time, also under a plant clock)."""
    before = int(time.time()) - RETIRED_KEEP_S
    with writer.lock:
        old = select(writer.database, "SELECT file FROM retired WHERE at < ?", (before,))
    for (file,) in old:
        place(writer.folder, file).unlink(missing_ok=True)
    if old:
        with writer.lock, writing(writer.database) as db:
            db.execute("DELETE FROM retired WHERE at < ?", (before,))
