"""How far the estimators have come, what they publish, and how they go back.

They work on a grid of plant time, each time with the rows before it, so what they publish depends
on the stored rows alone: not on when they were read, not on restarts. Marks of the last hours are
kept. A row that comes late, or is corrected, takes everything back to a mark before it; a restart
begins at the oldest mark. What is worked on again is told again only from where it may differ.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.consumption import Consumption, measured
from analytics.estimator import Estimator
from analytics.health import health_of
from analytics.unassigned import unassigned_of
from plant.flow.port import HistorianReader
from plant.flow.sample import Event, Int64, SampleBatch
from plant.flow.supervisor import Backoff, Fault, Unexpected
from plant.model.plant import Plant
from plant.model.signal import Origin

log = logging.getLogger("kaikou.analytics")

GRID_MS = 15_000
"""Estimators are asked at multiples of this (plant time)."""
LONGEST_GRID_MS = 60_000
"""The same where the plant's clock runs fast."""
BLOCK_MS = 600_000
"""Rows of so much time are read at once when there is more."""
MARK_MS = 600_000
"""A mark is set after so much time."""
LATE_MS = 8 * 3_600_000
"""A row may come so late; later it changes no figure."""
WINDOW_MS = 4_200_000
"""The longest window of an estimator (energy per part: an hour) is full after so much time."""
REPEAT_MS = 60_000
"""What has not changed is told again after this."""
WARM_MS = 600_000
"""Rows of so much time before a mark are read again."""
PROGRESS = "progress"

Saved = Mapping[str, Mapping[str, float]]


def estimators_of(plant: Plant) -> list[Estimator]:
    """Every method that finds its inputs in this plant."""
    found: list[Estimator] = []
    for asset in plant.assets.values():
        if measured(asset) and asset.signal("state") and asset.signal("energy_producing_kwh"):
            found.append(Consumption(asset))
        health = health_of(asset)
        if health is not None:
            found.append(health)
    return [*found, *unassigned_of(plant)]


@dataclass(frozen=True, slots=True)
class Mark:
    """What every estimator knew at ``time`` of the rows before, and whether there were any."""

    time: int
    saved: Saved
    begun: bool


@dataclass(slots=True)
class Contained:
    """What went wrong in one method, and how long it rests (monotonic s)."""

    unexpected: Unexpected
    rests_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(5.0, 600.0))


class Course:
    """All estimators of a plant at work on stored rows.

    An estimator may use what one before it found: that does not go through the historian first.
    One that ends in an error nobody expected begins anew after a pause, as it was at the last
    mark; the others go on.

    paths      everything that an estimator asks for
    published  the signals of this process, in the order of its outbox
    until      rows before this (ms UTC) are worked on; 0: none yet
    done       what follows from the rows before this was told
    again      what was told of times up to this is told again, whatever it is
    received   what the historian knew by then was looked at for late rows
    """

    def __init__(self, plant: Plant, saved: Saved, factor: float = 1.0) -> None:
        self._plant = plant
        self.grid_ms = min(round(GRID_MS * max(1.0, factor)), LONGEST_GRID_MS)
        self.estimators = estimators_of(plant)
        self._contained = [Contained(Unexpected(f"method {e.name}")) for e in self.estimators]
        self.paths = list(dict.fromkeys(p for e in self.estimators for p in e.inputs))
        self.published = plant.published(Origin.ANALYTICS)
        progress = saved.get(PROGRESS, {})
        self.until = int(progress.get("until", 0))
        self.done = int(progress.get("done", self.until))
        self.again = int(progress.get("again", 0))
        self.received = int(progress.get("received", 0))
        self.too_late = 0
        self.resumed = self.until > 0
        self._index = {s.path: i for i, s in enumerate(self.published)}
        place = {p: i for i, p in enumerate(self.paths)}
        self._inputs = [np.array([place[p] for p in e.inputs]) for e in self.estimators]
        self._outputs = [
            np.array([self._index.get(p, -1) for p in e.outputs]) for e in self.estimators
        ]
        self._path_of = np.array([place.get(s.path, -1) for s in self.published], np.int32)
        self._ours = np.zeros(len(self.paths), np.bool_)
        self._ours[self._path_of[self._path_of >= 0]] = True
        self._restore(Mark(self.until, saved, bool(progress.get("begun", self.until > 0))))
        self._marks = [self._mark()]

    def _mark(self) -> Mark:
        return Mark(self.until, {e.name: e.saved() for e in self.estimators}, self._begun)

    def _restore(self, mark: Mark) -> None:
        self.estimators = estimators_of(self._plant)
        for estimator in self.estimators:
            estimator.restore(mark.saved.get(estimator.name, {}))
        self.until, self._begun = mark.time, mark.begun
        self._told_value = np.full(len(self.published), np.inf)
        self._told_status = np.zeros(len(self.published), np.uint32)
        self._told_at = np.zeros(len(self.published), np.int64)

    def begin(self, time: int) -> None:
        """Nothing was worked on yet: begin before ``time``, on the grid."""
        self.until = self.done = time // self.grid_ms * self.grid_ms
        self._marks = [self._mark()]

    def warm(self, reader: HistorianReader) -> None:
        """Read again what the estimators need of the rows before ``until``; nothing is told."""
        self.resumed = False
        since = [self.until - WARM_MS, *(e.since for e in self.estimators if e.since)]
        start = max(min(since), self.until - LATE_MS)
        rows = SampleBatch.concat(
            [reader.as_of(self.paths, start), reader.read(self.paths, start + 1, self.until)]
        )
        rows = rows.take(np.argsort(rows.source_time, kind="stable"))
        for estimator, inputs in zip(self.estimators, self._inputs, strict=True):
            estimator.warm(_of(rows, inputs, len(self.paths)), self.until)

    def go_back(self, late: int) -> None:
        """A row of this time (ms UTC) came when what follows from it was told already."""
        marks = [m for m in self._marks if m.time <= late]
        if not marks:
            self.too_late += 1
            return
        full = [m for m in marks if m.time <= late - WINDOW_MS]
        mark = full[-1] if full else marks[0]
        del self._marks[self._marks.index(mark) + 1 :]
        self._restore(mark)
        self.again = max(self.again, self.done)
        self.done = min(self.done, late // self.grid_ms * self.grid_ms)
        self.resumed = True

    def next(self) -> int:
        """The next time on the grid."""
        return (self.until // self.grid_ms + 1) * self.grid_ms

    def advance(self, rows: SampleBatch, now: int) -> tuple[SampleBatch, Sequence[Event]]:
        """Work on the rows before ``now``, in time order; what is worth telling, what happened."""
        found, events = self._work(rows, now)
        self.until = now
        if now - self._marks[-1].time >= MARK_MS:
            self._marks.append(self._mark())
            while len(self._marks) > 1 and self._marks[1].time <= now - LATE_MS:
                del self._marks[0]
        if now <= self.done:
            return found.take(np.arange(0)), ()
        self.done = now
        return found, events

    def _work(self, rows: SampleBatch, now: int) -> tuple[SampleBatch, Sequence[Event]]:
        self._begun |= len(rows) > 0
        if not self._begun:  # nothing was measured yet: there is nothing to say either
            return rows, ()
        found: list[SampleBatch] = []
        events: list[Event] = []
        rows = rows.take(~self._ours[rows.signal])
        for number, (inputs, outputs) in enumerate(zip(self._inputs, self._outputs, strict=True)):
            out = self._update(number, _of(rows, inputs, len(self.paths)), now)
            signal = outputs[out.signal]
            known = signal >= 0
            out = SampleBatch.of(signal, out.source_time, out.value, out.status)
            found.append(out.take(known))
            at = self._path_of[found[-1].signal]
            asked = SampleBatch.of(at, found[-1].source_time, found[-1].value, found[-1].status)
            rows = SampleBatch.concat([rows, asked.take(at >= 0)])
            events += self.estimators[number].events()
        return self._worth(SampleBatch.concat(found)), events

    def _update(self, number: int, rows: SampleBatch, now: int) -> SampleBatch:
        """What an estimator finds in rows; nothing while it rests after an error of its own."""
        contained = self._contained[number]
        if time.monotonic() < contained.rests_until:
            return SampleBatch.empty()
        try:
            with contained.unexpected.caught():
                return self.estimators[number].update(rows, now)
        except Fault as error:
            contained.rests_until = time.monotonic() + contained.backoff.next()
            fresh = estimators_of(self._plant)[number]
            fresh.restore(self._marks[-1].saved.get(fresh.name, {}))
            self.estimators[number] = fresh
            log.warning("method %s begins anew: %s", fresh.name, error)
            return SampleBatch.empty()

    def saved(self) -> dict[str, Mapping[str, float]]:
        """What the next process must know."""
        mark = self._marks[0]
        progress = {
            "until": mark.time,
            "begun": mark.begun,
            "done": self.done,
            "again": self.again,
            "received": self.received,
        }
        return {**mark.saved, PROGRESS: {name: float(time) for name, time in progress.items()}}

    def _worth(self, batch: SampleBatch) -> SampleBatch:
        at = batch.signal
        same = (batch.value == self._told_value[at]) | (
            np.isnan(batch.value) & np.isnan(self._told_value[at])
        )
        same &= batch.status == self._told_status[at]
        worth = ~same | (batch.source_time - self._told_at[at] >= REPEAT_MS)
        kept = batch.take(worth | (batch.source_time <= self.again))
        self._told_value[kept.signal] = kept.value
        self._told_status[kept.signal] = kept.status
        self._told_at[kept.signal] = kept.source_time
        return kept

    # ------------------------------------------------------------------------- from the historian

    def catch_up(
        self, reader: HistorianReader, bound: int, enough: int
    ) -> tuple[SampleBatch, Sequence[Event]]:
        """Work towards ``bound`` until so many samples are worth telling."""
        found: list[SampleBatch] = []
        events: list[Event] = []
        while self.next() <= bound and sum(map(len, found)) < enough:
            start = self.until
            stop = max(min(bound, start + BLOCK_MS) // self.grid_ms * self.grid_ms, self.next())
            rows = reader.read(self.paths, start, stop)
            rows = rows.take(np.argsort(rows.source_time, kind="stable"))
            ends = [self.next()]
            ends += range(ends[0] + self.grid_ms, stop + 1, self.grid_ms)
            cuts = np.searchsorted(rows.source_time, ends, "left").tolist()
            for end, low, high in zip(ends, [0, *cuts], cuts, strict=False):
                out, happened = self.advance(rows.take(np.arange(low, high)), end)
                found.append(out)
                events += happened
        return SampleBatch.concat(found), events

    def look_for_late(self, reader: HistorianReader) -> None:
        """Go back where the historian came to know of rows that are behind what was told."""
        first = reached = max(self.until, self.done)
        while True:
            page = reader.changes(self.received)
            asked = set(self.paths) - {s.path for s in self.published}
            mine = np.array([s.path in asked for s in page.series], np.bool_)
            rows = page.samples
            times = rows.source_time[mine[rows.signal]] if len(rows) else rows.source_time
            first = min(first, int(times.min())) if len(times) else first
            self.received = page.upto
            if page.last:
                break
        if first < reached:
            self.go_back(first)


def _of(rows: SampleBatch, inputs: Int64, paths: int) -> SampleBatch:
    """The rows of some of the paths; ``signal`` counts in ``inputs`` then."""
    here = np.full(paths, -1, np.int32)
    here[inputs] = np.arange(len(inputs), dtype=np.int32)
    at = here[rows.signal]
    mine = rows.take(at >= 0)
    return SampleBatch.of(at[at >= 0], mine.source_time, mine.value, mine.status)
