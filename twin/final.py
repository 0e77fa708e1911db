"""What the stored rows of some machines say, whatever the order in which they came.

Rows are folded in the order of their source times, once each: the newest of a signal's rows of one
time is the row. One that comes late, behind what was folded, takes the fold back to a snapshot of
before; so what follows depends on the rows alone, and neither on when each was heard nor on how
often the process began anew in between.

A snapshot of some hours ago is what a restart begins from (``twin.resume``): the rows since then
are in the historian. Before it nothing is known, and what comes later than that is not folded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from typing import Any

from plant.flow.sample import SampleBatch
from twin.fold import Fold, Row, Saved
from twin.output import Known, View

LATE_MS = 8 * 3_600_000
"""A row may come so much later (source time) than others of its machines; later it says nothing."""
SNAPSHOT_MS = 600_000
"""A snapshot is taken after so much source time."""
KEPT_ROWS = 200_000
"""So many folded rows are kept to be folded again, of one group."""
NEVER = 2**62

_Row = tuple[int, int, float, int]
"""Source time, signal, value, status."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that follows from the rows up to ``time``, to go on from there.

    steps  of each machine, those that later rows may still change
    """

    time: int
    fold: Saved
    steps: Sequence[Sequence[tuple[int, Known]]]

    def json(self) -> Mapping[str, Any]:
        """Ready for JSON."""
        return {"time": self.time, "fold": self.fold, "steps": self.steps}

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> "Snapshot":
        """From what ``json`` gave."""
        steps = [[(since, _known(known)) for since, known in one] for one in json["steps"]]
        return cls(json["time"], json["fold"], steps)


def _known(values: Sequence[Any]) -> Known:
    state, waiting, certain, mode = values
    return state, waiting, certain, mode


class Final:
    """Rows in, what holds since when out (``view``)."""

    def __init__(self, fold: Fold) -> None:
        fold.by_rows = True
        self.view = View(fold)
        self.folded = -1
        """All rows up to here are folded (source time, ms UTC)."""
        self.too_late = 0
        """Rows that came later than ``LATE_MS``."""
        self._rows: list[_Row] = []
        self._late: int | None = None
        self.tail_ms = 2 * fold.reach_ms + 60_000
        """So far back what is said later may change what was said."""
        self._snapshots = [self._snapshot()]

    def _snapshot(self) -> Snapshot:
        start = self.folded - self.tail_ms
        steps = [known.steps(start) for known in self.view.known]
        return Snapshot(self.folded, self.view.fold.saved(), steps)

    # ------------------------------------------------------------------------------- rows come

    def add(self, samples: SampleBatch) -> None:
        """Take rows, in whatever order; one that is there already changes nothing."""
        oldest = self._snapshots[0].time
        columns = (samples.source_time, samples.signal, samples.value, samples.status)
        for row in zip(*(c.tolist() for c in columns), strict=True):
            time = row[0]
            if time <= oldest:
                self.too_late += 1
                continue
            place = bisect_left(self._rows, row[:2])
            if place < len(self._rows) and self._rows[place][:2] == row[:2]:
                if _same(self._rows[place], row):
                    continue
                self._rows[place] = row
            else:
                self._rows.insert(place, row)
            if time <= self.folded:
                self._late = time if self._late is None else min(self._late, time)

    @property
    def late(self) -> bool:
        """Whether rows came behind what was folded."""
        return self._late is not None

    @property
    def waiting(self) -> Sequence[_Row]:
        """Rows that are not folded yet."""
        return self._rows[self._place(self.folded) :]

    def oldest_of(self, waiting: int) -> int:
        """Up to which time to fold so that no more than so many rows wait; 0: fewer do."""
        over = len(self._rows) - self._place(self.folded) - waiting
        return self._rows[-waiting][0] if over > 0 else 0

    def rows_between(self, start: int, end: int) -> int:
        """How many there are after ``start`` and up to ``end``."""
        return self._place(end) - self._place(start)

    def _place(self, time: int) -> int:
        """How many rows there are up to a time."""
        return bisect_right(self._rows, time, key=lambda row: row[0])

    # ---------------------------------------------------------------------------- what follows

    def fold_to(self, time: int, since: int = NEVER) -> int:
        """Fold all rows up to ``time``; since when something else holds than before, at the most.

        ``since``: nothing changed before this anyhow.
        """
        if self._late is not None:
            time = max(time, self.folded)
            since = min(since, self._go_back(self._late))
            self._late = None
        fold = self.view.fold
        rows = self._rows[self._place(self.folded) : self._place(time)]
        for moment, several in groupby(rows, key=lambda row: row[0]):
            if moment - self._snapshots[-1].time > SNAPSHOT_MS:
                since = self._pass(moment - 1, since)
                self._snapshots.append(self._snapshot())
            heard: list[Row] = [row[1:] for row in several]
            since = self.view.take(fold.hear(moment, heard), since)
            self.folded = moment
        return self._pass(time, since)

    def _pass(self, time: int, since: int) -> int:
        """Let time pass without rows."""
        self.folded = max(self.folded, time)
        return self.view.take(self.view.fold.until(time), since)

    def _go_back(self, late: int) -> int:
        """To the last snapshot before ``late``; since when that may change what holds."""
        while self._snapshots[-1].time >= late:
            self._snapshots.pop()
        self._begin(self._snapshots[-1])
        return self.folded - self.tail_ms

    def _begin(self, snapshot: Snapshot) -> None:
        self.folded = snapshot.time
        self.view.fold.restore(snapshot.fold)
        for known, steps in zip(self.view.known, snapshot.steps, strict=True):
            known.go_back(steps)

    # -------------------------------------------------------------------------------- restarts

    def begin(self, snapshot: Snapshot | None, time: int) -> Snapshot:
        """Go on from a snapshot, or begin at ``time`` with nothing; from which one."""
        if snapshot is None:
            self.folded = max(self.folded, time)
            snapshot = self._snapshot()
        self._snapshots = [snapshot]
        self._begin(snapshot)
        return snapshot

    def kept(self) -> Snapshot:
        """The snapshot to begin from after a restart; what lies before it is forgotten."""
        shots = self._snapshots
        cut = max(bisect_right(shots, self.folded - LATE_MS, key=lambda s: s.time) - 1, 0)
        while cut + 1 < len(shots) and len(self._rows) - self._place(shots[cut].time) > KEPT_ROWS:
            cut += 1
        del shots[:cut]
        del self._rows[: self._place(shots[0].time)]
        return shots[0]


def _same(one: _Row, other: _Row) -> bool:
    """Equal in value and status; one that is no number equals another."""
    return one[3] == other[3] and (one[2] == other[2] or (isnan(one[2]) and isnan(other[2])))
