"""Trends and aggregates of every kind of historian: equal to brute force over all raw rows."""

import numpy as np
import pytest

from plant.flow.port import Commit, HistorianWriter, Series
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from tests.contracts.historian_support import BAD, DAY, UNCERTAIN, Place, batch, rows
from tests.contracts.replay import HOUR, MINUTE, Replay, check_aggregate, check_read, check_trend

T0 = 1_751_328_000_000  # 2025-07-01
NOW = T0 + 4 * DAY
SERIES = (
    Series("a/power", hold_ms=60_000),
    Series("a/energy", SignalKind.COUNTER, modulus=1000.0),
    Series("a/state", SignalKind.STATE),
    Series("a/rare"),
)


class Told:
    """A historian and the replay of what it was told."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.replay = Replay(*SERIES)
        self.writer: HistorianWriter = place.writer(*SERIES)

    def write(self, given: SampleBatch, now: int) -> None:
        columns = (given.signal, given.source_time, given.value, given.status)
        table = list(zip(*(c.tolist() for c in columns), strict=True))
        assert self.writer.write(Commit(given), now) == self.replay.write(table, now)


def two_days(step_ms: int) -> SampleBatch:
    """A measurement with Bad and Uncertain rows, a counter with resets, a state, a rare one."""
    dice = np.random.default_rng(4)
    time = T0 + np.arange(0, 2 * DAY, step_ms) + dice.integers(0, step_ms, 2 * DAY // step_ms)
    time = time[(time < T0 + 20 * HOUR) | (time > T0 + 21.5 * HOUR)]
    n = len(time)
    power = np.round(dice.normal(10, 3, n), 1)
    status = np.where(dice.random(n) < 0.02, BAD, np.where(dice.random(n) < 0.02, UNCERTAIN, 0))
    status[(time > T0 + 5 * HOUR) & (time < T0 + 6.5 * HOUR)] = BAD
    energy = np.cumsum(dice.integers(0, 9, n)) % 1000
    energy[n // 2 :] = np.cumsum(dice.integers(0, 3, n - n // 2)) % 1000
    state = dice.integers(0, 3, n // 50 + 1).repeat(50)[:n]
    rare = np.arange(T0 + 12_345, T0 + 2 * DAY, 3 * HOUR)
    return SampleBatch.of(
        np.r_[np.repeat([0, 1, 2], n), np.full(len(rare), 3)],
        np.r_[time, time, time, rare],
        np.r_[np.where(status == BAD, np.nan, power), energy, state, np.arange(len(rare))],
        np.r_[status, np.zeros(2 * n + len(rare), np.int64)],
    )


def corrected() -> SampleBatch:
    """Hours late: another value for rows there are, and rows where there were none."""
    late = [(0, T0 + 20 * HOUR + k * 7 * MINUTE, 99.0 + k, 0) for k in range(12)]
    late += [(1, T0 + 20 * HOUR + k * 7 * MINUTE, 3.0, 0) for k in range(12)]
    late += [(2, T0 + 20 * HOUR + 5, 7.0, 0), (3, T0 + 12_345, -5.0, 0)]
    return batch(*late)


SPANS = [
    (T0, T0 + 2 * DAY),
    (T0 - DAY, T0 + 3 * DAY),
    (T0 + 7 * HOUR + 1234, T0 + 41 * HOUR + 17),
    (T0 + 5 * HOUR, T0 + 6 * HOUR),
    (T0 + 19 * HOUR + 59_999, T0 + 22 * HOUR + 1),
]


@pytest.fixture(params=["hot", "sealed", "corrected", "rebuilt"])
def told(request, place):
    """Two days of rows: as they come, with tiers, with late rows over tiers, rebuilt."""
    it = Told(place)
    given = two_days(12_000)
    order = np.argsort(given.source_time, kind="stable")
    for part in np.array_split(order, 8):
        some = given.take(part)
        it.write(some, int(some.source_time[-1]))
    if request.param != "hot":
        it.writer.retain(NOW, force=True)
    if request.param in {"corrected", "rebuilt"}:
        it.write(corrected(), NOW)
    if request.param == "rebuilt":
        it.writer.retain(NOW, force=True)
    return it


@pytest.mark.timeout(180)
def test_trends_equal_brute_force(told):
    reader = told.place.reader()
    for signal in range(len(SERIES)):
        for span in SPANS:
            for px in (2, 20, 300, 5000):
                check_trend(reader, told.replay, signal, span, px)
        check_trend(reader, told.replay, signal, SPANS[2], 20, known=T0 + 30 * HOUR)


@pytest.mark.timeout(180)
def test_aggregates_equal_brute_force(told):
    reader = told.place.reader()
    for signal in range(len(SERIES)):
        for span, width in [
            ((T0, T0 + 2 * DAY), HOUR),
            ((T0, T0 + 2 * DAY), DAY),
            ((T0 + 3 * HOUR, T0 + 30 * HOUR + 12_345), 3 * HOUR),
            ((T0 + 19 * HOUR, T0 + 23 * HOUR), 5 * MINUTE),
            ((T0 + 19 * HOUR + 7, T0 + 23 * HOUR), 11 * MINUTE + 3),
            ((T0 - HOUR, T0 + HOUR), 2 * MINUTE),
        ]:
            check_aggregate(reader, told.replay, signal, span, width)
        span = (T0 + 19 * HOUR, T0 + 23 * HOUR)
        check_aggregate(reader, told.replay, signal, span, HOUR, known=T0 + 30 * HOUR)


def test_as_of_and_known_at_over_tiers(told):
    reader = told.place.reader()
    for at in (T0 - 1, T0 + 20 * HOUR + 6, T0 + 33 * HOUR, NOW):
        for known in (None, T0 + 30 * HOUR, NOW - 1, NOW):
            check_read(reader, told.replay, at - HOUR, at, known)


def test_tiers_serve_where_they_are(place):
    """A trend is not only right but read from cells once these are made."""
    it = Told(place)
    it.write(two_days(12_000), NOW - DAY)
    it.writer.retain(NOW, force=True)
    reader = place.reader()
    assert check_trend(reader, it.replay, 0, (T0, T0 + 2 * DAY), 20) == "hour"
    assert check_trend(reader, it.replay, 0, (T0, T0 + 2 * DAY), 600) == "minute"
    assert check_trend(reader, it.replay, 0, (T0, T0 + 2 * DAY), 3000) == "raw"


def test_an_empty_range_and_an_unknown_path_give_an_empty_trend(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1000, 1.0))), 1)
    settle(w)
    r = place.reader()
    for trend in (r.trend("a/nowhere", 0, 5000), r.trend("a/x", 0, 1000)):
        assert (trend.tier, trend.bucket_ms, trend.raw_count) == ("raw", 0, 0)
        assert len(trend.time) == 0
    held = r.trend("a/x", 2000, 5000)
    assert (held.raw_count, held.time.tolist(), held.value.tolist()) == (0, [1000], [1.0])


def test_steps_drop_repetitions_and_keep_every_change(place, settle):
    w = place.writer(Series("a/s", SignalKind.SETPOINT))
    given = [(0, 100 * k, float(k // 40), UNCERTAIN if k == 60 else 0) for k in range(200)]
    w.write(Commit(batch(*given)), 1)
    settle(w)
    trend = place.reader().trend("a/s", 0, 100_000, 10)
    assert trend.time.tolist() == [0, 4000, 6000, 6100, 8000, 12_000, 16_000]
    assert (trend.bucket_ms, trend.raw_count) == (0, 200)


def test_infinities_and_signed_zeros_are_values_like_others(place, settle):
    w = place.writer(Series("a/x"))
    values = [np.inf, 1.0, -np.inf, -0.0, 0.0, np.inf, 2.0, np.nan]
    w.write(Commit(SampleBatch.of([0] * 8, np.arange(8) * 10, values, [0] * 7 + [BAD])), 1)
    settle(w)
    r = place.reader()
    trend = r.trend("a/x", 0, 80, 10)
    assert np.array_equal(trend.value, values, equal_nan=True)
    a = r.aggregate("a/x", 0, 80, 40)
    assert (a.low.tolist(), a.high.tolist()) == ([-np.inf, 0.0], [np.inf, np.inf])
    assert rows(r.as_of(["a/x"], 30)) == [(0, 30, 0.0, 0)]
