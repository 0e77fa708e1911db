"""The writer of the embedded historian: one transaction a commit, sealing beside it.

``write`` and its siblings are called from one thread, ``retain`` may run in another: it holds the
lock only while it takes what to seal and while it names the new file in the manifest.
"""

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import numpy as np
from numpy.typing import NDArray

from plant.errors import Unavailable
from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Gap, Int32, Int64, SampleBatch
from twin.historian.dirt import Dirt, Touched
from twin.historian.duplicate import new_rounds
from twin.historian.guard import Guard
from twin.historian.hot import HotLog, decode_hot, encode_hot
from twin.historian.record import write_records
from twin.historian.segment import SignalSpans, connect, newest, scan
from twin.historian.signal import add, settle
from twin.historian.store import SAMPLES, open_writable, select, writing

if TYPE_CHECKING:
    import duckdb

    from twin.historian.embedded import Embedded
    from twin.historian.seal import Part

_NEVER = int(np.iinfo(np.int64).min)
ZONE = "timezone of the tiers"
"""Name of the fact."""
OLDER = "older than retention"
"""Why a gap record was written for rows that were not."""


class EmbeddedWriter:
    """``HistorianWriter`` over a folder; see ``twin.historian.store`` for what is in it."""

    def __init__(self, folder: Path, settings: "Embedded") -> None:
        self.folder = folder
        self.settings = settings
        self.lock = threading.RLock()
        self._files = threading.RLock()
        self._guard = Guard(folder)
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
        self.received = 0
        self.zone = "UTC"
        """Where the days of the tiers begin; ``retain`` brings it to what the settings say."""
        self.raw_from = _NEVER
        """Rows before this are gone, and others are not taken."""
        self.touched: dict[int, float] = {}
        """When a day was last sealed into, by the monotonic clock."""
        self.merged = -math.inf
        """When big segments were last merged."""
        self.looked = -math.inf
        """When the days were last looked at."""
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
            self.keep(id_, decode_hot(data, received))
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
            self.received = received or 0
        for (zone,) in db.execute("SELECT value FROM fact WHERE name = ?", (ZONE,)):
            self.zone = zone
        for (at,) in db.execute("SELECT at FROM horizon WHERE name = 'raw'"):
            self.raw_from = at

    # ------------------------------------------------------------------------------ series

    def declare(self, series: Sequence[Series]) -> None:
        """See ``HistorianWriter``."""
        with self.lock:
            touched: list[Touched] = []
            with writing(self.database) as db:
                found = [settle(db, s) for s in series]
                touched = self.dirt.treated_anew([f.id for f in found if f.treated_anew])
                self.dirt.mark(db, touched)
            self.dirt.marked(touched)
            self._declared.extend(series)
            self._id = np.concatenate([self._id, np.array([f.id for f in found], np.int32)])

    def admit(self, db: apsw.Connection, series: Series, touched: list[Touched]) -> int:
        """The id of a series, made if need be; in a transaction. What it touches is added."""
        found = settle(db, series)
        id_ = found.id if found.id >= 0 else add(db, series)
        touched += self.dirt.treated_anew([id_] if found.treated_anew else [])
        self._fit_top(id_)
        return id_

    def _fit_top(self, id_: int) -> None:
        if id_ >= len(self._top):
            more = np.full(max(id_ + 1 - len(self._top), len(self._top), 256), _NEVER, np.int64)
            self._top = np.concatenate([self._top, more])

    def raise_top(self, signal: Int32, time_: Int64) -> None:
        """These rows are stored."""
        if len(signal):
            self._fit_top(int(signal.max()))
            np.maximum.at(self._top, signal, time_)

    def _known(self, db: apsw.Connection, signals: NDArray[np.integer]) -> None:
        """Give an id to every declared series that gets its first row in this transaction."""
        for index in np.unique(signals[self._id[signals] < 0]):
            self._id[index] = add(db, self._declared[index])
            self._fit_top(int(self._id[index]))

    # ------------------------------------------------------------------------------ write

    def write(self, commit: Commit, now: int) -> int:
        """See ``HistorianWriter``."""
        commit = self._without_old(commit, now)
        with self.lock:
            ids_before = self._id.copy()
            received = max(now, self.received + 1)
            stored: list[tuple[int, SampleBatch]] = []
            touched: list[Touched] = []
            try:
                with writing(self.database) as db:
                    for k, rows in enumerate(self._new(db, commit.samples)):
                        rows = rows.received(received + k)  # noqa: PLW2901
                        stored.append((self.insert_hot(db, rows, touched), rows))
                    self.dirt.mark(db, touched)
                    last = received + max(len(stored) - 1, 0)
                    self._write_rest(db, commit, last)
            except BaseException:
                self._id = ids_before
                raise
            for id_, rows in stored:
                self.keep(id_, rows)
            self.dirt.marked(touched)
            self.received = last
            return last

    def insert_hot(self, db: apsw.Connection, rows: SampleBatch, touched: list[Touched]) -> int:
        """One commit's rows into table ``hot``; what they touch is added to the list."""
        first, last = int(rows.source_time.min()), int(rows.source_time.max())
        touched += self.dirt.touched(rows, first, last)
        db.execute(
            "INSERT INTO hot (received, first, last, rows, data) VALUES (?, ?, ?, ?, ?)",
            (int(rows.received_time[0]), first, last, len(rows), encode_hot(rows)),
        )
        return db.last_insert_rowid()

    def _write_rest(self, db: apsw.Connection, commit: Commit, received: int) -> None:
        """Everything but the samples."""
        if commit.texts or commit.waveforms:
            series = [t.signal for t in commit.texts] + [w.signal for w in commit.waveforms]
            self._known(db, np.array(series, np.int64))
        write_records(db, commit, self._id, received)
        self.move_marks(db, commit.marks, received)

    @staticmethod
    def move_marks(db: apsw.Connection, marks: Sequence[Mark], received: int) -> None:
        """Marks only ever rise."""
        db.executemany(
            "INSERT INTO mark VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " offset = max(offset, excluded.offset), written = excluded.written",
            [(m.edge, m.run, m.offset, received) for m in marks],
        )

    def _without_old(self, commit: Commit, now: int) -> Commit:
        """Rows older than the retention are not stored; a gap record says so."""
        cut = max(self.settings.cut(now) or _NEVER, self.raw_from)
        samples = commit.samples
        if cut == _NEVER or not len(samples) or samples.source_time.min() >= cut:
            return commit
        old = samples.take(samples.source_time < cut)
        paths = sorted({self._declared[i].path for i in np.unique(old.signal).tolist()})
        edges = {mark.edge for mark in commit.marks}
        gap = Gap(
            edges.pop() if len(edges) == 1 else "",
            int(old.source_time.min()),
            int(old.source_time.max()),
            len(old),
            OLDER,
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

    def keep(self, hot_id: int, rows: SampleBatch) -> None:
        """Remember rows that are in table ``hot`` now."""
        self.hot.append(rows)
        self.hot_id = hot_id
        self.hot_since = self.hot_since or time.monotonic()
        self.raise_top(rows.signal, rows.source_time)

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

    def adopt(self, changes: Changes, mark: Mark | None = None) -> None:
        """See ``HistorianWriter``."""
        from twin.historian.adopt import adopt

        with self._making_files():
            adopt(self, changes, mark)

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

        with self._making_files():
            retain(self, now, force)

    @contextmanager
    def _making_files(self) -> Iterator[None]:
        """One at a time; files that a full disk kept out of the manifest go at once."""
        from twin.historian.seal import remove_orphans

        with self._files:
            try:
                yield
            except Unavailable:
                with self.lock, suppress(OSError, apsw.Error):  # else at the next start
                    remove_orphans(self)
                raise

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
