"""The files of the tiers: what stands in them replaced, small ones joined, days made of hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import apsw
import numpy as np

from plant.flow.sample import Int32
from twin.historian.aside import sound_tiers
from twin.historian.cell import Cells, Rules
from twin.historian.join import coarser
from twin.historian.segment import DAY_MS, SignalSpans, Written
from twin.historian.span import Area, joined, spans, without
from twin.historian.store import TIERS, naming, retire, select
from twin.historian.tier import TIER_COLUMNS, TierFile, edges_of, scan_cells, write_cells

if TYPE_CHECKING:
    import duckdb

    from twin.historian.writer import EmbeddedWriter

_FILE_CELLS = 250_000
"""Files of hours and days are joined up to about so many cells."""
_JOIN = 8
_PERIOD_MS = {"hour": 31 * DAY_MS, "day": 366 * DAY_MS}

Swap = tuple[TierFile | None, "TierPart | None"]
"""A file that goes and what comes in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class TierPart:
    """A file of cells that is written, and in no manifest yet."""

    tier: str
    file: Written
    cells: int
    spans: SignalSpans

    @classmethod
    def write(
        cls, writer: "EmbeddedWriter", tier: str, cells: Cells, covered: list[SignalSpans]
    ) -> Self:
        """Write cells that have these spans; sorts them."""
        cells = cells.sorted()
        of = joined(covered, cells)
        label = writer.label(np.unique(of.signal))
        file = write_cells(writer.folder / TIERS, tier, int(of.first.min()), cells, label)
        return cls(tier, file, len(cells), of)

    def name(self, db: apsw.Connection) -> None:
        """Put it into the manifest."""
        db.execute(
            "INSERT INTO tier (file, tier, first, upto, cells, bytes, crc, signals)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.file.name,
                self.tier,
                int(self.spans.first.min()),
                int(self.spans.last.max()),
                self.cells,
                self.file.bytes,
                self.file.crc,
                self.spans.encode(),
            ),
        )


def swap(db: apsw.Connection, old: TierFile | None, new: TierPart | None) -> None:
    """Take a file out of the manifest and put another in its place."""
    if old is not None:
        db.execute("DELETE FROM tier WHERE id = ?", (old.id,))
        retire(db, [old.file])
    if new is not None:
        new.name(db)


class Shelf:
    """Reads the manifest of tiers and writes files; the caller swaps them in one transaction."""

    def __init__(self, writer: "EmbeddedWriter", duck: "duckdb.DuckDBPyConnection") -> None:
        self._writer = writer
        self._duck = duck

    def _touching(self, tier: str, first: int, upto: int) -> list[TierFile]:
        query = f"SELECT {TIER_COLUMNS} FROM tier WHERE tier = ? AND upto > ? AND first < ?"  # noqa: S608
        with self._writer.lock:
            rows = select(self._writer.database, query, (tier, first, upto))
        return sound_tiers(self._writer, [TierFile(*row) for row in rows])

    def _spans(self, file: TierFile) -> SignalSpans:
        with self._writer.lock:
            (row,) = select(
                self._writer.database, "SELECT signals FROM tier WHERE id = ?", (file.id,)
            )
        return SignalSpans.decode(row[0])

    def _read(self, files: Sequence[TierFile], where: str = "true", *given: object) -> Cells:
        folder = self._writer.folder / TIERS
        return scan_cells(self._duck, [folder / f.file for f in files], where, given)

    def replace(
        self, tier: str, area: Area, cells: Cells, covered: list[SignalSpans]
    ) -> list[Swap]:
        """Files without what they hold of an area, and with what is there now."""
        swaps: list[Swap] = []
        covered = [c for c in covered if len(c.signal)]
        for file in self._touching(tier, area.first, area.upto):
            old = self._spans(file)
            left = without(old, area)
            if _same(left, old):
                continue
            if not len(left.signal):
                swaps.append((file, None))
                continue
            found = self._read([file])
            parts, kept = [left], found.take(~area.holds(found))
            if covered and len(kept) + len(cells) <= _FILE_CELLS:
                parts, kept, covered = [left, *covered], Cells.concat([kept, cells]), []
            swaps.append((file, TierPart.write(self._writer, tier, kept, parts)))
        if covered:
            swaps.append((None, TierPart.write(self._writer, tier, cells, covered)))
        return swaps

    def days(
        self, area: Area, hours: Cells, rules: Rules, now: int
    ) -> tuple[list[Swap], list[int]]:
        """The plant's days that an area touches, made of hours; UTC days found to be empty."""
        zone = self._writer.zone
        edges = edges_of("day", area.first, area.upto, zone)
        here = area.first // DAY_MS
        made, empty = [], []
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            others = [d for d in range(start // DAY_MS, (end - 1) // DAY_MS + 1) if d != here]
            if end > now or area.upto < min(end, (here + 1) * DAY_MS):
                continue
            states = [self._state(day) for day in others]
            if "open" not in states:
                made.append((start, end))
                empty += [d for d, s in zip(others, states, strict=True) if s == "empty"]
        whole = Area(area.signals, int(edges[0]), int(edges[-1]))
        if not made:
            return self.replace("day", whole, Cells.empty(), []), []
        files = self._touching("hour", whole.first, whole.upto)
        old = self._read(files, "start >= ? AND start < ?", whole.first, whole.upto)
        old = old.take(~area.holds(old) & whole.holds(old))
        all_ = Cells.concat([old, hours.take(whole.holds(hours))])
        some = Area(None, made[0][0], made[-1][1])
        all_ = all_.take(some.holds(all_)).sorted()
        bounds = np.array([made[0][0], *(end for _, end in made)], np.int64)
        cells = coarser(all_, bounds, rules)
        covered = [spans(_signals(cells, start), start, end) for start, end in made]
        return self.replace("day", whole, cells, covered), empty

    def _state(self, day: int) -> str:
        """Of a UTC day: whether it has all its cells, has nothing to make any of, or is open."""
        writer = self._writer
        with writer.lock:
            built = writer.dirt.built.get(day, 0)
            if built >= (day + 1) * DAY_MS:
                return "built"
            query = "SELECT count(*) FROM segment WHERE day = ? AND level >= 0"
            (row,) = select(writer.database, query, (day,))
            hot = writer.hot.view().source_time
            waiting = bool(((hot >= day * DAY_MS) & (hot < (day + 1) * DAY_MS)).any())
        return "open" if built or row[0] or waiting else "empty"

    def join(self) -> int:
        """Join small files of one tier and period where there are many; how many went."""
        gone = 0
        for tier, period in _PERIOD_MS.items():
            with self._writer.lock:
                query = f"SELECT {TIER_COLUMNS} FROM tier WHERE tier = ? ORDER BY first"  # noqa: S608
                files = [TierFile(*row) for row in select(self._writer.database, query, (tier,))]
            groups: dict[int, list[TierFile]] = {}
            for file in files:
                groups.setdefault(file.first // period, []).append(file)
            for group in groups.values():
                some = sound_tiers(self._writer, _fitting(group))
                if len(some) >= _JOIN:
                    gone += self._join(tier, some)
        return gone

    def _join(self, tier: str, files: Sequence[TierFile]) -> int:
        parts = [self._spans(file) for file in files]
        new = TierPart.write(self._writer, tier, self._read(files), parts)
        with self._writer.lock, naming(self._writer.database) as db:
            for file in files:
                swap(db, file, None)
            new.name(db)
        return len(files)


def _same(a: SignalSpans, b: SignalSpans) -> bool:
    return all(
        np.array_equal(x, y)
        for x, y in ((a.signal, b.signal), (a.first, b.first), (a.last, b.last))
    )


def _signals(cells: Cells, start: int) -> Int32:
    found: Int32 = np.unique(cells.signal[cells.start == start])
    return found


def _fitting(files: Sequence[TierFile]) -> list[TierFile]:
    """The smallest files that fit into one."""
    found, total = [], 0
    for file in sorted(files, key=lambda f: f.cells):
        total += file.cells
        if total > _FILE_CELLS:
            break
        found.append(file)
    return found
