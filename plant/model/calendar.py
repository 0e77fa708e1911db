"""When a plant works: shifts by the clock on the wall, days, crews, holidays. Data only.

Which shifts there are between two moments is computed by ``twin.calendar``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from plant.model.signal import Label

DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class ShiftTime:
    """A shift as it comes again every day.

    Minutes on the wall clock after the midnight that begins its date; past 1440 they fall on the
    next day, so a night shift belongs to the date on which it starts.
    """

    id: str
    name: Label
    start: int
    end: int
    breaks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works together; ``cycle`` is a shift id, or None for a day off, for each day of it."""

    id: str
    name: Label
    cycle: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Rotation:
    """Crews that take turns: day 0 of every cycle is ``since``, and runs both ways from there."""

    since: date
    crews: tuple[Crew, ...]

    def crew(self, shift: str, day: date) -> Crew | None:
        """Who works a shift that starts on a day; None where nobody does.

        >>> a = Crew("a", Label("甲", "A"), ("day", None))
        >>> r = Rotation(date(2026, 1, 5), (a,))
        >>> r.crew("day", date(2026, 1, 7)) is a, r.crew("day", date(2026, 1, 8))
        (True, None)
        """
        n = (day - self.since).days
        return next((c for c in self.crews if c.cycle[n % len(c.cycle)] == shift), None)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days off by law, and weekend days made workdays for them (调休).

    years   of which the law's days are known; None: the plant lists its own, all that there are
    source  who says so
    """

    off: Mapping[date, Label] = field(default_factory=dict)
    work: Mapping[date, Label] = field(default_factory=dict)
    years: frozenset[int] | None = None
    source: str = ""

    def known(self, day: date) -> bool:
        """Whether anything can be said of the day's year."""
        return self.years is None or day.year in self.years


@dataclass(frozen=True, slots=True)
class Calendar:
    """A plant's calendar. A shift of a day is worked when the day is, and (with a rotation) a crew.

    weekdays  0 Monday to 6 Sunday
    closed    further days without work; beats everything
    open      further days with work; beats holidays and weekends
    """

    shifts: tuple[ShiftTime, ...]
    weekdays: frozenset[int] = frozenset(range(7))
    holidays: Holidays | None = None
    closed: frozenset[date] = frozenset()
    open: frozenset[date] = frozenset()
    rotation: Rotation | None = None

    def worked(self, day: date) -> bool:
        """Whether a day is one of work.

        >>> def week(**more):
        ...     c = Calendar((), weekdays=frozenset(range(5)), **more)
        ...     monday = date(2026, 10, 5)
        ...     return "".join("x" if c.worked(monday + timedelta(d)) else "." for d in range(7))
        >>> week()
        'xxxxx..'
        >>> week(closed=frozenset({date(2026, 10, 5)}), open=frozenset({date(2026, 10, 10)}))
        '.xxxxx.'
        """
        if day in self.closed:
            return False
        if day in self.open:
            return True
        if self.holidays is not None:
            if day in self.holidays.off:
                return False
            if day in self.holidays.work:
                return True
        return day.weekday() in self.weekdays

    def at(self, wall: datetime) -> tuple[ShiftTime, date] | None:
        """The shift of a moment on the wall clock and its date, worked or not; None between two."""
        minute = wall.hour * 60 + wall.minute
        for back in (0, 1):
            for shift in self.shifts:
                if shift.start <= minute + back * DAY_MINUTES < shift.end:
                    return shift, wall.date() - timedelta(back)
        return None

    def manned(self, wall: datetime) -> bool:
        """Whether a worked shift is on at a moment on the wall clock, and no break.

        >>> night = ShiftTime("night", Label("夜班", "Night"), 1320, 1800, ((1560, 1580),))
        >>> c = Calendar((night,), weekdays=frozenset({4}))
        >>> [c.manned(datetime(2026, 1, 3, 2, minute)) for minute in (0, 20)]  # a Saturday
        [False, True]
        >>> c.manned(datetime(2026, 1, 3, 22))
        False
        """
        found = self.at(wall)
        if found is None:
            return False
        shift, day = found
        minute = (wall.date() - day).days * DAY_MINUTES + wall.hour * 60 + wall.minute
        if any(start <= minute < end for start, end in shift.breaks):
            return False
        crew = self.rotation is None or self.rotation.crew(shift.id, day) is not None
        return crew and self.worked(day)

    def note(self, day: date) -> Label | None:
        """What is to be said of a day: its holiday, or that its year's holidays are not known."""
        if self.holidays is None:
            return None
        if not self.holidays.known(day):
            return Label(
                f"{day.year}年的法定节假日尚未收录",
                f"the public holidays of {day.year} are not known here",
            )
        if day in self.closed or day in self.open:
            return None
        return self.holidays.off.get(day) or self.holidays.work.get(day)


def days(first: date, last: date) -> list[date]:
    """Every date from one to the other, both included."""
    return [first + timedelta(n) for n in range((last - first).days + 1)]
