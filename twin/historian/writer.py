"""The writer of the embedded historian: one transaction a commit, sealing beside it.

``write`` and its siblings are called from one thread, ``retain`` may run in another: it holds the
lock only while it takes what to seal and while it names the new file in the manifest.
"""

import json
import logging
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

from plant.errors import Condemned, Unavailable
from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Gap, Int32, Int64, SampleBatch
from twin.historian.checksum import CHECKED
from twin.historian.database import is_damage
from twin.historian.dirt import Dirt, Touched
from twin.historian.duplicate import new_rounds
from twin.historian.guard import Guard
from twin.historian.hot import HotLog, decode_hot, encode_hot
from twin.historian.label import Label
from twin.historian.last_commit import LastCommit, Newest, cut_gap, newest
from twin.historian.opening import Lost, open_writable
from twin.historian.record import insert_gap, write_records
from twin.historian.segment import SignalSpans, connect, scan
from twin.historian.segment import newest as newest_rows
from twin.historian.signal import add, settle
from twin.historian.store import (
    ASIDE,
    FILE,
    GENERATION,
    NAMED,
    SAMPLES,
    condemned,
    fact,
    newest_received,
    select,
    writing,
)

if TYPE_CHECKING:
    import duckdb

    from twin.historian.embedded import Embedded
    from twin.historian.seal import Part

log = logging.getLogger("kaikou.historian")

_NEVER = int(np.iinfo(np.int64).min)
ZONE = "timezone of the tiers"
"""Name of the fact."""
NOTHING = int(np.iinfo(np.int64).max)
LOST = "historian.sqlite: {why}; what was stored is set aside{name}: kaikou history adopt"
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
            self.database, lost = open_writable(folder)
        except BaseException:
            self._guard.close()
            raise
        self._inode = (folder / FILE).stat().st_ino
        self._last: LastCommit | None = None
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
        from twin.historian.check import Round

        self.round = Round()
        """Which sealed files are to be looked at next."""
        self.in_the_log = NOTHING
        """Least source time of what may stand in the write-ahead log only."""
        try:
            self._open(lost)
        except apsw.Error as error:
            self.close()
            if is_damage(error):  # this start ends here, the next sets it aside
                raise condemned(self.database, error) from error
            raise Unavailable(f"{folder}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, lost: Lost | None) -> None:
        """Take up where the last writer stopped, look at what is there, say what is missing."""
        from twin.historian.aside import check_lengths, come_back
        from twin.historian.unlabelled import label_old_files
        from twin.historian.unnamed import clear_unnamed

        self.dirt = Dirt(self.database)
        self.generation = fact(self.database, GENERATION)
        self._load()
        label_old_files(self)
        held = newest(self.folder)
        lost = lost or self._unsaid(held)
        self._last = LastCommit(self.folder, self.folder / FILE, self.generation)
        cut = held is not None and held.generation == self.generation
        cut = cut and held is not None and held.received > self.received
        come_back(self)
        wrong = check_lengths(self)
        clear_unnamed(self, known=not (lost or cut or wrong) and held is not None)
        if lost:
            what = f"; it is kept as {lost.name}" if lost.name else ""
            text = (
                "%s: %s: %s%s. A new one begins; `kaikou history adopt` brings back what is whole"
            )
            log.error(text, self.folder, FILE, lost.why, what)
            now = max(int(time.time() * 1000), held.received if held else 0)
            self._say_missing(
                Gap(
                    "",
                    0,
                    now,
                    -1,
                    LOST.format(why=lost.why, name=f" ({lost.name})" if lost.name else ""),
                )
            )
        elif cut and held is not None:
            log.error("%s: its newest commits are missing", self.folder)
            self._say_missing(cut_gap(held, self.received))
        else:
            self.committed(self.received)

    def _unsaid(self, held: Newest | None) -> Lost | None:
        """A database that a start set aside which was killed before it could say so."""
        if held is None or held.generation == self.generation:
            return None
        aside = sorted((self.folder / ASIDE).glob("historian-*.sqlite"))
        return Lost("another was here before", f"{ASIDE}/{aside[-1].name}" if aside else "")

    def _say_missing(self, gap: Gap) -> None:
        received = max(self.received + 1, gap.last)
        with writing(self.database) as db:
            insert_gap(db, gap, received)
        self.committed(received)

    def committed(self, received: int) -> None:
        """Everything up to this received time is durable."""
        self.received = received
        if self._last is not None:
            self._last.say(received, min(self.in_the_log, received))

    def label(self, signals: Int32) -> Label:
        """What a file of some signals says of itself."""
        with self.lock:
            rows = select(
                self.database,
                "SELECT id, path, kind, unit, modulus, hold_ms, place FROM signal"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(signals.tolist()),),
            )
            return Label(self.generation, int(fact(self.database, NAMED)), rows)

    def _load(self) -> None:
        """Take up where the last writer stopped, however it stopped."""
        db = self.database
        for id_, last in db.execute("SELECT id, last FROM signal"):
            self._fit_top(id_)
            self._top[id_] = _NEVER if last is None else last
        for id_, received, data in db.execute("SELECT id, received, data FROM hot ORDER BY id"):
            self.keep(id_, decode_hot(data, received))
        self.received = newest_received(db)
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
        self._require_there()
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
            self.in_the_log = min(self.in_the_log, _earliest(commit, stored))
            self.committed(last)
            return last

    def _require_there(self) -> None:
        """Nothing is acknowledged into a file that nobody will find again.

        SQLite goes on in a file whose name was removed, or given to another.
        """
        try:
            found = (self.folder / FILE).stat().st_ino
        except FileNotFoundError:
            found = -1
        except OSError as error:
            raise Unavailable(f"{self.folder}: {error.strerror}") from error
        if found != self._inode:
            raise Condemned(f"{self.folder / FILE} was taken away while it is in use")

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
        query = "SELECT file, bytes, crc, signals FROM segment WHERE last >= ? AND first <= ?"
        for file, size, crc, blob in select(db, query, (low, high)):
            if file not in self.warm_files and _touches(SignalSpans.decode(blob), late):
                path = self.folder / SAMPLES / file
                if not CHECKED.wrong(path, size, crc):  # else ``check`` sets it aside
                    files.append(path)
        if not files:
            return SampleBatch.empty()
        import duckdb

        if self._duck is None:
            self._duck = connect()
        self._duck.register("late", {"s": late.signal, "t": late.source_time})
        among = "(signal, source_time) IN (SELECT (s, t) FROM late)"
        try:
            found = scan(self._duck, files, f"source_time BETWEEN ? AND ? AND {among}", (low, high))
        except duckdb.Error:  # a file without a check-sum: ``check`` finds out which
            self._duck = None
            return SampleBatch.empty()
        self._duck.unregister("late")
        return newest_rows(found)

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
        from twin.historian.unnamed import remove_unfinished

        self._require_there()
        with self._files:
            try:
                yield
            except Unavailable:
                with self.lock, suppress(OSError, apsw.Error):  # else at the next start
                    remove_unfinished(self)
                raise
            except apsw.Error as error:
                if is_damage(error):
                    raise condemned(self.database, error) from error
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
            if self._last is not None:
                wal = self.folder / f"{FILE}-wal"
                since = min(self.in_the_log, self.received)
                self._last.say(self.received, since, log=wal.exists())
                self._last.close()
                self._last = None
            self._guard.close()


def _earliest(commit: Commit, stored: Sequence[tuple[int, SampleBatch]]) -> int:
    """Least source time that a commit brought."""
    times = [int(rows.source_time.min()) for _, rows in stored]
    times += [t.time for t in commit.texts] + [e.time for e in commit.events]
    return min([*times, *(w.start for w in commit.waveforms)], default=NOTHING)


def _touches(spans: SignalSpans, rows: SampleBatch) -> bool:
    """Whether one of the rows is within its signal's span."""
    at = spans.find(rows.signal)
    inside = (rows.source_time >= spans.first[at]) & (rows.source_time <= spans.last[at])
    return bool(((at >= 0) & inside).any())
