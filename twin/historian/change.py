"""Changes of the embedded historian: whole commits in the order in which they became known.

Segments are sorted by signal and time, so what became known in a span of time lies all over them.
The reader keeps of each segment how many rows became known by when (a few numbers), so that it
reads for a page only files that hold some of it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.port import Changes
from plant.flow.sample import Gap, Int64, SampleBatch
from twin.historian.manifest import Manifest
from twin.historian.record import known_records, last_record, record_weights
from twin.historian.segment import SEGMENT_COLUMNS, Segment, scan
from twin.historian.store import select

_PARTS = 64
_KEEP = 4096
_MUCH = 8
_AHEAD_ROWS = 2_000_000
"""So many rows are read at once, 32 bytes each, where files hold many times a page."""


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Received times of a segment in up to 64 parts of equal size: first, last and rows of each."""

    first: Int64
    last: Int64
    rows: Int64

    @classmethod
    def of(cls, received: Int64) -> "_Course":
        received = np.sort(received)
        edges = np.unique(np.linspace(0, len(received), _PARTS + 1).astype(np.int64))
        return cls(received[edges[:-1]], received[edges[1:] - 1], np.diff(edges))

    def holds(self, after: int, upto: int) -> bool:
        """Whether a row may be in (after, upto]."""
        return bool(((self.first <= upto) & (self.last > after)).any())


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """All samples that became known in (after, upto], in that order."""

    after: int
    upto: int
    rows: SampleBatch

    def end(self, after: int, rows: int) -> int:
        """The received time of the commit that makes it so many rows after a time."""
        received = self.rows.received_time
        at = int(np.searchsorted(received, after, "right")) + max(rows, 1) - 1
        return int(received[at]) if at < len(received) else self.upto

    def rows_of(self, after: int, upto: int) -> SampleBatch:
        """Those in (after, upto]."""
        low, high = np.searchsorted(self.rows.received_time, [after, upto], "right")
        return self.rows.take(np.arange(low, high))


class ChangeLog:
    """``changes`` of one reader."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._courses: OrderedDict[int, _Course] = OrderedDict()
        self._window: _Window | None = None
        self._told: set[str] = set()

    def page(self, after: int, rows: int) -> Changes:
        """See ``HistorianReader.changes``."""
        with self._manifest.transaction() as db:
            query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE last_received > ?"  # noqa: S608
            named = [Segment(*row) for row in select(db, query, (after,))]
            wrong = self._manifest.wrong
            segments = [
                s for s in named if s.file not in wrong or self._manifest.sound([s])
            ]  # a file that cannot be read never holds up what follows it
            hot = self._manifest.hot(db)
            hot = hot.take(hot.received_time > after)
            series = self._manifest.series()
            weights = record_weights(db, after, rows)
            known = max(
                after,
                last_record(db),
                *(s.last_received for s in segments),
                *hot.received_time[-1:].tolist(),
            )
        window = self._window
        if window is None or not window.after <= after < window.upto:
            window = self._look(after, rows, segments, hot, weights)
        records_end = _reached(*_columns(weights), rows)
        upto = min(window.end(after, rows), window.upto if records_end is None else records_end)
        found = window.rows_of(after, upto)
        self._window = window if upto < window.upto else None
        index = {id_: i for i, (id_, _) in enumerate(series)}
        with self._manifest.transaction() as db:  # what comes meanwhile is known later than that
            records = known_records(db, after, upto, index)
        number = np.zeros(max(index, default=-1) + 1, np.int32)
        number[list(index)] = list(index.values())
        samples = SampleBatch(
            number[found.signal],
            found.source_time,
            found.value,
            found.status,
            found.received_time,
        )
        return Changes(
            [s for _, s in series],
            samples,
            records.texts,
            records.waveforms,
            records.events,
            [*records.gaps, *self._left_out(after, upto, named)],
            upto,
            last=upto >= known,
        )

    def _left_out(
        self, after: int, upto: int, segments: Sequence[Segment]
    ) -> Iterator[tuple[int, Gap]]:
        """Once for each file that cannot be read: a gap record of what it held."""
        names = {s.file for s in segments if s.first_received <= upto and s.last_received > after}
        for gap in self._manifest.missing() if self._manifest.wrong else ():
            told = gap.reason
            if told not in self._told and any(name in told for name in names):
                self._told.add(told)
                yield upto, gap

    def _look(
        self,
        after: int,
        rows: int,
        segments: Sequence[Segment],
        hot: SampleBatch,
        weights: Sequence[tuple[int, int]],
    ) -> _Window:
        """Read a page; several at once where a page would read many times its own rows."""
        upto = self._upto(after, rows, segments, hot, weights)
        asked = self._holding(after, upto, segments)
        if sum(s.rows for s in asked) > _MUCH * rows:
            upto = self._upto(after, max(rows, _AHEAD_ROWS), segments, hot, weights)
            asked = self._holding(after, upto, segments)
        where = "received_time > ? AND received_time <= ?"
        found = self._manifest.scan(scan, asked, where, (after, upto))
        found = SampleBatch.concat([found, hot.take(hot.received_time <= upto)])
        order = np.lexsort((found.source_time, found.signal, found.received_time))
        return _Window(after, upto, found.take(order))

    def _holding(self, after: int, upto: int, segments: Sequence[Segment]) -> list[Segment]:
        near = [s for s in segments if s.first_received <= upto]
        return [s for s in near if self._course(s).holds(after, upto)]

    def _upto(
        self,
        after: int,
        rows: int,
        segments: Sequence[Segment],
        hot: SampleBatch,
        weights: Sequence[tuple[int, int]],
    ) -> int:
        """The received time by which about ``rows`` rows became known after ``after``.

        A part of a segment counts when all of it is known by then, so the page is at least a part
        and hardly ever much more than asked for.
        """
        end, weight = _columns(weights)
        ends, many = [hot.received_time, *end], [np.ones(len(hot), np.int64), *weight]
        waiting = sorted(segments, key=lambda s: s.first_received)
        for n, segment in enumerate(waiting):
            course = self._course(segment)
            ahead = course.last > after
            ends.append(course.last[ahead])
            many.append(course.rows[ahead])
            if n + 1 < len(waiting):
                upto = _reached(ends, many, rows)
                if upto is not None and upto < waiting[n + 1].first_received:
                    return upto
        upto = _reached(ends, many, rows)
        return upto if upto is not None else max([after, *(int(e.max()) for e in ends if len(e))])

    def _course(self, segment: Segment) -> _Course:
        course = self._courses.get(segment.id)
        if course is None:
            found = self._manifest.scan(scan, [segment], "true", ())
            course = _Course.of(found.received_time)
            if segment.file not in self._manifest.wrong:
                self._courses[segment.id] = course
                self._courses.move_to_end(segment.id)
            return course
        self._courses.move_to_end(segment.id)
        while len(self._courses) > _KEEP:
            self._courses.popitem(last=False)
        return course


def _columns(weights: Sequence[tuple[int, int]]) -> tuple[list[Int64], list[Int64]]:
    return (
        [np.array([r for r, _ in weights], np.int64)],
        [np.array([n for _, n in weights], np.int64)],
    )


def _reached(ends: Sequence[Int64], many: Sequence[Int64], rows: int) -> int | None:
    """The end by which as many rows are there, None where there are fewer."""
    end, count = np.concatenate(ends), np.concatenate(many)
    order = np.argsort(end, kind="stable")
    total = np.cumsum(count[order])
    if not len(total) or total[-1] < rows:
        return None
    return int(end[order][np.searchsorted(total, rows)])
