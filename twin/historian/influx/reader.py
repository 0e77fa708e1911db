"""The reader, for any process and any thread, while the writer writes."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Aggregate, Changes, Series, Trend
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.flow.status import is_bad
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window, aggregate
from twin.historian.influx import flux
from twin.historian.influx.record import as_event, as_gap, as_text, as_waveform, newest_of
from twin.historian.influx.series import Entry, Registry
from twin.historian.influx.server import Server
from twin.historian.influx.table import FIELDS, Record, records, versions
from twin.historian.segment import newest

if TYPE_CHECKING:
    from twin.historian.influx.config import Influx

_FRESH_S = 5.0
"""So long the list of series counts as current where it has all that are asked for."""
_VALUES = ("f", "i", "b", "n", "q")
_NEAR_MS = 3_600_000
_AHEAD_MS = 600_000
"""Rows are hardly ever known so long before they are true; what is, is looked for by itself."""
_BACK_MS = (3_600_000, 86_400_000, 32 * 86_400_000)


class InfluxReader:
    """``HistorianReader`` over six buckets."""

    def __init__(self, settings: "Influx") -> None:
        self.settings = settings
        self.server = Server(settings)
        self._lock = threading.Lock()
        self._registry = Registry()
        self._read_at = float("-inf")

    # ------------------------------------------------------------------------------ samples

    def read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> SampleBatch:
        """See ``HistorianReader``."""
        registry = self.registry(paths)
        entries = _entries(registry, paths)
        if not entries or start >= end:
            return SampleBatch.empty()
        return _by_path(newest(self.rows(entries, start, end, known_at)), paths, registry)

    def rows(
        self, entries: Sequence[Entry], start: int, end: int, known_at: int | None = None,
        timed: bool = True,
    ) -> SampleBatch:  # fmt: skip
        """Every version in a range, by number; ``timed`` false: when it was known is left out."""
        index = {e.tags: e.number for e in entries}
        series = flux.among(list(index), len(self._registry))
        bucket = self.settings.bucket("raw")
        timed = timed or known_at is not None
        fields = FIELDS if timed else _VALUES
        found = versions(self.server.query(flux.samples(bucket, start, end, series, fields)), index)
        if not timed and found.rev.any():  # which is newest, its received time says
            return self.rows(entries, start, end)
        batch = found.batch()
        return batch if known_at is None else batch.take(batch.received_time <= known_at)

    def as_of(self, paths: Sequence[str], at: int, known_at: int | None = None) -> SampleBatch:
        """See ``HistorianReader``."""
        registry = self.registry(paths)
        entries = _entries(registry, paths)
        if not entries:
            return SampleBatch.empty()
        return _by_path(self.latest(entries, at, known_at), paths, registry)

    def latest(
        self, entries: Sequence[Entry], at: int, known_at: int | None = None, usable: bool = False
    ) -> SampleBatch:
        """The last row of each series at or before ``at``; ``usable``: of those not Bad."""
        index = {e.tags: e.number for e in entries}
        found = self._last(index, at - _NEAR_MS, at)  # most plants say something in an hour
        near = set(found.signal.tolist())
        rest = {tags: n for tags, n in index.items() if n not in near}
        if rest:
            found = SampleBatch.concat([found, self._last(rest, flux.FIRST_MS, at)])
        best = _last_of_each(found)
        good = np.ones(len(best), np.bool_)
        if known_at is not None:
            good &= best.received_time <= known_at
        if usable:
            good &= ~is_bad(best.status)
        best = best.take(good)
        have = set(best.signal.tolist())
        if known_at is None and not usable:
            return best
        seen = set(found.signal.tolist())
        older = [e for e in entries if e.number not in have and e.number in seen]
        return SampleBatch.concat([best, *self._back(older, at, known_at, usable)])

    def _last(self, index: dict[flux.Tags, int], start: int, at: int) -> SampleBatch:
        """Each version's last row; rows that retention took are kept in the mark bucket."""
        series = flux.among(list(index), len(self._registry))
        whole = start == flux.FIRST_MS and self.settings.retention_days is not None
        parts = []
        for which in ("raw", "mark") if whole else ("raw",):
            bucket = self.settings.bucket(which)
            query = flux.samples(bucket, start, at + 1, series, FIELDS, last=True)
            parts.append(versions(self.server.query(query), index).batch())
        return SampleBatch.concat(parts)

    def _back(
        self, entries: Sequence[Entry], at: int, known_at: int | None, usable: bool
    ) -> list[SampleBatch]:
        """The same, from all rows: from ``at`` back in longer and longer steps."""
        found: list[SampleBatch] = []
        end = at + 1
        if entries and known_at is not None and at > known_at + _AHEAD_MS:
            ahead = self._early(entries, known_at + _AHEAD_MS + 1, end, known_at)
            end = known_at + _AHEAD_MS + 1
            entries = _take_last(entries, ahead, usable, found)
        for back in (*_BACK_MS, None):
            if not entries:
                break
            start = flux.FIRST_MS if back is None else end - back
            rows = self.rows(entries, start, end, known_at)
            entries = _take_last(entries, rows, usable, found)
            end = start
        return found

    def _early(self, entries: Sequence[Entry], start: int, end: int, known_at: int) -> SampleBatch:
        """Rows of a range that were known long before they were true."""
        index = {e.tags: e.number for e in entries}
        series = flux.among(list(index), len(self._registry))
        query = flux.samples(
            self.settings.bucket("raw"), start, end, series, ("rt",), upto=known_at
        )
        times = {r.time for r in records(self.server.query(query))}
        parts = [self.rows(entries, t, t + 1, known_at) for t in sorted(times)]
        return SampleBatch.concat(parts)

    def aggregate(
        self, path: str, start: int, end: int, width_ms: int, known_at: int | None = None
    ) -> Aggregate:
        """See ``HistorianReader``."""
        window = Window(start, end, width_ms)
        entry = self.registry([path]).find(path)
        if entry is None:
            return aggregate(SampleBatch.empty(), SampleBatch.empty(), window)
        carried = self.latest([entry], start - 1, known_at)
        if entry.series.kind is SignalKind.COUNTER and is_bad(carried.status).any():
            usable = self.latest([entry], start - 1, known_at, usable=True)
            carried = SampleBatch.concat([usable, carried])
        from twin.historian.influx.sight import total

        return total(self, entry, window, carried, known_at)

    def trend(
        self, path: str, start: int, end: int, px: int = 2000, known_at: int | None = None
    ) -> Trend:
        """See ``HistorianReader``."""
        from twin.historian.influx.sight import trend

        return trend(self, path, (start, end), px, known_at)

    # ------------------------------------------------------------------------------ the rest

    def texts(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Text]:
        """See ``HistorianReader``."""
        found = self._records("text", paths, start, end, known_at)
        texts = [as_text(record, i) for i, record in found]
        return sorted(texts, key=lambda t: (t.time, t.signal))

    def waveforms(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Waveform]:
        """See ``HistorianReader``."""
        found = self._records("waveform", paths, start, end, known_at)
        waves = [as_waveform(record, i) for i, record in found]
        return sorted(waves, key=lambda w: (w.start, w.signal))

    def _records(
        self, measurement: str, paths: Sequence[str], start: int, end: int, known_at: int | None
    ) -> list[tuple[int, Record]]:
        """(place among the paths, newest version) of each point."""
        registry = self.registry(paths)
        entries = _entries(registry, paths)
        if not entries or start >= end:
            return []
        index = registry.index()
        asked = [e.tags for e in entries]
        query = flux.records(
            self.settings.bucket("raw"), start, end, flux.among(asked, len(registry)),
            _measurement=measurement,
        )  # fmt: skip
        found: list[tuple[int, Record]] = []
        for record in newest_of(_known(records(self.server.query(query)), known_at)):
            number = index.get((record.tags.get("machine", ""), record.tags.get("signal", "")))
            if number is not None:
                path = registry[number].series.path
                found += [(i, record) for i, p in enumerate(paths) if p == path]
        return found

    def events(self, start: int, end: int, known_at: int | None = None) -> Sequence[Event]:
        """See ``HistorianReader``."""
        if start >= end:
            return []
        found = self._of_plant("event", start, end)
        return [as_event(r) for r in _known(found, known_at)]

    def gaps(self, start: int, end: int, known_at: int | None = None) -> Sequence[Gap]:
        """See ``HistorianReader``."""
        found = self._of_plant("gap", flux.FIRST_MS, flux.LAST_MS)
        gaps = [as_gap(r) for r in _known(found, known_at)]
        return [g for g in gaps if (g.first < end and g.last >= start) or g.last == 0]

    def _of_plant(self, measurement: str, start: int, end: int) -> list[Record]:
        bucket = self.settings.bucket("event")
        query = flux.records(bucket, start, end, _measurement=measurement)
        found = records(self.server.query(query))
        return sorted(found, key=lambda r: (r.time, r.integer("rt"), int(r.tags.get("rev", 0))))

    def series(self) -> Sequence[Series]:
        """See ``HistorianReader``."""
        return [e.series for e in self.registry(fresh=True)]

    def changes(self, after: int, rows: int = 100_000) -> Changes:
        """See ``HistorianReader``."""
        from twin.historian.influx.change import changes

        return changes(self, after, rows)

    def close(self) -> None:
        """See ``HistorianReader``."""
        self.server.close()

    # ------------------------------------------------------------------------------ inside

    def registry(self, paths: Sequence[str] = (), fresh: bool = False) -> Registry:
        """The list of series, asked for again when it is old or lacks a path."""
        now = time.monotonic()
        with self._lock:
            known = self._registry
            old = fresh or now - self._read_at > _FRESH_S
            if old or any(known.find(p) is None for p in dict.fromkeys(paths)):
                bucket = self.settings.bucket("mark")
                query = flux.records(
                    bucket, flux.FIRST_MS, flux.LAST_MS, last=True, _measurement="series"
                )
                self._registry = known = Registry(
                    Entry.of(r.tags.get("machine", ""), r.tags["signal"], r.fields["record"])
                    for r in records(self.server.query(query))
                )
                self._read_at = now
            return known


def _entries(registry: Registry, paths: Sequence[str]) -> list[Entry]:
    found = [registry.find(path) for path in dict.fromkeys(paths)]
    return [e for e in found if e is not None]


def _by_path(rows: SampleBatch, paths: Sequence[str], registry: Registry) -> SampleBatch:
    """Rows by number, renumbered to the place of the path that was asked for, sorted by it."""
    number = np.array([-1 if (e := registry.find(p)) is None else e.number for p in paths])
    known = np.flatnonzero(number >= 0)
    if len(known) == len(np.unique(number[known])):
        place = np.full(len(registry) + 1, -1, np.int32)
        place[number[known]] = known
        parts = [(place[rows.signal], rows)]
    else:  # a path that was asked for twice gets its rows twice
        parts = []
        for i in known.tolist():
            mine = rows.take(rows.signal == number[i])
            parts.append((np.full(len(mine), i, np.int32), mine))
    batches = [
        SampleBatch(at, r.source_time, r.value, r.status, r.received_time) for at, r in parts
    ]
    return SampleBatch.concat(batches).sorted()


def _last_of_each(rows: SampleBatch) -> SampleBatch:
    """The latest row of each series, the newest where a time was corrected."""
    rows = rows.sorted()
    if len(rows) < 2:
        return rows
    return rows.take(np.append(rows.signal[1:] != rows.signal[:-1], True))


def _take_last(
    entries: Sequence[Entry], rows: SampleBatch, usable: bool, found: list[SampleBatch]
) -> list[Entry]:
    """Put each series' last row into ``found``; the series that have none."""
    rows = newest(rows)
    if usable:
        rows = rows.take(~is_bad(rows.status))
    last = _last_of_each(rows)
    found.append(last)
    have = set(last.signal.tolist())
    return [e for e in entries if e.number not in have]


def _known(found: Sequence[Record], known_at: int | None) -> list[Record]:
    return [r for r in found if known_at is None or r.integer("rt") <= known_at]
