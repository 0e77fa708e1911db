"""When a value was true, where the device dates it itself but its stamp does not move.

A device's stamp that stays while the value or the status changes cannot be true for both. If it
moved a moment ago its clock is only coarse (whole seconds), and the later value corrects the
earlier. Otherwise the stamp stands: the change is dated when it was heard, and is Uncertain. A
polled device whose clock ran with ours and then stops has a standing stamp as well, though its
values stay.
"""

import time
from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from plant.flow.sample import SampleBatch, Text
from plant.flow.status import SEVERITY, StatusCode

COARSE_S = 2.0
"""For so long after a stamp moved, another value under it corrects the first."""
_STOPPED_S = 60.0
_RUNNING_MS = 600_000
"""A clock further than this from ours does not run with ours: it may be a recording's."""
_NEVER = -(2**62)


class Stamps:
    """The last word of every point of one source, as the device dated it.

    polled  the device's stamp is a clock that runs; where a device pushes, it is the time of change

    >>> stamps = Stamps(1, polled=False, monotonic=lambda: 0.0)
    >>> stamps.date(SampleBatch.of([0], [1_000], [7.0]), 5_000).source_time.tolist()
    [1000]
    >>> changed = stamps.date(SampleBatch.of([0], [1_000], [8.0]), 6_000)
    >>> changed.source_time.tolist(), hex(changed.status[0])
    ([6000], '0x40000000')
    """

    def __init__(
        self, points: int, *, polled: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._polled = polled
        self._stamp = np.full(points, _NEVER, np.int64)
        self._value = np.full(points, np.nan)
        self._status = np.zeros(points, np.uint32)
        self._since_s = np.zeros(points)
        """When the stamp was first seen, real time."""
        self._moved = np.zeros(points, np.bool_)
        """It was seen to move to what it is."""
        self._stands = np.zeros(points, np.bool_)
        self._runs = np.zeros(points, np.bool_)
        """The stamp was about our time when it was first seen."""

    def date(self, batch: SampleBatch, now: int) -> SampleBatch:
        """The batch with what stands dated ``now`` (ms UTC) and Uncertain."""
        if not len(batch):
            return batch
        at, stamp, clock_s = batch.signal, batch.source_time, self._monotonic()
        same = stamp == self._stamp[at]
        if same.any():
            self._look_at(batch, same, clock_s)
        if not same.all():
            fresh = ~same
            of = at[fresh]
            self._moved[of] = self._stamp[of] != _NEVER
            self._since_s[of] = clock_s
            self._runs[of] = np.abs(now - stamp[fresh]) < _RUNNING_MS
            self._stands[of] = False
            self._stamp[of] = stamp[fresh]
        self._value[at], self._status[at] = batch.value, batch.status
        stands = same & self._stands[at]
        if not stands.any():
            return batch
        good = batch.status & SEVERITY == 0
        return SampleBatch.of(
            at,
            np.where(stands, now, stamp),
            batch.value,
            np.where(stands & good, np.uint32(StatusCode.Uncertain), batch.status),
        )

    def texts(self, texts: Sequence[Text], now: int) -> list[Text]:
        """Strings, dated like numbers: what a point says is compared by its checksum."""
        out = []
        for text in texts:
            said = float(crc32(text.text.encode("utf-8", "backslashreplace")))
            one = self.date(SampleBatch.of([text.signal], [text.time], [said], [text.status]), now)
            time, status = int(one.source_time[0]), int(one.status[0])
            out.append(Text(text.signal, time, text.text, status))
        return out

    def _look_at(self, batch: SampleBatch, same: np.ndarray, clock_s: float) -> None:
        """Find out which of the stamps that did not move stand."""
        at, value = batch.signal, batch.value
        last = self._value[at]
        other = (value != last) & ~(np.isnan(value) & np.isnan(last))
        changed = same & (other | (batch.status != self._status[at]))
        since_s = clock_s - self._since_s[at]
        stands = changed & ~(self._moved[at] & (since_s <= COARSE_S))
        if self._polled:
            stands |= same & self._runs[at] & (since_s > _STOPPED_S)
        self._stands[at[stands]] = True
