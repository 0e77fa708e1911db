"""Values at given times, against a search through all rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.flow.port import Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind
from twin.historian import interpolate as module
from twin.historian.interpolate import interpolate

BAD, UNCERTAIN, NOTHING = int(StatusCode.Bad), int(StatusCode.Uncertain), int(StatusCode.BadNoData)
LONG = 10**15


class Rows:
    """As much of a reader as interpolating needs."""

    def __init__(self, batches: list[SampleBatch]) -> None:
        self.batches = batches

    def read(self, paths, start, end, known_at=None):
        return self._each(paths, lambda b: (b.source_time >= start) & (b.source_time < end))

    def as_of(self, paths, at, known_at=None):
        return self._each(
            paths, lambda b: np.arange(len(b)) == np.searchsorted(b.source_time, at, "right") - 1
        )

    def _each(self, paths, which):
        batches = [self.batches[int(path.removeprefix("a/x"))] for path in paths]
        parts = [b.take(which(b)) for b in batches]
        return SampleBatch.concat(
            [
                SampleBatch.of(np.full(len(p), i), p.source_time, p.value, p.status)
                for i, p in enumerate(parts)
            ]
        )


def at(rows, time, series):
    """One value by the definition."""
    before = [r for r in rows if r[0] <= time]
    after = [r for r in rows if r[0] > time]
    if not before:
        return math.nan, NOTHING
    a, hold = before[-1], series.hold_ms or LONG
    if a[2] >= BAD or math.isnan(a[1]):
        return math.nan, a[2] if a[2] >= BAD else NOTHING
    if series.kind in {SignalKind.MEASUREMENT, SignalKind.COUNTER} and after and time > a[0]:
        b = after[0]
        good = b[2] < BAD and not math.isnan(b[1]) and b[0] - a[0] <= hold
        if good and not (series.kind is SignalKind.COUNTER and b[1] < a[1]):
            share = (time - a[0]) / (b[0] - a[0])
            return a[1] * (1 - share) + b[1] * share, max(a[2], b[2])
    return (a[1], a[2]) if time - a[0] < hold else (math.nan, NOTHING)


rows = st.lists(
    st.tuples(
        st.integers(0, 300), st.sampled_from([0.0, 1.0, 5.0, math.nan]),
        st.sampled_from([0, 0, UNCERTAIN, BAD]),
    ),
    unique_by=lambda row: row[0], max_size=40,
)  # fmt: skip
many = st.lists(
    st.tuples(rows.map(sorted), st.sampled_from(list(SignalKind)[:4]), st.sampled_from([0, 7, 60])),
    min_size=1, max_size=3,
)  # fmt: skip


@pytest.mark.parametrize("part", [50, 86_400_000])
@given(many, st.integers(-20, 200), st.integers(1, 200), st.sampled_from([1, 3, 50]))
def test_every_value_is_what_the_definition_says(part, given, start, length, step):
    series = [Series(f"a/x{i}", kind, hold_ms=hold) for i, (_, kind, hold) in enumerate(given)]
    batches = [
        SampleBatch.of([0] * len(r), *([row[i] for row in r] for i in range(3)))
        for r, _, _ in given
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PART_MS", part)
        got = interpolate(Rows(batches), series, start, start + length, step)
    times = list(range(start, start + length, step))
    expected = []
    for (r, _, _), one in zip(given, series, strict=True):
        far = start + length + max(s.hold_ms or length for s in series)
        expected += [at([row for row in r if row[0] < far], t, one) for t in times]
    assert got.signal.tolist() == [i for i in range(len(given)) for _ in times]
    assert got.source_time.tolist() == times * len(given)
    np.testing.assert_allclose(got.value, [v for v, _ in expected], rtol=1e-12)
    assert got.status.tolist() == [s for _, s in expected]


def test_no_series_and_no_time_are_no_values():
    assert len(interpolate(Rows([]), [], 0, 10, 1)) == 0
    assert len(interpolate(Rows([SampleBatch.empty()]), [Series("a/x0")], 10, 10, 1)) == 0
    with pytest.raises(ValueError, match="step"):
        interpolate(Rows([]), [], 0, 10, 0)
