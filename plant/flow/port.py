"""Ports that more than one room uses. Each is a Protocol of a few methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plant.flow.clock import Clock
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform


@dataclass(frozen=True, slots=True)
class Mark:
    """All rows of ``run`` of ``edge`` up to ``offset`` are durable. ``edge`` is "group/node"."""

    edge: str
    run: str
    offset: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What goes into a historian in one transaction: all of it, or nothing."""

    samples: SampleBatch
    texts: Sequence[Text] = ()
    waveforms: Sequence[Waveform] = ()
    events: Sequence[Event] = ()
    gaps: Sequence[Gap] = ()
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One signal over equal buckets, by its kind; every column has one entry a bucket.

    start       int64    ms UTC, first moment of the bucket; buckets are half-open
    first/last  float64  first and last stored value inside, NaN where none
    low/high    float64  least and greatest inside
    mean        float64  time-weighted, with the value carried in at the bucket's start
    increase    float64  of a counter, over resets and rollovers
    good_s      float64  seconds with a Good value
    count       int64    stored rows inside
    """

    start: NDArray[np.int64]
    width_ms: int
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    increase: NDArray[np.float64]
    good_s: NDArray[np.float64]
    count: NDArray[np.int64]


class HistorianReader(Protocol):
    """Reads by path; ``start`` and ``end`` are ms UTC, half-open; times given are source times.

    ``signal`` in what comes back is the index into the ``paths`` that were asked for. A path the
    historian never saw simply has no rows. ``known_at`` (ms UTC of the twin's knowing) reads as
    the twin then believed; None reads the newest.
    """

    def read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> SampleBatch:
        """Raw rows, newest correction of each (signal, source_time), by signal and time."""

    def aggregate(self, path: str, start: int, end: int, width_ms: int) -> Aggregate:
        """Buckets of ``width_ms`` from ``start``."""

    def as_of(self, paths: Sequence[str], at: int, known_at: int | None = None) -> SampleBatch:
        """The last row at or before ``at`` of each path that has one."""

    def texts(self, paths: Sequence[str], start: int, end: int) -> Sequence[Text]:
        """Strings, oldest first."""

    def events(self, start: int, end: int) -> Sequence[Event]:
        """Events, oldest first."""

    def gaps(self, start: int, end: int) -> Sequence[Gap]:
        """Gap records that touch the range (or have no known time)."""

    def paths(self) -> Sequence[str]:
        """Every path that has rows."""

    def close(self) -> None:
        """Release files and connections."""


class HistorianWriter(Protocol):
    """Writes; owned by the twin alone.

    ``signal`` in samples, texts and waveforms is the index into the ``paths`` given to
    ``declare``, which only ever grows.
    """

    def declare(self, paths: Sequence[str]) -> None:
        """Append to the list of paths that ``signal`` counts in."""

    def write(self, commit: Commit, now: int) -> int:
        """Make it durable; returns the ``received_time`` it was given (> every one before)."""

    def marks(self) -> Mapping[tuple[str, str], int]:
        """(edge, run) -> highest durable offset."""

    def retain(self, now: int) -> None:
        """Seal, and drop what is older than its retention."""

    def close(self) -> None:
        """Release files and connections."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What ``deploy`` hands to a room's ``run(plant, ports)``: the only way to what lies outside.

    data     the process's own folder
    reader   opens the historian for reading, None where the room has no business there
    writer   opens it for writing; only the twin gets one
    ready    to be called once, when the room does its work
    options  what the command line adds for this room ("preload": a file of first rows)
    """

    clock: Clock
    data: Path
    reader: Callable[[], HistorianReader] | None = None
    writer: Callable[[], HistorianWriter] | None = None
    ready: Callable[[], None] = lambda: None
    options: Mapping[str, object] = field(default_factory=dict)
