"""Changes of every kind of historian, and their adoption by every kind: the whole log, in order."""

import numpy as np
import pytest

from plant.flow.port import Changes, Commit, HistorianReader, HistorianWriter, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.model.signal import SignalKind
from tests.contracts.historian_support import BAD, DAY, Place, batch, rows
from tests.contracts.replay import Replay, check_aggregate, check_read, check_trend, listed
from twin.historian import KINDS

T0 = 1_751_328_000_000  # 2025-07-01
SERIES = (
    Series("a/x", unit="kW", hold_ms=60_000),
    Series("a/n", SignalKind.COUNTER, modulus=100.0),
    Series("a/s", SignalKind.STATE),
    Series("a/t", SignalKind.TEXT),
    Series("a/w"),
)
WAVE = Waveform(4, T0 + 7, 25_600.0, np.arange(1000, dtype=np.float32))


def told(place: Place, writer: HistorianWriter) -> Replay:
    """Commits over three days with late rows, corrections and records; sealed here and there."""
    replay = Replay(*SERIES)
    dice = np.random.default_rng(11)
    for k in range(60):
        now = T0 + k * DAY // 20
        n = int(dice.integers(1, 40))
        some = [
            (int(s), int(t), float(v), BAD if q == 0 else 0)
            for s, t, v, q in zip(
                dice.integers(0, 3, n),
                now - dice.choice([0, 1000, 60_000, DAY, 2 * DAY], n),
                dice.integers(0, 4, n),
                dice.integers(0, 20, n),
                strict=True,
            )
        ]
        texts = [Text(3, now - (k % 3) * 1000, f"O{k // 4}")] if k % 5 == 0 else []
        commit = Commit(
            batch(*some),
            texts=texts,
            waveforms=[WAVE] if k == 30 else [],
            events=[Event(now, "a", "reset", {"k": k})] if k % 7 == 0 else [],
            gaps=[Gap("g/e", now - 5, now, k, "lost", ("a/x",))] if k % 11 == 0 else [],
            marks=[Mark("g/e", "r", k)],
        )
        assert writer.write(commit, now) == replay.write(some, now)
        for text in texts:
            replay.say(text.time, text.text)
        if k in {19, 20, 38, 50}:
            writer.retain(now, force=True)
    return replay


def pages(reader: HistorianReader, size: int) -> list[Changes]:
    found, after = [], 0
    while True:
        page = reader.changes(after, size)
        found.append(page)
        assert page.upto > after or page.last
        after = page.upto
        if page.last:
            return found
        assert len(found) < 500


@pytest.fixture
def origin(place):
    """A historian with a log, and the log."""
    writer = place.writer(*SERIES)
    return place, writer, told(place, writer)


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_changes_are_the_whole_log_in_order_and_never_part_of_a_commit(origin, size):
    place, _, replay = origin
    found = pages(place.reader(), size)
    log = []
    for page in found:
        paths = [s.path for s in page.series]
        own = [replay.paths.index(p) if p in replay.paths else -1 for p in paths]
        log += [(r, (own[x[0]], *x[1:])) for r, x in listed(page.samples)]
        received = page.samples.received_time
        assert (np.diff(received) >= 0).all()
        assert not len(received) or received[-1] <= page.upto
    order = [r for r, _ in log]
    assert order == sorted(order)
    key = [(r, x[0], x[1], x[3], str(x[2])) for r, x in log]
    assert sorted(key) == sorted((r, x[0], x[1], x[3], str(x[2])) for r, x in replay.log)
    edges = [page.upto for page in found]
    assert edges == sorted(set(edges))
    for page, start in zip(found, [0, *edges], strict=False):
        assert all(start < r <= page.upto for r in page.samples.received_time.tolist())
    if size == 1:
        assert len(found) >= 50
    told = [(r, t.time, t.text) for page in found for r, t in page.texts]
    assert told == replay.texts
    assert sum(len(page.waveforms) for page in found) == 1
    assert [e.data["k"] for page in found for _, e in page.events] == list(range(0, 60, 7))
    assert [g.samples for page in found for _, g in page.gaps] == list(range(0, 60, 11))


def test_changes_follow_what_comes(place, settle):
    w = place.writer(Series("a/x"))
    r = place.reader()
    empty = r.changes(0)
    assert (len(empty.samples), empty.upto, empty.last) == (0, 0, True)
    first = w.write(Commit(batch((0, 1000, 1.0))), 10)
    settle(w)
    page = r.changes(0)
    assert (rows(page.samples), page.upto, page.last) == ([(0, 1000, 1.0, 0)], first, True)
    again = r.changes(page.upto)
    assert (len(again.samples), again.upto, again.last) == (0, first, True)
    w.write(Commit(batch((0, 1000, 2.0), (0, 500, 0.5))), 20)
    settle(w)
    page = r.changes(page.upto)
    assert rows(page.samples) == [(0, 500, 0.5, 0), (0, 1000, 2.0, 0)]
    assert page.upto == 20


def test_a_commit_of_records_alone_is_a_change(place, settle):
    w = place.writer(Series("a/t", SignalKind.TEXT))
    first = w.write(Commit(SampleBatch.empty(), texts=[Text(0, 5, "one")]), 10)
    second = w.write(Commit(SampleBatch.empty(), events=[Event(6, "a", "b")]), 20)
    settle(w)
    r = place.reader()
    page = r.changes(0, 1)
    assert [(t, x.text) for t, x in page.texts] == [(first, "one")]
    page = r.changes(page.upto, 1)
    assert (list(page.texts), [t for t, _ in page.events], page.last) == ([], [second], True)


def test_pages_are_whole_while_the_writer_seals_and_merges(origin):
    place, writer, replay = origin
    reader, after, got = place.reader(), 0, 0
    end = replay.last
    for k in range(400):
        page = reader.changes(after, 40)
        got += int((page.samples.received_time <= end).sum())
        after = page.upto
        if after >= end:
            break
        writer.write(Commit(batch((0, T0 + k, float(k)))), T0 + 4 * DAY)
        if k % 3 == 0:
            writer.retain(T0 + 4 * DAY, force=True)
    assert got == len(replay.log)


def check_copy(copy: Place, replay: Replay) -> None:
    """Every answer of a copy is the origin's."""
    reader = copy.reader()
    moments = [None, *(T0 + k * DAY // 20 + 3 for k in (0, 9, 20, 37, 59))]
    for known in moments:
        check_read(reader, replay, T0 - 3 * DAY, T0 + 4 * DAY, known)
        check_read(reader, replay, T0, T0 + DAY, known)
    for signal in range(3):
        span = (T0 - 3 * DAY, T0 + 4 * DAY)
        check_aggregate(reader, replay, signal, span, 3_600_000)
        check_trend(reader, replay, signal, span, 20)
    for known in moments:
        believed = {}
        for received, time, text in replay.texts:
            if known is None or received <= known:
                believed[time] = text
        got = reader.texts(["a/t"], 0, 2 * T0, known)
        assert [(t.time, t.text) for t in got] == sorted(believed.items())
    first = reader.events(0, 2 * T0, T0 + 8 * DAY // 20 + 3)
    assert [e.data["k"] for e in first] == [0, 7]
    assert len(reader.gaps(0, 2 * T0, T0 + 11 * DAY // 20 + 3)) == 2
    (wave,) = reader.waveforms(["a/w"], 0, 2 * T0)
    assert (wave.start, wave.rate_hz) == (WAVE.start, WAVE.rate_hz)
    assert np.array_equal(wave.block, WAVE.block)
    assert not reader.waveforms(["a/w"], 0, 2 * T0, T0)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.timeout(180)
def test_a_copy_of_any_kind_answers_like_the_origin(origin, place_of, kind):
    place, _, replay = origin
    copy = place_of(kind)
    writer = copy.writer()
    for page in pages(place.reader(), 150):
        writer.adopt(page, Mark("copy", "origin", page.upto))
    assert writer.marks()["copy", "origin"] == replay.last
    check_copy(copy, replay)
    writer.retain(T0 + 4 * DAY, force=True)
    check_copy(copy, replay)
    got = {s.path: s for s in copy.reader().series()}
    for one in SERIES:
        kept = got[one.path]
        assert (kept.kind, kept.unit, kept.modulus, kept.hold_ms) == (
            one.kind, one.unit, one.modulus, one.hold_ms,
        )  # fmt: skip


@pytest.mark.timeout(180)
def test_a_page_that_comes_again_changes_nothing_and_later_writes_are_later(origin, place_of):
    place, _, replay = origin
    copy = place_of(place.kind)
    writer = copy.writer(*SERIES)
    for number, page in enumerate(pages(place.reader(), 300)):
        writer.adopt(page)
        if number % 2:
            writer.retain(T0 + 4 * DAY, force=True)
        writer.adopt(page)
    check_copy(copy, replay)
    assert sum(len(p.samples) for p in pages(copy.reader(), 10**6)) == len(replay.log)
    given = [(0, T0, 77.0, 0)]
    later = writer.write(Commit(batch(*given)), 0)
    assert later == replay.write(given, 0)
    assert later > max(r for r, _ in replay.log[:-1])
    check_read(copy.reader(), replay, T0 - DAY, T0 + DAY, None)
