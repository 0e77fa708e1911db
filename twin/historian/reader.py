"""The reader of the embedded historian, for any process and any thread, while the writer writes.

Each read is one short SQLite transaction that takes the manifest and the hot batches, then DuckDB
over the Parquet files it named. Sealed rows and hot rows are never both seen, nor neither.
"""

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw
import numpy as np

from plant.flow.port import Aggregate
from plant.flow.sample import Event, Gap, Int32, Int64, SampleBatch, Text, Waveform
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window, aggregate
from twin.historian.hot import HotLog, decode_hot
from twin.historian.record import read_events, read_gaps, read_texts, read_waveforms
from twin.historian.segment import (
    SEGMENT_COLUMNS,
    Segment,
    SignalSpans,
    connect,
    last_rows,
    newest,
    scan,
)
from twin.historian.store import SAMPLES, open_readable, select

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

_FOREVER = int(np.iinfo(np.int64).max)
_NEVER = int(np.iinfo(np.int64).min)
_KEEP_SPANS = 512
_TRIES = 3

_LAST = (
    "signal IN (SELECT unnest(?)) AND source_time <= ? AND source_time >= ?"
    " AND received_time <= ? AND status < ?"
)
_ANY = 1 << 32
_NOT_BAD = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one transaction saw."""

    signal: Int32  # database id of each path asked for, -1 where the historian has none
    first: Int64  # least sealed source time of each
    last: Int64  # greatest
    segments: Sequence[Segment]
    hot: SampleBatch


class _Vanished(Exception):
    """A file was merged away between the transaction and the scan; the manifest names another."""


class EmbeddedReader:
    """``HistorianReader`` over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._database: apsw.Connection | None = None
        self._duck: duckdb.DuckDBPyConnection | None = None
        self._hot = HotLog()
        self._hot_ids: deque[tuple[int, int]] = deque()  # id and rows of what is in it
        self._spans: OrderedDict[int, SignalSpans] = OrderedDict()

    # ------------------------------------------------------------------------------ samples

    def read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> SampleBatch:
        """See ``HistorianReader``."""
        return self._again(lambda: self._read(paths, start, end, known_at))

    def _read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None
    ) -> SampleBatch:
        known = _FOREVER if known_at is None else known_at
        view = self._view(paths, start, end - 1, known)
        wanted = np.unique(view.signal[view.signal >= 0])
        if not len(wanted) or start >= end:
            return SampleBatch.empty()
        files = []
        for segment in view.segments:
            spans = self._spans_of(segment)
            at = spans.find(wanted)
            inside = (spans.first[at] < end) & (spans.last[at] >= start) & (at >= 0)
            if inside.any():
                files.append(self.folder / SAMPLES / segment.file)
        condition, parameters = _among(wanted)
        sealed = self._scan(
            files,
            f"{condition} AND source_time >= ? AND source_time < ? AND received_time <= ?",
            [*parameters, start, end, known],
        )
        return _by_path(newest(SampleBatch.concat([sealed, view.hot])), view.signal)

    def as_of(self, paths: Sequence[str], at: int, known_at: int | None = None) -> SampleBatch:
        """See ``HistorianReader``."""
        return self._again(lambda: self._as_of(paths, at, known_at))

    def _as_of(
        self, paths: Sequence[str], at: int, known_at: int | None, below: int = _ANY
    ) -> SampleBatch:
        """The last row at or before ``at`` of each path, of those with a status below ``below``."""
        known = _FOREVER if known_at is None else known_at
        view = self._view(paths, _NEVER, at, known)
        wanted, where = np.unique(view.signal, return_index=True)
        first, last = view.first[where][wanted >= 0], view.last[where][wanted >= 0]
        wanted = wanted[wanted >= 0]
        best = _last_of_each(view.hot.take(view.hot.status < below))
        # A sealed row is nowhere later than this; segments are asked from the latest back, each
        # only for the signals that it may still improve.
        bound = np.where(first <= at, np.minimum(last, at), _NEVER)
        for segment in sorted(view.segments, key=lambda s: min(s.last, at), reverse=True):
            have = _times(best, wanted)
            hopeful = bound >= np.maximum(have, _NEVER + 1)
            if not hopeful.any() or segment.last < have[hopeful].min():
                break
            hopeful &= (segment.first <= bound) & (segment.last >= have)
            if not hopeful.any():
                continue
            spans = self._spans_of(segment)
            place = spans.find(wanted)
            hopeful &= (place >= 0) & (spans.first[place] <= at) & (spans.last[place] >= have)
            if hopeful.any():
                limits = (at, int(have[hopeful].min()), known, below)
                found = self._last(segment, wanted[hopeful], limits)
                best = _last_of_each(SampleBatch.concat([best, found]))
        return _by_path(best, view.signal)

    def aggregate(
        self, path: str, start: int, end: int, width_ms: int, known_at: int | None = None
    ) -> Aggregate:
        """See ``HistorianReader``."""
        kind, modulus, hold_ms = self._treatment(path)
        carried = self.as_of([path], start - 1, known_at)
        if kind is SignalKind.COUNTER and len(carried) and carried.status[0] >= _NOT_BAD:
            usable = self._again(lambda: self._as_of([path], start - 1, known_at, _NOT_BAD))
            carried = SampleBatch.concat([usable, carried])
        rows = self.read([path], start, end, known_at)
        window = Window(start, end, width_ms)
        return aggregate(carried, rows, window, kind=kind, modulus=modulus, hold_ms=hold_ms)

    # ------------------------------------------------------------------------------ the rest

    def texts(self, paths: Sequence[str], start: int, end: int) -> Sequence[Text]:
        """See ``HistorianReader``."""
        with self._transaction() as db:
            return read_texts(db, paths, start, end)

    def waveforms(self, paths: Sequence[str], start: int, end: int) -> Sequence[Waveform]:
        """See ``HistorianReader``."""
        with self._transaction() as db:
            return read_waveforms(db, paths, start, end)

    def events(self, start: int, end: int) -> Sequence[Event]:
        """See ``HistorianReader``."""
        with self._transaction() as db:
            return read_events(db, start, end)

    def gaps(self, start: int, end: int) -> Sequence[Gap]:
        """See ``HistorianReader``."""
        with self._transaction() as db:
            return read_gaps(db, start, end)

    def paths(self) -> Sequence[str]:
        """See ``HistorianReader``."""
        with self._transaction() as db:
            return [path for (path,) in select(db, "SELECT path FROM signal ORDER BY id")]

    def close(self) -> None:
        """See ``HistorianReader``."""
        with self._lock:
            if self._database:
                self._database.close()
            if self._duck:
                self._duck.close()
            self._database = self._duck = None
            self._hot = HotLog()
            self._hot_ids.clear()
            self._spans.clear()

    # ------------------------------------------------------------------------------ inside

    def _again(self, run: Callable[[], T]) -> T:
        for _ in range(_TRIES):
            try:
                return run()
            except _Vanished:
                continue
        return run()

    def _transaction(self) -> "_Locked":
        return _Locked(self)

    def open(self) -> apsw.Connection:
        """The connection, opened when it is first needed; the lock is held."""
        if self._database is None:
            self._database = open_readable(self.folder)
        return self._database

    def _view(self, paths: Sequence[str], first: int, last: int, known: int) -> _View:
        """What there is between two source times (both included), known by ``known``."""
        with self._transaction() as db:
            found = {
                path: ids
                for path, *ids in select(
                    db,
                    "SELECT path, id, first, last FROM signal"
                    " WHERE path IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(paths)),),
                )
            }
            rows = select(
                db,
                f"SELECT {SEGMENT_COLUMNS} FROM segment"  # noqa: S608 - names are ours
                " WHERE last >= ? AND first <= ? AND first_received <= ?",
                (first, last, known),
            )
            hot = self._fresh(db)
        ids = [found.get(path, (-1, None, None)) for path in paths]
        signal = np.array([i for i, _, _ in ids], np.int32)
        mask = (hot.source_time >= first) & (hot.source_time <= last)
        mask &= (hot.received_time <= known) & np.isin(hot.signal, signal)
        return _View(
            signal,
            np.array([_FOREVER if t is None else t for _, t, _ in ids], np.int64),
            np.array([_NEVER if t is None else t for _, _, t in ids], np.int64),
            [Segment(*row) for row in rows],
            hot.take(mask),
        )

    def _fresh(self, db: apsw.Connection) -> SampleBatch:
        """All hot rows; what was read before is kept in memory, what was sealed is dropped."""
        least, greatest = select(db, "SELECT min(id), max(id) FROM hot")[0]
        sealed = 0
        while self._hot_ids and (least is None or self._hot_ids[0][0] < least):
            sealed += self._hot_ids.popleft()[1]
        if sealed:
            self._hot.drop(sealed)
        have = self._hot_ids[-1][0] if self._hot_ids else -1
        if greatest is not None and greatest > have:
            query = "SELECT id, received, data FROM hot WHERE id > ? ORDER BY id"
            for id_, received, data in select(db, query, (have,)):
                rows = decode_hot(data, received)
                self._hot.append(rows)
                self._hot_ids.append((id_, len(rows)))
        return self._hot.view()

    def _treatment(self, path: str) -> tuple[SignalKind, float | None, int]:
        with self._transaction() as db:
            rows = select(db, "SELECT kind, modulus, hold_ms FROM signal WHERE path = ?", (path,))
        for kind, modulus, hold_ms in rows:
            return SignalKind(kind), modulus, hold_ms
        return SignalKind.MEASUREMENT, None, 0

    def _spans_of(self, segment: Segment) -> SignalSpans:
        with self._transaction() as db:
            spans = self._spans.get(segment.id)
            if spans is None:
                row = db.execute(
                    "SELECT signals FROM segment WHERE id = ?", (segment.id,)
                ).fetchone()
                if row is None:
                    raise _Vanished
                spans = self._spans[segment.id] = SignalSpans.decode(row[0])
            self._spans.move_to_end(segment.id)
            while len(self._spans) > _KEEP_SPANS:
                self._spans.popitem(last=False)
            return spans

    def _cursor(self) -> "duckdb.DuckDBPyConnection":
        with self._lock:
            if self._duck is None:
                self._duck = connect()
            return self._duck.cursor()

    def _scan(self, files: Sequence[Path], where: str, parameters: Sequence[object]) -> SampleBatch:
        if not files:
            return SampleBatch.empty()
        import duckdb

        with self._cursor() as cursor:
            try:
                return scan(cursor, files, where, parameters)
            except duckdb.IOException as error:
                raise _Vanished from error

    def _last(
        self, segment: Segment, signals: Int32, limits: tuple[int, int, int, int]
    ) -> SampleBatch:
        """Last rows by (latest time, earliest time, known at, status below)."""
        import duckdb

        file = self.folder / SAMPLES / segment.file
        with self._cursor() as cursor:
            try:
                return last_rows(cursor, [file], _LAST, [signals.tolist(), *limits])
            except duckdb.IOException as error:
                raise _Vanished from error


class _Locked:
    """The reader's lock and a read transaction."""

    def __init__(self, reader: EmbeddedReader) -> None:
        self._reader = reader

    def __enter__(self) -> apsw.Connection:
        self._reader._lock.acquire()
        try:
            database = self._reader.open()
            database.execute("BEGIN")
        except BaseException:
            self._reader._lock.release()
            raise
        self._database = database
        return database

    def __exit__(self, *_: object) -> None:
        self._database.execute("COMMIT")
        self._reader._lock.release()


def _among(signals: Int32) -> tuple[str, list[object]]:
    """A condition on the signal that prunes row groups when few are asked for."""
    if len(signals) <= 32:
        return f"signal IN ({', '.join(map(str, signals.tolist()))})", []
    return "signal IN (SELECT unnest(?))", [signals.tolist()]


def _by_path(rows: SampleBatch, ids: Int32) -> SampleBatch:
    """Rows by id, renumbered to the index of the path that was asked for, sorted by it."""
    order = np.argsort(ids, kind="stable")
    low = np.searchsorted(ids[order], rows.signal, "left")
    high = np.searchsorted(ids[order], rows.signal, "right")
    many = high - low
    if not len(rows) or (many == 1).all():
        index, take = order[low], np.arange(len(rows))
    else:  # a path that was asked for twice gets its rows twice
        take = np.repeat(np.arange(len(rows)), many)
        step = np.arange(len(take)) - np.repeat(np.cumsum(many) - many, many)
        index = order[np.repeat(low, many) + step]
    chosen = rows.take(take)
    return SampleBatch(
        index.astype(np.int32),
        chosen.source_time,
        chosen.value,
        chosen.status,
        chosen.received_time,
    ).sorted()


def _last_of_each(rows: SampleBatch) -> SampleBatch:
    """The latest row of each signal, the newest where a time was corrected."""
    rows = rows.sorted()
    if len(rows) < 2:
        return rows
    return rows.take(np.append(rows.signal[1:] != rows.signal[:-1], True))


def _times(rows: SampleBatch, signals: Int32) -> Int64:
    """Source time of each signal's row, the least number where it has none."""
    times = np.full(len(signals), _NEVER, np.int64)
    times[np.searchsorted(signals, rows.signal)] = rows.source_time
    return times
