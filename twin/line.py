"""A production line: its state, its counts and what waits in its buffers.

Starved and blocked are not told apart here: that needs reasons, not only states.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.packml import PackML
from plant.model.plant import Line, Plant
from plant.model.signal import Signal
from twin.count import BufferEstimate, Rise

_RUNS = frozenset({PackML.Starting, PackML.Execute, PackML.Completing, PackML.Complete})
_TROUBLE = frozenset({PackML.Aborted, PackML.Aborting, PackML.Held, PackML.Holding})
_PAST_WAITING = 5_000
GOOD, REJECT, PARTS = "good_count", "reject_count", "part_count"


def line_state(states: Mapping[str, int], constraint: str | None) -> int:
    """PackML state of a line from those of its machines; the constraint decides.

    A constraint that only waits (Idle, Suspended) while another machine of the line has trouble
    makes the line Held: the cause is inside the line.

    >>> machines = {"saw": PackML.Aborted, "lathe": PackML.Suspended, "gauge": PackML.Execute}
    >>> PackML(line_state(machines, "lathe")).name
    'Held'
    >>> PackML(line_state({**machines, "lathe": PackML.Execute}, "lathe")).name
    'Execute'
    """
    if constraint is not None:
        state = states.get(constraint, PackML.Unknown)
        waits = state in (PackML.Idle, PackML.Suspended)
        if waits and any(s in _TROUBLE for s in states.values()):
            return PackML.Held
        return state
    present = set(states.values())
    if present & _RUNS:
        return PackML.Execute
    if present & _TROUBLE:
        return PackML.Held
    for state in (PackML.Suspended, PackML.Idle, PackML.Stopped):
        if state in present:
            return state
    return PackML.Unknown


@dataclass(slots=True)
class _Told:
    """What was last published of one signal, so that only news and repetitions are."""

    value: float = float("nan")
    status: int = -1
    time: int = 0

    def due(self, value: float, status: int, now: int, repeat_ms: int) -> bool:
        same = self.value == value and self.status == status
        return not same or now - self.time >= repeat_ms


@dataclass(frozen=True, slots=True)
class Derived:
    """A value to publish."""

    path: str
    time: int
    value: float
    status: int = 0


class LineTwin:
    """State and buffers of one line, in ticks."""

    def __init__(self, plant: Plant, line: Line, live: LiveTable, repeat_ms: int = 60_000) -> None:
        self.line = line
        self._live = live
        self._repeat_ms = repeat_ms
        self._told: dict[str, _Told] = {}
        asset = plant.assets.get(line.id)
        self._published = {s.id for s in asset.signals} if asset else set()
        self._counters: dict[str, list[tuple[int, Rise]]] = {}
        for station in line.flow:
            signals = _counters(plant, station.asset)
            self._counters[station.asset] = [
                (live.table.add(s.path), Rise(s.modulus)) for s in signals
            ]
        pairs = zip(line.flow, line.flow[1:], strict=False)
        self._buffers = [
            (f"buffer_{a.asset}", a.asset, b.asset, BufferEstimate(a.buffer)) for a, b in pairs
        ]

    @property
    def counters(self) -> Sequence[str]:
        """Paths of the counters that the buffers follow from."""
        table = self._live.table
        return [table.path(index) for pairs in self._counters.values() for index, _ in pairs]

    def replay(self, rows: SampleBatch) -> None:
        """Take what the counters said before this process, so that the buffers are known at once.

        ``signal`` counts in ``counters``.
        """
        rises = [rise for pairs in self._counters.values() for _, rise in pairs]
        seen = [False] * len(rises)
        good = rows.take(rows.status == 0)
        for i in good.source_time.argsort(kind="stable").tolist():
            at = int(good.signal[i])
            rises[at].add(float(good.value[i]))
            seen[at] = True
            if all(seen):
                for _, before, after, estimate in self._buffers:
                    estimate.update(self._sum(before) - self._sum(after))

    def _sum(self, asset: str) -> float:
        return sum(rise.total for _, rise in self._counters[asset])

    def tick(self, now: int, states: Mapping[str, int], settled: bool = True) -> Iterator[Derived]:
        """What is to be published; ``states`` are those of all machines, -1 where not told yet."""
        mine = {s.asset: states.get(s.asset, -1) for s in self.line.flow}
        if settled or all(state > 0 for state in mine.values()):
            state = line_state({a: max(s, 0) for a, s in mine.items()}, self.line.constraint)
            status = 0 if state else int(StatusCode.UncertainSubNormal)
            yield from self._tell("state", now, float(state), status)
        totals = {asset: self._total(asset) for asset in self._counters}
        for id, before, after, estimate in self._buffers:
            into, out = totals[before], totals[after]
            if into is None or out is None:
                continue
            parts = estimate.update(into - out)
            known = estimate.spread < 1
            yield from self._tell(
                id, now, parts, 0 if known else int(StatusCode.UncertainSubNormal)
            )

    def _total(self, asset: str) -> float | None:
        """Parts that left a station since the start; None before all of its counters are Good."""
        counters = self._counters[asset]
        good = all(self._live.status[i] == 0 for i, _ in counters)
        if good:
            for index, rise in counters:
                rise.add(float(self._live.value[index]))
        return self._sum(asset) if counters and good else None

    def _tell(self, id: str, now: int, value: float, status: int) -> Iterator[Derived]:
        told = self._told.setdefault(id, _Told())
        if id in self._published and told.due(value, status, now, self._repeat_ms):
            told.value, told.status, told.time = value, status, max(now, told.time + 1)
            yield Derived(f"{self.line.id}/{id}", told.time, value, status)


class PastLine:
    """A line's state over rows that are history.

    Rows of different machines do not come in one order, so states wait until every machine of
    the line has spoken of a later moment; a machine that stays silent is waited for only so long.
    """

    def __init__(self, line: Line, machines: Sequence[str], repeat_ms: int = 60_000) -> None:
        self.line = line
        self._repeat_ms = repeat_ms
        self._states: dict[str, int] = dict.fromkeys(machines, int(PackML.Unknown))
        self._seen: dict[str, int] = {}
        self._waiting: list[tuple[int, str, int, bool]] = []
        self._told = _Told()

    def add(self, asset: str, time: int, state: int, again: bool) -> None:
        """A machine's state since a time; ``again`` corrects what was said of that moment."""
        if asset in self._states:
            self._waiting.append((time, asset, state, again))
            self._seen[asset] = max(time, self._seen.get(asset, 0))

    def tell(self) -> Iterator[Derived]:
        """What follows for the line, as far as all machines are known."""
        if len(self._seen) == len(self._states) and self._waiting:
            until = min(self._seen.values())
        elif len(self._waiting) >= _PAST_WAITING:
            until = max(self._seen.values())
        else:
            return
        self._waiting.sort()
        cut = bisect_right(self._waiting, until, key=lambda w: w[0])
        due, self._waiting = self._waiting[:cut], self._waiting[cut:]
        for time, group in groupby(due, key=lambda w: w[0]):
            again = False
            for _, asset, machine_state, corrects in group:
                self._states[asset] = machine_state
                again |= corrects
            value = float(line_state(self._states, self.line.constraint))
            status = 0 if value else int(StatusCode.UncertainSubNormal)
            if again or self._told.due(value, status, time, self._repeat_ms):
                self._told = _Told(value, status, time)
                yield Derived(f"{self.line.id}/state", time, value, status)


def _counters(plant: Plant, asset: str) -> Sequence[Signal]:
    """The signals that count what leaves a station: all parts, or good and rejected ones."""
    machine = plant.assets[asset]
    parts = machine.signal(PARTS)
    if parts is not None:
        return [parts]
    both = [machine.signal(GOOD), machine.signal(REJECT)]
    return [s for s in both if s is not None]


def mirrored(plant: Plant) -> Mapping[str, str]:
    """Signals that a line takes over unchanged: path of its last gauge -> path of the line."""
    found = {}
    for line in plant.lines.values():
        own = plant.assets.get(line.id)
        for id in (GOOD, REJECT):
            stations = [s.asset for s in line.flow if plant.assets[s.asset].signal(id) is not None]
            if own is not None and own.signal(id) is not None and stations:
                found[f"{stations[-1]}/{id}"] = f"{line.id}/{id}"
    return found


class Mirror:
    """Takes over counters row by row, at their own times, historical ones too."""

    def __init__(self, plant: Plant, table: SignalTable) -> None:
        self._to = {table.add(source): target for source, target in mirrored(plant).items()}
        self._untold = dict(self._to)

    def add(self, samples: SampleBatch, historical: bool = False) -> Iterator[Derived]:
        """The line's samples that follow from these."""
        for index, path in self._to.items():
            for i in (samples.signal == index).nonzero()[0].tolist():
                value, status = float(samples.value[i]), int(samples.status[i])
                yield Derived(path, int(samples.source_time[i]), value, status)
                if not historical:
                    self._untold.pop(index, None)

    def held(self, live: LiveTable, since: int) -> Iterator[Derived]:
        """What stood before this process began, at ``since``, and comes in no row soon."""
        for index, path in list(self._untold.items()):
            if live.status[index] == 0:
                del self._untold[index]
                if live.source_time[index] < since:
                    yield Derived(path, since, float(live.value[index]))
