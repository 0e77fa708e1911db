"""What the outbox keeps: rows, runs and what one transaction changes."""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from plant.flow.sample import Gap, SampleBatch

OVERHEAD_BYTES = 64
"""What a row costs in the file beside its metrics, about; counted against the bound."""


def new_run() -> str:
    """A name for a start of the process that no other start ever had (64 random bits)."""
    return secrets.token_hex(8)


class RowClass(IntEnum):
    """What a row holds; when the outbox is full the lowest class goes first, gaps never go."""

    SAMPLE = 0
    EVENT = 1
    """Texts and events."""
    GAP = 2


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be accepted.

    device      "" for the node itself
    first/last  ms UTC, least and greatest source time inside
    metrics     as ``plant.wire.codec`` encodes them, not historical
    historical  never live: first rows of a new plant, samples that were read late
    batch       the samples themselves while the row is in memory, for hooks
    """

    device: str
    row_class: RowClass
    first: int
    last: int
    samples: int
    metrics: bytes
    historical: bool = False
    batch: SampleBatch | None = None

    @property
    def size(self) -> int:
        """Bytes that count against the bound and the window."""
        return len(self.metrics) + OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row that is durable: (run, offset) and what was accepted."""

    run: str
    offset: int
    row: NewRow


@dataclass(slots=True)
class Run:
    """The rows of one start of the process: ids ``base + 1`` to ``last``, offset = id - base.

    ``acked`` is an offset; ``rows``, ``bytes`` and ``devices`` count what is still kept.
    """

    name: str
    base: int
    last: int
    acked: int = 0
    rows: int = 0
    bytes: int = 0
    devices: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Highest offset this run has given."""
        return self.last - self.base

    def add(self, device: str, size: int) -> None:
        """One more row, with the next id."""
        self.last += 1
        self.rows += 1
        self.bytes += size
        self.devices[device] += 1

    def remove(self, device: str, rows: int, size: int) -> None:
        """Rows that went."""
        self.rows -= rows
        self.bytes -= size
        self.devices[device] -= rows
        if self.devices[device] <= 0:
            del self.devices[device]

    def clear(self) -> bool:
        """Nothing is kept any more; whether something was still counted."""
        left = bool(self.rows or self.bytes)
        self.rows = self.bytes = 0
        self.devices.clear()
        return left

    def copy(self) -> "Run":
        """A copy to be changed inside a transaction."""
        return Run(
            self.name, self.base, self.last, self.acked, self.rows, self.bytes, self.devices.copy()
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction does: all of it, or nothing.

    acked       run -> all its rows up to this offset may go
    state       key -> numbers that must never disagree with the rows (pulse totals)
    trusted_ms  newest time known to be right, ms UTC; 0 leaves it
    losses      what was lost before this, to be recorded
    """

    rows: Sequence[NewRow] = ()
    acked: Mapping[str, int] = field(default_factory=dict)
    state: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trusted_ms: int = 0
    losses: Sequence["Loss"] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did.

    kept     the rows that are durable now, gap records among them
    dropped  (run, offset) of older rows that had to go
    refused  why new rows were not accepted, "" when they were
    """

    kept: Sequence[KeptRow] = ()
    dropped: Sequence[tuple[str, int]] = ()
    refused: str = ""


@dataclass(slots=True)
class Count:
    """What the outbox did since the process started, for the platform's own signals."""

    rows: int = 0
    """Kept now."""
    bytes: int = 0
    """Kept now."""
    accepted_rows: int = 0
    accepted_samples: int = 0
    dropped_rows: int = 0
    """Went because the bound was reached or they were damaged; covered by gap records."""
    dropped_samples: int = 0
    refused_rows: int = 0
    """Were never accepted: disk full, or full under ``refuse_new``."""
    refused_samples: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """What is missing and why, on its way to a gap record; adds up."""

    first: int
    last: int
    samples: int
    reason: str
    devices: frozenset[str]

    def plus(self, other: "Loss") -> "Loss":
        """Both, under the first one's reason."""
        return Loss(
            min(self.first, other.first),
            max(self.last, other.last),
            self.samples + other.samples if min(self.samples, other.samples) >= 0 else -1,
            self.reason,
            self.devices | other.devices,
        )

    def gap(self, edge: str, signals: Sequence[str]) -> Gap:
        """The record of it."""
        return Gap(edge, self.first, self.last, self.samples, self.reason, tuple(signals))


def loss_of(rows: Sequence[NewRow], reason: str) -> Loss:
    """What is lost with some rows."""
    return Loss(
        min(row.first for row in rows),
        max(row.last for row in rows),
        sum(row.samples for row in rows),
        reason,
        frozenset(row.device for row in rows),
    )


def unknown_loss(reason: str) -> Loss:
    """Something is lost, and nobody knows what."""
    return Loss(0, 0, -1, reason, frozenset())
