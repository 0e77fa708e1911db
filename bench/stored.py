"""What a historian holds, seen from outside, for ``bench chaos``: the shape of the answer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

COPY = "kaikou/copy"
"""The ``edge`` of a copy's mark."""

NO_VALUE = -1.0
"""Stands for NaN, which equals nothing; no device serves it."""

Row = tuple[int, int, float, int]
"""The number asked for of a signal, source time, value, status."""


@dataclass(slots=True)
class Stored:
    """Every stored row of some paths, superseded ones too.

    many    how often each signal and source time is stored
    known   rows with their received times
    gaps    reasons of gap records, how often each
    strays  files that no table names
    """

    rows: set[Row] = field(default_factory=set)
    many: Counter[tuple[int, int]] = field(default_factory=Counter)
    known: set[tuple[Row, int]] = field(default_factory=set)
    gaps: Counter[str] = field(default_factory=Counter)
    strays: int = 0

    def add(self, row: Row, received: int) -> None:
        """One stored row."""
        self.rows.add(row)
        self.many[row[:2]] += 1
        self.known.add((row, received))


class Store(Protocol):
    """One historian, seen from outside; may be asked while the twin runs, but for ``rows``."""

    def received(self) -> int:
        """The last received time that it has given out."""

    def followed(self) -> int:
        """Up to which received time of another historian it has followed it; 0: not at all."""

    def rows(self, index: Mapping[str, int]) -> Stored:
        """Everything that it holds of some paths; its writer is closed."""

    def cells(self) -> tuple[int, int]:
        """(cells of minutes and hours that count, how many are not what the rows give)."""
