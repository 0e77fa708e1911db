"""M4 keeps every pixel: first, last, least and greatest of every bucket, and every gap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.m4 import m4


@given(
    st.integers(1, 300).flatmap(
        lambda n: st.tuples(
            arrays(np.int64, n, elements=st.integers(0, 1000)),
            arrays(np.float64, n, elements=st.one_of(st.floats(-10, 10), st.just(np.nan))),
        )
    ),
    st.floats(1, 400),
)
def test_every_bucket_keeps_its_first_last_least_greatest(
    columns: tuple[np.ndarray, np.ndarray], bucket_ms: float
) -> None:
    time, value = np.sort(columns[0]), columns[1]
    kept = m4(time, value, 0, bucket_ms)
    assert np.array_equal(kept, np.unique(kept)), "ascending, none twice"
    bucket = np.floor_divide(time, bucket_ms)
    for b in np.unique(bucket):
        inside = np.flatnonzero(bucket == b)
        mine = np.intersect1d(inside, kept)
        assert inside[0] in mine
        assert inside[-1] in mine
        if not np.isnan(value[inside]).all():
            assert np.nanmin(value[mine]) == np.nanmin(value[inside])
            assert np.nanmax(value[mine]) == np.nanmax(value[inside])
        assert len(mine) <= 4 + np.isnan(value[inside]).sum()
    gaps = np.flatnonzero(np.isnan(value[1:]) & ~np.isnan(value[:-1])) + 1
    assert np.isin(gaps, kept).all()


def test_nothing_gives_nothing() -> None:
    assert len(m4(np.empty(0, np.int64), np.empty(0), 0, 10.0)) == 0
