"""Cells against brute force: alone, joined, and over a range with what was carried in."""

import numpy as np
import pytest

from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from twin.historian.aggregate import Window, aggregate
from twin.historian.cell import COLUMNS, Cells, Rules, cells_of
from twin.historian.join import carry, coarser
from twin.historian.tier import edges_of

BAD, UNCERTAIN = 0x8000_0000, 0x4000_0000
START, END, WIDTH = 240_000, 600_000, 120_000


def some_rows(dice):
    time = np.unique(dice.integers(0, END, dice.integers(0, 40)))
    status = dice.choice([0, 0, 0, UNCERTAIN, BAD], len(time)).astype(np.uint32)
    value = dice.choice([0.0, 1.0, 2.0, 5.5, 90.0, 100.0], len(time))
    value[(status == BAD) & (dice.random(len(time)) < 0.7)] = np.nan
    return SampleBatch.of(np.zeros(len(time)), time, value, status)


def carried_in(rows, counter):
    before = rows.take(rows.source_time < START)
    usable = before.take((before.status < BAD) & ~np.isnan(before.value))
    last = before.take(np.arange(len(before))[-1:])
    if counter and len(last) and last.status[0] >= BAD:
        return SampleBatch.concat([usable.take(np.arange(len(usable))[-1:]), last])
    return last


def bucketed(cells, crossing, name):
    """A figure of every bucket: the cell's own, and what crosses its edges."""
    found = getattr(crossing, name).astype(float)
    found[(cells.start - START) // WIDTH] += getattr(cells, name)
    return found


@pytest.mark.parametrize("kind", [SignalKind.MEASUREMENT, SignalKind.COUNTER])
@pytest.mark.parametrize("hold_ms", [0, 15_000, 130_000])
@pytest.mark.parametrize("modulus", [None, 100.0])
def test_cells_joined_in_any_way_are_the_aggregate_of_the_rows(kind, hold_ms, modulus):
    dice = np.random.default_rng([hold_ms, 0 if modulus is None else 1])
    counter = kind is SignalKind.COUNTER
    rules = Rules.of(counter, modulus, hold_ms)
    edges = np.arange(START, END + 1, WIDTH)
    for _ in range(150):
        all_rows = some_rows(dice)
        rows, before = all_rows.take(all_rows.source_time >= START), carried_in(all_rows, counter)
        wanted = aggregate(
            before, rows, Window(START, END, WIDTH), kind=kind, modulus=modulus, hold_ms=hold_ms
        )
        fine = cells_of(rows, np.arange(START, END + 1, 20_000), rules)
        minutes = coarser(fine, np.arange(START, END + 1, 60_000), rules)
        for cells in (coarser(fine, edges, rules), coarser(minutes, edges, rules)):
            compare(cells, carry(cells, before, edges, rules), wanted, counter)


def compare(cells, crossing, wanted, counter):
    at = (cells.start - START) // WIDTH
    for name in ("first", "last", "low", "high"):
        for column, none in ((name, np.nan), (f"{name}_time", 0)):
            found = np.full(3, none, float)
            found[at] = getattr(cells, column)
            assert np.array_equal(found, getattr(wanted, column), equal_nan=True)
    known = bucketed(cells, crossing, "known_ms") / 1000
    assert known.tolist() == pytest.approx(wanted.known_s.tolist())
    good = bucketed(cells, crossing, "good_ms") / 1000
    assert good.tolist() == pytest.approx(wanted.good_s.tolist())
    mean = np.full(3, np.nan)
    np.divide(bucketed(cells, crossing, "integral"), known, out=mean, where=known > 0)
    assert np.allclose(mean, wanted.mean, 1e-9, equal_nan=True)
    if counter:
        assert bucketed(cells, crossing, "increase").tolist() == wanted.increase.tolist()


def test_many_signals_at_once_are_each_alone():
    dice = np.random.default_rng(7)
    each = [some_rows(dice) for _ in range(6)]
    numbered = [SampleBatch.of(np.full(len(r), i), *columns(r)) for i, r in enumerate(each)]
    rules = Rules(np.arange(6) * 20_000, np.full(6, np.nan), np.arange(6) % 2 == 0)
    edges = edges_of("minute", 0, END)
    together = cells_of(SampleBatch.concat(numbered), edges, rules)
    for i, rows in enumerate(each):
        alone = cells_of(rows, edges, Rules.of(i % 2 == 0, None, i * 20_000))
        mine = together.take(together.signal == i)
        for name in set(COLUMNS) - {"signal"}:
            assert np.array_equal(getattr(mine, name), getattr(alone, name), equal_nan=True)


def columns(rows):
    return rows.source_time, rows.value, rows.status


def test_nothing_makes_no_cells():
    assert len(cells_of(SampleBatch.empty(), edges_of("hour", 0, 1), Rules.of())) == 0
    assert len(coarser(Cells.empty(), edges_of("hour", 0, 1), Rules.of())) == 0


def test_a_day_with_summer_time_has_25_hours():
    start = 1_761_343_200_000  # 2025-10-25 00:00 in Berlin
    edges = edges_of("day", start + 86_400_000, start + 90_000_000, "Europe/Berlin")
    assert np.diff(edges).tolist() == [25 * 3_600_000]
