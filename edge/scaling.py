"""From what a session read to engineering units, with honest statuses and times.

Strings keep their wording, as far as it can be stored: what is no UTF-8 is read as GBK, what is too
long is cut.
"""

from collections.abc import Iterator, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from edge.named_state import NamedStates
from edge.source import Answer
from plant.flow.clock import FUTURE_MS, Clock
from plant.flow.sample import Int32, Int64, SampleBatch, Text
from plant.flow.status import SEVERITY, StatusCode, is_bad
from plant.model.signal import Signal, SignalKind
from plant.wire.gate import decoded

DEAD_CLOCK_MS = 1_577_836_800_000
"""A device that dates its values before 2020 has no clock: its battery is dead (1970, 2000)."""
_FAR_MS = 10 * 365 * 86_400_000
"""Nor has one that is ten years ahead of us: OPC UA says 9999 where it knows no time."""
TEXT_CHARS = 4096
"""The longest string of a device that is taken whole."""


class Scaling:
    """``value * scale + offset``, range and status for the points of one source.

    index  of each point's signal in the process
    """

    def __init__(self, signals: Sequence[Signal], index: Sequence[int]) -> None:
        self.index: Int32 = np.array(index, np.int32)
        factors = [_factors(s.scale) for s in signals]
        self._times = np.array([times for times, _ in factors], np.float64)
        self._per = np.array([per for _, per in factors], np.float64)
        self._offset = np.array([s.offset for s in signals], np.float64)
        bounds = [s.range or (-np.inf, np.inf) for s in signals]
        self._low = np.array([low for low, _ in bounds], np.float64)
        self._high = np.array([high for _, high in bounds], np.float64)
        self._estimated = np.array([s.estimated for s in signals], np.bool_)
        self._text = np.array([s.kind is SignalKind.TEXT for s in signals], np.bool_)
        self._states = NamedStates(signals)
        self._any_text = bool(self._text.any())
        self._any_estimated = bool(self._estimated.any())

    def __len__(self) -> int:
        return len(self.index)

    def apply(self, raw: SampleBatch, clock: Clock, *, trusted: bool = True) -> SampleBatch:
        """A batch of the process's signals; the raw one counts in points."""
        at = raw.signal
        value = raw.value * self._times[at] / self._per[at] + self._offset[at]
        status = raw.status
        odd = (value < self._low[at]) | (value > self._high[at]) | self._states.strange(at, value)
        if odd.any():
            status = np.where(
                odd & (status & SEVERITY == 0),
                np.uint32(StatusCode.UncertainEngineeringUnitsExceeded),
                status,
            )
        bad = is_bad(status)
        nothing = ~np.isfinite(value)
        if nothing.any() or bad.any():
            status = np.where(nothing & ~bad, np.uint32(StatusCode.BadNoData), status)
            value = np.where(bad | nothing, np.nan, value)
        doubtful = self._estimated[at] if self._any_estimated else None
        time, odd_time = _believed(raw.source_time, clock.now())
        if not trusted:
            doubtful = np.ones(len(at), np.bool_)
        elif odd_time.any():
            doubtful = odd_time if doubtful is None else doubtful | odd_time
        if doubtful is not None:
            status = np.where(
                doubtful & (status & SEVERITY == 0), np.uint32(StatusCode.Uncertain), status
            )
        return SampleBatch.of(self.index[at], time, value, status)

    def sort(self, answer: Answer) -> tuple[SampleBatch, list[Text]]:
        """Numbers and strings of points, each where its signal's kind wants it.

        A string for a number is rubbish: Bad. A number for a text is written out.
        """
        samples, texts = answer.samples, list(answer.texts)
        if self._any_text and len(samples):
            mine = self._text[samples.signal]
            texts += [
                Text(signal, at, "" if isnan(value) else f"{value:.15g}", status)
                for signal, at, value, status in _rows(samples.take(mine))
            ]
            samples = samples.take(~mine)
        wrong = [t for t in texts if not self._text[t.signal]]
        if wrong:
            texts = [t for t in texts if self._text[t.signal]]
            bad = StatusCode.BadDecodingError
            at, times = [t.signal for t in wrong], [t.time for t in wrong]
            samples = SampleBatch.concat(
                [samples, SampleBatch.of(at, times, [np.nan] * len(at), bad)]
            )
        return samples, [_storable(t) for t in texts]

    def texts(self, texts: Sequence[Text], clock: Clock, *, trusted: bool = True) -> list[Text]:
        """Strings of the process's signals, their times judged like those of numbers."""
        if not texts:
            return []
        time, odd = _believed(np.array([t.time for t in texts], np.int64), clock.now())
        status = np.array([t.status for t in texts], np.uint32)
        doubtful = (odd | (not trusted)) & (status & SEVERITY == 0)
        status = np.where(doubtful, np.uint32(StatusCode.Uncertain), status)
        return [
            Text(int(self.index[t.signal]), at, t.text, of)
            for t, at, of in zip(texts, time.tolist(), status.tolist(), strict=True)
        ]

    def lost(self, now: int, status: StatusCode = StatusCode.BadNoCommunication) -> SampleBatch:
        """All points without a value: the peer is gone."""
        return SampleBatch.of(self.index, now, np.nan, status)


def without_clock(time: Int64, now: int) -> NDArray[np.bool_]:
    """Where a device's time (ms UTC) says that it has no clock."""
    dead: NDArray[np.bool_] = time < (DEAD_CLOCK_MS if now >= DEAD_CLOCK_MS else 0)
    return dead | (time > now + _FAR_MS)


def _believed(time: Int64, now: int) -> tuple[Int64, NDArray[np.bool_]]:
    """Times (ms UTC) of values, ``now`` where the device has no clock; which of them are odd."""
    dead = without_clock(time, now)
    if dead.any():
        time = np.where(dead, now, time)
    return time, dead | (time > now + FUTURE_MS)


def _storable(text: Text) -> Text:
    r"""A string that every store takes: no half characters, no end of NULs, not too long.

    >>> _storable(Text(0, 1, "\udcce\udcc2\udcb6\udcc8\0\0")).text
    '温度'
    """
    said, status = text.text.rstrip("\0"), text.status
    if not said.isascii():
        said = _whole(said)
    if len(said) > TEXT_CHARS:
        said = said[:TEXT_CHARS]
        status = status if status & SEVERITY else int(StatusCode.Uncertain)
    return text if said is text.text else Text(text.signal, text.time, said, status)


def _whole(said: str) -> str:
    """Without halves of surrogate pairs, by which bytes stand that were no UTF-8."""
    try:
        said.encode()
    except UnicodeEncodeError:
        try:
            return decoded(said.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            return said.encode("utf-8", "backslashreplace").decode()
    return said


def _rows(batch: SampleBatch) -> Iterator[tuple[int, int, float, int]]:
    columns = (batch.signal, batch.source_time, batch.value, batch.status)
    return zip(*(column.tolist() for column in columns), strict=True)


def _factors(scale: float) -> tuple[float, float]:
    """A scale as multiplier and divisor, so that 1674 at 0.01 is 16.74 and not 16.740000000000002.

    >>> _factors(0.01), _factors(2.5), _factors(-0.1)
    ((1.0, 100.0), (2.5, 1.0), (1.0, -10.0))
    """
    per = round(1 / scale) if scale else 1
    if abs(scale) < 1 and per and abs(per * scale - 1) < 1e-12:
        return 1.0, float(per)
    return scale, 1.0
