"""Which built days late rows and corrections have touched, until their cells are made anew."""

from collections.abc import Iterable, Sequence

import apsw
import numpy as np

from plant.flow.sample import SampleBatch
from twin.historian.segment import DAY_MS, SignalSpans
from twin.historian.store import select

EVERY = -1
"""In place of a signal: all of them."""

_MANY = 50
"""So many signals are marked one by one, more of them as all."""

Touched = tuple[int, int]
"""A signal and a day since 1970, UTC."""


class Dirt:
    """Table ``dirty`` and table ``built`` as the writer remembers them; guarded by its lock."""

    def __init__(self, db: apsw.Connection) -> None:
        self.built = dict(select(db, "SELECT day, upto FROM built"))
        self._marked: set[Touched] = {
            (signal, first // DAY_MS)
            for signal, first in select(db, "SELECT signal, first FROM dirty")
        }

    def touched(self, rows: SampleBatch, first: int, last: int) -> list[Touched]:
        """What rows between two source times touch that has cells and is not marked yet."""
        days = [d for d in _days(rows, first, last) if d in self.built]
        found = []
        for day in days:
            time = rows.source_time
            late = (time >= day * DAY_MS) & (time < self.built[day])
            found += [(signal, day) for signal in np.unique(rows.signal[late]).tolist()]
        return [pair for pair in found if pair not in self._marked]

    def touched_by(self, day: int, of: SignalSpans) -> list[Touched]:
        """What a file of rows of one day touches."""
        if day not in self.built:
            return []
        signals = of.signal[of.first < self.built[day]].tolist()
        return [pair for pair in ((s, day) for s in signals) if pair not in self._marked]

    def treated_anew(self, signals: Sequence[int]) -> list[Touched]:
        """Every day that has cells of signals whose treatment changed."""
        ids = list(signals) if len(signals) <= _MANY else [EVERY]
        return [(signal, day) for signal in ids for day in self.built]

    @staticmethod
    def mark(db: apsw.Connection, touched: Iterable[Touched]) -> None:
        """In the transaction that brings the rows; a mark made again counts as new."""
        db.executemany(
            "INSERT OR REPLACE INTO dirty (signal, first, upto) VALUES (?, ?, ?)",
            [(signal, day * DAY_MS, (day + 1) * DAY_MS) for signal, day in touched],
        )

    def marked(self, touched: Iterable[Touched]) -> None:
        """After that transaction."""
        self._marked.update(touched)

    def take(self, db: apsw.Connection, day: int) -> tuple[list[int], int]:
        """Signals marked on a day, and the last mark; what comes from now on is marked again."""
        marks = select(db, "SELECT id, signal FROM dirty WHERE first = ?", (day * DAY_MS,))
        self._marked = {pair for pair in self._marked if pair[1] != day}
        return [signal for _, signal in marks], max((id_ for id_, _ in marks), default=0)


def _days(rows: SampleBatch, first: int, last: int) -> list[int]:
    low, high = first // DAY_MS, last // DAY_MS
    if high - low < 3:
        return list(range(low, high + 1))
    days: list[int] = np.unique(rows.source_time // DAY_MS).tolist()
    return days
