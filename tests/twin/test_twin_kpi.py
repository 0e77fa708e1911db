"""Figures worked by hand, and what is said where there are none."""

import asyncio
from dataclasses import replace

import pytest

from plant.errors import Unavailable
from plant.flow.clock import ManualClock
from plant.flow.status import StatusCode
from plant.model.plant import Asset
from plant.model.signal import Signal, SignalKind
from tests.twin.kpi_support import BAD, KINDS, NAME, MemoryReader, kpi_plant
from twin.kpi.current import AVAILABILITY, OEE, CurrentFigures, current
from twin.kpi.line import line_kpis
from twin.kpi.log import read_log
from twin.kpi.measure import kpis
from twin.kpi.run import runs

MIN = 60_000
DAY = 1_793_491_200_000
"""2026-11-01 00:00 UTC."""
EXECUTE, HELD, SUSPENDED, IDLE, STOPPED = 6, 11, 5, 4, 2
NAN = float("nan")


def log(states=(), counts=None, minutes=480, calendar=None, **more):
    """A raw log of a day that starts at midnight UTC; states and counts as (minute, value)."""
    rows = {"lathe/state": [(DAY + int(m * MIN), float(s), 0, 1) for m, s in states]}
    for id, steps in (counts or {}).items():
        rows[f"lathe/{id}"] = [(DAY + int(m * MIN), v, BAD if v != v else 0, 1) for m, v in steps]
    rows |= more.pop("rows", {})
    plans = {
        "part_count": [("part_count", 1, 1)],
        "part_count,reject_count": [("part_count", 1, 1), ("reject_count", 0, -1)],
    }
    return {
        "asset": "lathe", "line": "main", "zone": "UTC", "start": DAY, "end": DAY + minutes * MIN,
        "calendar": calendar, "kinds": KINDS, "cycle": {"": 60_000}, "events": [],
        "counters": plans[",".join(counts)] if counts else [], "rows": rows, "modulus": {},
        "hold": dict.fromkeys(rows, 10**9), "known_at": None,
    } | more  # fmt: skip


def figures(raw, by="range", asset="lathe", known_at=None):
    plant = kpi_plant(raw)
    reader = MemoryReader(raw)
    return kpis(read_log(reader, plant, asset, raw["start"], raw["end"], known_at=known_at), by)


def shift(id="day", start=0, end=480, breaks=()):
    return {"id": id, "start": start, "end": end, "breaks": list(breaks)}


def calendar(*plans, weekdays=range(7), closed=()):
    return {"shifts": list(plans), "weekdays": list(weekdays), "closed": list(closed)}


def reason(start, end, code, said):
    data = {"start": DAY + start * MIN, "end": DAY + end * MIN, "code": code}
    data |= {"note": "", "person": "p", "said": DAY + said * MIN}
    return (DAY + said * MIN, DAY + start * MIN, "lathe", "reason", data)


def product(start, id, said=0, asset="main"):
    data = {"start": DAY + start * MIN, "product": id, "person": "p", "said": DAY + said * MIN}
    return (DAY + said * MIN, DAY + start * MIN, asset, "product", data)


def test_the_worked_example_of_vorne():
    """480 min, two breaks of 15 and one of 30, 47 min down, 1 s a part, 19,271 parts, 423 bad."""
    raw = log(
        [
            (-10, EXECUTE),
            (60, IDLE),
            (75, EXECUTE),
            (100, HELD),
            (147, EXECUTE),
            (240, STOPPED),
            (270, EXECUTE),
            (420, IDLE),
            (435, EXECUTE),
        ],
        {"part_count": [(-1, 1000), (479, 20_271)], "reject_count": [(-1, 0), (470, 423)]},
        calendar=calendar(shift(breaks=[(60, 75), (240, 270), (420, 435)])),
        cycle={"": 1000},
    )
    (row,) = figures(raw, "shift")
    t = row.times
    assert (t.pot, t.pdt, t.pbt) == (480 * MIN, 60 * MIN, 420 * MIN)
    assert (t.apt, t.adet, t.aupt, t.aubt) == (373 * MIN, 47 * MIN, 373 * MIN, 420 * MIN)
    assert (row.pq, row.gq, row.sq) == (19_271, 18_848, 423)
    assert row.availability == pytest.approx(0.8881, abs=5e-5)
    assert row.effectiveness == pytest.approx(0.8611, abs=5e-5)
    assert row.quality == pytest.approx(0.9780, abs=5e-5)
    assert row.oee == pytest.approx(0.7479, abs=5e-5)
    assert row.oee == 18_848 * 1000 / (420 * MIN)
    assert {x.key: x.ms for x in row.losses} == {
        "malfunction": 47 * MIN, "speed": 373 * MIN - 19_271_000, "scrap": 423_000,
    }  # fmt: skip
    assert row.quality_source == ("lathe", "reject_count")
    assert row.technical_efficiency == 373 / 420
    assert row.utilization == 373 / 420
    assert row.key == "2026-11-01/day"


def test_a_break_in_which_it_produces_is_no_downtime():
    raw = log(
        [(-1, EXECUTE), (70, IDLE), (80, EXECUTE)], {"part_count": [(-1, 0), (65, 65), (479, 460)]},
        calendar=calendar(shift(breaks=[(60, 80)])),
    )  # fmt: skip
    (row,) = figures(raw)
    assert (row.times.pdt, row.times.pbt, row.times.apt) == (10 * MIN, 470 * MIN, 470 * MIN)
    assert row.oee == 460 / 470


def test_products_have_each_their_planned_time():
    """120 min: 40 of a at 60 s, then 80 of b at 30 s, of which 10 bad; nothing stands."""
    raw = log(
        [(-1, EXECUTE)],
        {
            "part_count": [(-1, 0), (59, 40), (60, 41), (119, 120)],
            "reject_count": [(-1, 0), (100, 10)],
        },
        minutes=120, cycle={"": 99_000, "a": 60_000, "b": 30_000},
        events=[product(-100, "a"), product(60, "b"), product(10, "b", 1), product(10, "a", 2)],
    )  # fmt: skip
    (row,) = figures(raw)
    assert [(p.product, p.pru, p.pq, p.gq) for p in row.products] == [
        ("a", 60_000, 40, 40),
        ("b", 30_000, 80, 70),
    ]
    assert row.effectiveness == (40 * 60 + 80 * 30) / 7200
    assert row.quality == (40 * 60 + 70 * 30) / (40 * 60 + 80 * 30)
    assert row.oee == (40 * 60 + 70 * 30) / 7200
    a, b = figures(raw, "product")
    assert (a.key, a.times.pbt, a.pq) == ("a", 60 * MIN, 40)
    assert (b.key, b.oee) == ("b", 70 * 30 / 3600)


def test_waiting_setting_up_and_standing_are_booked_each_to_its_time():
    waiting = [(DAY + m * MIN, v, 0, 1) for m, v in ((-1, 0.0), (10, 1.0), (20, 2.0), (30, 0.0))]
    mode = [(DAY + m * MIN, v, 0, 1) for m, v in ((-1, 1.0), (30, 4.0), (40, 1.0))]
    raw = log(
        [(-1, EXECUTE), (10, SUSPENDED), (30, EXECUTE), (40, IDLE), (50, HELD), (52, EXECUTE)],
        {"part_count": [(-1, 0), (59, 20)]}, minutes=60,
        rows={"lathe/waiting": waiting, "lathe/mode": mode},
        events=[reason(40, 50, "nobody", 55)],
    )  # fmt: skip
    (row,) = figures(raw)
    t = row.times
    assert [x // MIN for x in (t.apt, t.asut, t.adet, t.adot)] == [18, 10, 22, 10]
    assert {x.key: x.ms // MIN for x in row.losses} == {
        "setup": 10, "minor": 2, "starved": 10, "blocked": 10, "organisation": 10, "speed": -2,
    }  # fmt: skip
    assert [(s.code, s.ms // MIN, s.count) for s in row.stops] == [
        ("blocked", 10, 1), ("mode_setup", 10, 1), ("nobody", 10, 1), ("starved", 10, 1),
        ("minor", 2, 1),
    ]  # fmt: skip
    assert row.nee == pytest.approx(28 / 60 * 20 / 18)
    assert row.setup_rate == 10 / 28


def test_a_corrected_reason_recomputes_the_shift_and_the_former_figure_stays():
    raw = log(
        [(-1, EXECUTE), (100, HELD), (160, EXECUTE)],
        {"part_count": [(-1, 0), (479, 400)]},
        events=[reason(100, 160, "fault", 200), reason(100, 160, "plan", 300)],
    )
    before, between, after = (figures(raw, known_at=DAY + m * MIN)[0] for m in (150, 250, 350))
    assert [s.code for s in before.stops] == ["held"]
    assert [s.code for s in between.stops] == ["fault"]
    assert between.times.pbt == 480 * MIN
    assert (after.times.pbt, after.times.pdt, after.stops) == (420 * MIN, 60 * MIN, ())
    assert after.oee == 400 / 420
    assert figures(raw)[0] == after
    band = runs(MemoryReader(raw), kpi_plant(raw), "lathe", DAY + 100 * MIN, DAY + 160 * MIN)
    assert [(r.state, r.reason.word, [f.word for f in r.former]) for r in band] == [
        (HELD, "plan", ["fault"])
    ]


def test_a_reason_taken_back_leaves_none():
    raw = log([(-1, HELD)], events=[reason(0, 60, "fault", 1), reason(10, 20, "", 2)], minutes=60)
    band = runs(MemoryReader(raw), kpi_plant(raw), "lathe", DAY, DAY + 60 * MIN)
    assert [(r.start - DAY, r.reason and r.reason.word) for r in band] == [
        (0, "fault"), (10 * MIN, None), (20 * MIN, "fault"),
    ]  # fmt: skip


def lasting(start, code, said):
    at, time, asset, kind, data = reason(start, start, code, said)
    return at, time, asset, kind, data | {"end": None}


def test_a_reason_said_while_it_stands_holds_until_the_stop_ends():
    """Held, then off, then idle: one stop from 100 to 190; the next one, at 300, is another."""
    raw = log(
        [(-1, EXECUTE), (100, HELD), (130, STOPPED), (160, IDLE), (190, EXECUTE), (300, HELD)],
        {"part_count": [(-1, 0), (479, 300)]},
        events=[lasting(110, "fault", 112), lasting(150, "repair", 155), lasting(250, "jam", 256)],
    )
    reader, plant = MemoryReader(raw), kpi_plant(raw)

    def said(start, end, known_at=None):
        band = runs(reader, plant, "lathe", DAY + start * MIN, DAY + end * MIN, known_at=known_at)
        return [((r.start - DAY) // MIN, r.reason.word) for r in band if r.reason]

    assert said(0, 480) == [(110, "fault"), (130, "fault"), (150, "repair"), (160, "repair")]
    assert said(170, 480) == [(170, "repair")], "said before the range, it still holds there"
    assert said(200, 480) == [], "said in a run it holds for nothing, not for the next stop"
    assert said(0, 480, DAY + 120 * MIN) == [(110, "fault"), (130, "fault"), (160, "fault")]
    (row,) = figures(raw)
    assert [(s.code, s.ms // MIN, s.count) for s in row.stops] == [
        ("held", 190, 2), ("fault", 40, 1), ("repair", 40, 1),
    ]  # fmt: skip
    raw["events"].append(lasting(100, "", 400))
    assert said(0, 480) == [], "taken back until the stop ends"


def test_a_reason_that_lasts_is_found_again_however_long_ago_it_was_said():
    """Days without data do not end a stop, work does; nothing holds longer than 31 days."""
    day = 24 * 60
    states = [(-20 * day, HELD), (-20 * day + 5, NAN), (-3 * day, STOPPED), (400, EXECUTE)]
    raw = log(states, events=[lasting(-20 * day + 1, "repair", -20 * day + 2)])
    raw["rows"]["lathe/state"][1] = (DAY + (5 - 20 * day) * MIN, NAN, BAD, 1)
    raw["hold"]["lathe/state"] = 10**12
    band = runs(MemoryReader(raw), kpi_plant(raw), "lathe", DAY, DAY + 480 * MIN)
    assert [((r.end - DAY) // MIN, bool(r.reason)) for r in band] == [(400, True), (480, False)]
    raw["rows"]["lathe/state"].insert(2, (DAY - 4 * day * MIN, EXECUTE, 0, 1))
    band = runs(MemoryReader(raw), kpi_plant(raw), "lathe", DAY, DAY + 480 * MIN)
    assert [bool(r.reason) for r in band] == [False, False]
    raw["rows"]["lathe/state"] = [(DAY - 40 * day * MIN, HELD, 0, 1)]
    raw["events"] = [lasting(-31 * day + 60, "repair", -31 * day + 70)]
    band = runs(MemoryReader(raw), kpi_plant(raw), "lathe", DAY, DAY + 480 * MIN)
    assert [((r.end - DAY) // MIN, bool(r.reason)) for r in band] == [(60, True), (480, False)]


@pytest.mark.parametrize(("gap", "known"), [(95, True), (97, False)])
def test_below_eighty_percent_the_reason_replaces_the_numbers(gap, known):
    raw = log(
        [(-1, EXECUTE), (100, NAN), (100 + gap, EXECUTE)], {"part_count": [(-1, 0), (479, 300)]}
    )
    raw["rows"]["lathe/state"][1] = (DAY + 100 * MIN, NAN, BAD, 1)
    (row,) = figures(raw)
    assert row.coverage == (480 - gap) / 480
    assert row.times.unknown == gap * MIN
    assert (row.why_not is None) == known
    if known:
        assert row.availability == 1.0, "unknown is neither up nor down"
        assert row.oee == 300 / (480 - gap)
    else:
        assert row.oee is row.availability is row.effectiveness is row.failures is None
        assert row.why_not.en == "only 79.7 % of the planned time has data (80 % are needed)"


def test_a_planned_reason_covers_time_without_data():
    raw = log([(-1, EXECUTE), (100, NAN), (400, EXECUTE)], {"part_count": [(-1, 0), (479, 100)]},
              events=[reason(100, 400, "plan", 1)])  # fmt: skip
    raw["rows"]["lathe/state"][1] = (DAY + 100 * MIN, NAN, BAD, 1)
    (row,) = figures(raw)
    assert (row.times.pbt, row.times.unknown, row.coverage) == (180 * MIN, 0, 1.0)


def test_parts_that_came_about_unseen_are_no_part_of_the_known_time():
    raw = log(
        [(-1, EXECUTE), (100, NAN), (160, EXECUTE)],
        {"part_count": [(-1, 0), (99, 90), (165, 140), (479, 400)]},
    )
    raw["rows"]["lathe/state"][1] = (DAY + 100 * MIN, NAN, BAD, 1)
    (row,) = figures(raw)
    assert (row.pq, row.pq_unknown) == (350, 50)
    assert row.oee == 350 / 420


def test_what_is_not_measured_is_said():
    (row,) = figures(log([(-1, EXECUTE)], {"part_count": [(-1, 0), (479, 240)]}))
    assert (row.quality, row.quality_source, row.gq, row.sq) == (None, None, None, None)
    assert row.oee == 0.5
    assert row.quality_note.en == "quality is not measured here: OEE counts it as 1"
    (row,) = figures(log([(-1, EXECUTE)]))
    assert (row.availability, row.oee, row.pq) == (1.0, None, None)
    assert row.why_not.en == "nothing counts parts here"
    (row,) = figures(log([(-1, EXECUTE)], {"part_count": [(-1, 0), (9, 1)]}, cycle={"": None}))
    assert row.why_not.zh.startswith("未给出")
    (row,) = figures(log([(-1, EXECUTE)], {"part_count": [(-1, 0), (9, NAN), (200, 40)]}))
    assert row.why_not.en.startswith("the counter could be read in only 60.2 %")
    assert row.availability == 1.0


def test_a_night_shift_is_a_row_of_its_date_and_a_day_off_says_so():
    raw = log(
        [(-1, EXECUTE)], {"part_count": [(-1, 0), (100, 50), (400, 100), (1000, 200)]},
        minutes=1440, calendar=calendar(
            shift("early", 360, 840), shift("night", 1320, 1800), weekdays=[5]
        ),
    )  # fmt: skip
    rows = figures(raw, "shift")  # 2026-11-01 is a Sunday
    assert [(r.key, r.times.pbt // MIN, r.pq, r.pq_outside) for r in rows] == [
        ("2026-10-31/night", 360, 50, 0),
        ("2026-11-01/early", 0, 0, 50),
        ("2026-11-01/night", 0, 0, 0),
    ]
    assert rows[1].why_not.en == "no time is planned here"
    assert rows[1].times.outside == 480 * MIN
    days = figures(raw, "day")
    assert [(r.key, r.times.pbt // MIN, r.pq) for r in days] == [
        ("2026-10-31", 360, 50),
        ("2026-11-01", 0, 0),
    ]


def test_failures_are_counted_where_they_begin_and_the_means_say_how():
    raw = log(
        [(-60, HELD), (20, EXECUTE), (100, HELD), (110, 9), (130, EXECUTE), (300, HELD)],
        {"part_count": [(-1, 0), (479, 200)]},
        calendar=calendar(shift("a", 0, 240), shift("b", 240, 480), shift("c", 480, 1440)),
        events=[reason(100, 130, "repair", 200)],
    )
    a, b = figures(raw, "shift")
    assert (a.failures.failures, a.failures.repairs) == (1, 2)
    assert a.failures.mtbf_s == a.times.apt / 1000 == 190 * 60
    assert a.failures.mttr_s == 25 * 60
    assert (b.failures.failures, b.failures.repairs, b.failures.mttr_s) == (1, 0, None)
    assert b.failures.mtbf_s == 60 * 60
    calm = figures(log([(-1, EXECUTE)]))[0].failures
    assert (calm.failures, calm.at_least, calm.mtbf_s) == (0, True, 480 * 60)
    assert "at least" in calm.estimator.en


@pytest.mark.parametrize(("cut", "code"), [(103, "minor"), (104, "held")])
def test_a_stop_at_the_edge_of_the_range_is_judged_by_its_whole_length(cut, code):
    raw = log([(-1, EXECUTE), (100, HELD), (cut + 1.5, EXECUTE)], minutes=102)
    raw["end"] = DAY + 102 * MIN
    (row,) = figures(raw)
    assert [(s.code, s.ms) for s in row.stops] == [(code, 2 * MIN)]


def _gauge():
    signals = [("state", SignalKind.STATE), ("good_count", SignalKind.COUNTER)]
    signals.append(("reject_count", SignalKind.COUNTER))
    own = tuple(Signal(f"gauge/{id}", "gauge", id, NAME, kind) for id, kind in signals)
    return Asset("gauge", "gauge", NAME, "machine", "edge1", "main", own, cycle_s=10)


def _line(constraint):
    raw = log(
        [(-1, EXECUTE), (200, HELD), (260, EXECUTE)],
        {"part_count": [(-1, 0), (479, 400)]},
        rows={
            "gauge/state": [
                (DAY + m * MIN, float(s), 0, 1)
                for m, s in ((-1, EXECUTE), (100, SUSPENDED), (150, EXECUTE), (300, SUSPENDED))
            ],
            "gauge/good_count": [(DAY - 1, 0.0, 0, 1), (DAY + 479 * MIN, 380.0, 0, 1)],
            "gauge/reject_count": [(DAY - 1, 0.0, 0, 1), (DAY + 478 * MIN, 15.0, 0, 1)],
        },
        constraint=constraint,
    )
    plant = kpi_plant(raw, [_gauge()])
    found = line_kpis(MemoryReader(raw), plant, "main", raw["start"], raw["end"])
    return found.constraint, found.rows[0]


@pytest.mark.parametrize(("named", "how"), [("lathe", "named"), (None, "active_period")])
def test_a_line_is_its_constraint_and_counts_where_it_is_inspected(named, how):
    constraint, row = _line(named)
    assert (constraint.asset, constraint.how) == ("lathe", how)
    assert (row.pq, row.gq, row.sq) == (395, 380, 15)
    assert row.quality_source == ("gauge", "good_count")
    assert row.availability == 420 / 480
    assert row.oee == 380 / 480
    assert row.oee == pytest.approx(row.availability * row.effectiveness * row.quality)


def test_a_line_of_which_nothing_is_known_has_no_figures():
    raw = log(constraint=None)
    plant = kpi_plant(raw, [_gauge()])
    assert line_kpis(MemoryReader(raw), plant, "main", raw["start"], raw["end"]) is None


def test_what_is_no_machine_or_no_range_is_refused():
    raw = log()
    plant = kpi_plant(raw)
    with pytest.raises(ValueError, match="the range is empty"):
        read_log(MemoryReader(raw), plant, "lathe", DAY, DAY)
    with pytest.raises(ValueError, match="no asset 'press'"):
        read_log(MemoryReader(raw), plant, "press", DAY, DAY + 1)


def _with_signals(plant):
    def more(asset):
        ids = (OEE, AVAILABILITY)
        told = tuple(
            Signal(f"{asset.id}/{id}", asset.id, id, NAME, SignalKind.MEASUREMENT) for id in ids
        )
        return replace(asset, signals=(*asset.signals, *told))

    line = Asset("main", "production_line", NAME, "line", None, None, ())
    return replace(plant, assets={a: more(x) for a, x in (plant.assets | {"main": line}).items()})


def _raw_shift():
    early = calendar(shift("early", 0, 480))
    return log([(-1, EXECUTE), (60, IDLE)], {"part_count": [(-1, 0), (50, 45)]}, calendar=early)


def test_the_figures_of_the_shift_that_is_on_are_signals():
    raw = _raw_shift()
    plant = _with_signals(kpi_plant(raw))
    told = {d.path: (d.value, d.status) for d in current(MemoryReader(raw), plant, DAY + 80 * MIN)}
    uncertain = int(StatusCode.UncertainSubNormal)
    assert told["lathe/availability"] == (75.0, 0)
    assert told["lathe/oee"] == (100 * 45 / 80, uncertain), "quality is not measured"
    assert told["main/oee"] == told["lathe/oee"]
    off = current(MemoryReader(raw), plant, DAY + 500 * MIN)
    assert {d.status for d in off} == {int(StatusCode.BadNoData)}, "no shift is on"
    assert all(d.value != d.value for d in off)


async def test_figures_are_told_again_and_again_and_a_lost_historian_is_waited_for(monkeypatch):
    for name in ("_FIRST_S", "EVERY_S", "_LEAST_S"):
        monkeypatch.setattr(f"twin.kpi.current.{name}", 0.001)
    raw = _raw_shift()
    told, tries = [], []

    class Closing(MemoryReader):
        closed = False

        def close(self):
            self.closed = True

    reader = Closing(raw)

    def opened():
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("the historian is away")
        return reader

    clock = ManualClock(DAY + 80 * MIN)
    figures = CurrentFigures(_with_signals(kpi_plant(raw)), clock, opened, told.append)
    task = asyncio.create_task(figures.run())
    async with asyncio.timeout(20):
        while len(told) < 2:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    figures.close()
    assert reader.closed
    assert len(tries) == 3
    assert {d.path for d in told[0]} == {
        f"{a}/{id}" for a in ("lathe", "main") for id in (OEE, AVAILABILITY)
    }
