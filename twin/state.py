"""The states of a line's machines and of the line: said at once, and made right when all is heard.

Two views of the same machines, two folds of the same kind:

*now*    follows the live table in ticks. What it says goes out at once.
*final*  follows stored rows in the order of their source times, up to the time to which every
         edge of the line is complete. Rows of different devices come out of order by seconds, those
         of an edge that was away by hours; here they are in order, so what it says depends on the
         rows alone, live or from a backlog.

Both write through the same records: where *final* finds that something else holds than was told,
the row is told again with the same source time, and a change that was not told is told late.
"""

from bisect import insort
from collections.abc import Iterator, Mapping

import numpy as np

from plant.flow.live import LiveTable
from plant.flow.sample import Int32, Int64, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import Asset, Line
from twin.cause import Said
from twin.fold import Fold, Row
from twin.output import UNKNOWN_STATUS, OfLine, OfMachine, Output, View
from twin.stated import StatedModes
from twin.timeline import Derived, Holds

SLACK_MS = 5_000
"""Rows of one edge come in order but for so much (real ms): one device's after another's."""
WAITING = 100_000
"""So many rows wait for an edge that is away; beyond, the oldest are taken as they are."""
HOLD_TIMES = 3
"""Values count for so many of their longest intervals without a newer row."""
_FEW = 2_000


class Group:
    """The machines of one fold, published."""

    def __init__(
        self,
        fold: Fold,
        line: Line | None,
        published: frozenset[str],
        modes: StatedModes,
        *,
        repeat_ms: int = 60_000,
        slack_ms: int = SLACK_MS,
    ) -> None:
        self.machines: list[Asset] = fold.machines
        self.signals = np.array(fold.signals, np.int32)
        self.edges = sorted({a.edge or "" for a in fold.machines})
        self._repeat_ms = repeat_ms
        self._slack_ms = slack_ms
        self._final, self._now = View(fold), View(fold.copy())
        self._final.fold.hold_ms = HOLD_TIMES * repeat_ms
        self._begin()
        self._rows: list[tuple[int, int, Row]] = []
        self._arrived = 0
        self._parts: dict[str, tuple[float, int, int]] = {}
        self._line = line
        self._published = published
        self._complete: dict[str, int] = {}
        self._moved = False
        self._still_s = 0.0
        self._frontier = 0
        self.outputs = [
            Output(f"{a.id}/{id}", [i], OfMachine(id, i, modes, a.id))
            for i, a in enumerate(fold.machines)
            for id in ("state", "waiting", "mode", "item_state")
            if f"{a.id}/{id}" in published
        ]
        if line is not None and f"{line.id}/state" in published:
            ids = [a.id for a in fold.machines]
            of = OfLine(line, ids)
            self.outputs.append(Output(f"{line.id}/state", range(len(ids)), of))

    def _begin(self) -> None:
        n = len(self.signals)
        self._value = np.full(n, np.nan)
        self._status = np.full(n, StatusCode.BadWaitingForInitialData, np.uint32)
        self._time: Int64 = np.zeros(n, np.int64)

    # ------------------------------------------------------------------------------------ at once

    def tick(self, now: int, live: LiveTable, lost: frozenset[str], settled: bool) -> list[Derived]:
        """What is to be published; ``lost`` are the edges that cannot be heard.

        Before the process is ``settled`` (it may not have heard everybody yet) nothing is said of
        a machine that is unknown.
        """
        view = self._now
        said = view.hear(self._news(now, live))
        for station, machine in enumerate(self.machines):
            said += view.fold.lose(now, station, machine.edge in lost)
        said += view.fold.until(now)
        if settled:
            told = {s.station for s in said}
            silent = [i for i, k in enumerate(view.known) if k.at(now) is None and i not in told]
            said += [Said(i, now, 0, certain=False) for i in silent]
        since = view.take(said, now)
        out: list[Derived] = []
        for output in self.outputs:
            if said:
                moments = output.moments(view, since, now)
                out += output.record.agree(moments, self._holds(output, view, settled), since, now)
            if now - output.record.last >= self._repeat_ms:
                held = self._holds(output, view, settled)(now)
                if held is not None:
                    out.append(output.record.repeat(now, held))
        return out + list(self._buffers(now))

    def _buffers(self, now: int) -> Iterator[Derived]:
        """Parts between two stations; the middle of what is possible where it is not known."""
        line = self._line
        for station, parts, known in self._now.fold.between() if line is not None else ():
            path = f"{line.id}/buffer_{self.machines[station].id}" if line is not None else ""
            status = 0 if known else UNKNOWN_STATUS
            value, code, told = self._parts.get(path, (-1.0, 0, 0))
            same = (value, code) == (parts, status) and now - told < self._repeat_ms
            if path in self._published and not same:
                told = max(now, told + 1)
                self._parts[path] = (parts, status, told)
                yield Derived(path, told, parts, status)

    def _holds(self, output: Output, view: View, settled: bool = True) -> Holds:
        told = output.record.last > 0

        def holds(time: int) -> tuple[float, int] | None:
            held = output.of.at(view, time)
            if held is None or settled or told or held[1] == 0:
                return held
            return None

        return holds

    def _news(self, now: int, live: LiveTable) -> list[tuple[int, Row]]:
        """What changed in the live table since the last tick, in the order of time."""
        rows = live.snapshot(self.signals)
        value, status, time = rows.value, rows.status, rows.source_time
        differs = (value != self._value) & ~(np.isnan(value) & np.isnan(self._value))
        changed = np.flatnonzero(differs | (status != self._status))
        if not len(changed):
            return []
        marked = time[changed] == self._time[changed]  # not by a row: its device is dead, or back
        at = np.where(marked, now, np.minimum(time[changed], now))
        self._value, self._status, self._time = value, status, time
        order = np.argsort(at, kind="stable")
        taken = changed[order]
        columns = (at[order], rows.signal[taken], value[taken], status[taken])
        return [(t, (s, v, c)) for t, s, v, c in zip(*(c.tolist() for c in columns), strict=True)]

    @property
    def states(self) -> Mapping[str, int]:
        """Machine -> state as it is said now; without those of whom nothing was said."""
        return self._now.states(2**62)

    # ------------------------------------------------------------------------- when all is heard

    def add(self, samples: SampleBatch) -> None:
        """Stored rows of this group's signals, in the order in which an edge accepted them."""
        columns = (samples.source_time, samples.signal, samples.value, samples.status)
        for time, signal, value, status in zip(*(c.tolist() for c in columns), strict=True):
            self._arrived += 1
            insort(self._rows, (time, self._arrived, (signal, value, status)))

    def complete(self, edge: str, time: int) -> None:
        """All that an edge accepted up to ``time`` has been heard."""
        if edge in self.edges and time > self._complete.get(edge, 0):
            self._complete[edge] = time
            self._moved = True

    def settle(self, now: int, mono_s: float) -> list[Derived]:
        """What follows for certain, and what was told otherwise: corrections.

        What has lain for the slack, while nothing newer came, is in order too, and is told.
        """
        if self._moved:
            self._moved, self._still_s = False, mono_s
        frontier = min(now, *(self._complete.get(edge, 0) for edge in self.edges))
        still = mono_s - self._still_s > SLACK_MS / 1000.0
        if not still:
            frontier -= self._slack_ms
        if len(self._rows) > WAITING:
            frontier = max(frontier, self._rows[len(self._rows) - WAITING][0])
        view = self._final
        said = view.hear(self._due(frontier)) + view.fold.until(frontier)
        certain = frontier if still else frontier - view.fold.reach_ms  # later ones reach so far
        since = view.take(said, self._frontier + 1)
        if certain <= self._frontier:
            return []
        self._frontier = certain
        out: list[Derived] = []
        corrected = sum(o.record.corrected for o in self.outputs)
        for output in self.outputs:
            moments = output.moments(view, since, certain)
            holds = self._holds(output, view)
            out += output.record.agree(moments, holds, since, certain)
            out += output.record.fill(holds, since, certain, self._repeat_ms)
        if sum(o.record.corrected for o in self.outputs) > corrected and len(self._rows) < _FEW:
            self._resume()
        return out

    def _due(self, frontier: int) -> list[tuple[int, Row]]:
        rows = self._rows
        cut = 0
        while cut < len(rows) and rows[cut][0] <= frontier:
            cut += 1
        due, self._rows = rows[:cut], rows[cut:]
        return [(time, row) for time, _, row in due]

    def _resume(self) -> None:
        """The view of now goes on from what is certain, and what was heard since."""
        self._now = view = self._final.copy()
        view.fold.hold_ms = None
        view.take(view.hear([(time, row) for time, _, row in self._rows]), 0)
        self._begin()

    def warm(self, samples: SampleBatch) -> None:
        """Take up stored rows of the last hours, silently; called before anything runs."""
        if not len(samples):
            return
        self.add(samples)
        edge = np.array([self.edges.index(e) for e in self._edge_of(samples.signal)])
        last = [int(samples.source_time[edge == e].max()) for e in np.unique(edge)]
        self._final.take(self._final.hear(self._due(min(last))), 0)
        self._frontier = min(last)
        self._resume()

    def _edge_of(self, signals: Int32) -> list[str]:
        """The edges that signals come from."""
        fold = self._final.fold
        return [self.machines[fold.station(s)].edge or "" for s in signals.tolist()]

    def restate(self, asset: str, start: int, end: int, now: int) -> list[Derived]:
        """A person said something of a machine's mode: what was told since then is made right."""
        out: list[Derived] = []
        for output in self.outputs:
            if output.record.path.partition("/")[0] == asset:
                end = min(end, now)
                moments = [start, end, *output.moments(self._now, start, end)]
                out += output.record.agree(moments, self._holds(output, self._now), start, end)
        return out
