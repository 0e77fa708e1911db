"""The machines of a line (or one that stands alone) fed with samples, in the order of time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import astuple, replace
from math import isfinite
from typing import Any

from plant.flow.live import SignalTable
from plant.flow.status import SEVERITY
from plant.model.mode import Mode
from plant.model.plant import Asset, Line, Plant, StateRule
from plant.model.signal import Signal
from twin.cause import LineCause, Said
from twin.count import Rise
from twin.planned import Planned

Row = tuple[int, float, int]
"""Signal (index into the process's table), value, status."""

Saved = Mapping[str, Any]
"""What a fold has to know to go on: numbers, lists and mappings, ready for JSON."""

HOLD_TIMES = 3
"""A machine that says nothing for so many of its shortest intervals cannot be heard."""

_LONGEST_MS = 2**40

STATE, GOOD, REJECT, PARTS = "state", "good_count", "reject_count", "part_count"


def counters(machine: Asset) -> Sequence[Signal]:
    """The signals that count what leaves a station: all parts, or good and rejected ones."""
    parts = machine.signal(PARTS)
    both = [machine.signal(GOOD), machine.signal(REJECT)]
    return [parts] if parts is not None else [s for s in both if s is not None]


class Selector:
    """What a machine's rules tell: the first one that knows decides, (0, 0) where none does."""

    __slots__ = ("_rules", "_value")

    def __init__(self, rules: Sequence[StateRule], table: SignalTable) -> None:
        self._rules = [(table.add(r.signal), r.map, r.waiting) for r in rules]
        self._value: dict[int, int] = {}

    @property
    def signals(self) -> Iterable[int]:
        """Those it listens to."""
        return [signal for signal, _, _ in self._rules]

    def hear(self, signal: int, value: float, status: int) -> None:
        """Take a sample; only Good whole numbers say anything."""
        if status & SEVERITY == 0 and isfinite(value) and value == int(value):
            self._value[signal] = int(value)
        else:
            self._value.pop(signal, None)

    def told(self) -> tuple[int, int]:
        """State (or mode) and waiting."""
        for signal, states, waiting in self._rules:
            value = self._value.get(signal)
            if value is not None and value in states:
                return states[value], waiting.get(value, 0)
        return 0, 0

    def saved(self, place: Mapping[int, int]) -> list[list[int]]:
        """What was heard, by the signal's place."""
        return [[place[signal], value] for signal, value in self._value.items()]

    def restore(self, saved: Iterable[Sequence[int]], signals: Sequence[int]) -> None:
        """Take over what was saved."""
        self._value = {signals[at]: value for at, value in saved}


class Counter:
    """The parts that left a station, from one counter or several; None until all were Good."""

    __slots__ = ("_rise", "_silent")

    def __init__(self, signals: Sequence[Signal], table: SignalTable) -> None:
        self._rise = {table.add(s.path): Rise(s.modulus) for s in signals}
        self._silent = set(self._rise)

    @property
    def signals(self) -> Iterable[int]:
        """Those it listens to."""
        return list(self._rise)

    def hear(self, signal: int, value: float, status: int) -> None:
        """Take a sample; what is not Good counts nothing."""
        if status == 0 and isfinite(value):
            self._rise[signal].add(value)
            self._silent.discard(signal)

    @property
    def parts(self) -> int | None:
        """How many since they were first heard."""
        if not self._rise or self._silent:
            return None
        return round(sum(rise.total for rise in self._rise.values()))

    def saved(self, place: Mapping[int, int]) -> list[list[Any]]:
        """How far each counter is, by the signal's place."""
        return [
            [place[signal], rise.total, rise.last, signal in self._silent]
            for signal, rise in self._rise.items()
        ]

    def restore(self, saved: Iterable[Sequence[Any]], signals: Sequence[int]) -> None:
        """Take over what was saved."""
        self._silent = {signals[at] for at, _, _, silent in saved if silent}
        for at, total, last, _ in saved:
            self._rise[signals[at]].total, self._rise[signals[at]].last = total, last


class Fold:
    """Samples in, statements out; ``machines`` in flow order, ``Said.station`` counts in them."""

    def __init__(
        self,
        machines: Sequence[Asset],
        line: Line | None,
        table: SignalTable,
        planned: Planned | None = None,
        factor: float = 1.0,
    ) -> None:
        self.machines = list(machines)
        self.time = 0
        self.rules: Sequence[object] = (_rules(machines), line, planned, factor)
        """All that decides what follows from samples."""
        self.by_rows = False
        """Whether a machine whose rows stop is lost; otherwise others say when it is."""
        self._heard = [0] * len(machines)
        self._seen: dict[int, tuple[float, int]] = {}
        self._selectors = [Selector(a.state_rules, table) for a in machines]
        self._counters = [Counter(counters(a) if line else (), table) for a in machines]
        self._cause = None
        if line is not None:
            buffers = [s.buffer for s in line.flow][:-1]
            self._cause = LineCause.of([a.cycle_s for a in machines], buffers, planned, factor)
        self._modes = [Selector(a.mode_rules, table) if a.mode_rules else None for a in machines]
        self._mode = [int(Mode.Unknown if a.mode_rules else Mode.Production) for a in machines]
        self._now = [(-1, -1)] * len(machines)
        self._last = [Said(i, 0, 0, certain=False) for i in range(len(machines))]
        self._lost = [False] * len(machines)
        self._listeners: dict[int, list[tuple[int, Selector | Counter]]] = {}
        listeners = zip(self._selectors, self._counters, self._modes, strict=True)
        for station, several in enumerate(listeners):
            for listener in (one for one in several if one is not None):
                for signal in listener.signals:
                    self._listeners.setdefault(signal, []).append((station, listener))
        interval = {table.add(s.path): s.max_interval for a in machines for s in a.signals}
        self.hold_ms = [_LONGEST_MS] * len(machines)
        """So long (plant time) what a machine's rows say holds without a newer one."""
        for signal, heard in self._listeners.items():
            ms = round(HOLD_TIMES * 1000 * interval.get(signal, 0.0) * max(1.0, factor))
            for station, _ in heard if ms else ():
                self.hold_ms[station] = min(self.hold_ms[station], ms)

    @property
    def signals(self) -> Sequence[int]:
        """Those it follows."""
        return list(self._listeners)

    def hear(self, time: int, rows: Iterable[Row]) -> list[Said]:
        """All samples of one moment (ms UTC), never before an earlier one; what follows."""
        said = self.until(time - 1)
        touched: set[int] = set()
        for signal, value, status in rows:
            if not self.new(signal, value, status):
                station = self._listeners[signal][0][0]
                if time <= self._heard[station]:  # nor newer than what was heard of it
                    continue
                self._heard[station] = time
                if not self._lost[station]:
                    continue
            self._seen[signal] = value, status
            for station, listener in self._listeners.get(signal, ()):
                listener.hear(signal, value, status)
                touched.add(station)
                self._heard[station] = time
                self._lost[station] = False
        return said + self._settle(time, sorted(touched)) if touched else said

    def new(self, signal: int, value: float, status: int) -> bool:
        """Whether a sample says something else than the one before."""
        return self._seen.get(signal) != (value, status)

    def lose(self, time: int, station: int, lost: bool) -> list[Said]:
        """A machine can no longer be heard, or can be again."""
        if self._lost[station] == lost:
            return []
        self._lost[station] = lost
        return self._settle(time, [station])

    def until(self, time: int) -> list[Said]:
        """Let time pass to ``time``: what it alone brings, in the order in which it comes.

        In how many steps it passes makes no difference.
        """
        said: list[Said] = []
        never, cause = time + 1, self._cause
        while True:
            ends, station = min(self._silences(), default=(never, 0))
            due = min(cause.due(), default=never) if cause is not None else never
            if min(ends, due) > time:
                break
            if ends <= due:
                said += self.lose(ends, station, lost=True)
            elif cause is not None:
                said += self._moded(cause.settle(due))
        self.time = max(self.time, time)
        return said

    def _silences(self) -> Iterator[tuple[int, int]]:
        """When which machine will have said nothing for too long."""
        for station, heard in enumerate(self._heard if self.by_rows else ()):
            if heard and not self._lost[station]:
                yield heard + self.hold_ms[station], station

    @property
    def reach_ms(self) -> int:
        """How far back a statement may reach."""
        return self._cause.reach_ms if self._cause is not None else 0

    def station(self, signal: int) -> int:
        """Whose signal it is."""
        return self._listeners[signal][0][0]

    def between(self) -> Iterator[tuple[int, float, bool]]:
        """Station, parts in the buffer behind it, and whether that is certain."""
        cause = self._cause
        for station in range(len(self.machines) - 1) if cause is not None else ():
            if cause is not None and cause.levels[station].difference is not None:
                yield station, *cause.buffer(station)

    def copy(self) -> "Fold":
        """The same, to go on with by another way."""
        shared = (
            self.machines,
            self.rules,
            self._cause.planned if self._cause is not None else None,
        )
        return deepcopy(self, {id(one): one for one in shared})

    def saved(self) -> Saved:
        """All that it has to know to go on; signals by their place in ``signals``."""
        place = {signal: at for at, signal in enumerate(self._listeners)}
        cause = self._cause
        return {
            "time": self.time,
            "heard": list(self._heard),
            "lost": list(self._lost),
            "now": [list(told) for told in self._now],
            "last": [list(astuple(said)) for said in self._last],
            "mode": list(self._mode),
            "seen": [[place[signal], *seen] for signal, seen in self._seen.items()],
            "selectors": [s.saved(place) for s in self._selectors],
            "counters": [c.saved(place) for c in self._counters],
            "modes": [m.saved(place) if m is not None else [] for m in self._modes],
            "cause": cause.saved() if cause is not None else None,
        }

    def restore(self, saved: Saved) -> None:
        """Go on from what was saved of a fold of the same machines."""
        signals = list(self._listeners)
        self.time = saved["time"]
        self._heard, self._lost = list(saved["heard"]), list(saved["lost"])
        self._now = [(state, waiting) for state, waiting in saved["now"]]
        self._last = [Said(*said) for said in saved["last"]]
        self._mode = list(saved["mode"])
        self._seen = {signals[at]: (value, status) for at, value, status in saved["seen"]}
        for name, listeners in (
            ("selectors", self._selectors),
            ("counters", self._counters),
            ("modes", self._modes),
        ):
            for listener, kept in zip(listeners, saved[name], strict=True):
                if listener is not None:
                    listener.restore(kept, signals)
        if self._cause is not None:
            self._cause.restore(saved["cause"])

    def _settle(self, time: int, touched: Sequence[int]) -> list[Said]:
        self.time = max(time, self.time)
        cause = self._cause
        for station in touched:
            parts = self._counters[station].parts
            if cause is not None and parts is not None and cause.places[station].parts != parts:
                cause.counted(time, station, parts)
        said: list[Said] = []
        for station in touched:
            told = (0, 0) if self._lost[station] else self._selectors[station].told()
            if told != self._now[station]:
                self._now[station] = told
                if cause is not None:
                    cause.told(time, station, *told)
                if cause is None or not told[0]:
                    said.append(Said(station, time, *told, certain=bool(told[0])))
        said += cause.settle(time) if cause is not None else []
        return self._moded(said) + [
            replace(self._last[station], since=time, mode=self._mode[station])
            for station in touched
            if self._turned(station)
        ]

    def _turned(self, station: int) -> bool:
        """Whether the machine's mode is another than before."""
        selector = self._modes[station]
        if selector is None:
            return False
        mode = int(Mode.Unknown) if self._lost[station] else selector.told()[0]
        same = mode == self._mode[station]
        self._mode[station] = mode
        return not same

    def _moded(self, said: list[Said]) -> list[Said]:
        """With the modes of the machines; what was said last is kept."""
        found = [replace(s, mode=self._mode[s.station]) for s in said]
        self._last = (
            [
                next((s for s in reversed(found) if s.station == i), last)
                for i, last in enumerate(self._last)
            ]
            if found
            else self._last
        )
        return found


def _rules(machines: Sequence[Asset]) -> Sequence[object]:
    return [
        (
            (a.id, a.edge, a.cycle_s, a.state_rules, a.mode_rules),
            [(s.path, s.modulus) for s in counters(a)],
            [(s.path, s.max_interval) for s in a.signals],
        )
        for a in machines
    ]


def folds(plant: Plant, table: SignalTable, factor: float = 1.0) -> list[tuple[Fold, Line | None]]:
    """One for every line, and one for every machine with a state that stands in none."""
    found: list[tuple[Fold, Line | None]] = []
    placed = set()
    calendar = plant.calendar
    planned = Planned(calendar, plant.timezone) if calendar is not None else None
    for line in plant.lines.values():
        stations = [plant.assets[s.asset] for s in line.flow]
        placed |= {a.id for a in stations}
        found.append((Fold(stations, line, table, planned, factor), line))
    alone = (a for a in plant.assets.values() if a.id not in placed and a.state_rules)
    found += [(Fold([a], None, table), None) for a in alone if a.signal(STATE) is not None]
    return found
