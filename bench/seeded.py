"""Seeded plant data for the historian's benches: 1,000 signals at 1 Hz, as issue 4 describes.

A third of the signals are constant, a third a level + N(0, 0.2) on 0 to 100 in 12-bit steps, a
third a level + N(0, 0.2) as full float64. Source time is the second + N(0, 1 ms); 1 % of the rows
come a minute late, 0.5 % are Bad. The same seed and block give the same rows in every process.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode

BLOCK_S = 60
"""Rows are made a minute at a time; what is late comes with the next minute."""

T0 = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

_LATE = 0.01
_BAD = 0.005
_STEP = 100 / 4095


@dataclass(frozen=True, slots=True)
class Seeded:
    """Rows of a plant; ``signals`` of them a second from ``start`` (ms UTC)."""

    seed: int = 4
    signals: int = 1000
    start: int = T0

    def series(self) -> list[Series]:
        """What is declared: a value holds three minutes."""
        return [Series(f"machine{i // 20}/signal{i}", hold_ms=180_000) for i in range(self.signals)]

    def block(self, k: int) -> tuple[SampleBatch, NDArray[np.bool_]]:
        """Rows of minute ``k`` by second and signal, and which of them come late."""
        n = self.signals
        random = np.random.default_rng((self.seed, k))
        second = np.repeat(np.arange(k * BLOCK_S, (k + 1) * BLOCK_S), n)
        jitter = np.rint(random.normal(0.0, 1.0, BLOCK_S * n)).astype(np.int64)
        level = np.random.default_rng(self.seed).uniform(1.0, 99.0, n)
        value = np.tile(level, BLOCK_S).reshape(BLOCK_S, n)
        value[:, n // 3 :] += random.normal(0.0, 0.2, (BLOCK_S, n - n // 3))
        stepped = slice(n // 3, 2 * n // 3)
        value[:, stepped] = np.rint(value[:, stepped] / _STEP) * _STEP
        flat = value.reshape(-1)
        bad = random.random(BLOCK_S * n) < _BAD
        flat[bad] = np.nan
        status = np.where(bad, StatusCode.BadNoCommunication, StatusCode.Good)
        rows = SampleBatch.of(
            np.tile(np.arange(n), BLOCK_S), self.start + second * 1000 + jitter, flat, status
        )
        return rows, random.random(BLOCK_S * n) < _LATE

    def arrivals(self, blocks: Iterable[int]) -> Iterator[SampleBatch]:
        """The rows as they come, a minute of arrival each; the last holds only late ones."""
        late = SampleBatch.empty()
        for k in blocks:
            rows, comes_late = self.block(k)
            now = SampleBatch.concat([late, rows.take(~comes_late)])
            second = now.source_time // 1000
            second[: len(late)] += BLOCK_S
            late = rows.take(comes_late)
            yield now.take(np.argsort(second, kind="stable"))
        if len(late):
            yield late


def batches(rows: Iterator[SampleBatch], size: int) -> Iterator[SampleBatch]:
    """The same rows in batches of a size."""
    rest = SampleBatch.empty()
    for more in rows:
        whole = SampleBatch.concat([rest, more])
        end = len(whole) - len(whole) % size
        for at in range(0, end, size):
            yield _cut(whole, at, at + size)
        rest = _cut(whole, end, len(whole))
    if len(rest):
        yield rest


def _cut(rows: SampleBatch, start: int, end: int) -> SampleBatch:
    return SampleBatch(
        rows.signal[start:end],
        rows.source_time[start:end],
        rows.value[start:end],
        rows.status[start:end],
        rows.received_time[start:end],
    )
