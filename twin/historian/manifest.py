"""What a reader sees of the embedded historian: the manifest, the hot batches, the files.

Each look is one short SQLite transaction that takes the segments' names and the hot batches;
then DuckDB reads the Parquet files that were named. Sealed rows and hot rows are never both seen,
nor neither.
"""

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw
import numpy as np

from plant.flow.port import Series
from plant.flow.sample import Int32, Int64, SampleBatch
from plant.model.signal import SignalKind
from twin.historian.hot import HotLog, decode_hot
from twin.historian.segment import SEGMENT_COLUMNS, Segment, SignalSpans, connect
from twin.historian.store import SAMPLES, open_readable, select

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

FOREVER = int(np.iinfo(np.int64).max)
NEVER = int(np.iinfo(np.int64).min)
_KEEP_SPANS = 1024
_TRIES = 3


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one transaction saw.

    signal       database id of each path asked for, -1 where the historian has none
    first, last  least and greatest sealed source time of each
    segments     those that may hold rows of the range
    hot          rows of the range that are not sealed
    """

    signal: Int32
    first: Int64
    last: Int64
    segments: Sequence[Segment]
    hot: SampleBatch


class Vanished(Exception):
    """A file was merged away between the transaction and the scan; the manifest names another."""


class Manifest:
    """One SQLite connection and one DuckDB of a reader, shared by its threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._database: apsw.Connection | None = None
        self._duck: duckdb.DuckDBPyConnection | None = None
        self._hot = HotLog()
        self._hot_ids: deque[tuple[int, int]] = deque()  # id and rows of what is in it
        self._spans: OrderedDict[tuple[str, int], SignalSpans] = OrderedDict()

    def close(self) -> None:
        """Release both; the next question opens them again."""
        with self._lock:
            if self._database:
                self._database.close()
            if self._duck:
                self._duck.close()
            self._database = self._duck = None
            self._hot = HotLog()
            self._hot_ids.clear()
            self._spans.clear()

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """The lock and one moment of the SQLite file."""
        with self._lock:
            if self._database is None:
                self._database = open_readable(self.folder)
            if self._database.in_transaction:  # a look within a look
                yield self._database
                return
            self._database.execute("BEGIN")
            try:
                yield self._database
            finally:
                self._database.execute("COMMIT")

    def again(self, run: Callable[[], T]) -> T:
        """Run a look, and once more where a file was merged away under it."""
        for _ in range(_TRIES):
            try:
                return run()
            except Vanished:
                continue
        return run()

    # ------------------------------------------------------------------------------ signals

    def series(self) -> Sequence[tuple[int, Series]]:
        """Every signal with its database id, oldest first."""
        with self.transaction() as db:
            rows = select(
                db, "SELECT id, path, kind, unit, modulus, hold_ms, place FROM signal ORDER BY id"
            )
        return [
            (id_, Series(path, SignalKind(kind), unit, modulus, hold_ms, (), tuple(json.loads(at))))
            for id_, path, kind, unit, modulus, hold_ms, at in rows
        ]

    def find(self, path: str) -> tuple[int, Series]:
        """Database id and treatment of a path; -1 and a plain measurement where it is not known."""
        with self.transaction() as db:
            row = db.execute(
                "SELECT id, kind, unit, modulus, hold_ms FROM signal WHERE path = ?", (path,)
            ).fetchone()
        if row is None:
            return -1, Series(path)
        id_, kind, unit, modulus, hold_ms = row
        return id_, Series(path, SignalKind(kind), unit, modulus, hold_ms)

    # ------------------------------------------------------------------------------ looks

    def view(self, paths: Sequence[str], first: int, last: int, known: int) -> View:
        """What there is between two source times (both included), known by ``known``."""
        with self.transaction() as db:
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
            hot = self.hot(db)
        ids = [found.get(path, (-1, None, None)) for path in paths]
        signal = np.array([i for i, _, _ in ids], np.int32)
        mask = (hot.source_time >= first) & (hot.source_time <= last)
        mask &= (hot.received_time <= known) & np.isin(hot.signal, signal)
        return View(
            signal,
            np.array([FOREVER if t is None else t for _, t, _ in ids], np.int64),
            np.array([NEVER if t is None else t for _, _, t in ids], np.int64),
            [Segment(*row) for row in rows],
            hot.take(mask),
        )

    def hot(self, db: apsw.Connection) -> SampleBatch:
        """All hot rows; what was read before is kept in memory, what was sealed is dropped."""
        least, greatest = select(db, "SELECT min(id), max(id) FROM hot")[0]
        sealed = 0
        while self._hot_ids and (least is None or self._hot_ids[0][0] < least):
            sealed += self._hot_ids.popleft()[1]
        if sealed:
            self._hot = self._hot.after(sealed)
        have = self._hot_ids[-1][0] if self._hot_ids else -1
        if greatest is not None and greatest > have:
            query = "SELECT id, received, data FROM hot WHERE id > ? ORDER BY id"
            for id_, received, data in select(db, query, (have,)):
                rows = decode_hot(data, received)
                self._hot.append(rows)
                self._hot_ids.append((id_, len(rows)))
        return self._hot.view()

    def spans(self, segment: Segment) -> SignalSpans:
        """Which signals a segment holds; kept in memory, because a segment never changes."""
        return self._kept("segment", segment.id)

    def tier_spans(self, file: int) -> SignalSpans:
        """For which spans of which signals a file of cells answers."""
        return self._kept("tier", file)

    def _kept(self, table: str, id_: int) -> SignalSpans:
        with self._lock:
            spans = self._spans.get((table, id_))
            if spans is None:
                query = f"SELECT signals FROM {table} WHERE id = ?"  # noqa: S608 - names are ours
                with self.transaction() as db:
                    found = select(db, query, (id_,))
                if not found:
                    raise Vanished
                spans = self._spans[table, id_] = SignalSpans.decode(found[0][0])
            self._spans.move_to_end((table, id_))
            while len(self._spans) > _KEEP_SPANS:
                self._spans.popitem(last=False)
            return spans

    def scan(
        self,
        question: Callable[..., SampleBatch],
        segments: Sequence[Segment],
        where: str,
        parameters: Sequence[object],
    ) -> SampleBatch:
        """Ask the files of some segments (``segment.scan`` or ``segment.last_rows``)."""
        if not segments:
            return SampleBatch.empty()
        with self.cursor() as cursor:
            return question(cursor, [self.file(s) for s in segments], where, parameters)

    def file(self, segment: Segment) -> Path:
        """Where a segment lies."""
        return self.folder / SAMPLES / segment.file

    @contextmanager
    def cursor(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A DuckDB cursor for one thread; a file that is not there any more is ``Vanished``."""
        import duckdb

        with self._lock:
            if self._duck is None:
                self._duck = connect()
            cursor = self._duck.cursor()
        with cursor:
            try:
                yield cursor
            except duckdb.IOException as error:
                raise Vanished from error
