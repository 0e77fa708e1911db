"""What every kind of historian promises; a kind is added to KINDS and has to pass this."""

import numpy as np
from numpy.testing import assert_allclose

from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.model.signal import SignalKind
from tests.contracts.historian_support import BAD, DAY, UNCERTAIN, batch, rows


def test_rows_come_back_by_path_and_time(place, settle):
    w = place.writer(Series("a/x"), Series("a/y"), Series("a/z"))
    received = w.write(Commit(batch((1, 2000, 2.5), (0, 1000, 1.5), (0, 3000, 4.0))), now=5000)
    settle(w)
    r = place.reader()
    got = r.read(["a/y", "a/x", "nowhere/q"], 0, 10_000)
    assert rows(got) == [(0, 2000, 2.5, 0), (1, 1000, 1.5, 0), (1, 3000, 4.0, 0)]
    assert got.received_time.tolist() == [received] * 3
    assert received == 5000
    assert [s.path for s in r.series()] == ["a/x", "a/y"]


def test_the_end_of_a_range_is_outside(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1000, 1.0), (0, 2000, 2.0))), 1)
    settle(w)
    r = place.reader()
    assert rows(r.read(["a/x"], 1000, 2000)) == [(0, 1000, 1.0, 0)]
    assert rows(r.read(["a/x"], 2000, 2000)) == []
    assert rows(r.read(["a/x"], 1001, 2001)) == [(0, 2000, 2.0, 0)]


def test_a_path_asked_for_twice_comes_twice(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1000, 1.0))), 1)
    settle(w)
    assert rows(place.reader().read(["a/x", "a/x"], 0, 2000)) == [(0, 1000, 1, 0), (1, 1000, 1, 0)]


def test_values_and_statuses_are_exact(place, settle):
    w = place.writer(Series("a/x"))
    values = [0.1, -0.0, 1e308, 5e-324, 2.0**53, np.inf, np.nan, 3.0]
    statuses = [0, UNCERTAIN, 0x40A40000, 0, 0xC0FF1234, 0, BAD, BAD]
    times = [1, 2, 3, 4, 5, 6, 7, 8]
    w.write(Commit(SampleBatch.of([0] * 8, times, values, statuses)), 9)
    settle(w)
    got = place.reader().read(["a/x"], 0, 100)
    assert np.array_equal(got.value, values, equal_nan=True)
    assert got.status.tolist() == statuses


def test_received_time_rises_strictly_over_a_clock_set_back_and_a_restart(place, settle):
    w = place.writer(Series("a/x"))
    a = w.write(Commit(batch((0, 1, 1.0))), now=1000)
    b = w.write(Commit(batch((0, 2, 1.0))), now=500)
    settle(w)
    w.close()
    w = place.writer(Series("a/x"))
    c = w.write(Commit(batch((0, 3, 1.0))), now=500)
    d = w.write(Commit(batch((0, 4, 1.0))), now=2000)
    assert (a, b, c, d) == (1000, 1001, 1002, 2000)


def test_the_same_again_changes_nothing(place, settle):
    w = place.writer(Series("a/x"))
    first = w.write(Commit(batch((0, 1000, 1.0), (0, 2000, np.nan, BAD))), 10)
    settle(w)
    w.write(Commit(batch((0, 2000, np.nan, BAD), (0, 1000, 1.0), (0, 3000, 3.0))), 20)
    r = place.reader()
    got = r.read(["a/x"], 0, 10_000)
    assert rows(got) == [(0, 1000, 1.0, 0), (0, 2000, None, BAD), (0, 3000, 3.0, 0)]
    assert got.received_time.tolist() == [first, first, 20]
    assert r.aggregate("a/x", 0, 10_000, 10_000).count.tolist() == [3]


def test_another_value_or_status_is_a_correction(place, settle):
    w = place.writer(Series("a/x"))
    first = w.write(Commit(batch((0, 1000, 1.0))), 10)
    settle(w)
    second = w.write(Commit(batch((0, 1000, 2.0))), 20)
    third = w.write(Commit(batch((0, 1000, 2.0, UNCERTAIN))), 30)
    fourth = w.write(Commit(batch((0, 1000, 1.0))), 40)
    settle(w)
    r = place.reader()
    assert rows(r.read(["a/x"], 0, 9999)) == [(0, 1000, 1.0, 0)]
    believed = {
        first - 1: [],
        first: [(0, 1000, 1.0, 0)],
        second: [(0, 1000, 2.0, 0)],
        third: [(0, 1000, 2.0, UNCERTAIN)],
        fourth: [(0, 1000, 1.0, 0)],
    }
    for known_at, expected in believed.items():
        assert rows(r.read(["a/x"], 0, 9999, known_at)) == expected
        assert rows(r.as_of(["a/x"], 5000, known_at)) == expected


def test_two_values_of_one_time_in_one_commit_have_an_order(place, settle):
    w = place.writer(Series("a/x"), Series("a/y"))
    last = w.write(
        Commit(batch((0, 1000, 1.0), (1, 1000, 9.0), (0, 1000, 2.0), (0, 1000, 2.0))), 10
    )
    settle(w)
    r = place.reader()
    assert last == 11
    assert rows(r.read(["a/x", "a/y"], 0, 9999)) == [(0, 1000, 2.0, 0), (1, 1000, 9.0, 0)]
    assert rows(r.read(["a/x"], 0, 9999, known_at=10)) == [(0, 1000, 1.0, 0)]


def test_marks_come_with_their_rows_and_only_rise(place):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1, 1.0)), marks=[Mark("g/e", "r1", 5), Mark("g/f", "r1", 1)]), 1)
    w.write(Commit(SampleBatch.empty(), marks=[Mark("g/e", "r1", 3), Mark("g/e", "r2", 1)]), 2)
    expected = {("g/e", "r1"): 5, ("g/e", "r2"): 1, ("g/f", "r1"): 1}
    assert dict(w.marks()) == expected
    w.close()
    assert dict(place.writer().marks()) == expected


def test_marks_not_written_for_thirty_days_are_forgotten(place):
    w = place.writer()
    w.write(Commit(SampleBatch.empty(), marks=[Mark("g/e", "old", 5)]), now=0)
    w.write(Commit(SampleBatch.empty(), marks=[Mark("g/e", "new", 1)]), now=29 * DAY)
    w.retain(now=31 * DAY)
    assert dict(w.marks()) == {("g/e", "new"): 1}


def test_as_of_looks_back_without_bound(place, settle):
    w = place.writer(Series("a/rare"), Series("a/often"), Series("a/never"), Series("a/later"))
    w.write(Commit(batch((0, 5, 7.0), (1, 5, 1.0))), 1)
    settle(w)
    for day in range(1, 4):
        w.write(Commit(batch((1, day * DAY, float(day)), (1, day * DAY + 9, day + 0.5))), day)
        settle(w)
    w.write(Commit(batch((3, 9 * DAY, 1.0))), 9)
    settle(w)
    r = place.reader()
    paths = ["a/rare", "a/often", "a/never", "a/later"]
    assert rows(r.as_of(paths, 2 * DAY + 8)) == [(0, 5, 7.0, 0), (1, 2 * DAY, 2.0, 0)]
    assert rows(r.as_of(paths, 2 * DAY + 9)) == [(0, 5, 7.0, 0), (1, 2 * DAY + 9, 2.5, 0)]
    assert rows(r.as_of(paths, 99 * DAY))[2] == (3, 9 * DAY, 1.0, 0)
    assert rows(r.as_of(paths, 4)) == []


def test_a_far_future_row_does_not_hide_what_follows(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1000, 1.0), (0, 4_000_000_000_000, 5.0))), 1000)
    settle(w)
    w.write(Commit(batch((0, 2000, 2.0))), 2000)
    settle(w)
    w.write(Commit(batch((0, 2000, 2.0), (0, 3000, 3.0), (0, 4_000_000_000_000, 5.0))), 3000)
    settle(w)
    r = place.reader()
    assert rows(r.read(["a/x"], 0, 9999)) == [(0, 1000, 1, 0), (0, 2000, 2, 0), (0, 3000, 3, 0)]
    assert rows(r.as_of(["a/x"], 5000)) == [(0, 3000, 3.0, 0)]
    assert len(r.read(["a/x"], 0, 5_000_000_000_000)) == 4


def test_mean_is_weighted_by_time_with_the_value_carried_in(place, settle):
    w = place.writer(Series("a/x"))
    w.write(
        Commit(batch((0, 500, 10.0), (0, 1500, 20.0), (0, 2000, np.nan, BAD), (0, 3000, 4.0))), 1
    )
    settle(w)
    a = place.reader().aggregate("a/x", 1000, 4000, 1000)
    assert a.start.tolist() == [1000, 2000, 3000]
    assert_allclose(a.mean, [15.0, np.nan, 4.0])
    assert_allclose(a.known_s, [1.0, 0.0, 1.0])
    assert_allclose(a.first, [20.0, np.nan, 4.0])
    assert_allclose(a.high, [20.0, np.nan, 4.0])
    assert a.high_time.tolist() == [1500, 0, 3000]
    assert a.count.tolist() == [1, 1, 1]
    assert np.isnan(a.increase).all()


def test_uncertain_counts_and_is_told(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 0, 10.0), (0, 400, 20.0, UNCERTAIN))), 1)
    settle(w)
    a = place.reader().aggregate("a/x", 0, 1000, 1000)
    assert_allclose([a.mean[0], a.known_s[0], a.good_s[0]], [16.0, 1.0, 0.4])


def test_a_value_is_not_held_longer_than_its_series_allows(place, settle):
    w = place.writer(Series("a/x", hold_ms=1500))
    w.write(Commit(batch((0, 0, 10.0), (0, 5000, 20.0))), 1)
    settle(w)
    a = place.reader().aggregate("a/x", 1000, 7000, 1000)
    assert_allclose(a.known_s, [0.5, 0, 0, 0, 1.0, 0.5])
    assert_allclose(a.mean, [10, np.nan, np.nan, np.nan, 20, 20])


def test_a_counter_rises_over_resets_rollovers_and_silence(place, settle):
    w = place.writer(Series("a/n", SignalKind.COUNTER, modulus=100.0))
    w.write(
        Commit(
            batch(
                (0, 500, 90.0), (0, 900, np.nan, BAD), (0, 1500, 97.0), (0, 1600, 5.0),
                (0, 2500, np.nan, BAD), (0, 3500, 45.0), (0, 3600, 3.0),
            )
        ),
        1,
    )  # fmt: skip
    settle(w)
    a = place.reader().aggregate("a/n", 1000, 4000, 1000)
    assert_allclose(a.increase, [7 + 8, 0, 40 + 3])


def test_a_state_has_durations(place, settle):
    w = place.writer(Series("a/s", SignalKind.STATE))
    w.write(Commit(batch((0, 0, 6.0), (0, 1200, 4.0), (0, 1700, np.nan, BAD), (0, 2500, 6.0))), 1)
    settle(w)
    a = place.reader().aggregate("a/s", 1000, 3000, 1000)
    assert sorted(a.durations) == [4, 6]
    assert_allclose(a.durations[6], [0.2, 0.5])
    assert_allclose(a.durations[4], [0.5, 0.0])


def test_a_last_bucket_may_be_cut_short(place, settle):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 0, 1.0))), 1)
    settle(w)
    a = place.reader().aggregate("a/x", 0, 2500, 1000)
    assert_allclose(a.known_s, [1, 1, 0.5])
    empty = place.reader().aggregate("nowhere/x", 0, 1000, 1000)
    assert np.isnan(empty.mean[0])
    assert empty.known_s.tolist() == [0.0]


def test_texts_waveforms_events_and_gaps(place, settle):
    w = place.writer(Series("a/program", SignalKind.TEXT), Series("a/wave"))
    block = np.array([1, 2, 3], np.float32)
    commit = Commit(
        SampleBatch.empty(),
        texts=[Text(0, 1000, "O1000"), Text(0, 500, "零件", BAD)],
        waveforms=[Waveform(1, 1000, 25_600.0, block)],
        events=[Event(1000, "lathe", "meter.reset", {"from": 5, "to": 0})],
        gaps=[Gap("g/e", 100, 900, 17, "outbox full", ("a/x",)), Gap("g/e", 0, 0, -1, "lost")],
    )
    w.write(commit, 10)
    settle(w)
    w.write(commit, 20)  # the same again changes nothing
    w.write(Commit(SampleBatch.empty(), texts=[Text(0, 1000, "O1001")]), 30)
    r = place.reader()
    assert r.texts(["a/wave", "a/program"], 0, 9999) == [
        Text(1, 500, "零件", BAD),
        Text(1, 1000, "O1001"),
    ]
    (wave,) = r.waveforms(["a/wave"], 0, 9999)
    assert (wave.start, wave.rate_hz, wave.block.tolist()) == (1000, 25_600.0, [1, 2, 3])
    assert list(r.events(0, 9999)) == list(commit.events)
    assert sorted(g.samples for g in r.gaps(200, 300)) == [-1, 17]
    assert [g.samples for g in r.gaps(901, 2000)] == [-1]
    assert sorted(s.path for s in r.series()) == ["a/program", "a/wave"]


def test_a_changed_unit_or_kind_starts_anew(place, settle):
    w = place.writer(Series("a/p", unit="kW"))
    w.write(Commit(batch((0, 1000, 1.0))), 1)
    settle(w)
    w.close()
    w = place.writer(Series("a/p", unit="W"))
    w.write(Commit(batch((0, 2000, 2000.0))), 2)
    r = place.reader()
    assert rows(r.read(["a/p", "a/p~1"], 0, 9999)) == [(0, 2000, 2000.0, 0), (1, 1000, 1.0, 0)]


def test_a_renamed_signal_keeps_its_history(place, settle):
    w = place.writer(Series("a/p"))
    w.write(Commit(batch((0, 1000, 1.0))), 1)
    settle(w)
    w.close()
    w = place.writer(Series("b/q", was=("z/z", "a/p")))
    w.write(Commit(batch((0, 2000, 2.0))), 2)
    assert len(place.reader().read(["b/q"], 0, 9999)) == 2


def test_series_may_be_declared_later(place):
    w = place.writer(Series("a/x"))
    w.write(Commit(batch((0, 1, 1.0))), 1)
    w.declare([Series("a/y")])
    w.write(Commit(batch((1, 1, 2.0))), 2)
    assert rows(place.reader().read(["a/x", "a/y"], 0, 9)) == [(0, 1, 1.0, 0), (1, 1, 2.0, 0)]


def test_a_reader_follows_the_writer(place):
    w = place.writer(Series("a/x"))
    r = place.reader()
    for k in range(6):
        w.write(Commit(batch((0, k, float(k)))), k + 1)
        if k % 2:
            w.retain(0, force=True)
        assert rows(r.read(["a/x"], 0, 100)) == [(0, i, float(i), 0) for i in range(k + 1)]
