"""The reader of the embedded historian, for any process and any thread, while the writer writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plant.flow.port import Aggregate, Changes, Series, Trend
from plant.flow.sample import Event, Gap, Int32, SampleBatch, Text, Waveform
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window
from twin.historian.change import ChangeLog
from twin.historian.manifest import FOREVER, Manifest
from twin.historian.moment import ANY, NOT_BAD, among, last_before
from twin.historian.record import read_events, read_gaps, read_texts, read_waveforms
from twin.historian.seen import draw, sum_up
from twin.historian.segment import newest, scan
from twin.historian.sight import Sight
from twin.historian.tier import HOUR_MS, MINUTE_MS
from twin.historian.trend import Plan

_LONG = 4
"""A range of fewer cells is read raw."""


class EmbeddedReader:
    """``HistorianReader`` over a folder."""

    def __init__(self, folder: Path) -> None:
        self.manifest = Manifest(folder)
        self._changes = ChangeLog(self.manifest)

    # ------------------------------------------------------------------------------ samples

    def read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> SampleBatch:
        """See ``HistorianReader``."""
        return self.manifest.again(lambda: self._read(paths, start, end, known_at))

    def _read(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None
    ) -> SampleBatch:
        known = _known(known_at)
        view = self.manifest.view(paths, start, end - 1, known)
        wanted = np.unique(view.signal[view.signal >= 0])
        if not len(wanted) or start >= end:
            return SampleBatch.empty()
        files = []
        for segment in view.segments:
            spans = self.manifest.spans(segment)
            at = spans.find(wanted)
            inside = (spans.first[at] < end) & (spans.last[at] >= start) & (at >= 0)
            if inside.any():
                files.append(segment)
        condition, parameters = among(wanted)
        sealed = self.manifest.scan(
            scan,
            files,
            f"{condition} AND source_time >= ? AND source_time < ? AND received_time <= ?",
            [*parameters, start, end, known],
        )
        return _by_path(newest(SampleBatch.concat([sealed, view.hot])), view.signal)

    def as_of(self, paths: Sequence[str], at: int, known_at: int | None = None) -> SampleBatch:
        """See ``HistorianReader``."""
        return self.manifest.again(lambda: self._as_of(paths, at, known_at))

    def _as_of(
        self, paths: Sequence[str], at: int, known_at: int | None, below: int = ANY
    ) -> SampleBatch:
        return _by_path(*last_before(self.manifest, paths, at, _known(known_at), below))

    def aggregate(
        self, path: str, start: int, end: int, width_ms: int, known_at: int | None = None
    ) -> Aggregate:
        """See ``HistorianReader``."""
        return self.manifest.again(
            lambda: self._aggregate(path, Window(start, end, width_ms), known_at)
        )

    def _aggregate(self, path: str, window: Window, known_at: int | None) -> Aggregate:
        start, end = window.start, window.end
        tier = _tier_of(window) if known_at is None else None
        kind = self.manifest.find(path)[1].kind
        if kind is SignalKind.STATE:  # cells do not tell durations
            tier = None
        carried = self._as_of([path], start - 1, known_at)
        if kind is SignalKind.COUNTER and len(carried) and carried.status[0] >= NOT_BAD:
            usable = self._as_of([path], start - 1, known_at, NOT_BAD)
            carried = SampleBatch.concat([usable, carried])
        sight = Sight.of(self.manifest, path, (start, end), _known(known_at), tier)
        return sum_up(sight, window, carried)

    def trend(
        self, path: str, start: int, end: int, px: int = 2000, known_at: int | None = None
    ) -> Trend:
        """See ``HistorianReader``."""
        return self.manifest.again(lambda: self._trend(path, start, end, px, known_at))

    def _trend(self, path: str, start: int, end: int, px: int, known_at: int | None) -> Trend:
        plan = Plan.of(start, end, px, raw=known_at is not None)
        held = self._as_of([path], start - 1, known_at)
        tier = (plan.tier, plan.cell_ms) if plan.cell_ms > 1 else None
        sight = Sight.of(self.manifest, path, (start, end), _known(known_at), tier)
        return draw(sight, plan, held)

    # ------------------------------------------------------------------------------ the rest

    def texts(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Text]:
        """See ``HistorianReader``."""
        with self.manifest.transaction() as db:
            return read_texts(db, paths, start, end, _known(known_at))

    def waveforms(
        self, paths: Sequence[str], start: int, end: int, known_at: int | None = None
    ) -> Sequence[Waveform]:
        """See ``HistorianReader``."""
        with self.manifest.transaction() as db:
            return read_waveforms(db, paths, start, end, _known(known_at))

    def events(self, start: int, end: int, known_at: int | None = None) -> Sequence[Event]:
        """See ``HistorianReader``."""
        with self.manifest.transaction() as db:
            return read_events(db, start, end, _known(known_at))

    def gaps(self, start: int, end: int, known_at: int | None = None) -> Sequence[Gap]:
        """See ``HistorianReader``."""
        with self.manifest.transaction() as db:
            found = read_gaps(db, start, end, _known(known_at))
        more = [g for g in self.manifest.missing() if g.first < end and g.last >= start]
        return [*found, *(g for g in more if g not in found)]

    def series(self) -> Sequence[Series]:
        """See ``HistorianReader``."""
        return [series for _, series in self.manifest.series()]

    def changes(self, after: int, rows: int = 100_000) -> Changes:
        """See ``HistorianReader``."""
        return self.manifest.again(lambda: self._changes.page(after, rows))

    def close(self) -> None:
        """See ``HistorianReader``."""
        self.manifest.close()


def _tier_of(window: Window) -> tuple[str, int] | None:
    """The widest cells on whose edges the buckets begin, where the range is long enough."""
    for name, width in (("hour", HOUR_MS), ("minute", MINUTE_MS)):
        fits = window.width_ms % width == 0 and window.start % width == 0
        if fits and window.end - window.start >= _LONG * width:
            return name, width
    return None


def _known(known_at: int | None) -> int:
    return FOREVER if known_at is None else known_at


def _by_path(rows: SampleBatch, ids: Int32) -> SampleBatch:
    """Rows by id, renumbered to the index of the path that was asked for, sorted by it."""
    order = np.argsort(ids, kind="stable")
    low = np.searchsorted(ids[order], rows.signal, "left")
    high = np.searchsorted(ids[order], rows.signal, "right")
    many = high - low
    if not len(rows) or (many == 1).all():
        index, take = order[low], np.arange(len(rows))
    else:  # a path that was asked for twice gets its rows twice
        take = np.repeat(np.arange(len(rows)), many)
        step = np.arange(len(take)) - np.repeat(np.cumsum(many) - many, many)
        index = order[np.repeat(low, many) + step]
    chosen = rows.take(take)
    return SampleBatch(
        index.astype(np.int32),
        chosen.source_time,
        chosen.value,
        chosen.status,
        chosen.received_time,
    ).sorted()
