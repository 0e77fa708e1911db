"""Tiers in a folder: whatever comes, late, corrected, Bad, they say what the rows say."""

import apsw
import numpy as np
import pytest

from plant.errors import Unavailable
from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from tests.twin.tier_check import check_files, check_tiers
from twin.historian import build, shelf
from twin.historian.embedded import Embedded
from twin.historian.store import FILE, TIERS, VERSION, select

HOUR = 3_600_000
DAY = 24 * HOUR
T0 = 20_000 * DAY
KINDS = [SignalKind.MEASUREMENT, SignalKind.COUNTER, SignalKind.STATE]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "historian"


def opened(folder, *series, **settings):
    writer = Embedded(**settings).writer(folder)
    writer.declare(series or [Series("a/x"), Series("a/y")])
    return writer


def every(step_ms, start, end, signal=0):
    time = np.arange(start, end, step_ms)
    return SampleBatch.of(np.full(len(time), signal), time, np.arange(len(time)) % 50)


def tiers(writer):
    rows = select(writer.database, "SELECT tier, sum(cells) FROM tier GROUP BY tier")
    return dict(rows)


def dirty(writer):
    return select(writer.database, "SELECT count(*) FROM dirty")[0][0]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_cells_are_what_the_rows_make(folder, monkeypatch, seed):
    monkeypatch.setattr(build, "_CHUNK_ROWS", 50)
    monkeypatch.setattr(build, "_MINUTE_CELLS", 100)
    monkeypatch.setattr(build, "SPARSE_ROWS", 0.01)
    monkeypatch.setattr(shelf, "_JOIN", 3)
    dice = np.random.default_rng(seed)
    zone = ["UTC", "Asia/Shanghai", "Asia/Kolkata", "Europe/Berlin"][seed % 4]
    holds = dice.choice([0, 40_000, 2 * HOUR], 5).tolist()
    series = [
        Series(f"a/{i}", KINDS[i % 3], modulus=100.0 if i == 1 else None, hold_ms=holds[i])
        for i in range(5)
    ]
    writer, compared = opened(folder, *series, timezone=zone, merge=2), 0
    for _ in range(6):
        n, base = int(dice.integers(1, 150)), T0 + int(dice.integers(0, 5)) * DAY
        time = base + dice.integers(0, 2 * DAY, n)
        if dice.random() < 0.3:
            time = time // 60_000 * 60_000
        status = dice.choice([0, 0, 0, 0x8000_0000], n)
        rows = SampleBatch.of(dice.integers(0, 5, n), time, dice.integers(0, 100, n), status)
        writer.write(Commit(rows), T0)
        if dice.random() < 0.7:
            writer.retain(base + int(dice.integers(0, 4 * DAY)), force=bool(dice.integers(2)))
            compared += check_tiers(writer)
        if dice.random() < 0.2:
            writer.close()
            writer = opened(folder, *series, timezone=zone, merge=2)
    writer.retain(T0 + 30 * DAY, force=True)
    assert dirty(writer) == 0
    assert compared + check_tiers(writer) > 100
    check_files(writer)
    writer.close()


def test_a_day_that_is_over_is_one_file_by_signal_and_has_cells(folder):
    writer = opened(folder, merge=100)
    for hour in range(0, 24, 2):
        rows = [every(1000, T0 + hour * HOUR, T0 + (hour + 2) * HOUR, s) for s in (0, 1)]
        writer.write(Commit(SampleBatch.concat(rows)), T0 + hour * HOUR)
        writer.retain(T0, force=True)
    assert select(writer.database, "SELECT count(*) FROM segment") == [(12,)]
    assert tiers(writer) == {}
    writer.retain(T0 + DAY + HOUR, force=True)
    assert select(writer.database, "SELECT level, rows FROM segment") == [(100, 2 * 86_400)]
    assert tiers(writer) == {"minute": 2 * 1440, "hour": 2 * 24, "day": 2}
    assert check_tiers(writer) == 2 * (1440 + 24 + 1)
    writer.close()


def test_without_force_a_day_waits_until_it_is_over_and_quiet(folder, monkeypatch):
    writer = opened(folder, seal_rows=1)
    writer.write(Commit(every(1000, T0, T0 + HOUR)), T0)
    writer.retain(T0 + DAY + HOUR - 1)
    writer.retain(T0 + DAY + HOUR)
    assert tiers(writer) == {}  # sealed into a moment ago
    writer.touched.clear()
    writer.looked = -1e9
    writer.retain(T0 + DAY + HOUR)
    assert tiers(writer)["hour"] == 1
    writer.close()


def test_the_day_under_way_gets_cells_up_to_the_last_full_hour_when_forced(folder):
    writer = opened(folder)
    writer.write(Commit(every(1000, T0, T0 + 3 * HOUR)), T0)
    writer.retain(T0 + 2 * HOUR + 5, force=True)
    assert tiers(writer) == {"minute": 120, "hour": 2}
    writer.write(Commit(every(1000, T0 + 2 * HOUR, T0 + 3 * HOUR, 1)), T0)
    assert dirty(writer) == 0  # nothing of it is in cells
    writer.write(Commit(SampleBatch.of([1], [T0 + 9], [5.0])), T0)
    assert dirty(writer) == 1
    assert check_tiers(writer) == 122
    writer.retain(T0 + 3 * HOUR, force=True)
    assert tiers(writer) == {"minute": 180 + 61, "hour": 3 + 2}
    assert check_tiers(writer) == 246
    writer.close()


def test_a_signal_with_few_rows_has_no_minutes(folder):
    writer = opened(folder)
    rows = [every(1000, T0, T0 + DAY, 0), every(30 * 60_000, T0, T0 + DAY, 1)]
    writer.write(Commit(SampleBatch.concat(rows)), T0)
    writer.retain(T0 + 2 * DAY, force=True)
    assert tiers(writer) == {"minute": 1440, "hour": 48, "day": 2}
    check_tiers(writer)
    writer.close()


def test_a_late_row_is_dirty_in_its_own_transaction_and_healed_by_retain(folder):
    writer = opened(folder)
    writer.write(Commit(every(1000, T0, T0 + DAY)), T0)
    writer.retain(T0 + 2 * DAY, force=True)
    with pytest.raises(RuntimeError):
        fail_in_commit(writer, SampleBatch.of([0], [T0 + 500], [7.0]))
    assert dirty(writer) == 0
    writer.write(Commit(SampleBatch.of([0], [T0 + 500], [700.0])), T0)
    writer.write(Commit(SampleBatch.of([0], [T0 + 500], [800.0])), T0)
    assert dirty(writer) == 1
    assert check_tiers(writer) == 0  # all of that day's cells of the signal are under the mark
    writer.retain(T0 + 2 * DAY, force=True)
    assert dirty(writer) == 0
    assert check_tiers(writer) == 1440 + 24 + 1
    reader = writer.settings.reader(folder)
    assert reader.aggregate("a/x", T0, T0 + DAY, DAY).high.tolist() == [800.0]
    reader.close()
    writer.close()


def fail_in_commit(writer, rows):
    def broken(*_):
        raise RuntimeError("in the midst of a commit")

    writer.move_marks, kept = broken, writer.move_marks
    try:
        writer.write(Commit(rows), T0)
    finally:
        writer.move_marks = kept


def test_another_hold_makes_the_cells_anew(folder):
    writer = opened(folder, Series("a/x", hold_ms=500))
    writer.write(Commit(every(1000, T0, T0 + DAY)), T0)
    writer.retain(T0 + 2 * DAY, force=True)
    writer.close()
    writer = opened(folder, Series("a/x", hold_ms=2000))
    assert dirty(writer) == 1
    writer.retain(T0 + 2 * DAY, force=True)
    assert (dirty(writer), check_tiers(writer)) == (0, 1440 + 24 + 1)
    writer.close()


def test_another_time_zone_moves_the_days(folder):
    writer = opened(folder)
    writer.write(Commit(every(60_000, T0, T0 + 3 * DAY)), T0)
    writer.retain(T0 + 5 * DAY, force=True)
    assert tiers(writer)["day"] == 3
    writer.close()
    writer = opened(folder, timezone="Asia/Kolkata")
    writer.retain(T0 + 5 * DAY, force=True)
    assert tiers(writer)["day"] == 4
    check_tiers(writer)
    writer.close()


def test_cells_outlive_their_rows_and_are_never_made_of_what_is_left(folder):
    writer = opened(folder, retention_days=2)
    for day in range(6):
        writer.write(Commit(every(10_000, T0 + day * DAY, T0 + (day + 1) * DAY)), T0 + day * DAY)
        writer.retain(T0 + (day + 1) * DAY + HOUR, force=True)
    now = T0 + 6 * DAY + HOUR
    rows = select(writer.database, "SELECT sum(rows) FROM segment WHERE level >= 0")
    assert rows == [(2 * 8640,)]
    assert tiers(writer) == {"minute": 6 * 1440, "hour": 6 * 24, "day": 6}
    writer.write(Commit(SampleBatch.of([0], [T0 + 5], [1.0])), now)  # older than retention
    assert dirty(writer) == 0
    writer.retain(now, force=True)
    assert tiers(writer) == {"minute": 6 * 1440, "hour": 6 * 24, "day": 6}
    horizon = dict(select(writer.database, "SELECT name, at FROM horizon"))
    assert horizon == {"raw": T0 + 4 * DAY}
    check_files(writer)
    writer.close()


def test_a_tier_has_a_retention_of_its_own(folder):
    writer = opened(folder, minute_days=2, hour_days=4)
    for day in range(6):
        writer.write(Commit(every(10_000, T0 + day * DAY, T0 + (day + 1) * DAY)), T0 + day * DAY)
        writer.retain(T0 + (day + 1) * DAY + HOUR, force=True)
    assert tiers(writer) == {"minute": 2 * 1440, "hour": 4 * 24, "day": 6}
    check_tiers(writer)
    writer.close()


def test_files_of_hours_and_days_are_joined(folder):
    writer = opened(folder)
    for day in range(20):
        writer.write(Commit(every(600_000, T0 + day * DAY, T0 + (day + 1) * DAY)), T0 + day * DAY)
        writer.retain(T0 + (day + 1) * DAY + HOUR, force=True)
    files = dict(select(writer.database, "SELECT tier, count(*) FROM tier GROUP BY tier"))
    assert files["hour"] < 16
    assert files["day"] < 16
    assert tiers(writer) == {"hour": 20 * 24, "day": 20}
    check_tiers(writer)
    writer.close()


def test_a_folder_of_version_1_gets_its_tiers(folder):
    writer = opened(folder)
    writer.write(Commit(every(1000, T0, T0 + DAY)), T0)
    writer.retain(0, force=True)
    writer.close()
    (folder / TIERS).rmdir()
    database = apsw.Connection(str(folder / FILE))
    for table in ("tier", "dirty", "built", "horizon", "aside"):
        database.execute(f"DROP TABLE {table}")
    later = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '%_known'"
    for (index,) in select(database, later):
        database.execute(f"DROP INDEX {index}")
    database.execute("ALTER TABLE signal DROP COLUMN place")
    database.execute("ALTER TABLE segment DROP COLUMN crc")
    database.pragma("user_version", 1)
    database.close()
    with pytest.raises(Unavailable, match="earlier Kaikou"):
        Embedded().reader(folder).series()
    writer = opened(folder)
    assert writer.database.pragma("user_version") == VERSION
    writer.retain(T0 + 2 * DAY, force=True)
    assert check_tiers(writer) == 1440 + 24 + 1
    writer.close()
