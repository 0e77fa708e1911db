"""Reads against a brute-force replay of the log: late rows, corrections, known_at, as_of."""

import math
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind
from twin.historian.embedded import Embedded

BAD, UNCERTAIN = int(StatusCode.BadNoCommunication), int(StatusCode.UncertainSubNormal)
DAY = 86_400_000
SERIES = [
    Series("a/m", hold_ms=7),
    Series("a/c", SignalKind.COUNTER, modulus=4.0),
    Series("a/s", SignalKind.STATE),
]
PATHS = [s.path for s in SERIES]

times = st.one_of(st.integers(0, 20), st.sampled_from([-DAY, DAY - 1, DAY, 5 * DAY]))
rows = st.tuples(
    st.integers(0, 2), times, st.sampled_from([0.0, 1.0, 3.0, math.nan]),
    st.sampled_from([0, 0, 0, BAD, UNCERTAIN]),
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("write"), st.lists(rows, max_size=8), st.integers(0, 60)),
    st.sampled_from([("seal",), ("restart",)]),
)


def same(a, b):
    return a[3] == b[3] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))


class Replay:
    """The log as a list of (received, row); every answer is a search through all of it."""

    def __init__(self):
        self.log = []
        self.last = 0

    def write(self, commit, now):
        base = max(now, self.last + 1)
        before = {}
        for _, row in self.log:
            before[row[:2]] = row
        turns, newest, fresh = {}, {}, []
        for row in commit:
            key = row[:2]
            if key in newest and same(newest[key], row):
                continue
            turn = turns[key] = turns.get(key, -1) + 1
            newest[key] = row
            if turn or key not in before or not same(before[key], row):
                fresh.append((turn, row))
        used = sorted({turn for turn, _ in fresh})
        fresh.sort(key=lambda x: x[0])
        self.log += [(base + used.index(turn), row) for turn, row in fresh]
        self.last = base + max(0, len(used) - 1)
        return self.last

    def believed(self, known_at):
        """(signal, time) -> (received, row), the newest known."""
        found = {}
        for received, row in self.log:
            if known_at is None or received <= known_at:
                found[row[:2]] = (received, row)
        return found

    def read(self, start, end, known_at):
        found = [x for x in self.believed(known_at).values() if start <= x[1][1] < end]
        return sorted(found, key=lambda x: x[1][:2])

    def as_of(self, at, known_at):
        last = {}
        for received, row in self.read(-(10**12), at + 1, known_at):
            last[row[0]] = (received, row)
        return [last[s] for s in sorted(last)]


def listed(batch):
    columns = (batch.signal, batch.source_time, batch.value, batch.status)
    table = zip(*(c.tolist() for c in columns), strict=True)
    return list(zip(batch.received_time.tolist(), table, strict=True))


def check_rows(got, expected):
    assert [(r, *x[:2], x[3]) for r, x in got] == [(r, *x[:2], x[3]) for r, x in expected]
    assert_allclose([x[2] for _, x in got], [x[2] for _, x in expected], rtol=0)


def check_aggregate(reader, replay, signal, start, end, width):
    got = reader.aggregate(PATHS[signal], start, end, width)
    mine = [row for _, row in replay.read(-(10**12), 10**12, None) if row[0] == signal]
    hold = SERIES[signal].hold_ms or 10**12
    usable = [(t, v) for _, t, v, q in mine if q < 2**31 and not math.isnan(v)]
    for k, bucket in enumerate(range(start, end, width)):
        stop = min(bucket + width, end)
        inside = [v for t, v in usable if bucket <= t < stop]
        assert got.count[k] == sum(bucket <= t < stop for _, t, _, _ in mine)
        held = {}
        for i, (_, t, v, q) in enumerate(mine):
            until = min(mine[i + 1][1] if i + 1 < len(mine) else 10**12, t + hold)
            for _ in range(max(t, bucket), min(until, stop)) if t < stop and until > bucket else ():
                if q < 2**31 and not math.isnan(v):
                    held[v] = held.get(v, 0) + 1
        total = sum(held.values())
        assert_allclose(got.known_s[k], total / 1000, atol=1e-12)
        mean = sum(v * n for v, n in held.items()) / total if total else math.nan
        assert_allclose(got.mean[k], mean)
        assert_allclose(got.low[k], min(inside, default=math.nan))
        assert_allclose(got.high[k], max(inside, default=math.nan))
        assert_allclose(got.last[k], inside[-1] if inside else math.nan)
        if SERIES[signal].kind is SignalKind.STATE:
            for state, seconds in got.durations.items():
                assert_allclose(seconds[k], held.get(float(state), 0) / 1000, atol=1e-12)
        if SERIES[signal].kind is SignalKind.COUNTER and mine:
            rise = 0.0
            for (_, a), (t, b) in pairwise(usable):
                if bucket <= t < stop:
                    rolled = a >= 3.6 and b <= 0.4
                    rise += b - a if b >= a else b - a + 4.0 if rolled else b
            assert_allclose(got.increase[k], rise)


@pytest.mark.timeout(240)
@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(st.lists(steps, min_size=1, max_size=10), st.data())
def test_reads_equal_a_replay_of_the_log(script, data):
    kind = Embedded(kind="embedded", merge=2)
    replay, marks = Replay(), 0
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place) / "h"
        writer = kind.writer(folder)
        writer.declare(SERIES)
        reader = kind.reader(folder)
        stack.callback(reader.close)
        stack.callback(writer.close)
        received = [0]
        for step in script:
            if step[0] == "write":
                columns = list(zip(*step[1], strict=True)) or [(), (), (), ()]
                marks += 1
                commit = Commit(SampleBatch.of(*columns), marks=[Mark("e", "r", marks)])
                received.append(writer.write(commit, step[2]))
                assert received[-1] == replay.write(step[1], step[2])
            elif step[0] == "seal":
                writer.retain(0, force=True)
            else:
                writer.close()
                writer = kind.writer(folder)
                stack.callback(writer.close)
                writer.declare(SERIES)
            assert dict(writer.marks()) == ({("e", "r"): marks} if marks else {})
            known = data.draw(st.sampled_from([None, *received]), "known_at")
            start = data.draw(times, "start")
            end = start + data.draw(st.sampled_from([1, 5, 30, 10 * DAY]), "length")
            check_rows(
                listed(reader.read(PATHS, start, end, known)), replay.read(start, end, known)
            )
            check_rows(listed(reader.as_of(PATHS, end, known)), replay.as_of(end, known))
            signal = data.draw(st.integers(0, 2), "signal")
            width = data.draw(st.sampled_from([1, 4, 9]), "width")
            check_aggregate(reader, replay, signal, 0, 25, width)
        assert np.all(np.diff(received) > 0)
