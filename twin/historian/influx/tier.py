"""Down-sampling, in the platform: tiers are made of raw rows hour by hour, and made anew.

A Flux task would have to be told which windows late rows touched; here the dirty marks tell. An
hour of a signal is the unit: its minutes (where it has so many rows that they are worth it), its
hour, and the day they are in. Whatever stops in the middle is made again from the start.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from twin.historian.cell import Cells, Rules, cells_of
from twin.historian.influx import flux
from twin.historian.influx.cell import cells_of_result, tier_lines
from twin.historian.influx.journal import HOUR_MS, fact_line
from twin.historian.influx.line import sample_lines
from twin.historian.influx.quarantine import send
from twin.historian.influx.series import Entry
from twin.historian.influx.table import blocks, numbers, times, versions
from twin.historian.join import coarser
from twin.historian.segment import newest
from twin.historian.tier import SPARSE_ROWS, edges_of

if TYPE_CHECKING:
    from twin.historian.influx.writer import InfluxWriter

LAG_MS = 300_000
"""An hour is made so long after its end, so that few rows come late."""
DENSE = 60 * SPARSE_ROWS
"""Rows an hour from which on minutes are kept."""
_READ_ROWS = 200_000
_DAY_MS = 86_400_000
KEPT = "kept up to"


def retain(writer: "InfluxWriter", now: int, force: bool) -> None:
    """See ``HistorianWriter.retain``; ``force``: also the hour that ended just now."""
    with writer.tiers:
        with writer.lock:
            writer.ask_again()
            journal = writer.journal
            built = journal.built
            if built is None:
                return
            target = max(built, (now - (0 if force else LAG_MS)) // HOUR_MS * HOUR_MS)
            writer.building = target
            upto = writer.received
            dirty = {cell for cell, received in journal.dirty.items() if received <= upto}
        work = _Work(writer, writer.settings.cut(now))
        days = work.rebuild(dirty)
        work.days(days, target)
        while built < target and not writer.closed:
            hour = work.next_hour(built, target)
            if hour < target:
                work.hour(hour, list(writer.registry))
            built = min(hour + HOUR_MS, target)
            if built % _DAY_MS == 0 or built == target:
                work.days({hour // HOUR_MS}, target)
            writer.say_built(built, upto, dirty)
        writer.say_built(target, upto, dirty)
        work.keep_last()


class _Work:
    """One run of ``retain``; reads with the writer's connection."""

    def __init__(self, writer: "InfluxWriter", cut: int | None) -> None:
        self.writer, self.server, self.settings = writer, writer.server, writer.settings
        self.cut = cut

    def rebuild(self, dirty: Iterable[tuple[int, int]]) -> set[int]:
        """Make hours anew that late rows touched; which hours."""
        hours: dict[int, list[int]] = {}
        for number, hour in dirty:
            hours.setdefault(hour, []).append(number)
        for hour, touched in sorted(hours.items()):
            if self.cut is None or hour * HOUR_MS >= self.cut:  # else its raw rows are gone
                self.hour(hour * HOUR_MS, [self.writer.registry[n] for n in touched])
        return set(hours)

    def next_hour(self, built: int, target: int) -> int:
        """The first hour from ``built`` on in which there is a row, ``target`` if there is none."""
        ask = flux.samples(self.settings.bucket("raw"), built, built + HOUR_MS, "", ("q",))
        if self._first(ask + " |> limit(n: 1)") is not None:
            return built
        ask = flux.samples(self.settings.bucket("raw"), built, target, "", ("q",), first=True)
        first = self._first(ask)
        return target if first is None else first // HOUR_MS * HOUR_MS

    def _first(self, query: str) -> int | None:
        found = [times(b.columns["_time"]).min() for b in blocks(self.server.query(query))]
        return int(min(found)) if found else None

    def hour(self, start: int, entries: Sequence[Entry]) -> None:
        """Minutes and hour of some series, from their newest raw rows."""
        counts = self._counts(start, entries)
        entries = [e for e in entries if counts.get(e.number)]
        part: list[Entry] = []
        rows = 0
        for entry in entries:
            part.append(entry)
            rows += counts[entry.number]
            if rows >= _READ_ROWS:
                self._cells(start, part)
                part, rows = [], 0
        if part:
            self._cells(start, part)

    def _counts(self, start: int, entries: Sequence[Entry]) -> dict[int, int]:
        """Rows of an hour, corrections counted too."""
        index = {e.tags: e.number for e in entries}
        series = flux.among(list(index), len(self.writer.registry))
        raw = self.settings.bucket("raw")
        query = flux.samples(raw, start, start + HOUR_MS, series, ("q",), count=True)
        found: dict[int, int] = {}
        for block in blocks(self.server.query(query)):
            many = numbers(block.columns["_value"])
            for i in range(block.rows):
                number = index.get((block.text("machine", i), block.text("signal", i)), -1)
                found[number] = found.get(number, 0) + int(many[i])
        return found

    def _cells(self, start: int, entries: Sequence[Entry]) -> None:
        rows = self._rows(start, entries)
        if not len(rows):
            return
        rules = rules_of(self.writer.registry)
        count = np.bincount(rows.signal, minlength=len(self.writer.registry))
        dense = rows.take(count[rows.signal] >= DENSE)
        sparse = rows.take(count[rows.signal] < DENSE)
        hour = np.array([start, start + HOUR_MS], np.int64)
        minutes = cells_of(dense, edges_of("minute", start, start + HOUR_MS), rules)
        self._send("minute", minutes)
        hours = Cells.concat([coarser(minutes, hour, rules), cells_of(sparse, hour, rules)])
        self._send("hour", hours)

    def _rows(self, start: int, entries: Sequence[Entry]) -> SampleBatch:
        """Newest rows by series and time; received times are only asked for where they matter."""
        index = {e.tags: e.number for e in entries}
        series = flux.among(list(index), len(self.writer.registry))
        raw = self.settings.bucket("raw")
        for fields in (("f", "i", "b", "n", "q"), ("f", "i", "b", "n", "q", "rt")):
            query = flux.samples(raw, start, start + HOUR_MS, series, fields)
            found = versions(self.server.query(query), index)
            if not found.rev.any():
                break
        return newest(found.batch())

    def _send(self, which: str, cells: Cells) -> None:
        if not len(cells):
            return
        registry = self.writer.registry
        wanted = np.unique(cells.signal).tolist()
        heads = {n: registry[n].head_of("tier") for n in wanted}
        counters = frozenset(n for n in wanted if registry[n].series.kind is SignalKind.COUNTER)
        lines = tier_lines(cells, heads, counters)
        for first in range(0, len(lines), 5000):
            send(self.server, which, lines[first : first + 5000])

    def days(self, hours: set[int], target: int) -> None:
        """The days these hours are in, of hours, for all series; of what is made so far."""
        if not hours:
            return
        zone = self.settings.timezone
        done: set[int] = set()
        rules = rules_of(self.writer.registry)
        for hour in sorted(hours):
            edges = edges_of("day", hour * HOUR_MS, hour * HOUR_MS + 1, zone)
            if int(edges[0]) not in done:
                done.add(int(edges[0]))
                cells = self.stored("hour", int(edges[0]), min(int(edges[1]), target))
                self._send("day", coarser(cells, edges, rules))

    def stored(self, which: str, start: int, end: int) -> Cells:
        """Cells of all series."""
        query = flux.cells(self.settings.bucket(which), start, end, "")
        return cells_of_result(self.server.query(query), self.writer.registry.index())

    def keep_last(self) -> None:
        """Each series' last row before the cut, once a day, where no retention takes it."""
        if self.cut is None:
            return
        day = self.cut // _DAY_MS + 1
        facts = self.writer.journal.facts
        if int(facts.get(KEPT, 0)) >= day:
            return
        registry = self.writer.registry
        query = flux.samples(
            self.settings.bucket("raw"), flux.FIRST_MS, day * _DAY_MS, "",
            ("f", "i", "b", "n", "q", "rt"), last=True,
        )  # fmt: skip
        rows = newest(versions(self.server.query(query), registry.index()).batch())
        last = np.append(rows.signal[1:] != rows.signal[:-1], True)[: len(rows)]
        heads = [e.head for e in registry]
        states = np.array([e.series.kind is SignalKind.STATE for e in registry], np.bool_)
        lines: list[str] = []
        for i in np.flatnonzero(last).tolist():
            row = rows.take([i])
            lines += sample_lines(row, heads, states, int(row.received_time[0]), {})
        with self.writer.lock:
            lines.append(fact_line(KEPT, str(day), self.writer.received))
            self.writer.write_marks(lines)
            facts[KEPT] = str(day)


def rules_of(entries: Iterable[Entry]) -> Rules:
    """What cells need of every series, by number."""
    some = [e.series for e in entries]
    return Rules(
        np.array([s.hold_ms for s in some], np.int64),
        np.array([np.nan if s.modulus is None else s.modulus for s in some], np.float64),
        np.array([s.kind is SignalKind.COUNTER for s in some], np.bool_),
    )
