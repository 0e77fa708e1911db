"""The writer of the embedded historian: one transaction a commit, sealing beside it.

``write`` and its siblings are called from one thread, ``retain`` may run in another: it holds the
lock only while it takes what to seal and while it names the new file in the manifest.
"""

import fcntl
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import numpy as np
from numpy.typing import NDArray

from plant.errors import Unavailable
from plant.flow.port import Commit, Series
from plant.flow.sample import Gap, Int32, Int64, SampleBatch
from twin.historian.dirt import Dirt, Touched
from twin.historian.duplicate import new_rounds
from twin.historian.hot import HotLog, decode_hot, encode_hot
from twin.historian.record import write_records
from twin.historian.segment import SignalSpans, connect, newest, scan
from twin.historian.store import SAMPLES, open_writable, select, writing

if TYPE_CHECKING:
    import duckdb

    from twin.historian.embedded import Embedded
    from twin.historian.seal import Part

_NEVER = np.iinfo(np.int64).min


class EmbeddedWriter:
    """``HistorianWriter`` over a folder; see ``twin.historian.store`` for what is in it."""

    def __init__(self, folder: Path, settings: "Embedded") -> None:
        self.folder = folder
        self.settings = settings
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._guard = (folder / "writer.lock").open("w")
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._guard.close()
            raise Unavailable(f"another process writes to the historian in {folder}") from error
        try:
            self.database = open_writable(folder)
        except BaseException:
            self._guard.close()
            raise
        self.hot = HotLog(seek=True)
        self.warm = HotLog()
        """What was sealed last, for late rows; ``warm_files`` are the segments that hold it."""
        self.warm_files: frozenset[str] = frozenset()
        self._duck: duckdb.DuckDBPyConnection | None = None
        self.hot_since: float | None = None
        self.hot_id = 0
        self._declared: list[Series] = []
        self._id: Int32 = np.empty(0, np.int32)  # database id of each declared series, -1: none yet
        self._top: Int64 = np.empty(0, np.int64)  # greatest source time stored, by database id
        self._received = 0
        self.touched: dict[int, float] = {}
        """When a day was last sealed into, by the monotonic clock."""
        self.merged = -math.inf
        """When big segments were last merged."""
        from twin.historian.seal import remove_orphans

        try:
            self.dirt = Dirt(self.database)
            self._load()
            remove_orphans(self)
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        """Take up where the last writer stopped, however it stopped."""
        db = self.database
        for id_, last in db.execute("SELECT id, last FROM signal"):
            self._fit_top(id_)
            self._top[id_] = _NEVER if last is None else last
        for id_, received, data in db.execute("SELECT id, received, data FROM hot ORDER BY id"):
            self._remember(id_, decode_hot(data, received))
        tops = " UNION ALL ".join(
            f"SELECT max({column}) m FROM {table}"  # noqa: S608 - names are ours
            for table, column in (
                ("segment", "last_received"),
                ("hot", "received"),
                ("text", "received"),
                ("waveform", "received"),
                ("event", "received"),
                ("gap", "received"),
                ("mark", "written"),
            )
        )
        for (received,) in db.execute(f"SELECT max(m) FROM ({tops})"):  # noqa: S608
            self._received = received or 0

    # ------------------------------------------------------------------------------ series

    def declare(self, series: Sequence[Series]) -> None:
        """See ``HistorianWriter``."""
        with self.lock:
            with writing(self.database) as db:
                ids = [_settle(db, s) for s in series]
            self._declared.extend(series)
            self._id = np.concatenate([self._id, np.array(ids, np.int32)])

    def _fit_top(self, id_: int) -> None:
        if id_ >= len(self._top):
            more = np.full(max(id_ + 1 - len(self._top), len(self._top), 256), _NEVER, np.int64)
            self._top = np.concatenate([self._top, more])

    def _known(self, db: apsw.Connection, signals: NDArray[np.integer]) -> None:
        """Give an id to every declared series that gets its first row in this transaction."""
        for index in np.unique(signals[self._id[signals] < 0]):
            s = self._declared[index]
            db.execute(
                "INSERT INTO signal (path, kind, unit, modulus, hold_ms) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (s.path, s.kind.value, s.unit, s.modulus, s.hold_ms),
            )
            row = _find(db, s.path)
            if row is None:
                raise AssertionError(s.path)
            self._id[index] = row[0]
            self._fit_top(row[0])

    # ------------------------------------------------------------------------------ write

    def write(self, commit: Commit, now: int) -> int:
        """See ``HistorianWriter``."""
        commit = self._without_old(commit, now)
        with self.lock:
            ids_before = self._id.copy()
            received = max(now, self._received + 1)
            stored: list[tuple[int, SampleBatch]] = []
            touched: list[Touched] = []
            try:
                with writing(self.database) as db:
                    for k, rows in enumerate(self._new(db, commit.samples)):
                        rows = rows.received(received + k)  # noqa: PLW2901
                        first, last = int(rows.source_time.min()), int(rows.source_time.max())
                        stored.append((_insert_hot(db, rows, first, last), rows))
                        touched += self.dirt.touched(rows, first, last)
                    self.dirt.mark(db, touched)
                    last = received + max(len(stored) - 1, 0)
                    series = [t.signal for t in commit.texts] + [w.signal for w in commit.waveforms]
                    self._known(db, np.array(series, np.int64))
                    write_records(db, commit, self._id, last)
                    db.executemany(
                        "INSERT INTO mark VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                        " offset = max(offset, excluded.offset), written = excluded.written",
                        [(m.edge, m.run, m.offset, last) for m in commit.marks],
                    )
            except BaseException:
                self._id = ids_before
                raise
            for id_, rows in stored:
                self._remember(id_, rows)
            self.dirt.marked(touched)
            self._received = last
            return last

    def _without_old(self, commit: Commit, now: int) -> Commit:
        """Rows older than the retention are not stored; a gap record says so."""
        cut = self.settings.cut(now)
        samples = commit.samples
        if cut is None or not len(samples) or samples.source_time.min() >= cut:
            return commit
        old = samples.take(samples.source_time < cut)
        paths = sorted({self._declared[i].path for i in np.unique(old.signal).tolist()})
        edges = {mark.edge for mark in commit.marks}
        gap = Gap(
            edges.pop() if len(edges) == 1 else "",
            int(old.source_time.min()),
            int(old.source_time.max()),
            len(old),
            "older than retention",
            paths,
        )
        return replace(
            commit,
            samples=samples.take(samples.source_time >= cut),
            gaps=[*commit.gaps, gap],
        )

    def _new(self, db: apsw.Connection, samples: SampleBatch) -> Sequence[SampleBatch]:
        if not len(samples):
            return []
        signal = self._id[samples.signal]
        if signal.min() < 0:
            self._known(db, samples.signal)
            signal = self._id[samples.signal]
        rows = SampleBatch(
            signal, samples.source_time, samples.value, samples.status, samples.received_time
        )
        return new_rounds(rows, self._top, lambda late: self._stored(db, late))

    def _remember(self, hot_id: int, rows: SampleBatch) -> None:
        self.hot.append(rows)
        self.hot_id = hot_id
        self.hot_since = self.hot_since or time.monotonic()
        if len(rows):
            self._fit_top(int(rows.signal.max()))
            np.maximum.at(self._top, rows.signal, rows.source_time)

    def _stored(
        self, db: apsw.Connection, late: SampleBatch
    ) -> tuple[NDArray[np.bool_], SampleBatch]:
        """The newest stored row of each late one: from memory first, then from segments."""
        there = np.zeros(len(late), np.bool_)
        value, status = late.value.copy(), late.status.copy()

        def fill(where: Int64, rows: SampleBatch) -> None:
            value[where], status[where], there[where] = rows.value, rows.status, True

        for log in (self.hot, self.warm):
            place = log.newest(late.signal, late.source_time)
            found = np.flatnonzero((place >= 0) & ~there)
            if len(found):
                fill(found, log.view().take(place[found]))
        missing = np.flatnonzero(~there)
        sealed = self._sealed(db, late.take(missing)) if len(missing) else late.take([])
        if len(sealed):
            keys = zip(sealed.signal.tolist(), sealed.source_time.tolist(), strict=True)
            at = {key: i for i, key in enumerate(keys)}
            wanted = zip(late.signal.tolist(), late.source_time.tolist(), strict=True)
            hit = np.array([at.get(key, -1) for key in wanted])
            found = np.flatnonzero((hit >= 0) & ~there)
            fill(found, sealed.take(hit[found]))
        return there, SampleBatch(late.signal, late.source_time, value, status, late.received_time)

    def _sealed(self, db: apsw.Connection, late: SampleBatch) -> SampleBatch:
        """Newest sealed rows that share signal and time with late ones, sorted."""
        low, high = int(late.source_time.min()), int(late.source_time.max())
        files = []
        for file, blob in select(
            db, "SELECT file, signals FROM segment WHERE last >= ? AND first <= ?", (low, high)
        ):
            if file not in self.warm_files and _touches(SignalSpans.decode(blob), late):
                files.append(self.folder / SAMPLES / file)
        if not files:
            return SampleBatch.empty()
        if self._duck is None:
            self._duck = connect()
        self._duck.register("late", {"s": late.signal, "t": late.source_time})
        among = "(signal, source_time) IN (SELECT (s, t) FROM late)"
        found = scan(self._duck, files, f"source_time BETWEEN ? AND ? AND {among}", (low, high))
        self._duck.unregister("late")
        return newest(found)

    # ------------------------------------------------------------------------------ the rest

    def marks(self) -> Mapping[tuple[str, str], int]:
        """See ``HistorianWriter``."""
        with self.lock:
            rows = self.database.execute("SELECT edge, run, offset FROM mark")
            return {(edge, run): offset for edge, run, offset in rows}

    def remember(self, name: str, value: str) -> str:
        """See ``HistorianWriter``."""
        with self.lock, writing(self.database) as db:
            db.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", (name, value))
            for (kept,) in select(db, "SELECT value FROM fact WHERE name = ?", (name,)):
                value = kept
        return value

    def retain(self, now: int, force: bool = False) -> None:
        """See ``HistorianWriter``."""
        from twin.historian.retain import retain

        retain(self, now, force)

    def touch(self, parts: Iterable["Part"]) -> None:
        """Remember that days got new rows."""
        self.touched.update((part.day, time.monotonic()) for part in parts)

    def close(self) -> None:
        """See ``HistorianWriter``."""
        with self.lock:
            self.database.close()
            if self._duck:
                self._duck.close()
            self._guard.close()


def _touches(spans: SignalSpans, rows: SampleBatch) -> bool:
    """Whether one of the rows is within its signal's span."""
    at = spans.find(rows.signal)
    inside = (rows.source_time >= spans.first[at]) & (rows.source_time <= spans.last[at])
    return bool(((at >= 0) & inside).any())


def _insert_hot(db: apsw.Connection, rows: SampleBatch, first: int, last: int) -> int:
    db.execute(
        "INSERT INTO hot (received, first, last, rows, data) VALUES (?, ?, ?, ?, ?)",
        (
            int(rows.received_time[0]),
            first,
            last,
            len(rows),
            encode_hot(rows),
        ),
    )
    return db.last_insert_rowid()


def _settle(db: apsw.Connection, series: Series) -> int:
    """The id of a series that has rows, -1 for one that has none yet; renames what it must."""
    row = _find(db, series.path)
    for old in series.was if row is None else ():
        if _find(db, old) is not None:
            db.execute("UPDATE signal SET path = ? WHERE path = ?", (series.path, old))
            row = _find(db, series.path)
            break
    if row is None:
        return -1
    id_, kind, unit = row
    if (kind, unit) != (series.kind.value, series.unit):
        n = 1
        while _find(db, f"{series.path}~{n}") is not None:
            n += 1
        db.execute("UPDATE signal SET path = ? WHERE id = ?", (f"{series.path}~{n}", id_))
        return -1
    db.execute(
        "UPDATE signal SET modulus = ?, hold_ms = ? WHERE id = ?"
        " AND (modulus IS NOT ? OR hold_ms IS NOT ?)",
        (series.modulus, series.hold_ms, id_, series.modulus, series.hold_ms),
    )
    return int(id_)


def _find(db: apsw.Connection, path: str) -> tuple[int, str, str] | None:
    return db.execute("SELECT id, kind, unit FROM signal WHERE path = ?", (path,)).fetchone()
