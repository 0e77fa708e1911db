"""The outbox's file: what one transaction does, synchronously, on the thread that owns it.

Every row has an id that rises through all runs; a run is a range of ids, and its offsets count
from the id before its first. Nothing here knows time limits, sockets or tasks; what to do when
there is no room is ``admission``'s.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import apsw

from plant.outbox.alias import AliasBook
from plant.outbox.bound import NoRoom, drop_oldest, merge_records
from plant.outbox.row import (
    OVERHEAD_BYTES,
    Change,
    Count,
    KeptRow,
    Loss,
    NewRow,
    Outcome,
    RowClass,
    Run,
)
from plant.outbox.schema import LOG_PAGES, RESERVE_BYTES, open_file, transaction

log = logging.getLogger("kaikou.outbox")

DAMAGED = "outbox file was damaged and set aside"


class OutboxFile:
    """One SQLite file and what it knows of itself in memory.

    run        the name of this start of the process, never used before
    gap_row    writes a gap record as a row
    max_bytes  bound of the rows; reached, the oldest go (``drops``) or ``NoRoom`` is raised
    """

    def __init__(
        self,
        path: Path,
        run: str,
        gap_row: Callable[[Loss], NewRow],
        *,
        max_bytes: int = 512 * 2**20,
        drops: bool = True,
        synchronous: str = "FULL",
        vfs: str | None = None,
        page_limit: int = 0,
    ) -> None:
        self.path = path
        self.count = Count()
        self.damaged = False
        self._bd_seq: int | None = None
        self._gap_row = gap_row
        self._max_bytes = max_bytes
        self._drops = drops
        self._options = {
            "synchronous": synchronous,
            "vfs": vfs,
            "page_limit": page_limit or max_bytes // 2048 + 4096,
        }
        if self._condemned.exists():
            self._set_aside("found while it was used")
        try:
            self._open(run)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            self._set_aside(error)
            self._open(run)

    def _open(self, run: str) -> None:
        self._db = open_file(self.path, **self._options)  # type: ignore[arg-type]
        self.aliases = AliasBook(self._db, self.path)
        self._log_pages = 0
        self._db.set_wal_hook(self._on_log)
        try:
            self._load()
            self._begin(run)
        except BaseException:
            self._db.close()
            raise

    def _set_aside(self, error: object) -> None:
        aside = f"{self.path}.damaged-{time.time_ns()}"
        log.error("%s is damaged (%s): set aside as %s", self.path, error, aside)
        for tail in ("", "-wal"):
            damaged = Path(f"{self.path}{tail}")
            if damaged.exists():
                damaged.rename(f"{aside}{tail}")
        self._condemned.unlink(missing_ok=True)
        self.damaged = True

    @property
    def _condemned(self) -> Path:
        return Path(f"{self.path}.condemned")

    def condemn(self) -> None:
        """Damage was found while the file was in use: the next start sets it aside."""
        self._condemned.touch()

    def _load(self) -> None:
        ask = self._db.execute
        self.runs = {
            name: Run(name, base, last, acked, rows, size, Counter(json.loads(devices)))
            for name, base, last, acked, rows, size, devices in ask(
                "SELECT name, base, last, acked, rows, bytes, devices FROM run ORDER BY base"
            )
        }
        self.trusted_ms: int = ask("SELECT coalesce(max(trusted), 0) FROM run").get
        self.state: dict[str, dict[str, float]] = {
            key: json.loads(numbers) for key, numbers in ask("SELECT key, numbers FROM state")
        }
        self.reserved = bool(ask("SELECT count(*) FROM reserve").get)
        self._oldest = 0

    def _begin(self, run: str) -> None:
        """Forget runs without rows and open the run of this process."""
        base = max((held.last for held in self.runs.values()), default=0)
        self.current = run
        self.runs = {name: held for name, held in self.runs.items() if held.rows}
        self.runs[run] = Run(run, base, base)
        try:
            with transaction(self._db):
                self._db.execute("DELETE FROM run WHERE rows = 0")
                self._put_runs([self.runs[run]])
        except (apsw.FullError, apsw.IOError) as error:  # the first row will write it
            log.warning("%s: starts without room on the disk: %s", self.path, error)
        self._recount()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    # --------------------------------------------------------------------------- the transaction

    def write(
        self, change: Change, losses: Sequence[Loss] = (), *, spend_reserve: bool = False
    ) -> Outcome:
        """Do all of it durably, or raise ``FullError``, ``IOError`` or ``NoRoom`` and do nothing.

        ``losses`` become gap records behind the rows; with ``spend_reserve`` they are written
        into pages that were kept for them.
        """
        runs = {name: run.copy() for name, run in self.runs.items()}
        before, oldest = dict(self.runs), self._oldest
        losses = list(losses)
        dropped: list[tuple[str, int]] = []
        with transaction(self._db):
            if spend_reserve:
                self._db.execute("DELETE FROM reserve")
            self._delete_acked(change.acked, runs)
            over = sum(run.bytes for run in runs.values()) - self._max_bytes
            over += sum(row.size for row in change.rows)
            if over > 0 and change.rows:
                if not self._drops:
                    raise NoRoom
                loss, dropped, oldest = drop_oldest(
                    self._db, runs, over, over + self._max_bytes // 128, oldest
                )
                losses.append(merge_records(self._db, runs, loss))
            kept = self._insert(change.rows, losses, runs[self.current])
            current = self.current
            changed = [run for n, run in runs.items() if n == current or run != before[n]]
            trusted = max(self.trusted_ms, change.trusted_ms)
            self._put_runs(changed, trusted)
            self._put_state(change.state)
        # Durable: only now may memory follow.
        self.runs = {name: run for name, run in runs.items() if run.rows or name == current}
        self._oldest = oldest
        self.trusted_ms = trusted
        self.reserved = self.reserved and not spend_reserve
        self.state.update({key: dict(numbers) for key, numbers in change.state.items()})
        self.count.accepted_rows += len(change.rows)
        self.count.accepted_samples += sum(row.samples for row in change.rows)
        if dropped:
            self.count.dropped_rows += len(dropped)
            self.count.dropped_samples += loss.samples
        self._recount()
        self.empty_log()
        return Outcome(kept, dropped)

    def _delete_acked(self, acked: Mapping[str, int], runs: Mapping[str, Run]) -> None:
        for name, offset in acked.items():
            run = runs.get(name)
            if run is None or offset <= run.acked:
                continue
            above, run.acked = run.base + run.acked, min(offset, run.kept)
            span = (above, run.base + run.acked)
            for device, rows, size in self._db.execute(
                "SELECT device, count(*), sum(length(metrics)) FROM row "
                "WHERE id > ? AND id <= ? GROUP BY device",
                span,
            ):
                run.remove(device, rows, size + rows * OVERHEAD_BYTES)
            self._db.execute("DELETE FROM row WHERE id > ? AND id <= ?", span)
            self._db.execute("DELETE FROM loss WHERE id > ? AND id <= ?", span)

    def _insert(self, rows: Sequence[NewRow], losses: Sequence[Loss], run: Run) -> list[KeptRow]:
        first_id = run.last + 1
        records = [self._gap_row(loss) for loss in losses]
        everything = [*rows, *records]
        self._db.executemany(
            "INSERT INTO row VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    at,
                    row.row_class,
                    row.device,
                    row.first,
                    row.last,
                    row.samples,
                    row.historical,
                    row.metrics,
                )
                for at, row in enumerate(everything, first_id)
            ),
        )
        for at, loss in enumerate(losses, first_id + len(rows)):
            self._db.execute(
                "INSERT INTO loss VALUES(?, ?, ?, ?, ?, ?)",
                (at, loss.first, loss.last, loss.samples, loss.reason, json.dumps([*loss.devices])),
            )
        for row in everything:
            run.add(row.device, row.size)
        return [
            KeptRow(run.name, at - run.base, row) for at, row in enumerate(everything, first_id)
        ]

    def _put_runs(self, runs: Iterable[Run], trusted_ms: int | None = None) -> None:
        trusted = self.trusted_ms if trusted_ms is None else trusted_ms
        for run in runs:
            if not run.rows and run.name != self.current:
                self._db.execute("DELETE FROM run WHERE name = ?", (run.name,))
                continue
            self._db.execute(
                "INSERT OR REPLACE INTO run VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run.name,
                    run.base,
                    run.last,
                    run.acked,
                    run.rows,
                    run.bytes,
                    json.dumps(run.devices),
                    trusted,
                ),
            )

    def _put_state(self, state: Mapping[str, Mapping[str, float]]) -> None:
        for key, numbers in state.items():
            self._db.execute(
                "INSERT OR REPLACE INTO state VALUES(?, ?)", (key, json.dumps(dict(numbers)))
            )

    def _recount(self) -> None:
        self.count.rows = sum(run.rows for run in self.runs.values())
        self.count.bytes = sum(run.bytes for run in self.runs.values())

    # ------------------------------------------------------------------------------- the reserve

    def _on_log(self, connection: apsw.Connection, name: str, pages: int) -> int:
        del connection, name
        self._log_pages = pages
        return apsw.SQLITE_OK

    def empty_log(self) -> bool:
        """Take a long write-ahead log into the file; False when the disk has no room for that.

        SQLite by itself would go on writing the log, and use up what a gap record needs.
        """
        if self._log_pages >= LOG_PAGES:
            try:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except (apsw.FullError, apsw.IOError):
                return False
            self._log_pages = 0
        return True

    def fill_reserve(self) -> bool:
        """Keep some pages back for the gap record of a full disk; whether they are there."""
        if not self.reserved:
            try:
                with transaction(self._db):
                    self._db.execute(
                        "INSERT INTO reserve(blank) VALUES(zeroblob(?))", (RESERVE_BYTES,)
                    )
            except (apsw.FullError, apsw.IOError):
                return False
            self.reserved = True
        return True

    # ----------------------------------------------------------------------------- everything else

    def read(self, run: str, above: int, max_bytes: int) -> list[KeptRow]:
        """The rows kept above an offset of a run, in order: at least one, up to ``max_bytes``."""
        held = self.runs.get(run)
        if held is None:
            return []
        rows: list[KeptRow] = []
        size = 0
        for at, row_class, device, first, last, samples, historical, metrics in self._db.execute(
            "SELECT * FROM row WHERE id > ? AND id <= ? ORDER BY id",
            (held.base + above, held.last),
        ):
            row = NewRow(
                device, RowClass(row_class), first, last, samples, metrics, bool(historical)
            )
            size += row.size
            if rows and size > max_bytes:
                break
            rows.append(KeptRow(run, at - held.base, row))
        return rows

    def of_class(self, row_class: RowClass) -> list[bytes]:
        """The metrics of every kept row of one class, oldest first."""
        rows = self._db.execute("SELECT metrics FROM row WHERE class = ? ORDER BY id", (row_class,))
        return [metrics for (metrics,) in rows]

    def move(self, run: str, acked: Mapping[str, int]) -> Run:
        """Give the rows of the current run that are not acknowledged a new run; it is current."""
        self.write(Change(acked=acked))
        old = self.runs[self.current]
        new = Run(run, old.base + old.acked, old.last, 0, old.rows, old.bytes, old.devices.copy())
        with transaction(self._db):
            self._db.execute("DELETE FROM run WHERE name = ?", (old.name,))
            self.runs = {name: held for name, held in self.runs.items() if name != old.name}
            self.runs[run], self.current = new, run
            self._put_runs([new])
        return new

    def next_bd_seq(self) -> int:
        """The bdSeq of the next connection, durable before it is used (but for a full disk)."""
        last: int | None = self._db.execute("SELECT value FROM number WHERE key = 'bd_seq'").get
        if self._bd_seq is not None:
            last = self._bd_seq
        value = self._bd_seq = 0 if last is None else (last + 1) % 256
        try:
            with transaction(self._db):
                self._db.execute("INSERT OR REPLACE INTO number VALUES('bd_seq', ?)", (value,))
        except (apsw.FullError, apsw.IOError) as error:
            log.warning("%s: bdSeq %d is not written: %s", self.path, value, error)
        return value
