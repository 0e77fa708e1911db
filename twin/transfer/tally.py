"""Count and checksum of history, equal wherever the same rows are, in whatever order they lie.

Each row is hashed with its path, both times, value and status (splitmix64, Steele et al. 2014, as
the mixing step); the checksum is the sum of the hashes modulo 2^64. So a page, a file and a
database can be compared without sorting any of them.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import Changes, Series
from plant.flow.sample import SampleBatch

UInt64 = NDArray[np.uint64]

_WORD = (1 << 64) - 1


def row_hashes(series: Sequence[Series], samples: SampleBatch) -> UInt64:
    """A 64-bit hash of every sample.

    >>> a = SampleBatch.of([0], [1000], [1.5], 0, 2000)
    >>> x = row_hashes([Series("saw/power")], a)
    >>> y = row_hashes([Series("lathe/power"), Series("saw/power")],
    ...                SampleBatch.of([1], [1000], [1.5], 0, 2000))
    >>> bool((x == y).all())
    True
    """
    names = np.array([_text_hash(s.path) for s in series], np.uint64)
    value = np.where(np.isnan(samples.value), np.nan, samples.value)  # one NaN, of many
    h = _mix(names[samples.signal])
    for column in (
        samples.source_time.view(np.uint64),
        np.ascontiguousarray(samples.received_time).view(np.uint64),
        value.view(np.uint64),
        samples.status.astype(np.uint64),
    ):
        h = _mix(h ^ column)
    return h


def record_hashes(changes: Changes) -> UInt64:
    """A 64-bit hash of every text, waveform, event and gap record."""
    return np.array([_text_hash(line) for line in record_lines(changes)], np.uint64)


def record_lines(changes: Changes) -> Iterator[str]:
    """Every record as one line of JSON, equal for equal records; what ``bundle`` writes."""
    path = [s.path for s in changes.series]
    for received, text in changes.texts:
        yield _line("text", received, path[text.signal], text.time, text.text, text.status)
    for received, wave in changes.waveforms:
        block = b64encode(np.ascontiguousarray(wave.block, "<f4").tobytes()).decode()
        where = path[wave.signal]
        yield _line("waveform", received, where, wave.start, wave.rate_hz, block, wave.status)
    for received, event in changes.events:
        yield _line("event", received, event.time, event.asset, event.kind, dict(event.data))
    for received, gap in changes.gaps:
        yield _line(
            "gap", received, gap.edge, gap.first, gap.last, gap.samples, gap.reason,
            list(gap.signals),
        )  # fmt: skip


def _line(*parts: object) -> str:
    return json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mix(word: UInt64) -> UInt64:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many samples and other records, and the checksum over all of them.

    >>> Tally(1, 0, 5) + Tally(2, 1, (1 << 64) - 1)
    Tally(samples=3, records=1, checksum=4)
    """

    samples: int = 0
    records: int = 0
    checksum: int = 0

    @classmethod
    def of(cls, changes: Changes) -> "Tally":
        """Of one page."""
        rows = row_hashes(changes.series, changes.samples)
        others = record_hashes(changes)
        total = int(rows.sum(dtype=np.uint64)) + int(others.sum(dtype=np.uint64))
        return cls(len(rows), len(others), total & _WORD)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.samples + other.samples,
            self.records + other.records,
            (self.checksum + other.checksum) & _WORD,
        )

    def __str__(self) -> str:
        many = f"{self.samples} samples, {self.records} other records"
        return f"{many}, checksum {self.checksum:016x}"
