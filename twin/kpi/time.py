"""Time cut into pieces in which nothing changes, each booked to a time of ISO 22400-2.

Every moment of a range is planned or not (shifts, breaks, stops that people call planned) and is
one of: unknown, producing, set up, delayed, down. A break in which the machine produces all the
same is no downtime. All in numpy columns, whole milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int64, distinct
from plant.model.mode import Mode, Waiting
from plant.model.packml import PackML
from plant.model.reason import ReasonKind, UnitTime
from plant.model.signal import Label
from twin.kpi.log import MINOR_STOP_MS, MachineLog
from twin.kpi.said import MODES, Held


class Booked(IntEnum):
    """What a moment is booked to, were it planned."""

    UNKNOWN = 0
    APT = 1
    ASUT = 2
    ADET = 3
    ADOT = 4
    PDT = 5


@dataclass(frozen=True, slots=True)
class StopKey:
    """What a stop is called: a reason's code, or what the machine itself shows.

    loss  under which it stands in the waterfall
    """

    code: str
    name: Label
    kind: str
    loss: str
    booked: Booked
    unexplained: bool = False


UNKNOWN, PRODUCING, MINOR = 0, 1, 2
_STARVED, _BLOCKED, _SUSPENDED, _HELD, _FAULT, _OFF, _IDLE = range(3, 10)
_SETUP, _MAINTENANCE, _MANUAL = range(10, 13)
_REASONS = 13

_FIXED = (
    StopKey("unknown", Label("未知", "Unknown"), "", "unknown", Booked.UNKNOWN),
    StopKey("", Label("生产", "Producing"), "", "", Booked.APT),
    StopKey("minor", Label("短暂停机", "Minor stop"), "minor", "minor", Booked.ADET),
    StopKey("starved", Label("待料", "Starved"), "", "starved", Booked.ADET),
    StopKey("blocked", Label("堵料", "Blocked"), "", "blocked", Booked.ADET),
    StopKey("suspended", Label("等待", "Waiting"), "", "suspended", Booked.ADET),
    StopKey("held", Label("保持", "Held"), "malfunction", "malfunction", Booked.ADET, True),
    StopKey("fault", Label("故障停机", "Fault"), "malfunction", "malfunction", Booked.ADET, True),
    StopKey("stopped", Label("停机", "Stopped"), "", "unexplained", Booked.ADOT, True),
    StopKey("idle", Label("空闲", "Idle"), "", "unexplained", Booked.ADOT, True),
    StopKey("mode_setup", Label("换型方式", "Set-up mode"), "setup", "setup", Booked.ASUT),
    StopKey(
        "mode_maintenance",
        Label("维护方式", "Maintenance mode"),
        "maintenance",
        "maintenance",
        Booked.ADET,
    ),
    StopKey("mode_manual", Label("手动方式", "Manual mode"), "other", "other", Booked.ADET),
)

_SHOWN = np.full(len(PackML), _IDLE, np.int64)  # Idle, Resetting, Starting, Complete
_SHOWN[[PackML.Execute, PackML.Completing]] = PRODUCING
_SHOWN[[PackML.Suspending, PackML.Suspended, PackML.Unsuspending]] = _SUSPENDED
_SHOWN[[PackML.Holding, PackML.Held, PackML.Unholding]] = _HELD
_SHOWN[[PackML.Aborting, PackML.Aborted, PackML.Clearing]] = _FAULT
_SHOWN[[PackML.Stopping, PackML.Stopped]] = _OFF

_BOOKED = {
    UnitTime.PDT: Booked.PDT,
    UnitTime.ASUT: Booked.ASUT,
    UnitTime.ADET: Booked.ADET,
    UnitTime.ADOT: Booked.ADOT,
}


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Pieces of the range, in order and without a gap; columns of one entry a piece.

    start, end  ms UTC
    key         index into ``keys``
    booked      a ``Booked``
    shift       index into the log's shifts, -1 in none
    potential   whether it lies in a shift that is worked (POT)
    planned     whether it is planned busy time (PBT)
    product     index into ``products``
    inside      whether it lies in the log's range (the rest is there to judge stops by)
    stop        pieces of one stop, side by side and of one key, have one number
    """

    keys: Sequence[StopKey]
    products: Sequence[str]
    start: Int64
    end: Int64
    key: Int64
    booked: Int64
    shift: Int64
    potential: NDArray[np.bool_]
    planned: NDArray[np.bool_]
    product: Int64
    inside: NDArray[np.bool_]
    stop: Int64

    @property
    def ms(self) -> Int64:
        """How long each piece of the range is; 0 outside it."""
        return np.where(self.inside, self.end - self.start, 0)


def book(log: MachineLog) -> Band:
    """Every moment of a log, booked."""
    codes = sorted({h.current.word for h in log.reasons if h.current})
    keys = [*_FIXED, *(_reason_key(log, code) for code in codes)]
    cuts = _cuts(log)
    at = cuts[:-1]
    key = _keys(log, at, {code: _REASONS + n for n, code in enumerate(codes)}, keys)
    length = cuts[1:] - at
    unexplained = np.array([k.unexplained for k in keys])[key]
    group = _number(unexplained.astype(np.int64))
    short = np.bincount(group, length)[group] < MINOR_STOP_MS
    key = np.where(unexplained & short, MINOR, key)
    booked = np.array([k.booked for k in keys], np.int64)[key]
    shift = shift_at(log, at)
    potential = np.array([s.working for s in log.shifts] + [False])[shift]
    breaks = sorted(b for s in log.shifts for b in s.breaks)
    off = _within(at, breaks) | (booked == Booked.PDT)
    planned = potential & (~off | (booked == Booked.APT))
    products = sorted({p for _, p in log.products})
    return Band(
        keys=keys,
        products=products,
        start=at,
        end=cuts[1:],
        key=key,
        booked=booked,
        shift=shift,
        potential=potential,
        planned=planned,
        product=product_at(log, products, at),
        inside=(at >= log.start) & (at < log.end),
        stop=_number(key),
    )


def shift_at(log: MachineLog, time: Int64) -> Int64:
    """Index of the shift at each moment, -1 where there is none."""
    if not log.shifts:
        return np.full(len(time), -1, np.int64)
    starts = np.array([s.start for s in log.shifts], np.int64)
    ends = np.array([s.end for s in log.shifts], np.int64)
    at = np.searchsorted(starts, time, "right") - 1
    inside = (at >= 0) & (time < ends[np.maximum(at, 0)])
    return np.where(inside, at, -1)


def product_at(log: MachineLog, products: Sequence[str], time: Int64) -> Int64:
    """Index of the product at each moment; the first one's before the range."""
    begins = np.array([t for t, _ in log.products], np.int64)
    which = np.array([products.index(p) for _, p in log.products], np.int64)
    return which[np.maximum(np.searchsorted(begins, time, "right") - 1, 0)]


def _reason_key(log: MachineLog, code: str) -> StopKey:
    reason = log.plant.reasons.get(code)
    if reason is None:  # taken out of plant.yaml since
        kind, name = ReasonKind.OTHER, Label(code, code)
    else:
        kind, name = reason.kind, reason.name
    return StopKey(code, name, kind.value, kind.value, _BOOKED[kind.time])


def _cuts(log: MachineLog) -> Int64:
    first, last = log.seen
    edges = [log.start, log.end, first, last]
    edges += [s.start for s in log.states]
    edges += [h.start for h in (*log.reasons, *log.modes)]
    edges += [time for time, _ in log.products]
    for shift in log.shifts:
        edges += (shift.start, shift.end, *(t for pair in shift.breaks for t in pair))
    cuts = distinct(np.array(edges, np.int64))
    return cuts[(cuts >= first) & (cuts <= last)]


def _keys(log: MachineLog, at: Int64, codes: dict[str, int], keys: Sequence[StopKey]) -> Int64:
    begins = np.array([s.start for s in log.states], np.int64)
    run = np.searchsorted(begins, at, "right") - 1
    state = np.array([s.state or -1 for s in log.states], np.int64)[run]
    state = np.where(state < len(PackML), state, -1)
    waiting = np.array([s.waiting for s in log.states], np.int64)[run]
    mode = np.array([s.mode for s in log.states], np.int64)[run]
    stated = _words(log.modes, MODES)[_place(log.modes, at)]
    mode = np.where(stated >= 0, stated, mode)
    reason = _words(log.reasons, codes)[_place(log.reasons, at)]
    shown = _SHOWN[np.maximum(state, 0)]
    shown = np.where((shown == _SUSPENDED) & (waiting == Waiting.Starved), _STARVED, shown)
    shown = np.where((shown == _SUSPENDED) & (waiting == Waiting.Blocked), _BLOCKED, shown)
    key = np.where(mode == Mode.Setup, _SETUP, shown)
    key = np.where(mode == Mode.Maintenance, _MAINTENANCE, key)
    key = np.where(mode == Mode.Manual, _MANUAL, key)
    key = np.where((reason >= 0) & (key != PRODUCING), reason, key)
    off_by_plan = np.array([k.booked == Booked.PDT for k in keys])[np.maximum(reason, 0)]
    unknown = (state < 0) & ~((reason >= 0) & off_by_plan)
    return np.where(unknown, UNKNOWN, key)


def _words(held: Sequence[Held], numbers: dict[str, int]) -> Int64:
    return np.array([numbers.get(h.current.word, -1) if h.current else -1 for h in held], np.int64)


def _place(held: Sequence[Held], at: Int64) -> Int64:
    return np.searchsorted(np.array([h.start for h in held], np.int64), at, "right") - 1


def _within(at: Int64, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    if not spans:
        return np.zeros(len(at), np.bool_)
    begins = np.array([s for s, _ in spans], np.int64)
    ends = np.array([e for _, e in spans], np.int64)
    place = np.searchsorted(begins, at, "right") - 1
    inside: NDArray[np.bool_] = (place >= 0) & (at < ends[np.maximum(place, 0)])
    return inside


def _number(value: Int64) -> Int64:
    """Neighbours of one value have one number."""
    return np.cumsum(np.diff(value, prepend=value[:1]) != 0)
