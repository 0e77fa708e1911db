"""Current values as the bus may know them: those of rows whose transaction has ended.

The process's own live table runs ahead of it by what waits for its commit. Telling only what is
settled keeps the order on the bus: a row that is still to come never holds an older value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.outbox.row import NewRow
from plant.outbox.split import Splitter


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one moment: samples of signals (``signal`` is the index), text signals."""

    samples: SampleBatch
    texts: Mapping[int, Text]

    @classmethod
    def of(cls, live: LiveTable, texts: Mapping[int, Text]) -> "Values":
        """Everything a live table holds, copied."""
        every = np.arange(len(live.table), dtype=np.int32)
        return cls(live.snapshot(every), dict(texts))


class Current:
    """The newest settled values, and which of them changed since they were last told."""

    def __init__(self, splitter: Splitter, paths: Sequence[str]) -> None:
        self._splitter = splitter
        self._live = LiveTable(SignalTable(paths))
        self._cursor = self._live.cursor()
        self._texts: dict[int, Text] = {}
        self._untold: set[int] = set()

    def settle(self, rows: Sequence[NewRow], texts: Sequence[Text]) -> None:
        """A transaction ended, whether it kept these or refused them."""
        for row in rows:
            if row.batch is not None and not row.historical:
                self._live.update(row.batch)
        for text in texts:
            self._texts[text.signal] = text
            self._untold.add(text.signal)

    def everything(self) -> Values:
        """All values, for births; nothing is untold then."""
        self._cursor.changed()
        self._untold.clear()
        return Values.of(self._live, self._texts)

    def device(self) -> Values:
        """All values, for the birth of one device."""
        return Values.of(self._live, self._texts)

    def changed(self, devices: Collection[str]) -> Values:
        """What was not told yet, and all of some devices."""
        signals = self._cursor.changed()
        untold, self._untold = self._untold, set()
        if devices:
            codes = [code for code, d in enumerate(self._splitter.devices) if d in devices]
            of_devices = np.flatnonzero(np.isin(self._splitter.device_of, codes))
            signals = np.union1d(signals, of_devices).astype(np.int32)
            untold |= {i for i in self._texts if self._splitter.device(i) in devices}
        samples = self._live.snapshot(signals)
        known = samples.status != StatusCode.BadWaitingForInitialData
        return Values(samples.take(known), {i: self._texts[i] for i in untold})
