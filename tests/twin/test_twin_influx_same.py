"""Both historians, given the same, answer the same: rows, times of knowing, figures, changes."""

import numpy as np
import pytest

from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind
from tests.twin.influx_support import HOUR, Opened, made, settings_of
from twin.historian.embedded import Embedded

BAD = int(StatusCode.BadNoCommunication)
UNCERTAIN = int(StatusCode.UncertainSubNormal)
SERIES = [
    Series("a/x", hold_ms=900_000),
    Series("a/n", SignalKind.COUNTER, modulus=100.0),
    Series("b/s", SignalKind.STATE),
    Series("g/node/dev/odd =,\\name", SignalKind.SETPOINT, place=("site", "line 1")),
    Series("b/program", SignalKind.TEXT),
    Series("b/wave"),
]
PATHS = [s.path for s in SERIES]


@pytest.fixture
def both(influx, influx_prefix, tmp_path):
    opened = Opened(made(settings_of(influx, influx_prefix)), tmp_path / "influx")
    yield opened, tmp_path / "embedded"
    opened.close()


def some(dice, n: int) -> SampleBatch:
    """Few signals and few times, so that much collides."""
    signal = dice.integers(0, 4, n)
    time = dice.integers(0, 60, n) * 240_000 + dice.choice([0, 0, 7], n)
    value = np.where(signal == 2, dice.integers(0, 5, n), dice.integers(0, 90, n) / 4)
    value = np.where(dice.random(n) < 0.05, np.nan, value)
    status = np.where(np.isnan(value), BAD, dice.choice([0, 0, 0, UNCERTAIN, BAD], n))
    return SampleBatch.of(signal, time, value, status)


def a_commit(dice, k: int) -> Commit:
    """Samples, and now and then one of each other record."""
    batch = some(dice, int(dice.integers(0, 40)))
    time = int(dice.integers(0, 4)) * HOUR
    texts = [Text(4, time, f"O{dice.integers(0, 3)}\n\t%"), Text(4, time, "零件")][: k % 3]
    block = np.arange(int(dice.integers(1, 4)), dtype=np.float32)
    waves = [Waveform(5, time, 25_600.0, block, UNCERTAIN)] * (k % 4 == 0)
    events = [Event(time, "b", "x.y", {"k": int(dice.integers(0, 2))})] * (k % 2)
    gaps = [Gap("g/e", time, time + 5, int(dice.integers(0, 2)), "lost\n", ("a/x",))] * (k % 3 == 0)
    return Commit(batch, texts, waves, events, gaps, [Mark("g/e", "r", k)])


def columns(b: SampleBatch) -> list:
    return [
        b.signal.tolist(),
        b.source_time.tolist(),
        np.nan_to_num(b.value, nan=-1).tolist(),
        b.status.tolist(),
        b.received_time.tolist(),
    ]


def waves(found) -> list:
    return [(w.signal, w.start, w.rate_hz, w.block.tolist(), w.status) for w in found]


def compare(ours, theirs, known_at: int | None) -> None:
    end = 5 * HOUR
    assert columns(ours.read(PATHS, 0, end, known_at)) == columns(
        theirs.read(PATHS, 0, end, known_at)
    )
    for at in (0, HOUR + 5, 2 * HOUR, end):
        assert columns(ours.as_of(PATHS, at, known_at)) == columns(
            theirs.as_of(PATHS, at, known_at)
        )
    assert ours.texts(PATHS, 0, end, known_at) == theirs.texts(PATHS, 0, end, known_at)
    assert waves(ours.waveforms(PATHS, 0, end, known_at)) == waves(
        theirs.waveforms(PATHS, 0, end, known_at)
    )
    key = repr
    assert sorted(ours.events(0, end, known_at), key=key) == sorted(
        theirs.events(0, end, known_at), key=key
    )
    assert sorted(ours.gaps(0, end, known_at), key=key) == sorted(
        theirs.gaps(0, end, known_at), key=key
    )


def compare_figures(ours, theirs, known_at: int | None) -> None:
    for path in PATHS[:4]:
        for start, width in ((HOUR, HOUR), (0, 600_000), (77, 1_000_003)):
            a = ours.aggregate(path, start, 4 * HOUR, width, known_at)
            b = theirs.aggregate(path, start, 4 * HOUR, width, known_at)
            for name in ("first", "last", "low", "high", "mean", "increase", "known_s", "good_s"):
                np.testing.assert_allclose(
                    getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-12
                )
            for name in ("start", "count", "low_time", "high_time", "first_time", "last_time"):
                assert getattr(a, name).tolist() == getattr(b, name).tolist()
            assert sorted(a.durations) == sorted(b.durations)
            for state, lasts in a.durations.items():
                np.testing.assert_allclose(lasts, b.durations[state], rtol=1e-9)
        a = ours.trend(path, 5, 4 * HOUR, 4, known_at)
        b = theirs.trend(path, 5, 4 * HOUR, 4, known_at)
        assert (a.raw_count, a.bucket_ms, a.time.tolist()) == (
            b.raw_count,
            b.bucket_ms,
            b.time.tolist(),
        )


def everything(reader, rows: int) -> list:
    """All changes, page by page, by path."""
    found: list = []
    after = 0
    while True:
        page = reader.changes(after, rows)
        paths = [s.path for s in page.series]
        b = page.samples
        found += [(r, paths[s], t, v, q) for s, t, v, q, r in zip(*columns(b), strict=True)]
        found += [(r, "text", paths[t.signal], t.time, t.text) for r, t in page.texts]
        found += [
            (r, "wave", paths[w.signal], w.start, w.block.tolist()) for r, w in page.waveforms
        ]
        found += [(r, "event", repr(e)) for r, e in page.events]
        found += [(r, "gap", repr(g)) for r, g in page.gaps]
        assert page.upto >= after
        after = page.upto
        if page.last:
            return sorted(found, key=repr)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_answered(both, seed):
    opened, folder = both
    dice = np.random.default_rng(seed)
    ours, theirs = opened.writer(*SERIES), Embedded().writer(folder)
    theirs.declare(SERIES)
    received = [0]
    now = HOUR // 2
    for k in range(14):
        commit = a_commit(dice, k)
        now += int(dice.choice([-5000, 1, 400, 700_000]))
        a, b = ours.write(commit, now), theirs.write(commit, now)
        assert a == b
        received.append(a)
        if k % 5 == 4:
            ours.retain(now, force=True)
            theirs.retain(now, force=True)
        if k == 7:
            ours.close()
            ours = opened.writer(*SERIES)
    assert dict(ours.marks()) == dict(theirs.marks())
    reader, other = opened.reader(), Embedded().reader(folder)
    for known_at in (None, *received[::3]):
        compare(reader, other, known_at)
    compare_figures(reader, other, None)
    compare_figures(reader, other, received[6])
    assert sorted(s.path for s in reader.series()) == sorted(s.path for s in other.series())
    assert everything(reader, 1 << 30) == everything(other, 1 << 30)
    assert everything(reader, 17) == everything(other, 1 << 30)
    theirs.close()
    other.close()


def test_a_copy_holds_what_the_first_holds(both, influx, tmp_path):
    from bench.influx import fresh_prefix

    opened, folder = both
    dice = np.random.default_rng(9)
    source = Embedded().writer(folder)
    source.declare(SERIES)
    for k in range(8):
        source.write(a_commit(dice, k), k * 3_000)
    reader = Embedded().reader(folder)
    copy = opened.writer(*SERIES)
    after = 0
    while True:
        page = reader.changes(after, 40)
        copy.adopt(page, Mark("copy", "1", page.upto))
        copy.adopt(page, Mark("copy", "1", page.upto))  # a page may come again
        after = page.upto
        if page.last:
            break
    assert dict(copy.marks()) == {("copy", "1"): after}
    assert copy.write(Commit(SampleBatch.empty()), 0) > after
    found = opened.reader()
    compare(found, reader, None)
    compare(found, reader, 9_000)
    assert everything(found, 1 << 30) == everything(reader, 1 << 30)
    with fresh_prefix(influx) as prefix:  # and a copy of the copy
        second = Opened(made(settings_of(influx, prefix)), tmp_path / "second")
        writer = second.writer()
        writer.adopt(found.changes(0, 1 << 30))
        assert everything(second.reader(), 1 << 30) == everything(reader, 1 << 30)
        second.close()
    source.close()
    reader.close()
