"""The calendar of plant.yaml given its meaning: minutes, crews day by day, holidays by date."""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TypeVar, get_args

from plant.errors import ConfigError, Problem
from plant.model.calendar import (
    DAY_MINUTES,
    Calendar,
    Crew,
    Holidays,
    Rotation,
    ShiftTime,
    days,
)
from plant.model.locate import Document, Where, read_document
from plant.model.shape import (
    CalendarShape,
    HolidayFileShape,
    LabelShape,
    RotationFileShape,
    RotationShape,
    Shape,
    ShiftShape,
    Weekday,
)
from plant.model.signal import Label
from plant.model.validate import did_you_mean, validate

AnyShape = TypeVar("AnyShape", bound=Shape)

REST = "rest"
WEEK = get_args(Weekday)
_CALENDAR: Where = ("calendar",)


def catalogue_file(shape: type[AnyShape], folder: str, name: str) -> AnyShape:
    """A file of Kaikou's own catalogue; ConfigError where it is wrong."""
    file = Path(str(resources.files("plant") / "catalog")) / folder / f"{name}.yaml"
    document = read_document(file, {})
    found, problems = validate(shape, document.data, document, ())
    problems = [*document.wrong, *problems]
    if found is None or problems:
        raise ConfigError(problems=tuple(problems))
    return found


def catalogue_names(folder: str) -> list[str]:
    """What the catalogue has of a sort: holidays of countries, rotations."""
    files = Path(str(resources.files("plant") / "catalog")) / folder
    return sorted(f.stem for f in files.glob("*.yaml"))


@dataclass(slots=True)
class Timetable:
    """Resolves the calendar; what is wrong with it is in ``problems``."""

    shape: CalendarShape
    document: Document
    problems: list[Problem] = field(default_factory=list)

    def calendar(self) -> Calendar:
        """The calendar, to be used only where there are no problems."""
        shape = self.shape
        shifts = tuple(self._shift(id, s) for id, s in shape.shifts.items())
        self._overlaps(shifts)
        for i, day in enumerate(shape.open):
            if day in shape.closed:
                self._complain(("open", i), f"{day} is both open and closed")
        return Calendar(
            shifts=shifts,
            weekdays=frozenset(WEEK.index(d) for d in shape.days),
            holidays=self._holidays(),
            closed=frozenset(shape.closed),
            open=frozenset(shape.open),
            rotation=self._rotation(shape.rotation) if shape.rotation else None,
        )

    def _complain(self, where: Where, text: str, *, key: bool = False) -> None:
        self.problems.append(self.document.problem((*_CALENDAR, *where), text, key=key))

    # ----------------------------------------------------------------------------- shifts

    def _shift(self, id: str, shape: ShiftShape) -> ShiftTime:
        if id == REST:
            self._complain(("shifts", id), f"{REST!r} is the word for a day off", key=True)
        start, end = minutes(shape.start) % DAY_MINUTES, minutes(shape.end)
        end += DAY_MINUTES if end <= start else 0
        breaks: list[tuple[int, int]] = []
        for i, text in enumerate(shape.breaks):
            where: Where = ("shifts", id, "breaks", i)
            first, last = (minutes(t.strip()) for t in text.split("-"))
            if max(first, last) > DAY_MINUTES:
                self._complain(where, f"{text!r} is no time of the day")
                continue
            first += DAY_MINUTES if first < start else 0
            last += DAY_MINUTES if last <= first % DAY_MINUTES else first - first % DAY_MINUTES
            if last > end or first >= end:
                inside = f"{shape.start}-{shape.end}"
                self._complain(where, f"the break {text} is not inside the shift {inside}")
            elif any(first < e and s < last for s, e in breaks):
                self._complain(where, f"the break {text} overlaps another")
            else:
                breaks.append((first, last))
        return ShiftTime(id, _label(shape.name), start, end, tuple(sorted(breaks)))

    def _overlaps(self, shifts: tuple[ShiftTime, ...]) -> None:
        for i, later in enumerate(shifts):
            for earlier in shifts[:i]:
                for day in (-DAY_MINUTES, 0, DAY_MINUTES):
                    if earlier.start + day < later.end and later.start < earlier.end + day:
                        text = f"overlaps the shift {earlier.id!r}"
                        self._complain(("shifts", later.id), text, key=True)
                        break

    # --------------------------------------------------------------------------- holidays

    def _holidays(self) -> Holidays | None:
        given = self.shape.holidays
        if given is None:
            return None
        if not isinstance(given, str):
            return Holidays({d: Label("假日", "Holiday") for d in given})
        known = catalogue_names("holiday")
        if given not in known:
            text = f"no public holidays of {given!r}{did_you_mean(given, known)}"
            self._complain(("holidays",), text)
            return None
        return public_holidays(given)

    # --------------------------------------------------------------------------- rotation

    def _rotation(self, shape: RotationShape) -> Rotation:
        if shape.pattern is not None:
            return self._by_pattern(shape, shape.pattern)
        crews = []
        for id, crew in shape.crews.items():
            where: Where = ("rotation", "crews", id)
            cycle = crew.cycle or []
            if not cycle and not self.document.has((*_CALENDAR, *where, "cycle")):
                self._complain(where, "has no cycle, and the rotation no pattern", key=True)
            for i, shift in enumerate(cycle):
                if shift != REST and shift not in self.shape.shifts:
                    hint = did_you_mean(shift, [*self.shape.shifts, REST])
                    self._complain((*where, "cycle", i), f"no shift {shift!r}{hint}")
            crews.append(Crew(id, _label(crew.name), _cycle(cycle)))
        self._fit(crews)
        return Rotation(shape.since, tuple(crews))

    def _fit(self, crews: list[Crew]) -> None:
        """Cycles are equally long, and no shift has two crews."""
        for n, crew in enumerate(crews):
            where: Where = ("rotation", "crews", crew.id, "cycle")
            first = next((c for c in crews[:n] if c.cycle), None)
            if first is None or not crew.cycle:
                continue
            if len(crew.cycle) != len(first.cycle):
                text = f"has {len(crew.cycle)} days, the cycle of {first.id!r} {len(first.cycle)}"
                self._complain(where, text)
                continue
            for other in (c for c in crews[:n] if len(c.cycle) == len(first.cycle)):
                both = [
                    day
                    for day, (a, b) in enumerate(zip(crew.cycle, other.cycle, strict=True))
                    if a is not None and a == b
                ]
                if both:
                    shift = crew.cycle[both[0]]
                    text = f"has {shift!r} on day {both[0] + 1}, and so has {other.id!r}"
                    self._complain((*where, both[0]), text)
                    break

    def _by_pattern(self, shape: RotationShape, pattern: str) -> Rotation:
        known = catalogue_names("rotation")
        if pattern not in known:
            text = f"no rotation {pattern!r}{did_you_mean(pattern, known)}"
            self._complain(("rotation", "pattern"), text)
            return Rotation(shape.since, ())
        file = catalogue_file(RotationFileShape, "rotation", pattern)
        shifts = list(self.shape.shifts)
        for what, have, needed in (
            ("shifts", len(shifts), file.shifts),
            ("crews", len(shape.crews), file.crews),
        ):
            if have != needed:
                text = f"{pattern!r} needs {needed} {what}, there are {have}"
                self._complain(("rotation", "pattern"), text)
                return Rotation(shape.since, ())
        for id, crew in shape.crews.items():
            if crew.cycle is not None:
                text = f"the pattern {pattern!r} gives each crew its cycle"
                self._complain(("rotation", "crews", id, "cycle"), text, key=True)
        one = [shifts[place - 1] if place else None for place in file.cycle]
        crews = []
        for n, (id, crew) in enumerate(shape.crews.items()):
            at = n * file.offset % len(one)
            crews.append(Crew(id, _label(crew.name), tuple(one[at:] + one[:at])))
        return Rotation(shape.since, tuple(crews))


def public_holidays(country: str) -> Holidays:
    """Those of the catalogue.

    >>> cn = public_holidays("cn")
    >>> sorted(cn.years), len(cn.off), len(cn.work)
    ([2025, 2026], 61, 11)
    """
    file = catalogue_file(HolidayFileShape, "holiday", country)
    moved = Label("调休上班", "Workday moved for a holiday")
    return Holidays(
        off={
            day: _label(holiday.name)
            for year in file.years.values()
            for holiday in year.holidays
            for day in days(holiday.first, holiday.last)
        },
        work={day: moved for year in file.years.values() for day in year.workdays},
        years=frozenset(file.years),
        source="; ".join(year.source for year in file.years.values()),
    )


def minutes(text: str) -> int:
    """Of the day, from "HH:MM".

    >>> minutes("08:30"), minutes("24:00")
    (510, 1440)
    """
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def _cycle(shifts: list[str]) -> tuple[str | None, ...]:
    return tuple(None if s == REST else s for s in shifts)


def _label(shape: LabelShape) -> Label:
    return Label(shape.zh, shape.en)
