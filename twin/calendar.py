"""Which shifts there are between two moments. Pure: a calendar, a time zone, two times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from plant.model.calendar import DAY_MINUTES, Calendar, Crew, ShiftTime, days
from plant.model.signal import Label

DAY = ShiftTime("day", Label("全天", "Day"), 0, DAY_MINUTES)
"""Without a calendar every day is one shift without breaks."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift as it was or will be.

    date        on which it starts: a night shift belongs to that one
    start, end  ms UTC, half-open, by the clock on the wall
    breaks      (start, end) in ms UTC, in order
    working     whether it is worked: the day is one of work, and with a rotation a crew has it
    note        the holiday; or that the year's public holidays are not known
    """

    id: str
    name: Label
    crew: Crew | None
    date: date
    start: int
    end: int
    breaks: tuple[tuple[int, int], ...]
    working: bool
    note: Label | None = None


def shifts(calendar: Calendar | None, zone: ZoneInfo, start: int, end: int) -> Sequence[Shift]:
    """Every shift that touches [start, end), whole, in order; worked or not.

    >>> zone = ZoneInfo("Europe/Berlin")
    >>> monday = 1_774_821_600_000  # 0:00; the clocks went forward on Sunday
    >>> found = shifts(None, zone, monday - 3_600_000, monday + 3_600_000)
    >>> [(s.date.isoformat(), (s.end - s.start) / 3_600_000) for s in found]
    [('2026-03-29', 23.0), ('2026-03-30', 24.0)]
    """
    if end <= start:
        return []
    first = datetime.fromtimestamp(start / 1000, zone).date() - timedelta(2)
    last = datetime.fromtimestamp(end / 1000, zone).date()
    plans = calendar.shifts if calendar is not None else (DAY,)
    found = [
        _shift(plan, day, calendar, zone)
        for day in days(first, last)
        for plan in sorted(plans, key=lambda p: p.start)
    ]
    return [s for s in found if s.start < end and s.end > start]


def wall_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    """Ms UTC of a minute after a day's midnight on the wall clock.

    A wall time that a change of clocks leaves out is read by the clock before it; of one that
    comes twice the first counts. So shifts that meet on the wall meet in time.
    """
    wall = datetime.combine(day + timedelta(minute // DAY_MINUTES), time())
    wall += timedelta(minutes=minute % DAY_MINUTES)
    return round(wall.replace(tzinfo=zone).timestamp()) * 1000


def _shift(plan: ShiftTime, day: date, calendar: Calendar | None, zone: ZoneInfo) -> Shift:
    rotation = calendar.rotation if calendar else None
    crew = rotation.crew(plan.id, day) if rotation else None
    return Shift(
        id=plan.id,
        name=plan.name,
        crew=crew,
        date=day,
        start=wall_ms(day, plan.start, zone),
        end=wall_ms(day, plan.end, zone),
        breaks=tuple((wall_ms(day, s, zone), wall_ms(day, e, zone)) for s, e in plan.breaks),
        working=(calendar is None or calendar.worked(day))
        and (rotation is None or crew is not None),
        note=calendar.note(day) if calendar else None,
    )
