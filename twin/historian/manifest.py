"""What a reader sees of the embedded historian: the manifest, the hot batches, the files.

Each look is one short SQLite transaction that takes the segments' names and the hot batches;
then DuckDB reads the Parquet files that were named. Sealed rows and hot rows are never both seen,
nor neither.
"""

import json
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw
import numpy as np

from plant.errors import Unavailable
from plant.flow.port import Series
from plant.flow.sample import Gap, Int32, Int64, SampleBatch
from plant.model.signal import SignalKind
from twin.historian.checksum import CHECKED, MISSING
from twin.historian.database import unreadable
from twin.historian.hot import HotLog, decode_hot
from twin.historian.last_commit import Newest, cut_gap, newest
from twin.historian.named import damage_gap, named_file, paths_of, suspect
from twin.historian.opening import open_readable
from twin.historian.segment import SEGMENT_COLUMNS, Segment, SignalSpans, connect
from twin.historian.store import (
    FILE,
    GENERATION,
    SAMPLES,
    TIERS,
    fact,
    newest_received,
    select,
)
from twin.historian.tier import TierFile

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger("kaikou.historian")

T = TypeVar("T")
Sealed = TypeVar("Sealed", bound=Segment | TierFile)

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


class Unreadable(Unavailable):
    """DuckDB does not understand a file that has no check-sum yet."""


class Manifest:
    """One SQLite connection and one DuckDB of a reader, shared by its threads.

    wrong  files that are not as they were sealed, and why: they are left out of every answer,
           ``gaps`` tells of them, and the twin sets them aside
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrong: dict[str, str] = {}
        self._inode = 0
        self._cut: Gap | None = None
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
            if self._database is not None and self._database.in_transaction:
                yield self._database  # a look within a look
                return
            file = self.folder / FILE
            try:
                database = self._open(file)
                database.execute("BEGIN")
                try:
                    yield database
                finally:
                    database.execute("COMMIT" if database.in_transaction else "SELECT 1")
            except apsw.Error as error:
                self.close()
                raise unreadable(file, error) from error

    def _open(self, file: Path) -> apsw.Connection:
        """The connection; a new one where the twin has begun another database meanwhile."""
        inode = file.stat().st_ino if file.exists() else 0
        if self._database is not None and inode != self._inode:
            self.close()
        if self._database is None:
            said = newest(self.folder)  # before the database is looked at: it may only be behind
            self._database = open_readable(self.folder)
            self._inode = inode
            self._cut = _cut_short(self._database, said)
        return self._database

    def again(self, run: Callable[[], T]) -> T:
        """Run a look, and once more where a file was merged away under it."""
        for _ in range(_TRIES):
            try:
                return run()
            except Vanished:
                continue
        try:
            return run()
        except Vanished as error:
            raise Unavailable(f"{self.folder}: a file cannot be read: {error}") from error

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
        sound = self.sound(segments)
        if not sound:
            return SampleBatch.empty()
        try:
            with self.cursor() as cursor:
                return question(cursor, [self.file(s) for s in sound], where, parameters)
        except Unreadable:  # a file without a check-sum yet, damaged before it had one
            left = self.readable(sound)
            if len(left) == len(sound):
                raise
            with self.cursor() as cursor:
                return question(cursor, [self.file(s) for s in left], where, parameters)

    def file(self, segment: Segment | TierFile) -> Path:
        """Where a file lies."""
        kind = SAMPLES if isinstance(segment, Segment) else TIERS
        return self.folder / kind / segment.file

    def sound(self, files: Sequence[Sealed]) -> list[Sealed]:
        """Those of some files whose rows may be believed."""
        return [file for file in files if self._is_sound(file)]

    def _is_sound(self, file: Segment | TierFile) -> bool:
        if file.crc is None and file.file in self.wrong:
            return False  # nothing can tell that it is whole again
        why = CHECKED.wrong(self.file(file), file.bytes, file.crc)
        if not why:
            self.wrong.pop(file.file, None)
            return True
        if why == MISSING and not self._names(file):
            raise Vanished
        self._leave_out(file, why)
        return False

    def _names(self, file: Segment | TierFile) -> bool:
        """Whether the manifest names a file now."""
        with self.transaction() as db:
            return named_file(db, file.file) is not None

    def _leave_out(self, file: Segment | TierFile, why: str) -> None:
        if file.file not in self.wrong:
            path = self.file(file)
            log.error("%s %s: it is left out, the twin sets it aside", path, why)
            suspect(self.folder, file.file)
        self.wrong[file.file] = why

    def readable(self, files: Sequence[Sealed]) -> list[Sealed]:
        """Those of some files that DuckDB reads to their end."""
        left = []
        for file in files:
            try:
                with self.cursor() as cursor:
                    query = "SELECT count(*) FROM (SELECT DISTINCT * FROM read_parquet(?))"
                    cursor.execute(query, [str(self.file(file))]).fetchall()
            except Unreadable as error:
                self._leave_out(file, f"cannot be read: {error}")
            else:
                left.append(file)
        return left

    def missing(self) -> list[Gap]:
        """What is known to be left out and stands in no gap record yet."""
        gaps = [] if self._cut is None else [self._cut]
        with self.transaction() as db:
            for name, why in sorted(self.wrong.items()):
                file = named_file(db, name)
                if isinstance(file, Segment):
                    ids = self.spans(file).signal
                    gaps.append(damage_gap(file, why, paths_of(db, ids)))
        return gaps

    @contextmanager
    def cursor(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A DuckDB cursor for one thread; a file that is not there any more is ``Vanished``."""
        import duckdb

        with self._lock:
            if self._duck is None:
                self._duck = connect()
            duck = self._duck
            cursor = duck.cursor()
        with cursor:
            try:
                yield cursor
            except duckdb.IOException as error:
                self._anew(duck)
                raise Vanished(str(error)) from error
            except duckdb.Error as error:
                self._anew(duck)
                raise Unreadable(str(error).splitlines()[0][:160]) from error

    def _anew(self, duck: "duckdb.DuckDBPyConnection") -> None:
        """An error may have spoiled all of this DuckDB: the next question opens another."""
        with self._lock:
            if self._duck is duck:
                self._duck = None


def _cut_short(db: apsw.Connection, said: Newest | None) -> Gap | None:
    """What a file does not know though it was committed."""
    if said is None or said.generation != fact(db, GENERATION):
        return None
    received = newest_received(db)
    return cut_gap(said, received) if said.received > received else None
