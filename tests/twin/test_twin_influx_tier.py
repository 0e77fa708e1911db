"""Tiers in InfluxDB: what they answer equals brute force over raw rows, late ones and all."""

import numpy as np
import pytest

from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind
from tests.twin.influx_support import DAY, HOUR, Opened, made, settings_of
from twin.historian.influx import flux
from twin.historian.influx.table import records
from twin.historian.segment import newest
from twin.historian.trend import Plan, trend_of_rows

BAD = int(StatusCode.BadNoCommunication)


@pytest.fixture
def opened(influx, influx_prefix, tmp_path):
    it = Opened(made(settings_of(influx, influx_prefix)), tmp_path / "historian")
    yield it
    it.close()


def dense(signal: int, start: int, end: int, step: int, seed: int) -> SampleBatch:
    dice = np.random.default_rng(seed)
    time = np.arange(start, end, step) + dice.integers(0, step // 2, len(range(start, end, step)))
    value = 50 + dice.normal(0, 1, len(time)).cumsum()
    bad = dice.random(len(time)) < 0.02
    status = np.where(bad, BAD, 0)
    return SampleBatch.of(np.full(len(time), signal), time, np.where(bad, np.nan, value), status)


def check(opened: Opened, path: str, known: SampleBatch, span: tuple[int, int], px: int) -> str:
    """The trend's tier, after comparing it with all rows."""
    found = opened.reader().trend(path, *span, px)
    mine = newest(known)
    held = mine.take(mine.source_time < span[0])
    held = held.take(np.arange(len(held))[-1:])
    inside = mine.take((mine.source_time >= span[0]) & (mine.source_time < span[1]))
    expected = trend_of_rows(held, inside, Plan.of(*span, px))
    assert found.raw_count == expected.raw_count
    assert found.bucket_ms == expected.bucket_ms
    assert found.time.tolist() == expected.time.tolist()
    assert np.array_equal(found.value, expected.value, equal_nan=True)
    assert found.status.tolist() == expected.status.tolist()
    return found.tier


def test_trends_from_tiers_equal_all_rows_also_after_late_rows_and_corrections(opened):
    w = opened.writer(Series("a/fast", hold_ms=60_000), Series("a/slow"))
    fast = dense(0, 0, 6 * HOUR, 4_000, 1)
    slow = dense(1, 0, 6 * HOUR, 300_000, 2)
    w.write(Commit(SampleBatch.concat([fast, slow])), now=1000)
    w.retain(6 * HOUR + 10 * 60_000)
    every = fast.received(1)
    assert check(opened, "a/fast", every, (7, 6 * HOUR), 50) == "minute"
    assert check(opened, "a/fast", every, (0, 6 * HOUR), 5) == "hour"
    assert check(
        opened, "a/slow", newest(slow.received(1)).take([True] * len(slow)), (0, 6 * HOUR), 5
    )
    late = SampleBatch.of(
        [0, 0, 0],
        [2 * HOUR + 17, int(fast.source_time[300]), 3 * HOUR + 1],
        [9999.0, -9999.0, np.nan],
        [0, 0, BAD],
    )
    w.write(Commit(late), now=2000)
    every = SampleBatch.concat([every, late.received(2)])
    check(opened, "a/fast", every, (7, 6 * HOUR), 50)  # dirty hours are read raw
    assert len(w.journal.dirty) == 3
    w.close()
    w = opened.writer(Series("a/fast", hold_ms=60_000), Series("a/slow"))
    assert len(w.journal.dirty) == 3, "dirty marks outlive the writer"
    w.retain(6 * HOUR + 10 * 60_000)
    assert not w.journal.dirty
    assert check(opened, "a/fast", every, (7, 6 * HOUR), 50) == "minute"
    assert check(opened, "a/fast", every, (HOUR, 5 * HOUR), 4) == "hour"


def test_days_are_the_plants_and_figures_are_there_for_grafana(influx, influx_prefix, tmp_path):
    settings = made(settings_of(influx, influx_prefix, timezone="Asia/Shanghai"))
    opened = Opened(settings, tmp_path / "historian")
    w = opened.writer(Series("a/n", SignalKind.COUNTER, place=("demo", "line1")))
    start = 20_000 * DAY + 16 * HOUR  # midnight in Shanghai
    time = np.arange(start, start + DAY, 600_000)
    w.write(Commit(SampleBatch.of([0] * len(time), time, np.arange(len(time)))), now=start)
    w.retain(start + DAY + HOUR)
    found = records(w.server.query(flux.records(settings.bucket("day"), 0, flux.LAST_MS)))
    assert [r.time for r in found] == [start]
    (day,) = found
    assert day.tags == {"machine": "a", "signal": "n", "site": "demo", "line": "line1"}
    assert float(day.fields["increase"]) == len(time) - 1
    assert float(day.fields["known_s"]) == 86_400
    assert int(day.fields["count"]) == len(time)
    assert float(day.fields["high"]) == float(day.fields["last"]) == len(time) - 1
    opened.close()


def test_a_long_silence_is_passed_in_one_step(opened):
    w = opened.writer(Series("a/x"))
    w.write(Commit(SampleBatch.of([0], [10], [1.0])), now=10)
    w.write(Commit(SampleBatch.of([0], [20_000 * DAY], [2.0])), now=11)
    w.retain(20_001 * DAY)
    assert w.journal.built == 20_001 * DAY - HOUR
    found = records(w.server.query(flux.records(opened.settings.bucket("hour"), 0, flux.LAST_MS)))
    assert [r.time for r in found] == [0, 20_000 * DAY]


def test_each_signal_keeps_its_last_row_before_the_cut(influx, influx_prefix, tmp_path):
    settings = made(settings_of(influx, influx_prefix, retention_days=3))
    opened = Opened(settings, tmp_path / "historian")
    import time as clock

    now = clock.time_ns() // 1_000_000
    w = opened.writer(Series("a/old"), Series("a/new"))
    last = w.write(
        Commit(
            SampleBatch.of([0, 1, 0], [now - 2 * DAY, now - 10, now - 9 * DAY], [1.0, 2.0, 3.0])
        ),
        now,
    )
    r = opened.reader()
    assert [g.reason for g in r.gaps(0, now)] == ["older than retention"]
    w.retain(now + 2 * DAY)  # as if two days had passed
    w.server.call(
        "POST",
        "/api/v2/delete",
        {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"},
        {"org": settings.org, "bucket": settings.bucket("raw")},
    )
    kept = opened.reader().as_of(["a/old", "a/new"], now)
    assert kept.value.tolist()[:1] == [1.0]
    assert kept.received_time.tolist()[:1] == [last]
    opened.close()
