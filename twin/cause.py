"""Why a machine of a line does not work: starved, blocked, or by a cause of its own.

A pure function of what the machines say, by time. A machine that says only that it stands is
*blocked* when the place behind it is full, *starved* when no part is there for it, and *Held* when
it has both part and room and does not begin within its patience. Outside the calendar's shifts it
is Idle: nobody planned that it works. Levels come from the counts
(``twin.level``); where they are not known nothing is guessed: it stays as told, and is Uncertain.

A statement may reach back: a machine told to stand shortly after it counted a part stands since
that count, one told to work shortly after its part arrived (or its room came) works since then. It
never reaches back by more than the machine's patience.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from plant.model.mode import Waiting
from plant.model.packml import PackML
from twin.level import Level
from twin.planned import Planned

CLOSE_MS = 3_000
"""Devices are polled one after the other: what lies no further apart belongs together."""
PATIENCE = 0.2
"""Share of its cycle that a machine may take to begin once it has part and room."""
PATIENCE_MS = 10_000
"""The same where no cycle is known."""

_STANDS = (PackML.Idle, PackML.Suspended)
_FAILED = (PackML.Aborting, PackML.Aborted, PackML.Clearing)


@dataclass(frozen=True, slots=True)
class Said:
    """A machine's state (and mode) from ``since`` on (ms UTC), until more is said of it."""

    station: int
    since: int
    state: int
    waiting: int = 0
    certain: bool = True
    mode: int = 0


@dataclass(slots=True)
class Place:
    """A station: what it says itself, and what follows.

    own, own_waiting  as its rules tell
    stands_from       since when it stands without saying why, 0: it does not
    clear_from        since when it has part and room meanwhile, 0: it has not
    arrived, freed    when a part came, when room came, while it stood; how often
    holds             a finished part that it could not hand on
    begun             an unfinished part in it
    fresh             it has just been told to stand
    """

    patience_ms: int
    now: Said
    own: int = 0
    own_waiting: int = 0
    pulse_at: int = 0
    stands_from: int = 0
    clear_from: int = 0
    arrived: int = 0
    arrivals: int = 0
    freed: int = 0
    frees: int = 0
    holds: bool = False
    begun: bool = False
    fresh: bool = False
    parts: int | None = None

    @property
    def standing(self) -> bool:
        """Whether it says that it stands; it may even say why."""
        return self.own in _STANDS

    @property
    def mute(self) -> bool:
        """Whether it says that it stands and not why."""
        return self.standing and not self.own_waiting


@dataclass(slots=True)
class LineCause:
    """The stations of a line in flow order; material and room at its ends are unlimited.

    Call ``counted`` and ``told`` in the order of time, then ``settle`` once for that time; what
    changed is what they return.
    """

    places: list[Place]
    levels: list[Level]
    planned: Planned | None = None
    close_ms: int = CLOSE_MS
    _settled: int = 0
    _said: list[Said] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        cycles_s: Sequence[float | None],
        buffers: Sequence[int],
        planned: Planned | None = None,
        factor: float = 1.0,
    ) -> "LineCause":
        """``buffers`` stand between neighbours, so there is one less.

        ``factor`` is plant seconds per real one: polls keep their real interval.
        """
        close_ms = round(CLOSE_MS * max(1.0, factor))
        patience = [round(close_ms + PATIENCE * 1000 * c) if c else PATIENCE_MS for c in cycles_s]
        places = [Place(ms, Said(i, 0, 0, certain=False)) for i, ms in enumerate(patience)]
        return cls(places, [Level(b) for b in buffers], planned, close_ms)

    # ------------------------------------------------------------------------------ what is heard

    def counted(self, time: int, station: int, parts: int) -> None:
        """A station has finished so many parts since it was first heard."""
        place = self.places[station]
        rose = place.parts is not None and parts > place.parts
        place.parts = parts
        if rose:
            place.pulse_at = time
        for at, other in ((station - 1, station - 1), (station, station + 1)):
            if not 0 <= at < len(self.levels):
                continue
            first, second = self.places[at].parts, self.places[at + 1].parts
            if first is not None and second is not None:
                self.levels[at].update(first - second)
            if rose:
                self._moved(time, other, arrived=other > station)

    def _moved(self, time: int, station: int, arrived: bool) -> None:
        """A part came to a station, or room."""
        place = self.places[station]
        if arrived:
            place.arrived, place.arrivals = time, place.arrivals + 1
        else:
            place.freed, place.frees = time, place.frees + 1

    def told(self, time: int, station: int, state: int, waiting: int) -> None:
        """What a station's own rules say now."""
        place = self.places[station]
        if (state, waiting) == (place.own, place.own_waiting):
            return
        stood, was, mute = place.standing, place.own, place.mute
        place.own, place.own_waiting = state, waiting
        if state in _FAILED and was not in _FAILED:
            self._fails(time, place)
        elif state not in _FAILED and was in _FAILED:
            place.holds = False
        if place.standing and (not stood or place.mute is not mute):
            close = was == PackML.Execute and time - place.pulse_at <= place.patience_ms
            place.stands_from = place.pulse_at if close else time
            place.arrivals = int(place.arrived > place.stands_from)
            place.frees = int(place.freed > place.stands_from)
            place.clear_from = 0
            place.begun = False
            place.fresh = True
        if state == PackML.Execute:
            self._starts(time, station, mute)
        elif not place.standing:
            if was == PackML.Execute and time - place.pulse_at <= self.close_ms:
                place.begun = False
            place.stands_from = place.clear_from = 0
            self._say(Said(station, time, state, waiting, state != PackML.Unknown))

    def _fails(self, time: int, place: Place) -> None:
        """With a finished part where it had just counted one, else with what it worked on."""
        worked = place.now.state == PackML.Execute
        finished = worked and time - place.pulse_at <= self.close_ms
        place.holds = finished or place.now.waiting == Waiting.Blocked
        place.begun = worked and not finished

    def _starts(self, time: int, station: int, mute: bool) -> None:
        place = self.places[station]
        since = time
        if place.stands_from:
            self._learn(time, station)
            moved = place.clear_from or (
                self._cleared(place) if place.arrivals + place.frees else 0
            )
            if mute and moved and time - moved <= place.patience_ms:
                since = moved
        place.stands_from = place.clear_from = 0
        place.begun = True
        self._say(Said(station, since, PackML.Execute))

    def _learn(self, time: int, station: int) -> None:
        """A station began to work: perhaps at the moment when a part came, or room."""
        place = self.places[station]
        came = place.arrivals == 1 and time - place.arrived <= place.patience_ms
        freed = place.frees == 1 and time - place.freed <= place.patience_ms
        first, last = station == 0, station == len(self.levels)
        if came and not freed and not first and place.now.waiting != Waiting.Blocked:
            self.levels[station - 1].saw(1)
        elif freed and not came and not last and place.now.waiting != Waiting.Starved:
            level = self.levels[station]
            level.saw(level.capacity + 1)

    # ------------------------------------------------------------------------------ what follows

    def settle(self, time: int) -> list[Said]:
        """What follows for those that stand; at ``time`` nothing need have been heard."""
        self._settled = max(time, self._settled)
        idle = self.planned is not None and not self.planned.at(time)
        for station, place in enumerate(self.places):
            if place.mute and idle:
                place.clear_from = 0
                self._say(Said(station, self._from(time, place), PackML.Idle))
            elif place.standing:
                self._stand(time, station, place)
        said, self._said = self._said, []
        return said

    def _stand(self, time: int, station: int, place: Place) -> None:
        fresh, place.fresh = place.fresh, False
        if fresh:
            self._stood(time, station, place)
        part, room = self._part(station), self._room(station)
        self._released(time, place, part, room)
        clear = part is True and room is True
        if not clear:
            place.clear_from = 0
        elif not place.clear_from:
            place.clear_from = self._cleared(place) if fresh else time
        if not place.mute:
            self._say(Said(station, self._from(time, place), place.own, place.own_waiting))
        elif room is False:
            self._waits(time, station, Waiting.Blocked)
        elif part is False:
            self._waits(time, station, Waiting.Starved)
        elif not clear:
            since = self._from(time, place)
            self._say(Said(station, since, place.own, certain=False))
        elif time - place.clear_from >= place.patience_ms or not self._patient(place):
            self._say(Said(station, place.clear_from, PackML.Held))

    def _stood(self, time: int, station: int, place: Place) -> None:
        """It stands since before a part or room came: that was what it waited for."""
        if place.mute and place.stands_from < time:
            if place.frees and self._room(station, place.frees) is False:
                self._waits(time, station, Waiting.Blocked)
            elif place.arrivals and self._part(station, place.arrivals) is False:
                self._waits(time, station, Waiting.Starved)

    def _released(self, time: int, place: Place, part: bool | None, room: bool | None) -> None:
        """What it waited for has come without a count, as when its neighbour was mended."""
        since = place.now.since
        if place.now.waiting == Waiting.Blocked and room is not False and place.freed < since:
            place.freed, place.frees = time, 1
        elif place.now.waiting == Waiting.Starved and part is not False and place.arrived < since:
            place.arrived, place.arrivals = time, 1

    def _patient(self, place: Place) -> bool:
        """Whether what was said of it stands for a moment longer."""
        return place.now.state == PackML.Execute or place.now.waiting != Waiting.Nothing

    def _cleared(self, place: Place) -> int:
        """Since when one that has just been told to stand has part and room."""
        moved = [t for t, n in ((place.arrived, place.arrivals), (place.freed, place.frees)) if n]
        return max(moved, default=place.stands_from)

    def _waits(self, time: int, station: int, waiting: Waiting) -> None:
        place = self.places[station]
        self._say(Said(station, self._from(time, place), PackML.Suspended, waiting))

    def _from(self, time: int, place: Place) -> int:
        """A stand is told from its beginning, where that is not long ago."""
        return place.stands_from if time - place.stands_from <= place.patience_ms else time

    def _part(self, station: int, came: int = 0) -> bool | None:
        """Whether a part is there for a station that stands, or was, before so many ``came``."""
        if station == 0:
            return True
        low, high = self.levels[station - 1].range
        held = self.places[station - 1].holds + came
        return True if low - held >= 1 else False if high - held <= 0 else None

    def _room(self, station: int, freed: int = 0) -> bool | None:
        """Whether a station that stands has room for its part, or had, before it was ``freed``."""
        if station == len(self.places) - 1:
            return True
        level = self.levels[station]
        low, high = level.range
        full = level.capacity + 1 - freed
        begun = self._begun(self.places[station + 1])
        if begun is None:
            return True if high < full else False if low > full else None
        full += begun
        return True if high < full else False if low >= full else None

    def _begun(self, place: Place) -> bool | None:
        """Whether a station has an unfinished part in it."""
        if place.own == PackML.Unknown or place.now.state == PackML.Stopped:
            return None
        return place.begun

    def _say(self, said: Said) -> None:
        place = self.places[said.station]
        now = place.now
        same = (now.state, now.waiting, now.certain) == (said.state, said.waiting, said.certain)
        if not same:
            place.now = said
            self._said.append(said)

    def buffer(self, station: int) -> tuple[float, bool]:
        """Parts in the buffer behind a station, without those in machines; whether that is sure."""
        level, place = self.levels[station], self.places[station]
        low, high = level.range
        held = place.holds or place.now.waiting == Waiting.Blocked
        inside = held + self.places[station + 1].begun
        parts = min(max((low + high) / 2 - inside, 0.0), float(level.capacity))
        return parts, low == high

    def saved(self) -> Mapping[str, Any]:
        """All that it has to know to go on, after ``settle``: numbers, lists and mappings."""
        return {
            "places": [asdict(place) for place in self.places],
            "levels": [asdict(level) for level in self.levels],
            "settled": self._settled,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what was saved of the same stations."""
        self.places = [Place(**{**p, "now": Said(**p["now"])}) for p in saved["places"]]
        self.levels = [Level(**level) for level in saved["levels"]]
        self._settled = saved["settled"]
        self._said = []

    @property
    def reach_ms(self) -> int:
        """How far back a statement may reach."""
        return max((place.patience_ms for place in self.places), default=0)

    def due(self) -> Iterator[int]:
        """When somebody's patience ends, and when work begins or ends."""
        if self.planned is not None and self._settled:
            yield self.planned.changes_after(self._settled)
        for place in self.places:
            if place.mute and place.clear_from and place.now.state != PackML.Held:
                yield place.clear_from + place.patience_ms
