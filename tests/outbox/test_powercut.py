"""The power-cut bench at smoke size, and that it sees the setting that loses data."""

from bench.powercut import run


def test_nothing_accepted_is_missing_after_power_cuts():
    figures = run(cuts=60, synchronous="full", seed=7)
    assert figures["cuts"] >= 60
    assert (figures["missing"], figures["damaged"], figures["half_done"]) == (0, 0, 0)


def test_without_full_sync_the_bench_sees_the_loss():
    assert run(cuts=30, synchronous="normal", seed=7)["missing"] > 0
