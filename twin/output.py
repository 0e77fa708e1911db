"""Published signals that follow from what is known of the machines: each says what holds when."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from plant.flow.status import StatusCode
from plant.model.mode import item_state
from plant.model.packml import PackML
from plant.model.plant import Line
from twin.cause import Said
from twin.fold import Fold, Row
from twin.stated import StatedModes
from twin.timeline import Record, Timeline

UNKNOWN_STATUS = int(StatusCode.UncertainSubNormal)
"""Unknown has fewer Good sources than it needs: that is what this code says."""

Known = tuple[int, int, bool, int]
"""State, waiting, whether that is certain, mode."""


class View:
    """A fold and what it said, as steps."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.known: list[Timeline[Known]] = [Timeline() for _ in fold.machines]

    def take(self, said: Iterable[Said], otherwise: int) -> int:
        """Keep what was said; since when something else may hold."""
        since = otherwise
        for s in said:
            self.known[s.station].say(s.since, (s.state, s.waiting, s.certain, s.mode))
            since = min(since, s.since)
        return since

    def hear(self, rows: Sequence[tuple[int, Row]]) -> list[Said]:
        """Samples in the order of time."""
        said: list[Said] = []
        for time, moment in groupby(rows, key=lambda r: r[0]):
            said += self.fold.hear(time, [row for _, row in moment])
        return said

    def copy(self) -> "View":
        """The same, to go on with by another way."""
        other = View(self.fold.copy())
        other.known = [t.copy() for t in self.known]
        return other

    def states(self, time: int) -> dict[str, int]:
        """Machine -> state then; without those of whom nothing was said."""
        found = {}
        for machine, known in zip(self.fold.machines, self.known, strict=True):
            held = known.at(time)
            if held is not None:
                found[machine.id] = held[0]
        return found


class Output:
    """One published signal that follows from a view."""

    def __init__(self, path: str, machines: Sequence[int], holds: "Of") -> None:
        self.record = Record(path)
        self.machines = machines
        self.of = holds

    def moments(self, view: View, start: int, end: int) -> list[int]:
        """When it may change."""
        return [m for i in self.machines for m in view.known[i].moments(start, end)]


class Of:
    """What of a view a signal shows; a class for each kind of signal."""

    def at(self, view: View, time: int) -> tuple[float, int] | None:
        """Value and status then."""
        raise NotImplementedError


class OfMachine(Of):
    """Something of one machine."""

    def __init__(self, id: str, station: int, modes: StatedModes, asset: str) -> None:
        self._id = id
        self._station = station
        self._modes = modes
        self._asset = asset

    def at(self, view: View, time: int) -> tuple[float, int] | None:
        """Value and status then."""
        known = view.known[self._station].at(time)
        if known is None:
            return None
        state, waiting, certain, mode = known
        mode = self._modes.at(self._asset, time, mode)
        status = 0 if state and certain else UNKNOWN_STATUS
        if self._id == "state":
            return float(state), status
        if self._id == "waiting":
            return float(waiting), status
        if self._id == "mode":
            return float(mode), 0 if mode else UNKNOWN_STATUS
        return float(item_state(state, mode)), status


class OfLine(Of):
    """The state of the line."""

    def __init__(self, line: Line, machines: Sequence[str]) -> None:
        self._line = line
        self._machines = machines

    def at(self, view: View, time: int) -> tuple[float, int] | None:
        """Value and status then."""
        states = view.states(time)
        if not states:
            return None
        state = line_state(states, self._line.constraint)
        complete = len(states) == len(self._machines)
        return float(state), 0 if state and complete else UNKNOWN_STATUS


_RUNS = frozenset({PackML.Starting, PackML.Execute, PackML.Completing, PackML.Complete})
_TROUBLE = frozenset({PackML.Aborted, PackML.Aborting, PackML.Held, PackML.Holding})


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
