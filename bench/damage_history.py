"""What the historian says of a past that is known: every differing row must be spoken for."""

import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plant.errors import KaikouError
from plant.flow.port import Aggregate, Commit, HistorianReader, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text
from plant.model.signal import SignalKind
from twin.historian.embedded import Embedded

DAY = 86_400_000
DAYS = 3
STEP_MS = 10_000
PATHS = ("old/power", "old/count", "old/state")
KINDS = (SignalKind.MEASUREMENT, SignalKind.COUNTER, SignalKind.STATE)
SERIAL = "old/serial"


@dataclass(slots=True)
class Answers:
    """What came of one trial."""

    path: str
    done: str
    codes: dict[str, int | None] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    silently_wrong: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """Whether anything is not as it should be."""
        return bool(self.tracebacks or self.silently_wrong or self.deleted)

    def said(self, path: Path) -> bool:
        """Whether a room named the file or refused to start."""
        name = path.name
        for end in ("-wal", "-shm"):
            name = name.removesuffix(end)
        return any(name in line for line in self.lines) or any(self.codes.values())

    def told(self) -> dict[str, object]:
        """For the JSON object."""
        return {
            "file": self.path,
            "done": self.done,
            "exit_codes": self.codes,
            "traceback": [t[-600:] for t in self.tracebacks],
            "silently_wrong": self.silently_wrong,
            "deleted": self.deleted,
        }

    def __str__(self) -> str:
        state = "BAD " if self.bad else "ok  "
        more = [*self.silently_wrong, *(f"deleted {d}" for d in self.deleted)]
        more += [t.strip().rpartition("\n")[2] for t in self.tracebacks]
        return f"{state}{self.path}: {self.done}: {self.codes} {'; '.join(more)}"


Rows = set[tuple[object, ...]]


@dataclass(slots=True)
class Truth:
    """The past before anything was damaged."""

    start: int
    end: int
    rows: Rows = field(default_factory=set)
    others: Rows = field(default_factory=set)
    sums: list[list[float]] = field(default_factory=list)
    gaps: set[str] = field(default_factory=set)

    @classmethod
    def write(cls, folder: Path, now: int) -> "Truth":
        """Make the past in a new historian and remember it."""
        end = now // DAY * DAY
        truth = cls(end - DAYS * DAY, end)
        writer = Embedded(kind="embedded", timezone="Asia/Shanghai").writer(folder)
        writer.remember("values", "simulated")
        writer.declare([Series(p, k) for p, k in zip(PATHS, KINDS, strict=True)])
        writer.declare([Series(SERIAL, SignalKind.TEXT)])
        chance = np.random.default_rng(1)
        for day in range(DAYS):
            for part in range(4):
                first = truth.start + day * DAY + part * DAY // 4
                time = np.arange(first, first + DAY // 4, STEP_MS)
                n = len(time)
                batch = SampleBatch.of(
                    np.repeat(np.arange(3), n),
                    np.tile(time, 3),
                    np.concatenate(
                        [
                            chance.normal(5, 1, n).round(2),
                            (time - truth.start) // 1000 + 0.0,
                            chance.integers(0, 7, n) + 0.0,
                        ]
                    ),
                )
                writer.write(
                    Commit(
                        batch,
                        texts=[Text(3, first, f"serial {day}-{part}")],
                        events=[Event(first, "old", "note", {"n": part})],
                        gaps=[Gap("bench/edge", first, first + 1, 1, "told before")],
                    ),
                    first + DAY // 4,
                )
                writer.retain(first + DAY // 4, force=part % 2 == 1)
        writer.retain(now, force=True)
        rest = SampleBatch.of([0, 1, 2], [end - 3, end - 2, end - 1], [1.0, 2.0, 3.0])
        writer.write(Commit(rest), now)  # stays hot: in SQLite only
        writer.close()
        return truth

    def remember(self, folder: Path) -> None:
        """Take what is there now for the truth."""
        reader = Embedded(kind="embedded").reader(folder)
        self.rows, self.others, self.sums = self._read(reader)
        self.gaps = {repr(g) for g in reader.gaps(0, 1 << 60)}
        reader.close()

    def _read(self, reader: HistorianReader) -> tuple[Rows, Rows, list[list[float]]]:
        found = reader.read(list(PATHS), self.start, self.end)
        columns = (found.signal, found.source_time, found.value, found.status, found.received_time)
        rows: Rows = set(zip(*(c.tolist() for c in columns), strict=True))
        others: Rows = {
            ("event", e.time, repr(e))
            for e in reader.events(self.start, self.end)
            if e.asset == "old"
        }
        others |= {("text", t.time, repr(t)) for t in reader.texts([SERIAL], self.start, self.end)}
        sums = []
        for path in PATHS[:2]:
            for day in range(DAYS):
                first = self.start + day * DAY
                told: Aggregate = reader.aggregate(path, first, first + DAY, DAY // 24)
                sums.append([float(told.count.sum()), float(np.nansum(told.mean))])
        return rows, others, sums

    def compare(self, data: Path, found: Answers, when: str) -> None:
        """Read it again; what differs must be covered by a gap record that was not there."""
        reader = Embedded(kind="embedded").reader(data / "historian")
        try:
            rows, others, sums = self._read(reader)
            gaps = [g for g in reader.gaps(0, 1 << 60) if repr(g) not in self.gaps]
        except KaikouError as error:
            found.lines.append(f"reader: {error}")
            return
        except Exception:  # noqa: BLE001 - that is what is counted
            found.tracebacks.append(f"{when}: {traceback.format_exc()}")
            return
        finally:
            reader.close()
        wrong = [r for r in rows ^ self.rows if not _covered(int(str(r[1])), gaps)]
        wrong += [r for r in others ^ self.others if not _covered(int(str(r[1])), gaps)]
        if wrong:
            found.silently_wrong.append(f"{when}: {len(wrong)} rows without a word: {wrong[:2]}")
        for n, (mine, told) in enumerate(zip(self.sums, sums, strict=True)):
            first = self.start + n % DAYS * DAY
            if not np.allclose(mine, told, rtol=1e-9) and not _covered(first, gaps, DAY):
                found.silently_wrong.append(f"{when}: sums differ: {mine} {told}")

    def whole(self, data: Path) -> bool:
        """Whether every row is there."""
        reader = Embedded(kind="embedded").reader(data / "historian")
        try:
            return bool(self._read(reader)[0] >= self.rows)
        except KaikouError:
            return False
        finally:
            reader.close()


def _covered(time: int, gaps: list[Gap], length: int = 1) -> bool:
    return any(g.last == 0 or (g.first < time + length and g.last >= time) for g in gaps)
