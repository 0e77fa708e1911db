"""Ports that more than one room uses. Each is a Protocol of a few methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plant.flow.clock import Clock
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.model.signal import SignalKind


@dataclass(frozen=True, slots=True)
class Series:
    """What a historian must know of a signal to keep, aggregate and age it.

    modulus  of a counter: where it rolls over to 0; None: it does not
    hold_ms  a value counts no longer than this without a newer row; 0: until the next row
    was      former paths, whose rows the path takes over when it has none itself
    place    where it stands, outermost first (site, line), for stores that label their rows
    """

    path: str
    kind: SignalKind = SignalKind.MEASUREMENT
    unit: str = ""
    modulus: float | None = None
    hold_ms: int = 0
    was: tuple[str, ...] = ()
    place: tuple[str, ...] = ()


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

    A value counts from its source time to the next row of the signal, at most ``Series.hold_ms``;
    the row before the first bucket is carried in. What is Bad counts for nothing, what is
    Uncertain counts (and ``good_s`` says how much did not).

    start       int64    ms UTC, first moment of the bucket; buckets are half-open
    first/last  float64  first and last stored value inside that is not Bad, NaN where none
    low/high    float64  least and greatest inside, as above
    *_time      int64    ms UTC of those four (the earliest of equals), 0 where none
    mean        float64  time-weighted over ``known_s``; NaN where nothing is known
    increase    float64  of a counter, over resets and rollovers, in the bucket of the later row;
                         after a reset it is counted from 0 (a lower bound); NaN for other kinds
    known_s     float64  seconds with a value that is not Bad
    good_s      float64  seconds with a Good value
    count       int64    stored rows inside, Bad ones too
    durations   of a state: value -> seconds in each bucket; empty for other kinds
    """

    kind: SignalKind
    start: NDArray[np.int64]
    width_ms: int
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    first_time: NDArray[np.int64]
    last_time: NDArray[np.int64]
    low_time: NDArray[np.int64]
    high_time: NDArray[np.int64]
    mean: NDArray[np.float64]
    increase: NDArray[np.float64]
    known_s: NDArray[np.float64]
    good_s: NDArray[np.float64]
    count: NDArray[np.int64]
    durations: Mapping[int, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """One signal for drawing: every row where there are few, else M4 of its buckets.

    M4 (Jugel et al., VLDB 2014) keeps of every bucket the first, last, least and greatest row
    that is not Bad, and the bucket's very last row where that is Bad, so a gap stays a gap. The
    row that still held at ``start`` comes first, with its own time. Buckets begin at multiples of
    ``bucket_ms`` since 1970 and their edges fall on the edges of the tier's cells; rows outside
    ``start`` to ``end`` belong to none.

    tier       "raw", "minute", "hour": where the figures come from
    bucket_ms  width of a bucket; 0 where every row is given
    raw_count  stored rows in the range
    """

    tier: str
    bucket_ms: int
    raw_count: int
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    status: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a historian came to know, in that order: for a copy, an export, an import.

    ``signal`` counts in ``series``. ``samples`` have their ``received_time`` and rise by it; the
    other records come with theirs, as (received_time, record). Superseded rows are there too.

    upto  everything known by then (received_time, included) is here or was in an earlier page
    last  whether the historian knows no more than this now
    """

    series: Sequence[Series]
    samples: SampleBatch
    texts: Sequence[tuple[int, Text]] = ()
    waveforms: Sequence[tuple[int, Waveform]] = ()
    events: Sequence[tuple[int, Event]] = ()
    gaps: Sequence[tuple[int, Gap]] = ()
    upto: int = 0
    last: bool = True


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

    def aggregate(
        self, path: str, start: int, end: int, width_ms: int, known_at: int | None = None
    ) -> Aggregate:
        """Buckets of ``width_ms`` from ``start``; the last may be cut short by ``end``.

        Nothing is known after now, so give no ``end`` in the future.
        """

    def trend(
        self, path: str, start: int, end: int, px: int = 2000, known_at: int | None = None
    ) -> Trend:
        """The signal at pixel resolution, from raw rows or a tier; ``known_at`` reads raw."""

    def as_of(self, paths: Sequence[str], at: int, known_at: int | None = None) -> SampleBatch:
        """The last row at or before ``at`` of each path that has one."""

    def texts(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Text]:
        """Strings, newest correction of each (signal, time), oldest first."""

    def waveforms(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Waveform]:
        """Blocks that start in the range, newest correction of each, oldest first."""

    def events(self, start: int, end: int, known_at: int | None = None) -> Sequence[Event]:
        """Events, oldest first."""

    def gaps(self, start: int, end: int, known_at: int | None = None) -> Sequence[Gap]:
        """Gap records that touch the range (or have no known time)."""

    def series(self) -> Sequence[Series]:
        """Every series that has rows of any type, oldest first."""

    def changes(self, after: int, rows: int = 100_000) -> Changes:
        """What it came to know after a ``received_time``: about ``rows`` rows, whole commits."""

    def close(self) -> None:
        """Release files and connections."""


class HistorianWriter(Protocol):
    """Writes; owned by the twin alone. ``retain`` may run in one thread, the rest in another.

    ``signal`` in samples, texts and waveforms is the index into the series given to ``declare``,
    which only ever grows.
    """

    def declare(self, series: Sequence[Series]) -> None:
        """Append to the list that ``signal`` counts in.

        A path whose kind or unit is not what it was starts anew; its former rows stay under
        "path~1" (then "~2", …).
        """

    def write(self, commit: Commit, now: int) -> int:
        """Make it durable; returns the ``received_time`` it was given (> every one before).

        A row that equals the newest of its signal and source time in value and status changes
        nothing. Two different values of one signal and source time get two received times, the
        later in the batch the later one.
        """

    def adopt(self, changes: Changes, mark: Mark | None = None) -> None:
        """Take another historian's rows as they are, with their received times; durable then.

        What is here already (same signal, source time and received time) changes nothing, so a
        page may come again. ``mark`` moves with it. Later writes get later received times.
        """

    def marks(self) -> Mapping[tuple[str, str], int]:
        """(edge, run) -> highest durable offset."""

    def remember(self, name: str, value: str) -> str:
        """The value kept under a name; keeps this one where there is none yet."""

    def retain(self, now: int, force: bool = False) -> None:
        """Seal what is due (``force``: all), drop what is older than its retention.

        Marks that no commit has written for 30 days are forgotten. Tiers are brought up to date.
        """

    def close(self) -> None:
        """Release files and connections."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What ``deploy`` hands to a room's ``run(plant, ports)``: the only way to what lies outside.

    data     the process's own folder
    reader   opens the historian for reading, None where the room has no business there
    writer   opens it for writing; only the twin gets one
    copy     opens the second historian for writing, None where the plant has none
    ready    to be called once, when the room does its work
    options  what the command line adds for this room ("preload": a file of first rows)
    """

    clock: Clock
    data: Path
    reader: Callable[[], HistorianReader] | None = None
    writer: Callable[[], HistorianWriter] | None = None
    copy: Callable[[], HistorianWriter] | None = None
    ready: Callable[[], None] = lambda: None
    options: Mapping[str, object] = field(default_factory=dict)
