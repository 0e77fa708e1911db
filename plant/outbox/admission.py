"""What is accepted and what is not, and that nobody is left in doubt about it.

Acceptance stops when the disk is full, and starts again when the pages reserved for gap records
could be filled again. What was not accepted meanwhile is counted and written down in records.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw

from plant.flow.supervisor import Transition
from plant.outbox.bound import NoRoom
from plant.outbox.file import OutboxFile
from plant.outbox.note import LossNote
from plant.outbox.row import Change, Loss, Outcome, RowClass, loss_of
from plant.outbox.schema import free_disk, is_damage

log = logging.getLogger("kaikou.outbox")

OUTBOX_FULL = "outbox full: not accepted"
DISK_FULL = "disk full: not accepted"
NOT_TAKEN = "the disk is read-only or fails: not accepted"
_FIRST_REPORT_S, _LAST_REPORT_S = 60.0, 3600.0
_RETRY_S = 1.0


class Admission:
    """Decides what goes into an ``OutboxFile``.

    keep_free  bytes of disk that are left to others; with less, nothing is accepted
    free       asks for the bytes free on that disk
    monotonic  seconds, for the pace of the records
    note       keeps what was refused while not even a record can be written
    """

    def __init__(
        self,
        file: OutboxFile,
        *,
        keep_free: int = 16 * 2**20,
        free: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        note: LossNote | None = None,
    ) -> None:
        self.file = file
        self._keep_free = keep_free
        self._free = free or free_disk(Path(file.path))
        self._monotonic = monotonic
        self._acked: dict[str, int] = {}
        self._losses: dict[str, Loss] = {}
        self._note = note or LossNote(Path(file.path))
        for loss in self._note.read():
            self._lose(loss)
        self._why = DISK_FULL
        self._report_s = 0.0
        self._report_at = 0.0
        self._retry_at = 0.0
        self._disk = Transition(f"{file.path}: room on the disk")

    def commit(self, change: Change) -> Outcome:
        """One transaction; rows that cannot be accepted are counted and written down."""
        for run, offset in change.acked.items():
            self._acked[run] = max(offset, self._acked.get(run, 0))
        for loss in change.losses:
            self._lose(loss)
        change = replace(change, acked=dict(self._acked), losses=())
        if not self._has_room():
            return self._refuse(change, self._why)
        try:
            outcome = self.file.write(change, list(self._losses.values()))
        except NoRoom:
            return self._refuse(change, OUTBOX_FULL)
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
            if is_damage(error):
                raise
            self._no_disk(error, DISK_FULL if isinstance(error, apsw.FullError) else NOT_TAKEN)
            return self._refuse(change, self._why)
        self._disk.up()
        self._acked.clear()
        self._losses.clear()
        self._note.clear()
        self._report_s = self._report_at = 0.0
        return outcome

    def _has_room(self) -> bool:
        free = self._free()
        if free < self._keep_free:
            self._no_disk(f"{free} bytes free, {self._keep_free} are left to others")
            return False
        if self._monotonic() < self._retry_at:
            return False
        if not self.file.empty_log():
            self._no_disk("the log cannot be taken into the file")
            return False
        if not self.file.fill_reserve():
            self._no_disk("the reserve cannot be filled")
            return False
        return True

    def _no_disk(self, reason: object, why: str = DISK_FULL) -> None:
        self._why = why
        self._disk.down(reason)
        self._retry_at = self._monotonic() + _RETRY_S

    def _refuse(self, change: Change, reason: str) -> Outcome:
        rows = [row for row in change.rows if row.row_class is not RowClass.GAP]
        if rows:
            loss = loss_of(rows, reason)
            self._lose(loss)
            self.file.count.refused_rows += len(rows)
            self.file.count.refused_samples += loss.samples
        return replace(self._report(), refused=reason)

    def _lose(self, loss: Loss) -> None:
        held = self._losses.get(loss.reason)
        self._losses[loss.reason] = held.plus(loss) if held else loss

    def _report(self) -> Outcome:
        """Record what was refused: at once, then after 1, 2, 4 ... 60 minutes. Acks go at once."""
        due = bool(self._losses) and self._monotonic() >= self._report_at
        if not due and not self._acked:
            return Outcome()
        losses = list(self._losses.values()) if due else []
        try:
            outcome = self.file.write(Change(acked=self._acked), losses, spend_reserve=due)
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
            if is_damage(error):
                raise
            log.debug("%s: %s", self.file.path, error)
            self._note.keep(self._losses.values())
            return Outcome()
        self._acked.clear()
        if due:
            self._losses.clear()
            self._note.clear()
            self._report_s = min(_LAST_REPORT_S, self._report_s * 2) or _FIRST_REPORT_S
            self._report_at = self._monotonic() + self._report_s
        return outcome
