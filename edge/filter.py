"""Report by exception: what is sent on, and what only repeats what was sent.

A sample goes on when its signal was never reported, its status is another, its value moved by at
least the deadband since the last *reported* one, or ``max_interval`` has passed since then. One of
the same time as the last reported goes on where it says something else: it corrects that one. Whole
polls are compared as columns; of a batch that holds a signal several times each round takes one
of them, so the result is what a sample at a time would give.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int32, SampleBatch, Text
from plant.flow.status import is_bad
from plant.model.signal import Signal

_NEVER = -(2**62)
_TINY = 1e-300
_ROUNDING = 1 - 1e-9
"""0.3 - 0.2 is a hair less than a deadband of 0.1."""


class Filter:
    """The last reported sample of every signal; ``signal`` counts in the given signals.

    >>> from plant.model.signal import Label, SignalKind
    >>> power = Signal("a/p", "a", "p", Label("", ""), SignalKind.MEASUREMENT, deadband=0.5)
    >>> rows = SampleBatch.of([0] * 4, [0, 10, 20, 60_020], [1, 1.4, 2, 2])
    >>> Filter([power]).report(rows).source_time.tolist()
    [0, 20, 60020]
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        n = len(signals)
        deadband = np.array([s.deadband for s in signals], np.float64)
        self._band = np.maximum(deadband * _ROUNDING, _TINY)
        self._interval = np.array([round(s.max_interval * 1000) for s in signals], np.int64)
        self._value = np.full(n, np.nan)
        self._status = np.zeros(n, np.uint32)
        self._time = np.full(n, _NEVER, np.int64)
        self._place = np.zeros(n, np.int64)
        self._text: dict[int, Text] = {}
        self.doubled = 0
        """Samples left out because their signal had a later one of the same time beside them."""

    def report(self, batch: SampleBatch) -> SampleBatch:
        """What of a batch goes on; it is then the last reported."""
        if not len(batch):
            return batch
        if self._once(batch.signal):
            keep = self._changed(batch)
        else:
            keep = np.zeros(len(batch), np.bool_)
            for part in self._rounds(batch):
                keep[part] = self._changed(batch.take(part))
        out = batch.take(keep)
        if self._text:  # a string that was lost is told again when it is back
            for signal in out.signal[is_bad(out.status)].tolist():
                self._text.pop(signal, None)
        return out

    def texts(self, texts: Sequence[Text]) -> list[Text]:
        """What of some strings goes on."""
        out: list[Text] = []
        for text in texts:
            last = self._text.get(text.signal)
            if (
                last is None
                or (text.text, text.status) != (last.text, last.status)
                or text.time - last.time >= self._interval[text.signal] > 0
            ):
                self._text[text.signal] = text
                out.append(text)
        return out

    def _once(self, signal: Int32) -> bool:
        """Whether no signal stands twice."""
        count = np.arange(len(signal))
        self._place[signal] = count
        return bool((self._place[signal] == count).all())

    def _changed(self, batch: SampleBatch) -> NDArray[np.bool_]:
        s, time, value, status = batch.signal, batch.source_time, batch.value, batch.status
        last_time, last = self._time[s], self._value[s]
        new: NDArray[np.bool_] = status != self._status[s]
        new |= np.abs(value - last) >= self._band[s]
        new |= np.isnan(value) != np.isnan(last)
        passed = np.abs(time - last_time)
        new |= (passed >= self._interval[s]) & (passed > 0)
        if new.all():
            self._time[s], self._value[s], self._status[s] = time, value, status
        else:
            at = s[new]
            self._time[at], self._value[at], self._status[at] = time[new], value[new], status[new]
        return new

    def _rounds(self, batch: SampleBatch) -> Iterator[NDArray[np.intp]]:
        """Positions in rounds of one a signal; of one millisecond only the last is in any."""
        position = np.arange(len(batch))
        order = np.lexsort((position, batch.source_time, batch.signal))
        signal, time = batch.signal[order], batch.source_time[order]
        beaten = np.zeros(len(batch), np.bool_)
        beaten[order[:-1]] = (signal[1:] == signal[:-1]) & (time[1:] == time[:-1])
        self.doubled += int(beaten.sum())
        left = np.flatnonzero(~beaten)
        by_signal = left[np.argsort(batch.signal[left], kind="stable")]
        signal = batch.signal[by_signal]
        first = np.r_[True, signal[1:] != signal[:-1]]
        start = np.maximum.accumulate(np.where(first, np.arange(len(signal)), 0))
        rank = np.arange(len(signal)) - start
        for turn in range(int(rank.max()) + 1):
            yield by_signal[rank == turn]
