"""Power cuts under SQLite: what was accepted or acknowledged is there after each.

An apsw VFS lies under the real files and remembers every write since the last sync of its file.
At a random write, sync or truncation the power goes: nothing more is written, and of what was
not synced a random part survives (nothing, everything, or some of it, torn at a sector). Then
the file is opened again and compared with a ledger that the bench keeps.

Half of the cuts hit an edge's outbox, half the hot store of the embedded historian.
``--synchronous normal`` runs the same with the setting that loses data; it must show.
"""

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
import numpy as np

from bench.machine import machine
from plant.errors import Unavailable
from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from plant.outbox.file import OutboxFile
from plant.outbox.row import Change, Loss, NewRow, RowClass, new_run

SECTOR = 512
CUTS_PER_FILE = 25
VFS = "powercut"
BASE = "unix"


class PowerCut(apsw.IOError):
    """The power is gone."""


@dataclass(slots=True)
class Write:
    """One write or truncation that no sync has covered: what was there, what came."""

    at: int
    old: bytes
    new: bytes
    old_size: int
    new_size: int


@dataclass
class Disk:
    """What a disk has not promised to keep yet, and when its power goes."""

    chance: random.Random
    left: int | None = None
    dead: bool = False
    unsynced: dict[str, list[Write]] = field(default_factory=dict)

    def spend(self) -> None:
        """Count an operation on the disk down to the cut."""
        if self.dead:
            raise PowerCut("no power")
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.dead = True
                raise PowerCut("the power went")

    def settle(self) -> None:
        """Leave in the real files what a disk would hold after the cut."""
        how = self.chance.choice(("nothing", "everything", "some", "some"))
        for name, writes in self.unsynced.items():
            if not writes or not Path(name).exists():
                continue
            with Path(name).open("r+b") as file:
                for write in reversed(writes):
                    file.seek(write.at)
                    file.write(write.old)
                    file.truncate(write.old_size)
                for write in writes:
                    if how == "nothing" or (how == "some" and self.chance.random() < 0.5):
                        continue
                    self._again(file, write, torn=how == "some" and self.chance.random() < 0.3)
        self.unsynced.clear()
        self.left, self.dead = None, False

    def _again(self, file: Any, write: Write, torn: bool) -> None:
        data = write.new
        if torn and len(data) > SECTOR:
            data = data[: SECTOR * self.chance.randrange(1, len(data) // SECTOR + 1)]
        if data:
            file.seek(write.at)
            file.write(data)
        elif write.new_size < write.old_size:
            file.truncate(write.new_size)


class CutFile(apsw.VFSFile):
    """A file of the VFS: writes go through and are remembered."""

    def __init__(self, base: str, name: Any, flags: list[int], disk: Disk) -> None:
        super().__init__(base, name, flags)
        self.disk = disk
        path = name if isinstance(name, str) else name.filename()
        self.writes = disk.unsynced.setdefault(path, [])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.spend()
        size = self.xFileSize()
        there = max(0, min(len(data), size - offset))
        old = bytes(self.xRead(there, offset)) if there else b""
        new_size = max(size, offset + len(data))
        self.writes.append(Write(offset, old, bytes(data), size, new_size))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.disk.spend()
        size = self.xFileSize()
        old = bytes(self.xRead(size - newsize, newsize)) if size > newsize else b""
        self.writes.append(Write(newsize, old, b"", size, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.spend()
        self.writes.clear()


class CutVfs(apsw.VFS):
    """The VFS. A file that is deleted is gone at once: SQLite deletes only what it may lose."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(VFS, BASE, makedefault=True)  # what sums pages up comes over it
        self.disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> CutFile:  # noqa: N802
        return CutFile(BASE, name, flags, self.disk)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        self.disk.spend()
        self.disk.unsynced.pop(name, None)
        super().xDelete(name, syncdir)


@dataclass
class Tally:
    """What the cuts over one store came to."""

    cuts: int = 0
    accepted: int = 0
    missing: int = 0
    damaged: int = 0
    half_done: int = 0
    repeated: int = 0


def cut_while_opening(disk: Disk, work: Callable[[], object]) -> None:
    """The power goes while what the last cut left is being recovered."""
    disk.left = disk.chance.randrange(0, 30)
    with suppress(apsw.Error, Unavailable):
        work()
    disk.settle()


# ---------------------------------------------------------------------------------- the outbox


def gap_row(loss: Loss) -> NewRow:
    return NewRow("", RowClass.GAP, loss.first, loss.last, 0, repr(loss).encode())


class OutboxTrial:
    """An outbox that is written to until the power goes, many times over the same file."""

    def __init__(self, folder: Path, disk: Disk, synchronous: str) -> None:
        self.path = folder / "outbox.db"
        self.disk = disk
        self.synchronous = synchronous
        self.chance = disk.chance
        self.ledger: dict[tuple[str, int], bytes] = {}
        self.acked: dict[str, int] = {}
        self.aliases: dict[tuple[str, str, int], int] = {}
        self.bd_seq: int | None = None
        self.total = 0
        self.trying: set[tuple[str, int]] = set()
        self.size = 2 * 2**20

    def open(self) -> OutboxFile:
        return OutboxFile(
            self.path,
            new_run(),
            gap_row,
            max_bytes=self.size,
            synchronous=self.synchronous,
            vfs=VFS,
        )

    def once(self, tally: Tally) -> None:
        if self.chance.random() < 0.2 and self.path.exists():
            cut_while_opening(self.disk, lambda: self.open().close())
            tally.cuts += 1
        file = self.open()
        self.check(file, tally)
        tally.cuts += 1
        self.disk.left = self.chance.randrange(1, 160)
        with suppress(apsw.IOError, apsw.FullError, apsw.SQLError):
            while True:
                self.act(file, tally)
        with suppress(apsw.Error):
            file.close()
        self.disk.settle()

    def act(self, file: OutboxFile, tally: Tally) -> None:
        what = self.chance.random()
        if what < 0.05:
            key = ("device", f"metric{len(self.aliases)}", 10)
            self.aliases[key] = file.aliases.give({key: "{}"})[key]
        elif what < 0.1:
            bd_seq = file.next_bd_seq()
            if not self.disk.dead:  # without room the outbox goes on with what it remembers
                self.bd_seq = bd_seq
        else:
            self.commit(file, tally)

    def commit(self, file: OutboxFile, tally: Tally) -> None:
        sizes = [self.chance.randrange(20, 4000) for _ in range(self.chance.randrange(1, 12))]
        rows = [
            NewRow("lathe", RowClass.SAMPLE, 1, 2, 1, self.chance.randbytes(size)) for size in sizes
        ]
        acked = {}
        if self.chance.random() < 0.5:
            run = self.chance.choice(list(file.runs.values()))
            if run.kept > run.acked:
                acked[run.name] = self.chance.randrange(run.acked, run.kept + 1)
        first = file.runs[file.current].kept + 1
        self.trying = {(file.current, first + i) for i in range(len(rows))}
        self.acked.update(acked)  # from here on these may be gone
        outcome = file.write(Change(rows, acked, state={"pulses": {"total": self.total + 1}}))
        self.trying = set()
        self.total += 1
        tally.accepted += len(rows)
        for kept in outcome.kept:
            self.ledger[kept.run, kept.offset] = kept.row.metrics
        for run_name, offset in outcome.dropped:
            self.ledger.pop((run_name, offset), None)

    def check(self, file: OutboxFile, tally: Tally) -> None:
        found = {}
        for run in file.runs:
            for kept in file.read(run, 0, 10**9):
                found[kept.run, kept.offset] = kept.row.metrics
        if file.damaged or self.integrity(file) != "ok":
            tally.damaged += 1
        for (name, offset), metrics in list(self.ledger.items()):
            if offset <= self.acked.get(name, 0):
                del self.ledger[name, offset]
            elif found.get((name, offset)) != metrics:
                tally.missing += 1
                del self.ledger[name, offset]
        seen = self.trying & found.keys()
        tally.half_done += bool(seen) and seen != self.trying
        known = {m.name: m.alias for m in file.aliases.of_device("device")}
        tally.missing += sum(known.get(key[1]) != alias for key, alias in self.aliases.items())
        self.aliases = {("device", name, 10): alias for name, alias in known.items()}
        total = file.state.get("pulses", {}).get("total", 0)
        tally.missing += total < self.total
        self.total = int(total)
        for key in seen:
            self.ledger[key] = found[key]
        self.trying = set()
        if self.bd_seq is not None:
            tally.repeated += file.next_bd_seq() == self.bd_seq
            self.bd_seq = None

    @staticmethod
    def integrity(file: OutboxFile) -> object:
        return file._db.execute("PRAGMA integrity_check").get


# ------------------------------------------------------------------------------- the hot store


@contextmanager
def historian_on_the_disk() -> Iterator[None]:
    """Let the historian open its file on the cut disk; a VFS has no shared memory."""
    from twin.historian import opening
    from twin.historian.database import checks_pages

    vfs = "cksmvfs" if checks_pages() else VFS

    def connection(path: Path, flags: int | None = None) -> apsw.Connection:
        options: dict[str, Any] = {} if flags is None else {"flags": flags}
        opened = apsw.Connection(str(path), **options, vfs=vfs)
        opened.pragma("locking_mode", "exclusive")
        return opened

    with patch.object(opening, "connect", connection):
        yield


class HistorianTrial:
    """The embedded historian's hot store, the same way."""

    SIGNALS = 20

    def __init__(self, folder: Path, disk: Disk, synchronous: str) -> None:
        self.folder = folder / "historian"
        self.disk = disk
        self.synchronous = synchronous
        self.chance = disk.chance
        self.ledger: dict[tuple[str, int], float] = {}
        self.mark = 0
        self.now = 1_700_000_000_000

    def once(self, tally: Tally) -> None:
        from twin.historian.embedded import Embedded

        settings = Embedded(seal_rows=10**9, seal_s=1e9)
        if self.chance.random() < 0.2 and self.folder.exists():
            cut_while_opening(self.disk, lambda: settings.writer(self.folder).close())
            tally.cuts += 1
        writer: Any = settings.writer(self.folder)
        series = [Series(f"lathe/s{i}", SignalKind.MEASUREMENT) for i in range(self.SIGNALS)]
        writer.declare(series)
        writer.database.pragma("synchronous", self.synchronous)
        self.check(writer, tally)
        tally.cuts += 1
        self.disk.left = self.chance.randrange(1, 100)
        with suppress(apsw.Error, Unavailable):
            while True:
                self.commit(writer, tally)
        with suppress(apsw.Error, Unavailable):
            writer.close()
        self.disk.settle()

    def commit(self, writer: Any, tally: Tally) -> None:
        n = self.chance.randrange(1, 400)
        self.now += n
        times = self.now - n + np.arange(n)
        values = np.array([self.chance.random() for _ in range(n)])
        signals = np.array([self.chance.randrange(self.SIGNALS) for _ in range(n)])
        batch = SampleBatch.of(signals, times, values)
        writer.write(Commit(batch, marks=[Mark("g/edge1", "r", self.mark + 1)]), self.now)
        self.mark += 1
        tally.accepted += n
        for signal, at, value in zip(
            signals.tolist(), times.tolist(), values.tolist(), strict=True
        ):
            self.ledger[f"lathe/s{signal}", at] = value

    def check(self, writer: Any, tally: Tally) -> None:
        paths = dict(writer.database.execute("SELECT id, path FROM signal"))
        hot = writer.hot.view()
        found = {
            (paths[s], t): v
            for s, t, v in zip(
                hot.signal.tolist(), hot.source_time.tolist(), hot.value.tolist(), strict=True
            )
        }
        if writer.database.execute("PRAGMA integrity_check").get != "ok":
            tally.damaged += 1
        tally.missing += sum(found.get(key) != value for key, value in self.ledger.items())
        mark = writer.marks().get(("g/edge1", "r"), 0)
        tally.missing += mark < self.mark
        self.ledger, self.mark = found, mark


# ------------------------------------------------------------------------------------ the bench


def run(cuts: int, synchronous: str, seed: int) -> dict[str, object]:
    """All cuts; the figures."""
    chance = random.Random(seed)
    disk = Disk(chance)
    vfs = CutVfs(disk)
    outbox, historian = Tally(), Tally()
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="kaikou-powercut-"))
    noise, sys.unraisablehook = sys.unraisablehook, lambda _: None  # SQLite closes without power
    logging.disable(logging.ERROR)
    try:
        with historian_on_the_disk():
            while outbox.cuts + historian.cuts < cuts:
                some = min(CUTS_PER_FILE, cuts - outbox.cuts - historian.cuts)
                folder = Path(tempfile.mkdtemp(dir=root))
                if outbox.cuts <= historian.cuts:
                    _trial(OutboxTrial(folder, disk, synchronous), some, outbox)
                else:
                    _trial(HistorianTrial(folder, disk, synchronous), some, historian)
                shutil.rmtree(folder)
    finally:
        logging.disable(logging.NOTSET)
        sys.unraisablehook = noise
        shutil.rmtree(root, ignore_errors=True)
        vfs.unregister()
    tallies = {"outbox": outbox, "historian": historian}
    return {
        "bench": "powercut",
        "cuts": outbox.cuts + historian.cuts,
        "synchronous": synchronous,
        "accepted": outbox.accepted + historian.accepted,
        "missing": outbox.missing + historian.missing,
        "damaged": outbox.damaged + historian.damaged,
        "half_done": outbox.half_done + historian.half_done,
        **{name: vars(tally) for name, tally in tallies.items()},
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }


def _trial(trial: OutboxTrial | HistorianTrial, cuts: int, tally: Tally) -> None:
    until = tally.cuts + cuts
    while tally.cuts < until:
        trial.once(tally)
    # one more opening sees what the last cut left; it is no cut itself
    extra = Tally()
    trial.once(extra)
    tally.missing += extra.missing
    tally.damaged += extra.damaged
    tally.half_done += extra.half_done


def main(argv: Sequence[str]) -> int:
    """The command line; 0 when nothing is missing, 1 otherwise."""
    parser = argparse.ArgumentParser("bench powercut", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--json", action="store_true", help="the last line alone")
    options = parser.parse_args(argv)
    figures = run(options.cuts, options.synchronous, options.seed)
    if not options.json:
        for name in ("outbox", "historian"):
            print(f"{name}: {figures[name]}", file=sys.stderr)
    print(json.dumps({**figures, "machine": machine()}))
    bad = figures["missing"] or figures["damaged"] or figures["half_done"]
    return 1 if bad and options.synchronous == "full" else 0
