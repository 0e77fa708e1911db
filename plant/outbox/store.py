"""The durable queue: one file, one thread that owns it, and group commit.

What is handed over within ``commit_ms`` becomes durable in one transaction with one fsync; the
first after a quiet time goes at once. Acknowledged rows are deleted in the same transactions.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from plant.errors import ConfigError, Unavailable
from plant.file import make_folder
from plant.outbox.admission import Admission
from plant.outbox.alias import AliasKey, KnownMetric
from plant.outbox.file import OutboxFile
from plant.outbox.row import (
    Change,
    Count,
    KeptRow,
    Loss,
    NewRow,
    Outcome,
    RowClass,
    Run,
    loss_of,
    new_run,
)
from plant.outbox.schema import SUSPECT, is_damage

log = logging.getLogger("kaikou.outbox")

T = TypeVar("T")

NO_FILE = "no outbox file: not accepted"
TOO_FAST = "faster than the disk: not accepted"
_PENDING_BYTES = 8 * 2**20
_RECENT_BYTES = 5 * 2**19


class Acceptance:
    """Await it to know that samples are durable: True, or False when they were not accepted."""

    __slots__ = ("_done", "refused")

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self.refused = ""

    def settle(self, refused: str = "") -> None:
        """It is known now."""
        self.refused = refused
        self._done.set()

    def __await__(self) -> Generator[Any, None, bool]:
        yield from self._done.wait().__await__()
        return not self.refused


class Outbox:
    """Owns the file's thread. All methods are for one event loop.

    gap_row    writes a gap record as a row
    on_commit  is given every row once it is durable, gap records too
    on_outcome what each transaction did, for the sender
    collect    called before a transaction is put together: the last moment to hand over rows
    on_renewed a new file took the place of a damaged one; runs and what waits may be others
    """

    def __init__(
        self,
        path: Path,
        gap_row: Callable[[Loss], NewRow],
        *,
        max_mb: float = 512,
        when_full: str = "drop_oldest",
        commit_ms: int = 250,
        keep_free_mb: float = 16,
        page_limit: int = 0,
    ) -> None:
        self.path = path
        self.on_commit: Callable[[Sequence[KeptRow]], None] | None = None
        self.on_outcome: Callable[[Outcome], None] | None = None
        self.collect: Callable[[], None] | None = None
        self.on_renewed: Callable[[], None] | None = None
        self._commit_s = commit_ms / 1000
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        make_folder(path.parent)
        self._file = OutboxFile(
            path,
            new_run(),
            gap_row,
            max_bytes=int(max_mb * 2**20),
            drops=when_full == "drop_oldest",
            page_limit=page_limit,
        )
        self._admission = Admission(self._file, keep_free=int(keep_free_mb * 2**20))
        self._renewed = self._file.renewed
        self._wake = asyncio.Event()
        if self._file.owes:
            self._wake.set()
        self._closing = False
        self._next_commit = 0.0
        self._rows: list[NewRow] = []
        self._pending_bytes = 0
        self._acked: dict[str, int] = {}
        self._state: dict[str, Mapping[str, float]] = {}
        self._trusted_ms = 0
        self._overflow: list[Loss] = []
        self._waiting = Acceptance()
        self._recent: list[KeptRow] = []
        self._recent_bytes = 0

    # ------------------------------------------------------------------------------- what it knows

    @property
    def count(self) -> Count:
        """Rows and bytes kept now; accepted, dropped and refused since the start."""
        return self._file.count

    @property
    def runs(self) -> Mapping[str, Run]:
        """Every run that has rows, and the current one, oldest first."""
        return self._file.runs

    @property
    def current(self) -> str:
        """The run of this process."""
        return self._file.current

    @property
    def state(self) -> Mapping[str, Mapping[str, float]]:
        """Numbers that were committed with rows, by key."""
        return self._file.state

    @property
    def trusted_ms(self) -> int:
        """Newest time known to be right, ms UTC; 0 when none."""
        return self._file.trusted_ms

    # ---------------------------------------------------------------------------------- accepting

    def accept(
        self,
        rows: Sequence[NewRow] = (),
        state: Mapping[str, Mapping[str, float]] | None = None,
        trusted_ms: int = 0,
    ) -> Acceptance:
        """Hand rows over for the next transaction; await the answer to know they are durable."""
        size = sum(row.size for row in rows)
        if rows and self._pending_bytes + size > _PENDING_BYTES:
            return self._too_fast(rows)
        self._pending_bytes += size
        self._rows += rows
        if state:
            self._state.update(state)
        self._trusted_ms = max(self._trusted_ms, trusted_ms)
        self._wake.set()
        return self._waiting

    def _too_fast(self, rows: Sequence[NewRow]) -> Acceptance:
        self.count.refused_rows += len(rows)
        self.lose(loss_of(rows, TOO_FAST))
        refused = Acceptance()
        refused.settle(TOO_FAST)
        return refused

    def lose(self, loss: Loss) -> None:
        """Something was not accepted: the next transaction records it."""
        self._overflow = [self._overflow[0].plus(loss)] if self._overflow else [loss]
        self.count.refused_samples += max(0, loss.samples)
        self._wake.set()

    @property
    def waiting(self) -> Acceptance:
        """Settled with the next transaction."""
        return self._waiting

    def acknowledge(self, run: str, offset: int) -> None:
        """All rows of the run up to this offset may go; they do with the next transaction."""
        self._acked[run] = max(offset, self._acked.get(run, 0))
        if run == self.current:
            cut = bisect_right(self._recent, offset, key=_offset)
            self._recent_bytes -= sum(kept.row.size for kept in self._recent[:cut])
            del self._recent[:cut]
        self._wake.set()

    def wake(self) -> None:
        """Ask for a transaction: there is something to ``collect``."""
        self._wake.set()

    async def run(self) -> None:
        """Commit until ``close``; what waits then is committed before this returns."""
        while not self._closing:
            await self._wake.wait()
            delay = self._next_commit - time.monotonic()
            if delay > 0 and not self._closing:
                await asyncio.sleep(delay)
            self._next_commit = time.monotonic() + self._commit_s
            await self._commit()
        await self._commit()

    async def _commit(self) -> None:
        self._wake.clear()
        if self.collect:
            self.collect()
            self._wake.clear()
        change = Change(
            self._rows, self._acked, self._state, self._trusted_ms, tuple(self._overflow)
        )
        if not (change.rows or change.acked or change.state or change.losses or self._file.owes):
            return
        waiting, self._waiting = self._waiting, Acceptance()
        self._rows, self._acked, self._state, self._overflow = [], {}, {}, []
        self._pending_bytes = 0
        try:
            outcome = await self._ask(partial(self._admission.commit, change))
        except Unavailable as error:
            outcome = self._not_kept(change, error)
        self._remember(outcome)
        if outcome.kept and self.on_commit:
            self.on_commit(outcome.kept)
        waiting.settle(outcome.refused)
        if self.on_outcome:
            self.on_outcome(outcome)

    def _not_kept(self, change: Change, error: Unavailable) -> Outcome:
        """There is no file to write to: what was handed over is recorded once there is one."""
        for loss in (*change.losses, *([loss_of(change.rows, NO_FILE)] if change.rows else ())):
            self.lose(loss)
        self.count.refused_rows += len(change.rows)
        return Outcome(refused=str(error))

    def _remember(self, outcome: Outcome) -> None:
        """Keep the newest rows in memory: most are sent and acknowledged from there."""
        if outcome.dropped:
            gone = set(outcome.dropped)
            self._recent = [k for k in self._recent if (k.run, k.offset) not in gone]
        self._recent += [
            KeptRow(kept.run, kept.offset, replace(kept.row, batch=None))
            for kept in outcome.kept
            if kept.run == self.current
        ]
        self._recent_bytes = sum(kept.row.size for kept in self._recent)
        cut = 0
        while self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= self._recent[cut].row.size
            cut += 1
        del self._recent[:cut]

    # ------------------------------------------------------------------------------------ reading

    def recent(self, run: str, above: int, max_bytes: int) -> list[KeptRow] | None:
        """As ``read``, from memory; None when only the file knows."""
        rows = self._recent
        if run != self.current or not rows or above < rows[0].offset - 1:
            return None
        at = bisect_right(rows, above, key=_offset)
        end, size = at, 0
        while end < len(rows):
            size += rows[end].row.size
            if size > max_bytes and end > at:
                break
            end += 1
        return rows[at:end]

    async def read(self, run: str, above: int, max_bytes: int) -> list[KeptRow]:
        """Rows kept above an offset of a run, in order: at least one, up to ``max_bytes``."""
        return await self._ask(partial(self._file.read, run, above, max_bytes))

    def of_class(self, row_class: RowClass) -> list[bytes]:
        """The metrics of every row of one class, oldest first; called before ``run``."""
        return self._answer(lambda: self._file.of_class(row_class))

    async def move(self) -> Run:
        """Give the unacknowledged rows of the current run a new run, which is then current."""
        acked, self._acked = self._acked, {}
        run = await self._ask(partial(self._file.move, new_run(), acked))
        self._recent.clear()
        self._recent_bytes = 0
        return run

    async def alias(
        self, keys: Mapping[AliasKey, str], as_before: Mapping[AliasKey, int] | None = None
    ) -> dict[AliasKey, int]:
        """The alias of every key, given now and durably where it has none; keeps properties.

        ``as_before`` are those that were given already, for a file that was made anew.
        """
        return await self._ask(lambda: self._file.give_aliases(keys, as_before))

    async def known_metrics(self, device: str) -> list[KnownMetric]:
        """Everything a device ever published, the newest first."""
        return await self._ask(lambda: self._file.aliases.of_device(device))

    async def next_bd_seq(self) -> int:
        """The bdSeq of the next connection."""
        return await self._ask(self._file.next_bd_seq)

    async def _ask(self, question: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, partial(self._answer, question))
        if self._renewed != self._file.renewed:
            self._renewed = self._file.renewed
            self._recent.clear()
            self._recent_bytes = 0
            if self.on_renewed:
                self.on_renewed()
        if self._file.owes:
            self._wake.set()
        return answer

    def _answer(self, question: Callable[[], T]) -> T:
        """On the file's thread; where the file is damaged, from the one that takes its place."""
        why: object = "it could not be made anew before"
        if self._file.open:
            try:
                return question()
            except SUSPECT as error:
                if not is_damage(error):
                    raise
                why = error
        try:
            self._file.renew(why)
            return question()
        except (OSError, ConfigError, *SUSPECT) as error:
            raise Unavailable(f"{self.path} is damaged, and no new one can be made") from error

    # ------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Let ``run`` commit what waits and return."""
        self._closing = True
        self._wake.set()

    def release(self) -> None:
        """Close the file, after ``run`` has returned."""
        self._thread.submit(self._file.close).result()
        self._thread.shutdown()


def _offset(kept: KeptRow) -> int:
    return kept.offset
