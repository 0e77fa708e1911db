"""Machine states by PackML from what the machines say, and never more than that.

An asset's rules are asked in order; the first whose signal is Good and whose value it knows
decides. When none does, when the device is dead or the edge is silent, the state is Unknown.
``MachineStates`` follows the live table in ticks; ``PastStates`` does the same over rows that
waited in an outbox, so that a backlog gets its states too, at its own times.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import Int64, SampleBatch
from plant.flow.status import StatusCode, is_good
from plant.model.packml import PackML
from plant.model.plant import Asset

STATE = "state"
UNKNOWN_STATUS = int(StatusCode.UncertainSubNormal)
"""Unknown has fewer Good sources than it needs: that is what this code says."""

_WIDTH = 256
_NONE = 1 << 30
_UNKNOWN_KEPT = 10_000
"""So many moments of not knowing are corrected by a backlog: a week of them."""


@dataclass(frozen=True, slots=True)
class Found:
    """A state to publish: of the ``machine``-th machine, since ``time`` (ms UTC).

    ``again`` corrects what was said of that very moment.
    """

    machine: int
    time: int
    state: int
    again: bool = False

    @property
    def status(self) -> int:
        """Good where the state is known."""
        return 0 if self.state else UNKNOWN_STATUS


class StateRules:
    """The rules of many machines as arrays.

    ``machines`` are the assets that have rules and a state by the twin, in plant order.
    """

    def __init__(self, assets: Sequence[Asset], table: SignalTable) -> None:
        self.machines = [a for a in assets if a.state_rules and a.signal(STATE) is not None]
        rules = [(m, r) for m, a in enumerate(self.machines) for r in a.state_rules]
        self.machine: Int64 = np.array([m for m, _ in rules], np.int64)
        self.signal: Int64 = np.array([table.add(r.signal) for _, r in rules], np.int64)
        self._state = np.full((len(rules), _WIDTH), -1, np.int64)
        for i, (_, rule) in enumerate(rules):
            for value, state in rule.map.items():
                self._state[i, value] = state
        self.starts: Int64 = np.flatnonzero(np.diff(self.machine, prepend=-1))
        self.of_signal: dict[int, list[int]] = {}
        for i, signal in enumerate(self.signal.tolist()):
            self.of_signal.setdefault(signal, []).append(i)

    def told(self, value: NDArray[np.float64], status: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The state that each rule's signal tells, -1 where it tells none."""
        usable = is_good(status) & (value >= 0) & (value < _WIDTH)
        usable &= np.floor(np.where(usable, value, 0.0)) == np.where(usable, value, 0.0)
        number = np.where(usable, value, 0).astype(np.int64)
        return np.where(usable, self._state[np.arange(len(number)), number], -1)

    def decide(self, told: NDArray[np.int64]) -> NDArray[np.int64]:
        """The state of each machine: its first rule that tells one, else Unknown."""
        if not len(told):
            return np.empty(0, np.int64)
        place = np.where(told >= 0, np.arange(len(told)), _NONE)
        first = np.minimum.reduceat(place, self.starts)
        return np.where(first < _NONE, told[np.minimum(first, len(told) - 1)], int(PackML.Unknown))


class MachineStates:
    """States now, from the live table.

    A state is told again when it changed and after ``max_interval`` ms, so that silence is not
    taken for constancy.
    """

    def __init__(self, rules: StateRules, live: LiveTable, repeat_ms: int = 60_000) -> None:
        self.rules = rules
        self.state: NDArray[np.int64] = np.full(len(rules.machines), -1, np.int64)
        self._live = live
        self._repeat_ms = repeat_ms
        self._told_at: Int64 = np.zeros(len(rules.machines), np.int64)

    def tick(
        self, now: int, lost: frozenset[str] = frozenset(), settled: bool = True
    ) -> Sequence[Found]:
        """What is to be published; ``lost`` are the edges that cannot be heard.

        Before the process is ``settled`` (it may not have heard everybody yet) nothing is said of
        a machine that is unknown.
        """
        rules, live = self.rules, self._live
        if not rules.machines:
            return []
        now_live = live.snapshot(rules.signal.astype(np.int32))
        told = rules.told(now_live.value, now_live.status)
        if lost:
            silent = np.array([a.edge in lost for a in rules.machines])
            told = np.where(silent[rules.machine], -1, told)
        state = rules.decide(told)
        changed = state != self.state
        due = changed | (now - self._told_at >= self._repeat_ms)
        if not settled:
            due &= (state > 0) | (self.state >= 0)
        if not due.any():
            return []
        newest = np.maximum.reduceat(now_live.source_time, rules.starts)
        known = changed & (state > 0) & (newest > self._told_at) & (newest <= now)
        time = np.maximum(np.where(known, newest, now), self._told_at + 1)
        self.state = np.where(due, state, self.state)
        self._told_at = np.where(due, time, self._told_at)
        return [Found(m, int(time[m]), int(state[m])) for m in np.flatnonzero(due).tolist()]


class PastStates:
    """States of rows that are history, in the order in which the outbox hands them over.

    It follows the rows of now as well, silently, so that it knows how things stood when the first
    row had to wait. Nothing is said of a machine before every rule in front of the deciding one
    has been heard. Where the twin had said Unknown because it could not hear the edge, and the
    rows from before and after show the state, the same moment is told again: a correction.
    """

    def __init__(self, rules: StateRules) -> None:
        n = len(rules.signal)
        self.rules = rules
        self._value = np.full(n, np.nan)
        self._status = np.full(n, StatusCode.BadWaitingForInitialData, np.uint32)
        self._time: Int64 = np.zeros(n, np.int64)
        self._wanted = np.array(sorted(rules.of_signal), np.int32)
        self._rules_of = [np.flatnonzero(rules.machine == m) for m in range(len(rules.machines))]
        self._decided = [(0, 0)] * len(rules.machines)  # since when, which state; 0: not known
        self._unknown: list[deque[int]] = [deque(maxlen=_UNKNOWN_KEPT) for _ in rules.machines]

    def said_unknown(self, machine: int, time: int) -> None:
        """The twin has just published that a machine's state is unknown."""
        self._unknown[machine].append(time)

    def add(self, samples: SampleBatch, past: bool = True) -> list[Found]:
        """Take samples; the corrections that follow, and of historical ones the states they tell.

        Rows come complete and in order, so what holds before and after a moment held in it.
        """
        rows = samples.take(np.isin(samples.signal, self._wanted))
        rows = rows.take(np.argsort(rows.source_time, kind="stable"))
        found: list[Found] = []
        machines: set[int] = set()
        for i in range(len(rows)):
            time = int(rows.source_time[i])
            for rule in self.rules.of_signal[int(rows.signal[i])]:
                if time >= self._time[rule]:
                    self._value[rule] = rows.value[i]
                    self._status[rule] = rows.status[i]
                    self._time[rule] = time
                    machines.add(int(self.rules.machine[rule]))
            if machines and (i + 1 == len(rows) or int(rows.source_time[i + 1]) != time):
                for machine in sorted(machines):
                    found += self._corrected(machine, time)
                told = self._decide(machines, time)
                found += told if past else []
                machines = set()
        return found

    def _decide(self, machines: set[int], time: int) -> list[Found]:
        found = []
        told = self.rules.told(self._value, self._status)
        state = self.rules.decide(told)
        for machine in sorted(machines):
            of = self._rules_of[machine]
            known = np.flatnonzero(told[of] >= 0)
            heard = self._time[of] > 0
            if heard.all() or (len(known) and heard[: known[0] + 1].all()):
                self._decided[machine] = (time, int(state[machine]))
                found.append(Found(machine, time, int(state[machine])))
        return found

    def _corrected(self, machine: int, before: int) -> Iterator[Found]:
        """What was said to be unknown before a row's time, and was not."""
        since, state = self._decided[machine]
        unknown = self._unknown[machine]
        while unknown and unknown[0] < before:
            time = unknown.popleft()
            if state and since <= time:
                yield Found(machine, time, state, again=True)
