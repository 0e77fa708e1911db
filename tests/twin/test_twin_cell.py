"""Cells joined say what cells made at once say, whatever the rows; M4 keeps every pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from twin.historian.cell import COLUMNS, Rules, cells_of
from twin.historian.join import coarser
from twin.historian.trend import Plan, m4, trend_of_rows

BAD = int(StatusCode.Bad)
FLOATS = {"first", "last", "low", "high", "increase"}

values = st.sampled_from([0.0, -0.0, 1.0, -3.5, 90.0, 99.0, 2.0, np.inf, -np.inf, np.nan])
rows = st.lists(
    st.tuples(st.integers(0, 239), values, st.sampled_from([0, 0, BAD, 0x40000000])),
    unique_by=lambda row: row[0], max_size=60,
)  # fmt: skip
rules = st.sampled_from(
    [Rules.of(), Rules.of(hold_ms=7), Rules.of(counter=True), Rules.of(True, 100.0, 30)]
)


def batch(given: list) -> SampleBatch:
    time, value, status = (
        zip(*sorted(given, key=lambda r: r[0]), strict=True) if given else 3 * [()]
    )
    return SampleBatch.of(np.zeros(len(time)), time, value, status)


@given(rows, rules, st.sampled_from([5, 15, 60]))
def test_cells_of_cells_are_cells_of_rows(given, rules, narrow):
    some = batch(given)
    edges = np.arange(0, 241, 60)
    at_once = cells_of(some, edges, rules)
    joined = coarser(cells_of(some, np.arange(0, 241, narrow), rules), edges, rules)
    for name in COLUMNS:
        if name == "integral":
            assert_allclose(joined.integral, at_once.integral, rtol=1e-12, atol=1e-12)
        else:
            assert np.array_equal(
                getattr(joined, name), getattr(at_once, name), equal_nan=name in FLOATS
            ), name


@given(rows)
def test_every_bucket_keeps_its_first_last_least_greatest_and_its_gap(given):
    some = batch(given)
    kept = m4(cells_of(some, np.arange(0, 241, 40), Rules.of()))
    value = np.where(some.status >= BAD, np.nan, some.value)
    assert np.array_equal(kept.time, np.unique(kept.time)), "ascending, none twice"
    for bucket in np.unique(some.source_time // 40):
        inside = some.source_time // 40 == bucket
        mine = kept.take(kept.time // 40 == bucket)
        usable = value[inside][~np.isnan(value[inside])]
        assert len(mine) <= 5
        drawn = mine.value[~np.isnan(mine.value)]
        if len(usable):
            assert (drawn[0], drawn[-1]) == (usable[0], usable[-1])
            assert (drawn.min(), drawn.max()) == (usable.min(), usable.max())
        else:
            assert not len(drawn)
        assert mine.time[-1] == some.source_time[inside][-1] or not np.isnan(value[inside][-1])


@given(st.integers(-(10**13), 10**13), st.integers(1, 10**11), st.integers(2, 5000), st.booleans())
def test_a_plan_has_no_more_buckets_than_pixels(start, length, px, raw):
    plan = Plan.of(start, start + length, px, raw)
    assert (start + length - 1) // plan.bucket_ms - start // plan.bucket_ms + 1 <= px
    assert plan.bucket_ms % plan.cell_ms == 0
    assert plan.bucket_ms <= max(length / (px - 1), 1) + plan.cell_ms
    assert plan.cell_ms == 1 or not raw


def test_nothing_gives_nothing():
    nothing = SampleBatch.empty()
    assert len(trend_of_rows(nothing, nothing, Plan.of(0, 100, 10)).time) == 0
