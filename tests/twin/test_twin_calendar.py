"""Shifts by the wall clock, crews in turn, holidays as the State Council announced them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import chinese_calendar
import pytest

from plant.model.calendar import Calendar, Crew, Rotation, ShiftTime, days
from plant.model.signal import Label
from plant.model.timetable import public_holidays
from tests.plant.test_plant_load import VALID, _load
from twin.calendar import shifts

NAME = Label("名", "name")
THREE = (
    ShiftTime("early", NAME, 360, 840, ((600, 620),)),
    ShiftTime("late", NAME, 840, 1320),
    ShiftTime("night", NAME, 1320, 1800, ((1560, 1580),)),
)
HOUR = 3_600_000
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def ms(zone, year, month, day, hour=0, minute=0):
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()) * 1000


@pytest.mark.parametrize("year", [2025, 2026])
def test_every_day_of_a_known_year_agrees_with_another_calendar(year):
    calendar = Calendar(THREE, frozenset(range(5)), public_holidays("cn"))
    for day in days(date(year, 1, 1), date(year, 12, 31)):
        assert calendar.worked(day) == chinese_calendar.is_workday(day), day


def test_a_year_without_data_is_said_and_counted_by_the_week():
    calendar = Calendar(THREE, frozenset(range(5)), public_holidays("cn"))
    first = ms(SHANGHAI, 2031, 10, 1)
    found = shifts(calendar, SHANGHAI, first, first + 24 * HOUR)
    assert all(s.working for s in found), "a Wednesday"
    assert {s.note.en for s in found} == {"the public holidays of 2031 are not known here"}
    national = ms(SHANGHAI, 2026, 10, 1, 12)
    shift = shifts(calendar, SHANGHAI, national, national + 1)[0]
    assert (shift.working, shift.note.zh) == (False, "国庆节")


def test_own_days_beat_holidays_and_weekends():
    calendar = Calendar(
        THREE, frozenset(range(5)), public_holidays("cn"),
        closed=frozenset({date(2026, 11, 20)}), open=frozenset({date(2026, 10, 1)}),
    )  # fmt: skip
    assert calendar.worked(date(2026, 10, 1))
    assert calendar.note(date(2026, 10, 1)) is None
    assert not calendar.worked(date(2026, 11, 20))
    assert calendar.worked(date(2026, 10, 10)), "调休: a Saturday"


def test_a_night_shift_belongs_to_the_date_on_which_it_starts():
    calendar = Calendar(THREE, frozenset({4}))  # Fridays
    saturday = ms(SHANGHAI, 2026, 11, 21)
    found = shifts(calendar, SHANGHAI, saturday, saturday + 12 * HOUR)
    assert [(s.id, s.date.isoformat(), s.working) for s in found] == [
        ("night", "2026-11-20", True),
        ("early", "2026-11-21", False),
    ]
    assert found[0].breaks == ((ms(SHANGHAI, 2026, 11, 21, 2), ms(SHANGHAI, 2026, 11, 21, 2, 20)),)


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 28), 7), ((2026, 10, 24), 9), ((2026, 11, 21), 8)]
)
def test_a_shift_over_a_change_of_clocks_is_as_long_as_the_wall_clock_makes_it(day, hours):
    start = ms(BERLIN, day[0], day[1], day[2], 22)
    found = shifts(Calendar(THREE), BERLIN, start, start + 1)
    assert [(s.id, (s.end - s.start) // HOUR) for s in found] == [("night", hours)]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_three_shifts_cover_a_year_without_gap_or_overlap(zone):
    zone = ZoneInfo(zone)
    first = ms(zone, 2026, 1, 1, 6)
    found = shifts(Calendar(THREE), zone, first, first + 365 * 24 * HOUR)
    assert found[0].start == first
    assert all(a.end == b.start for a, b in pairwise(found))
    for shift in found:
        assert all(shift.start <= s < e <= shift.end for s, e in shift.breaks)


def test_without_a_calendar_every_day_is_planned():
    zone = SHANGHAI
    found = shifts(None, zone, ms(zone, 2026, 11, 21, 3), ms(zone, 2026, 11, 22, 3))
    assert [(s.date.isoformat(), s.working, s.breaks) for s in found] == [
        ("2026-11-21", True, ()),
        ("2026-11-22", True, ()),
    ]


def _rotating(tmp_path, pattern, crews, plans):
    text = VALID + "calendar:\n  shifts:\n"
    for n, (start, end) in enumerate(plans):
        text += f"    s{n}: {{name: {{zh: 班, en: S}}, start: '{start}', end: '{end}'}}\n"
    names = ", ".join(f"c{n}: {{name: {{zh: 班, en: C{n}}}}}" for n in range(crews))
    text += f"  rotation: {{since: 2026-01-05, pattern: {pattern}, crews: {{{names}}}}}\n"
    return _load(tmp_path, text).calendar


EIGHTS = (("06:00", "14:00"), ("14:00", "22:00"), ("22:00", "06:00"))
TWELVES = (("08:00", "20:00"), ("20:00", "08:00"))


@pytest.mark.parametrize(
    ("pattern", "crews", "plans", "length"),
    [("two_shifts", 2, TWELVES, 14), ("three_crews", 3, TWELVES, 6), ("four_crews", 4, EIGHTS, 8)],
)
def test_every_shift_of_a_pattern_has_one_crew_and_all_work_alike(
    tmp_path, pattern, crews, plans, length
):
    calendar = _rotating(tmp_path, pattern, crews, plans)
    worked = {}
    for n in range(-length, length):
        day = date(2026, 1, 5) + timedelta(n)
        on = [calendar.rotation.crew(f"s{i}", day).id for i in range(len(plans))]
        assert len(set(on)) == len(plans), "nobody works two shifts of a day"
        for crew in on:
            worked[crew] = worked.get(crew, 0) + 1
    assert len(set(worked.values())) == 1
    assert len(worked) == crews


def test_four_crews_change_as_the_book_says(tmp_path):
    calendar = _rotating(tmp_path, "four_crews", 4, EIGHTS)
    first = calendar.rotation.crews[0]
    assert first.cycle == ("s0", "s0", "s1", "s1", "s2", "s2", None, None)
    assert [calendar.rotation.crew("s0", date(2026, 1, 5) + timedelta(n)).id for n in range(8)] == [
        "c0", "c0", "c3", "c3", "c2", "c2", "c1", "c1",
    ]  # fmt: skip


def test_a_shift_without_a_crew_is_not_worked():
    a = Crew("a", NAME, ("early", None))
    calendar = replace(Calendar(THREE), rotation=Rotation(date(2026, 1, 5), (a,)))
    monday = ms(UTC, 2026, 1, 5, 6)
    found = shifts(calendar, ZoneInfo("UTC"), monday, monday + 48 * HOUR)
    assert [(s.id, s.crew is a, s.working) for s in found] == [
        ("early", True, True), ("late", False, False), ("night", False, False),
        ("early", False, False), ("late", False, False), ("night", False, False),
    ]  # fmt: skip


def test_times_of_the_day_need_no_quotes_in_plant_yaml(tmp_path):
    text = VALID + (
        "calendar:\n  shifts:\n    day: {name: {zh: 白班, en: Day}, start: 8:00, end: 20:00,"
        " breaks: [12:00-12:30]}\n  days: weekdays\n  holidays: [2026-05-01]\n"
    )
    calendar = _load(tmp_path, text).calendar
    assert [(s.start, s.end, s.breaks) for s in calendar.shifts] == [(480, 1200, ((720, 750),))]
    assert not calendar.worked(date(2026, 5, 1))
    assert calendar.note(date(2030, 5, 2)) is None, "own holidays are all there are"


@pytest.mark.parametrize(
    ("pattern", "crews", "plans", "said"),
    [
        ("four_crew", 4, EIGHTS, "did you mean 'four_crews'?"),
        ("four_crews", 3, EIGHTS, "'four_crews' needs 4 crews, there are 3"),
        ("two_shifts", 2, EIGHTS, "'two_shifts' needs 2 shifts, there are 3"),
    ],
)
def test_a_pattern_that_does_not_fit_is_said(tmp_path, pattern, crews, plans, said):
    with pytest.raises(Exception, match=said):
        _rotating(tmp_path, pattern, crews, plans)


def test_a_copy_is_another_store(tmp_path):
    with pytest.raises(Exception, match="copy: is the same store as the historian"):
        _load(tmp_path, VALID + "copy: {kind: embedded}\n")
