"""The writer: data first, marks after the data's answer; what fails is asked for again.

``write`` and its siblings are called from one thread, ``retain`` may run in another. A commit is
two requests, three with events: raw rows, events and gap records, then the mark bucket.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plant.errors import Unavailable
from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Int32, SampleBatch
from twin.historian.guard import Guard
from twin.historian.influx import flux
from twin.historian.influx.journal import (
    HOUR_MS,
    LEASE_MAX_MS,
    LEASE_MS,
    Journal,
    dirty_line,
    fact_line,
    granule,
    mark_line,
    quarantine_line,
    spans_of,
)
from twin.historian.influx.late import Late, Round
from twin.historian.influx.line import sample_lines
from twin.historian.influx.loss import refused_records, refused_rows, the_edge, without_old
from twin.historian.influx.quarantine import BODY_LINES, Pipe, Refusal, send
from twin.historian.influx.recent import Recent
from twin.historian.influx.record import (
    Point,
    event_point,
    gap_point,
    new_lines,
    text_point,
    waveform_point,
)
from twin.historian.influx.roster import Roster
from twin.historian.influx.server import Server
from twin.historian.influx.table import versions

if TYPE_CHECKING:
    from twin.historian.influx.config import Influx

log = logging.getLogger("kaikou.historian")

FORGET_MS = 30 * 86_400_000
"""Marks that no commit has written for so long are forgotten."""


class InfluxWriter:
    """``HistorianWriter`` over six buckets."""

    def __init__(self, folder: Path, settings: "Influx") -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.tiers = threading.Lock()
        self._guard = Guard(folder)
        try:
            self.server = Server(settings)
        except BaseException:
            self._guard.close()
            raise
        self.pipe = Pipe(self.server, settings.connections)
        self.roster = Roster()
        self.recent = Recent()
        self.doubtful: list[tuple[int, int]] = []
        self._broken = self.closed = False
        self._tried: tuple[Commit, int] | None = None
        self.building = 0
        try:
            self.server.check()
            self._load()
        except BaseException:
            self.pipe.close()
            self.server.close()
            self._guard.close()
            raise

    # ------------------------------------------------------------------------------ state

    def _load(self) -> None:
        """Take up where the last writer stopped, however it stopped."""
        journal = Journal.load(self.server)
        index = journal.registry.index()
        query = flux.samples(
            self.settings.bucket("raw"), flux.FIRST_MS, flux.LAST_MS, "", ("q",), last=True
        )
        latest = versions(self.server.query(query), index).batch()
        self.journal = journal
        self.registry = journal.registry
        self.received = journal.received
        if not journal.clean:  # somebody stopped in the middle
            self.doubtful = [*self.doubtful[-63:], (journal.received, journal.lease + 1)]
            self.received = journal.lease
        self.lease = journal.lease
        self.recent.begin(len(self.registry), latest)
        self.late = Late(self.server, self.registry, self.recent, self.doubtful)
        self.roster.begin(self.registry)
        self._broken = False

    def ask_again(self) -> None:
        """After a failure nobody knows what is stored: ask, before anything else is written."""
        if self._broken:
            self._load()

    def declare(self, series: Sequence[Series]) -> None:
        """See ``HistorianWriter``."""
        with self.lock:
            self.ask_again()
            self._broken = True
            numbers = self._settle(series)
            self.roster.declare(series, numbers)
            self._broken = False

    def _settle(self, series: Sequence[Series]) -> Int32:
        numbers, changed = self.roster.settle(series)
        if changed:
            at = granule(self.received)
            self.write_marks([e.line(at) for e in changed])
        return numbers

    # ------------------------------------------------------------------------------ write

    def write(self, commit: Commit, now: int) -> int:
        """See ``HistorianWriter``."""
        with self.lock:
            self.ask_again()
            if self._is_stored(commit):  # only the answer was lost
                return self.received
            self._broken = True
            self._tried = commit, 0
            commit = without_old(commit, self.settings.cut(now), self.roster.declared)
            received = self._write(commit, now)
            self._broken, self._tried = False, None
            return received

    def _is_stored(self, commit: Commit) -> bool:
        """Whether this is the commit that failed last, and its marks say that it did not."""
        if self._tried is None:
            return False
        (tried, last), self._tried = self._tried, None
        same = commit is tried or (bool(commit.marks) and list(commit.marks) == list(tried.marks))
        return same and last > 0 and self.journal.received == last

    def _write(self, commit: Commit, now: int) -> int:
        received = max(now, self.received + 1)
        samples = commit.samples
        others = [t.signal for t in commit.texts] + [w.signal for w in commit.waveforms]
        self.roster.know(samples.signal)
        self.roster.know(np.array(others, np.int32))
        self.recent.fit(len(self.registry))
        rows = self.roster.numbered(samples)
        rounds = self.late.rounds(rows)
        last = received + max(len(rounds) - 1, 0)
        self.lend(last)
        refused = self._rows(rounds, received)
        edge = the_edge(commit.marks)
        gaps = list(commit.gaps)
        if refused:
            sent = SampleBatch.concat([part.rows for part in rounds])
            gaps += refused_rows(sent, refused, edge, self.registry)
        refused += self._records(replace(commit, gaps=gaps), last, edge)
        body = [self._commit_line(rows, commit, last)]
        body += [e.line(self.journal.at) for e in self.roster.unsaved.values()]
        body += self._marks(commit.marks, last)
        body += self._first_built(last)
        cells = self._touched(rows)
        body += [dirty_line(cells, last)] if cells else []
        body += [quarantine_line(r.place, r.line, r.reason, last) for r in refused]
        self._tried = (self._tried or (commit, 0))[0], last
        self.write_marks(body)
        self.roster.unsaved = {}
        for k, part in enumerate(rounds):
            self.recent.remember(part.rows.received(received + k))
        self.journal.dirty.update(dict.fromkeys(cells, last))
        self.received = self.journal.received = last
        for r in refused:
            log.error("quarantined at %d: %s: %s", last, r.reason, r.line[:200])
        return last

    def _rows(self, rounds: Sequence[Round], received: int) -> list[Refusal]:
        """Send samples; a body is on its way while the next is made."""
        bodies = (
            sample_lines(rows, self.roster.heads, self.roster.states, received + k, rev)
            for k, part in enumerate(rounds)
            for rows, rev in part.parts(BODY_LINES)
        )
        if sum(len(part.rows) for part in rounds) <= BODY_LINES:
            return send(self.server, "raw", [line for body in bodies for line in body])
        return self.pipe.send("raw", bodies)

    def write_marks(self, lines: Sequence[str]) -> None:
        """Into the mark bucket; nothing there is ever wrong but by another's hand."""
        for refusal in send(self.server, "mark", lines):
            place = self.settings.bucket("mark")
            raise Unavailable(f"{place} does not take {refusal.line[:80]!r}: {refusal.reason}")

    def lend(self, last: int) -> None:
        """Received times are durable as given out before a row carries one."""
        if last > self.lease:
            lease = last + LEASE_MS
            self.write_marks([self.journal.commit_line(self.journal.received, lease, 0, [])])
            self.lease = lease

    def _commit_line(self, rows: SampleBatch, commit: Commit, last: int) -> str:
        step = min(2 * (last - self.received), LEASE_MAX_MS)  # commits may come seldom
        self.lease = max(self.lease, last + max(step, LEASE_MS))
        times = [t.time for t in commit.texts] + [w.start for w in commit.waveforms]
        times += [e.time for e in commit.events] + [g.first for g in commit.gaps]
        spans = spans_of(np.append(rows.source_time, np.array(times, np.int64)))
        return self.journal.commit_line(last, self.lease, len(rows) + len(times), spans)

    def _marks(self, marks: Sequence[Mark], received: int) -> list[str]:
        lines = {}
        for mark in marks:
            key = mark.edge, mark.run
            offset = max(mark.offset, self.journal.marks.get(key, (-1, 0))[0])
            self.journal.marks[key] = offset, received
            lines[key] = mark_line(*key, offset, received)
        return list(lines.values())

    def _first_built(self, received: int) -> list[str]:
        """In a new historian tiers begin with this hour; what is before it is late."""
        if self.journal.built is not None:
            return []
        self.journal.built = received // HOUR_MS * HOUR_MS
        return [self.journal.built_line(self.journal.built, 0, received)]

    def _touched(self, rows: SampleBatch) -> set[tuple[int, int]]:
        """Cells of the tiers in which these rows lie, where the tiers are made already."""
        built = max(self.journal.built or flux.FIRST_MS, self.building)
        if not len(rows) or int(rows.source_time.min()) >= built:
            return set()
        late = rows.take(rows.source_time < built)
        hours = late.source_time // HOUR_MS
        return set(zip(late.signal.tolist(), hours.tolist(), strict=True))

    def _records(self, commit: Commit, received: int, edge: str) -> list[Refusal]:
        """Texts, waveforms, events and gap records; what the server refused of them."""
        points = [text_point(t, self.roster.entry(t.signal), received) for t in commit.texts]
        points += [
            waveform_point(w, self.roster.entry(w.signal), received) for w in commit.waveforms
        ]
        refused, refused_points = self._send("raw", points)
        gaps = [*commit.gaps, *refused_records(refused_points, edge)]
        points = [event_point(e, received) for e in commit.events]
        points += [gap_point(g, received) for g in gaps]
        more, refused_points = self._send("event", points)
        refused += more
        gaps = refused_records([p for p in refused_points if p.measurement == "event"], edge)
        refused += self._send("event", [gap_point(g, received) for g in gaps])[0]
        return refused

    def _send(self, which: str, points: Sequence[Point]) -> tuple[list[Refusal], list[Point]]:
        if not points:
            return [], []
        new = new_lines(self.server, points)
        refused = list(send(self.server, which, [line for _, line in new]))
        return refused, [new[r.place][0] for r in refused]

    # ------------------------------------------------------------------------------ the rest

    def adopt(self, changes: Changes, mark: Mark | None = None) -> None:
        """See ``HistorianWriter``."""
        from twin.historian.influx.adopt import adopt

        with self.lock:
            self.ask_again()
            self._broken = True
            adopt(self, changes, mark)
            self._broken = False

    def take_up(self, changes: Changes) -> Int32:
        """The numbers of another historian's series here; those that are new come to be."""
        numbers = []
        for series in changes.series:
            entry = self.registry.find(series.path)
            if entry is None or (entry.series.kind, entry.series.unit) != (
                series.kind,
                series.unit,
            ):
                self._settle([series])
                entry = self.roster.first_row(series)
            numbers.append(entry.number)
        self.recent.fit(len(self.registry))
        return np.array(numbers, np.int32)

    def adopted(
        self, rows: SampleBatch, granules: Sequence[str], mark: Mark | None, top: int,
        refused: Sequence[Refusal],
    ) -> None:  # fmt: skip
        """Rows of another historian are stored: say so."""
        body = [*granules, self.journal.commit_line(top, max(self.lease, top), 0, [])]
        body += [e.line(self.journal.at) for e in self.roster.unsaved.values()]
        body += self._marks([mark] if mark else [], top)
        body += self._first_built(top)
        cells = self._touched(rows)
        body += [dirty_line(cells, top)] if cells else []
        body += [quarantine_line(r.place, r.line, r.reason, top) for r in refused]
        self.write_marks(body)
        self.roster.unsaved = {}
        self.recent.surpass(rows)
        self.journal.dirty.update(dict.fromkeys(cells, top))
        self.received = self.journal.received = top

    def marks(self) -> Mapping[tuple[str, str], int]:
        """See ``HistorianWriter``."""
        with self.lock:
            self.ask_again()
            return {key: offset for key, (offset, _) in self.journal.marks.items() if offset >= 0}

    def remember(self, name: str, value: str) -> str:
        """See ``HistorianWriter``."""
        with self.lock:
            self.ask_again()
            if name not in self.journal.facts:
                self.write_marks([fact_line(name, value, self.received)])
                self.journal.facts[name] = value
            return self.journal.facts[name]

    def retain(self, now: int, force: bool = False) -> None:
        """See ``HistorianWriter``."""
        from twin.historian.influx.tier import retain

        self._forget(now)
        retain(self, now, force)

    def say_built(self, hour: int, upto: int, done: set[tuple[int, int]]) -> None:
        """Tiers are made of all before ``hour``, and of what was dirty by ``upto``."""
        with self.lock:
            journal = self.journal
            if (journal.built, journal.cleaned) == (hour, upto) or not (
                done or journal.built != hour
            ):
                return
            self.write_marks([journal.built_line(hour, upto, self.received)])
            journal.built, journal.cleaned = hour, upto
            journal.dirty = {
                cell: received
                for cell, received in journal.dirty.items()
                if cell not in done or received > upto
            }

    def _forget(self, now: int) -> None:
        with self.lock:
            self.ask_again()
            old = [
                key
                for key, (offset, written) in self.journal.marks.items()
                if offset >= 0 and written < now - FORGET_MS
            ]
            if old:
                self.write_marks([mark_line(*key, -1, self.received) for key in old])
                for key in old:
                    self.journal.marks[key] = -1, self.received

    def close(self) -> None:
        """Release the connection; says that nothing is under way, where the server hears it."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            try:
                if not self._broken and self.lease > self.received:
                    journal = self.journal
                    self.write_marks(
                        [journal.commit_line(journal.received, journal.received, 0, [])]
                    )
            except Unavailable as error:
                log.warning("closed without saying so: %s", error)
            self.pipe.close()
            self.server.close()
            self._guard.close()
