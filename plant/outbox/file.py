"""The outbox's file: what one transaction does, synchronously, on the thread that owns it.

Every row has an id that rises through all runs; a run is a range of ids, and its offsets count
from the id before its first. Nothing here knows time limits, sockets or tasks; what to do when
there is no room is ``admission``'s. A row that is damaged is set aside when it is read; a file
that is damaged gives way to a new one, at any moment.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import apsw

from plant.file import make_folder, make_private
from plant.flow.supervisor import Transition
from plant.outbox.alias import AliasBook, AliasKey
from plant.outbox.bound import NoRoom, drop_oldest, merge_records
from plant.outbox.checksum import (
    ROW_DAMAGED,
    SELECT_ROW,
    head_sum,
    read_row,
)
from plant.outbox.damage import DamagedRows
from plant.outbox.journal import mark_closed, mark_open
from plant.outbox.reserve import Reserve
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
    new_run,
    unknown_loss,
)
from plant.outbox.salvage import renew
from plant.outbox.schema import (
    CHECKED_BYTES,
    PAGE_BYTES,
    SUSPECT,
    FileGone,
    is_damage,
    open_file,
    transaction,
)
from plant.outbox.table import (
    forget_owed,
    load_runs,
    load_state,
    put_losses,
    put_run,
    put_state,
    read_owed,
)

log = logging.getLogger("kaikou.outbox")

DAMAGED = "outbox file was damaged and set aside"


class OutboxFile:
    """One SQLite file and what it knows of itself in memory.

    run        the name of this start of the process, never used before
    gap_row    writes a gap record as a row
    max_bytes  bound of the rows; reached, the oldest go (``drops``) or ``NoRoom`` is raised

    ``owed`` are losses that were found and are written with the next transaction; ``renewed``
    counts how often a new file took a damaged one's place; ``open`` is False while none can.
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
        self.owed: list[Loss] = []
        self.renewed = 0
        self.open = False
        self._bad = DamagedRows(path)
        self._bd_seq: int | None = None
        self._births = Transition(f"{path}: the number of the last birth (bdSeq)")
        self._gap_row = gap_row
        self._max_bytes = max_bytes
        self._drops = drops
        self._options = {
            "synchronous": synchronous,
            "vfs": vfs,
            "page_limit": page_limit or max_bytes // 2048 + 4096,
        }
        if self._condemned.exists():
            self._begin_anew("found while it was used", run)
            return
        try:
            self._open(run)
        except SUSPECT as error:
            if not is_damage(error):
                raise
            self._begin_anew(error, run)

    @property
    def damaged(self) -> bool:
        """Whether this file took a damaged one's place."""
        return self.renewed > 0

    @property
    def owes(self) -> bool:
        """Whether something was found damaged that no gap record tells yet."""
        return bool(self.owed or self._bad)

    # ---------------------------------------------------------------------- opening and renewing

    def _open(self, run: str) -> None:
        self._db = self._open_file()
        try:
            self.aliases = AliasBook(self._db, self.path)
            self._reserve = Reserve(self._db)
            self._load()
            self._look_through()
            self._begin(run)
        except BaseException:
            self._db.close()
            raise
        self._mark_open()
        self.open = True

    def _mark_open(self) -> None:
        if self._options["vfs"] is None:
            with suppress(OSError):  # a full disk: a log that is taken away then is not missed
                mark_open(self.path)

    def renew(self, error: object) -> None:
        """Damage was found while the file was in use: go on in a new one, under a new run.

        ``OSError``, ``ConfigError`` or ``Unavailable`` where no new file can be made; the file is
        not ``open`` then, and it may be tried again.
        """
        self.open = False
        with suppress(apsw.Error):
            if isinstance(error, FileGone):
                self._bring_back()
                return
        with suppress(apsw.Error):
            self._db.close()
        self._bad.clear()
        self._begin_anew(error, new_run())

    def _bring_back(self) -> None:
        """Somebody took the file away while it is in use: SQLite still holds all of it."""
        log.error("%s was taken away while it is in use: it is written again", self.path)
        make_folder(self.path.parent)
        copy = self.path.with_name(f"{self.path.name}.again")
        copy.unlink(missing_ok=True)
        make_private(copy)
        self._db.execute("VACUUM INTO ?", (str(copy),))
        self._db.close()
        mark_closed(self.path)
        copy.rename(self.path)
        self._open(new_run())
        self.renewed += 1

    def _begin_anew(self, error: object, run: str) -> None:
        """Set the file aside and begin a new one with what of it is proven whole.

        Until that is durable it is condemned, so that a process that is killed meanwhile leaves
        nothing untold.
        """
        with suppress(OSError):
            self.condemn()
        renew(self.path, error, self._open_file, DAMAGED)
        self._condemned.unlink(missing_ok=True)
        self._open(run)
        self.renewed += 1

    def _open_file(self) -> apsw.Connection:
        return open_file(self.path, **self._options)  # type: ignore[arg-type]

    @property
    def _condemned(self) -> Path:
        return Path(f"{self.path}.condemned")

    def condemn(self) -> None:
        """The next start sets the file aside."""
        self._condemned.touch()

    def _load(self) -> None:
        found = load_runs(self._db, self.path)
        self.runs = {run.name: run for run in found.runs}
        self.trusted_ms = found.trusted_ms
        self.state = load_state(self._db, self.path)
        self.owed = read_owed(self._db)
        self._oldest = 0

    def _look_through(self) -> None:
        """Find damaged rows at the start, not when they are sent; in a large file it takes long."""
        if self._db.pragma("page_count") * PAGE_BYTES > CHECKED_BYTES:
            return
        for columns in self._db.execute(SELECT_ROW):
            row = read_row(columns)
            if not isinstance(row, NewRow):
                self._bad.put(columns[0], row)

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
        except (
            apsw.FullError,
            apsw.IOError,
            apsw.ReadOnlyError,
        ) as error:  # the first row will write it
            if is_damage(error):
                raise
            log.warning("%s: starts without room on the disk: %s", self.path, error)
        self._recount()

    def close(self) -> None:
        """Release the file."""
        self._db.close()
        mark_closed(self.path)

    # --------------------------------------------------------------------------- the transaction

    def write(
        self, change: Change, losses: Sequence[Loss] = (), *, spend_reserve: bool = False
    ) -> Outcome:
        """Do all of it durably, or raise ``FullError``, ``IOError`` or ``NoRoom`` and do nothing.

        ``losses`` become gap records behind the rows; with ``spend_reserve`` they are written
        into pages that were kept for them.
        """
        if self._options["vfs"] is None and not self.path.exists():
            raise FileGone("it was taken away")
        runs = {name: run.copy() for name, run in self.runs.items()}
        before, oldest = dict(self.runs), self._oldest
        losses = [*losses, *self.owed]
        with transaction(self._db):
            if spend_reserve:
                self._reserve.spend()
            dropped = self._bad.part(self._db, runs, losses)
            self._delete_acked(change.acked, runs, losses)
            over = sum(run.bytes for run in runs.values()) - self._max_bytes
            over += sum(row.size for row in change.rows)
            if over > 0 and change.rows:
                if not self._drops:
                    raise NoRoom
                loss, gone, oldest = drop_oldest(
                    self._db, runs, over, over + self._max_bytes // 128, oldest
                )
                self.count.dropped_samples += max(0, loss.samples)
                dropped += gone
                losses.append(merge_records(self._db, runs, loss))
            kept = self._insert(change.rows, losses, runs[self.current])
            current = self.current
            changed = [run for n, run in runs.items() if n == current or run != before[n]]
            trusted = max(self.trusted_ms, change.trusted_ms)
            self._put_runs(changed, trusted)
            put_state(self._db, change.state)
            if self.owed:
                forget_owed(self._db)
        # Durable: only now may memory follow.
        self.runs = {name: run for name, run in runs.items() if run.rows or name == current}
        self._oldest = oldest
        self.trusted_ms = trusted
        self._reserve.there = self._reserve.there and not spend_reserve
        self.owed = []
        self._bad.clear()
        self.state.update({key: dict(numbers) for key, numbers in change.state.items()})
        self.count.accepted_rows += len(change.rows)
        self.count.accepted_samples += sum(row.samples for row in change.rows)
        self.count.dropped_rows += len(dropped)
        self._recount()
        self.empty_log()
        return Outcome(kept, dropped)

    def _delete_acked(
        self, acked: Mapping[str, int], runs: Mapping[str, Run], losses: list[Loss]
    ) -> None:
        for name, offset in acked.items():
            run = runs.get(name)
            if run is None or offset <= run.acked:
                continue
            above, run.acked = run.base + run.acked, min(offset, run.kept)
            span = (above, run.base + run.acked)
            for device, rows, size in self._db.execute(
                "SELECT CAST(device AS BLOB), count(*), sum(length(metrics)) FROM row "
                "WHERE id > ? AND id <= ? GROUP BY device",
                span,
            ):
                run.remove(device.decode("utf-8", "replace"), rows, size + rows * OVERHEAD_BYTES)
            self._db.execute("DELETE FROM row WHERE id > ? AND id <= ?", span)
            self._db.execute("DELETE FROM loss WHERE id > ? AND id <= ?", span)
            if run.acked == run.kept and run.clear():
                log.error("%s: rows of run %s are not where they were kept", self.path, name)
                losses.append(unknown_loss(ROW_DAMAGED))

    def _insert(self, rows: Sequence[NewRow], losses: Sequence[Loss], run: Run) -> list[KeptRow]:
        first_id = run.last + 1
        records = [self._gap_row(loss) for loss in losses]
        everything = [*rows, *records]
        self._db.executemany(
            "INSERT INTO row VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    head_sum(at, row),
                    crc32(row.metrics),
                )
                for at, row in enumerate(everything, first_id)
            ),
        )
        put_losses(self._db, enumerate(losses, first_id + len(rows)))
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
            else:
                put_run(self._db, run, trusted)

    def _recount(self) -> None:
        self.count.rows = sum(run.rows for run in self.runs.values())
        self.count.bytes = sum(run.bytes for run in self.runs.values())

    # ------------------------------------------------------------------------------- the reserve

    @property
    def reserved(self) -> bool:
        """Whether pages are kept back for the gap record of a full disk."""
        return self._reserve.there

    def empty_log(self) -> bool:
        """Take a long write-ahead log into the file; False when the disk has no room for that."""
        return self._reserve.empty_log()

    def fill_reserve(self) -> bool:
        """Keep some pages back for the gap record of a full disk; whether they are there."""
        return self._reserve.fill()

    # ----------------------------------------------------------------------------- everything else

    def read(self, run: str, above: int, max_bytes: int) -> list[KeptRow]:
        """The rows kept above an offset of a run, in order: at least one, up to ``max_bytes``.

        What is damaged is left out; the next transaction sets it aside under a gap record.
        """
        held = self.runs.get(run)
        if held is None:
            return []
        rows: list[KeptRow] = []
        size = 0
        for columns in self._db.execute(
            f"{SELECT_ROW} WHERE id > ? AND id <= ? ORDER BY id", (held.base + above, held.last)
        ):
            at, row = columns[0], read_row(columns)
            if not isinstance(row, NewRow):
                self._bad.put(at, row)
                continue
            if at in self._bad:
                continue
            size += row.size
            if rows and size > max_bytes:
                break
            rows.append(KeptRow(run, at - held.base, row))
        return rows

    def of_class(self, row_class: RowClass) -> list[bytes]:
        """The metrics of every kept row of one class, oldest first; none that is damaged."""
        rows = []
        for columns in self._db.execute(f"{SELECT_ROW} WHERE class = ? ORDER BY id", (row_class,)):
            row = read_row(columns)
            if isinstance(row, NewRow):
                rows.append(row.metrics)
            else:
                self._bad.put(columns[0], row)
        return rows

    def give_aliases(
        self, keys: Mapping[AliasKey, str], as_before: Mapping[AliasKey, int] | None = None
    ) -> dict[AliasKey, int]:
        """As ``AliasBook.give``; one that is damaged takes the rows along that wait under it."""
        if self.aliases.damaged():
            self._bad.of_lost_aliases(self._db, self.aliases)
        return self.aliases.give(keys, as_before)

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
        last = self._db.execute("SELECT value FROM number WHERE key = 'bd_seq'").get
        if self._bd_seq is not None:
            last = self._bd_seq
        value = self._bd_seq = (last + 1) % 256 if isinstance(last, int) else 0
        try:
            with transaction(self._db):
                self._db.execute("INSERT OR REPLACE INTO number VALUES('bd_seq', ?)", (value,))
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
            if is_damage(error):
                raise
            self._births.down(f"not written: {error}")
        else:
            self._births.up()
        return value
