"""The states of a line's machines and of the line: said at once, and made right when all is heard.

Two views of the same machines, two folds of the same kind:

*now*    follows the live table in ticks. What it says goes out at once.
*final*  follows stored rows in the order of their source times, up to the time to which every
         edge of the line is complete. Rows of different devices come out of order by seconds, those
         of an edge that was away by hours; here they are in order (``twin.final``), so what it says
         depends on the rows alone: live, from a backlog, over any restart.

Both write through the same records: where *final* finds that something else holds than was told,
the row is told again with the same source time, and a change that was not told is told late. What
*final* has told is never touched by *now*.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from plant.flow.live import LiveTable
from plant.flow.sample import Int32, Int64, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import Asset, Line
from twin.cause import Said
from twin.final import NEVER, Final, Snapshot
from twin.fold import Fold, Row
from twin.output import UNKNOWN_STATUS, OfLine, OfMachine, Output, View
from twin.resume import fingerprint
from twin.stated import StatedModes
from twin.timeline import Derived, Holds

SLACK_MS = 5_000
"""Rows of one edge come in order but for so much (real ms): one device's after another's."""
WAITING = 100_000
"""So many rows wait for an edge that is away; beyond, the oldest are taken as they are."""
_FEW = 2_000
_AGAIN_S = 0.000_5
"""After late rows the next ones wait for so long (real) for each row that was folded again."""


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
        self._now = View(fold.copy())
        self.final = Final(fold)
        self._parts: dict[str, tuple[float, int, int]] = {}
        self._line = line
        self._published = published
        self._complete: dict[str, int] = {}
        self._moved = False
        self._still_s = self._again_s = 0.0
        self._frontier = 0
        self._unsure = NEVER
        self._linkless = [False] * len(fold.machines)
        self._begin()
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
        self._resumed = True

    # ------------------------------------------------------------------------------------ at once

    def tick(self, now: int, live: LiveTable, lost: frozenset[str], settled: bool) -> list[Derived]:
        """What is to be published; ``lost`` are the edges that cannot be heard.

        Before the process is ``settled`` (it may not have heard everybody yet) nothing is said of
        a machine that is unknown.
        """
        view = self._now
        said = view.hear(self._news(now, live)) + self._linked(now, lost) + view.fold.until(now)
        if settled:
            told = {s.station for s in said}
            silent = [i for i, k in enumerate(view.known) if k.at(now) is None and i not in told]
            said += [Said(i, now, 0, certain=False) for i in silent]
        since = max(view.take(said, now), self._frontier + 1)
        changed, self._resumed = bool(said) or self._resumed, False
        out: list[Derived] = []
        for output in self.outputs:
            if changed:
                moments = [since, *output.moments(view, since, now), now]
                out += output.record.agree(moments, self._holds(output, view, settled), since, now)
            if settled and now - output.record.last >= self._repeat_ms:
                held = self._holds(output, view, settled)(now)
                if held is not None:
                    out.append(output.record.repeat(now, held))
        return out + list(self._buffers(now))

    def _linked(self, now: int, lost: frozenset[str]) -> list[Said]:
        """Machines whose edge cannot be heard, or can be again."""
        said: list[Said] = []
        for station, machine in enumerate(self.machines):
            gone = machine.edge in lost
            if gone or self._linkless[station]:
                said += self._now.fold.lose(now, station, gone)
            self._linkless[station] = gone
        return said

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
        told = output.record.told

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
        marked |= self._held(rows.take(changed), now)
        at = np.where(marked, now, np.minimum(time[changed], now))
        self._value, self._status, self._time = value, status, time
        order = np.argsort(at, kind="stable")
        taken = changed[order]
        columns = (at[order], rows.signal[taken], value[taken], status[taken])
        return [(t, (s, v, c)) for t, s, v, c in zip(*(c.tolist() for c in columns), strict=True)]

    def _held(self, rows: SampleBatch, now: int) -> NDArray[np.bool_]:
        """Values that hold since long and are new to this view: they count from now on.

        What happened meanwhile is for the final pass to say.
        """
        old = rows.source_time <= max(now - 2 * self._slack_ms, self._frontier)
        columns = (rows.signal[old], rows.value[old], rows.status[old])
        new = [self._now.fold.new(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
        held = old.copy()
        held[old] = new
        return held

    @property
    def states(self) -> Mapping[str, int]:
        """Machine -> state as it is said now; without those of whom nothing was said."""
        return self._now.states(2**62)

    # ------------------------------------------------------------------------- when all is heard

    def add(self, samples: SampleBatch) -> None:
        """Stored rows of this group's signals."""
        self.final.add(samples)

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
        frontier = max(frontier, self.final.oldest_of(WAITING))
        since = self._fold_to(frontier, mono_s)
        view = self.final.view
        certain = frontier if still else frontier - view.fold.reach_ms  # later ones reach so far
        if certain <= self._frontier and since > self._frontier:
            return []
        certain = self._frontier = max(certain, self._frontier)
        out: list[Derived] = []
        corrected = sum(o.record.corrected for o in self.outputs)
        for output in self.outputs:
            moments = output.moments(view, since, certain)
            holds = self._holds(output, view)
            out += output.record.agree(moments, holds, since, certain)
            out += output.record.fill(holds, since, certain, self._repeat_ms)
        if sum(o.record.corrected for o in self.outputs) > corrected:
            self._resume()
        return out

    def _fold_to(self, frontier: int, mono_s: float) -> int:
        """Fold rows; since when what was told has to be looked at again."""
        since = min(self._frontier + 1, self._unsure)
        self._unsure = NEVER
        final = self.final
        if final.late and mono_s < self._again_s:  # many may come: they are taken together
            return since
        late, before = final.late, final.folded
        since = final.fold_to(frontier, since)
        if late:
            again = final.rows_between(since, before)
            self._again_s = mono_s + _AGAIN_S * again
        return since

    def _resume(self) -> None:
        """The view of now goes on from what is certain, and what was heard since."""
        waiting = self.final.waiting
        if len(waiting) >= _FEW:
            return
        self._now = view = self.final.view.copy()
        view.fold.by_rows = False
        view.take(view.hear([(row[0], row[1:]) for row in waiting]), 0)
        self._begin()

    @property
    def final_up_to(self) -> int:
        """What holds up to here (source time, ms UTC) was told, and only late rows change it."""
        return self._frontier

    # -------------------------------------------------------------------------------- restarts

    @property
    def name(self) -> str:
        """Of the line, or of the machine that stands alone."""
        return self._line.id if self._line is not None else self.machines[0].id

    @property
    def fingerprint(self) -> str:
        """Of all that decides what these machines' rows say."""
        cause = (self._line, self._slack_ms, self._repeat_ms)
        return fingerprint(self.final.view.fold.rules, cause)

    def begin(self, snapshot: Snapshot | None, time: int) -> Snapshot:
        """Go on from a snapshot, or from one of ``time`` that knows nothing; which one it is."""
        if snapshot is not None:  # whatever was told since then is looked at again
            self._unsure = snapshot.time - self.final.tail_ms
        return self.final.begin(snapshot, time)

    def warm(self, samples: SampleBatch) -> None:
        """Take up the stored rows since ``begin``, silently; called before anything runs."""
        if not len(samples):
            return
        self.add(samples)
        edge = np.array([self.edges.index(e) for e in self._edge_of(samples.signal)])
        for at in np.unique(edge).tolist():
            self.complete(self.edges[at], int(samples.source_time[edge == at].max()))
        frontier = min(self._complete.values()) - self._slack_ms
        if frontier > 0:
            self.final.fold_to(frontier)
            self._frontier = max(frontier - self.final.view.fold.reach_ms, 0)
        self._resume()

    def told(self, output: int, rows: SampleBatch, *, stored: bool = False) -> None:
        """Rows that an earlier process told of one of the outputs, in the order of their telling.

        ``stored``: they are the newest that the historian has, taken up before anything runs.
        """
        record = self.outputs[output].record
        columns = (rows.source_time, rows.value, rows.status)
        for time, value, status in zip(*(c.tolist() for c in columns), strict=True):
            if record.learn(time, (value, status)) and not stored:
                self._unsure = min(self._unsure, time)

    def _edge_of(self, signals: Int32) -> list[str]:
        """The edges that signals come from."""
        fold = self.final.view.fold
        return [self.machines[fold.station(s)].edge or "" for s in signals.tolist()]

    def restate(self, asset: str, start: int, end: int, now: int) -> list[Derived]:
        """A person said something of a machine's mode: what was told since then is made right."""
        out: list[Derived] = []
        end = min(end, now)
        spans = (
            (self.final.view, start, min(end, self._frontier)),
            (self._now, max(start, self._frontier + 1), end),
        )
        for output in self.outputs:
            if output.record.path.partition("/")[0] == asset:
                for view, first, last in spans:
                    moments = [start, end, *output.moments(view, first, last)]
                    holds = self._holds(output, view)
                    out += output.record.agree(moments, holds, first, last)
        return out
