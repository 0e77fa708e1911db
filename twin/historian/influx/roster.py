"""What ``signal`` in a commit counts in: declared series, and which of the store's each is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Series
from plant.flow.sample import Int32, SampleBatch
from plant.model.signal import SignalKind
from twin.historian.influx.series import Entry, Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Roster:
    """Declared series of one writer. ``number`` -1: has no row yet, so the store knows it not.

    heads    measurement and tags of samples, by number
    states   which series are states, by number
    unsaved  series that got their first row and that the mark bucket does not hold yet
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.declared: list[Series] = []
        self.number: Int32 = np.empty(0, np.int32)
        self.heads: list[str] = []
        self.states: NDArray[np.bool_] = np.empty(0, np.bool_)
        self.unsaved: dict[int, Entry] = {}

    def begin(self, registry: Registry) -> None:
        """The store's list is read anew; what it does not hold was never saved."""
        self.registry = registry
        self.heads, self.states, self.unsaved = [], np.empty(0, np.bool_), {}
        self.number = np.where(self.number < len(registry), self.number, -1).astype(np.int32)
        self.fit()

    def fit(self) -> None:
        """Columns by number for series that came."""
        fresh = [self.registry[n] for n in range(len(self.heads), len(self.registry))]
        self.heads += [e.head for e in fresh]
        states = np.array([e.series.kind is SignalKind.STATE for e in fresh], np.bool_)
        self.states = np.concatenate([self.states, states])

    def settle(self, series: Sequence[Series]) -> tuple[Int32, list[Entry]]:
        """(numbers of series that are to be written to, what changed in the store's list)."""
        numbers, changed = [], []
        for s in series:
            number, entries = self.registry.settle(s)
            numbers.append(number)
            changed += [e.number for e in entries]
        for n in changed:
            self.heads[n] = self.registry[n].head
        return np.array(numbers, np.int32), [self.registry[n] for n in dict.fromkeys(changed)]

    def declare(self, series: Sequence[Series], numbers: Int32) -> None:
        """Append to the list."""
        self.declared.extend(series)
        self.number = np.concatenate([self.number, numbers])

    def know(self, signals: Int32) -> None:
        """A number for every declared series that gets its first row."""
        if not len(signals) or (self.number[signals] >= 0).all():
            return
        for index in np.unique(signals[self.number[signals] < 0]).tolist():
            self.number[index] = self.first_row(self.declared[index]).number
        self.fit()

    def first_row(self, series: Series) -> Entry:
        """The series of this path, made if there is none."""
        entry = self.registry.find(series.path) or self.registry.add(replace(series, was=()))
        self.unsaved[entry.number] = entry
        self.fit()
        return entry

    def entry(self, signal: int) -> Entry:
        """The store's series of a declared one that has rows."""
        return self.registry[int(self.number[signal])]

    def numbered(self, samples: SampleBatch) -> SampleBatch:
        """The same rows by number."""
        if not len(samples):
            return samples
        return SampleBatch(
            self.number[samples.signal],
            samples.source_time,
            samples.value,
            samples.status,
            samples.received_time,
        )
