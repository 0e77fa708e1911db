"""Conditioning of pulses: totals over rollovers, resets and restarts; power from an S0 output."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.conditioning.pulse_count import PulseCount
from edge.conditioning.pulse_power import PulsePower
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_good

PARTS = PulseCount(kind="pulse_count", ceiling_per_s=5)
METER = PulsePower(kind="pulse_power", pulses_per_kwh=1000, ceiling_kw=20)


def readings(raw: Iterable[int], step_ms: int = 1000, start: int = 0) -> SampleBatch:
    """Raw readings, equally spaced."""
    values = list(raw)
    return SampleBatch.of([0] * len(values), start + np.arange(len(values)) * step_ms, values)


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=100),
)
def test_every_pulse_counts_once_over_rollovers_and_restarts(
    first: int, steps: list[tuple[int, bool]]
) -> None:
    opened, raw, true, time = PARTS.open(), first, 0, 0
    opened.update(readings([raw]))
    for pulses, restart in steps:
        raw, true, time = (raw + pulses) % 65536, true + pulses, time + 1000
        if restart:
            opened = PARTS.open(opened.saved())
        out = opened.update(readings([raw], start=time))
        assert out.value.tolist() == [true]
        assert out.status.tolist() == [0]


@given(st.integers(100, 65535), st.integers(0, 50), st.integers(1, 600))
def test_a_reset_is_not_a_rollover_and_is_told(last: int, since: int, away_s: int) -> None:
    opened = PARTS.open({"total": 1000.0})
    opened.update(readings([last]))
    since = min(since, away_s * 5)
    out = opened.update(readings([since], start=away_s * 1000))
    rollover = (since - last) % 65536
    if since < last and rollover > away_s * 5 + 2:
        assert out.value.tolist() == [1000 + since]  # never more than the machine did
        assert out.status.tolist() == [StatusCode.UncertainSubNormal]


def test_a_module_switched_off_over_night_does_not_invent_a_night_of_parts() -> None:
    opened = PARTS.open({"total": 500.0, "pulses": 0.0, "raw": 480.0, "time": 0.0})
    out = opened.update(readings([12, 13], start=14 * 3_600_000))
    assert out.value.tolist() == [512.0, 513.0]
    assert out.status.tolist() == [StatusCode.UncertainSubNormal, 0]


def test_one_mad_reading_counts_nothing() -> None:
    out = PARTS.open().update(readings([100, 101, 60_000, 103, 104]))
    assert out.value.tolist() == [0, 1, 1, 3, 4]
    assert out.status.tolist() == [0, 0, StatusCode.UncertainLastUsableValue, 0, 0]


def test_an_exchanged_module_goes_on_from_its_own_reading() -> None:
    out = PARTS.open().update(readings([100, 101, 60_000, 60_002, 60_003]))
    assert out.value.tolist() == [0, 1, 1, 3, 4]
    doubt, short = StatusCode.UncertainLastUsableValue, StatusCode.UncertainSubNormal
    assert out.status.tolist() == [0, 0, doubt, short, 0]


@given(st.lists(st.integers(0, 65535), max_size=60))
def test_whatever_is_read_the_total_never_falls_nor_outruns_the_machine(raw: list[int]) -> None:
    out = PARTS.open().update(readings(raw))
    steps = np.diff(out.value)
    assert (steps >= 0).all()
    assert (out.value <= 5 * out.source_time / 1000 + 4 * np.arange(len(raw)) + 2).all()


@pytest.mark.parametrize("raw", [-1.0, 65536.0, 2.5])
def test_what_is_no_reading_is_undecodable(raw: float) -> None:
    out = PARTS.open().update(SampleBatch.of([0], [0], [raw]))
    assert out.status.tolist() == [StatusCode.BadDecodingError]


def test_32_bits_and_weight() -> None:
    wide = PulseCount(kind="pulse_count", modulus=2**32, ceiling_per_s=50, per_pulse=0.001)
    out = wide.open({"total": 7.5}).update(readings([2**32 - 10, 2**32 - 1, 20]))
    assert out.value.tolist() == pytest.approx([7.5, 7.509, 7.53])


def s0(kilowatts: list[float], poll_ms: int) -> list[int]:
    """A meter with 1,000 pulses a kWh, polled; one load for each second."""
    polls = np.arange(0, len(kilowatts) * 1000, poll_ms)
    energy = np.concatenate([[0.0], np.cumsum(np.repeat(kilowatts, 1000)) / 3_600_000 * 1000])
    return list(np.floor(energy[polls] + 1e-9).astype(int).tolist())


@given(st.floats(0.5, 15), st.sampled_from([100, 250, 1000]))
def test_power_of_a_steady_load(power: float, poll_ms: int) -> None:
    raw = s0([power] * 60, poll_ms)
    out = METER.open().update(readings(raw, poll_ms))
    settled = out.value[out.source_time > 30_000]
    pulse_s = 3.6 / power
    within = power * (poll_ms / 1000 / max(10 - pulse_s, pulse_s)) + 1e-9
    assert len(settled)
    assert np.abs(settled - power).max() <= within + power * 0.15
    assert is_good(out.status).all()


def test_power_falls_when_pulses_stay_away_and_ends_at_zero() -> None:
    out = METER.open().update(readings(s0([7.2] * 20 + [0.0] * 150, 1000)))
    assert out.value[13] == pytest.approx(7.2)
    tail = out.value[30:]
    assert (np.diff(tail) <= 1e-12).all()
    assert tail[-1] == 0.0
    assert 0 < tail[60] < 0.06


def test_power_over_a_reset_shows_neither_a_peak_nor_a_negative() -> None:
    raw = [v + 65_000 for v in s0([7.2] * 30, 1000)] + s0([7.2] * 30, 1000)
    out = METER.open().update(readings(raw))
    assert out.value.min() > 5
    assert out.value.max() < 9


def test_a_machine_that_stands_from_the_start_has_no_power() -> None:
    out = METER.open().update(readings(itertools.repeat(5, 130)))
    assert out.source_time.tolist() == list(range(120_000, 130_000, 1000))
    assert not out.value.any()


def test_thousandths_are_printed_as_such() -> None:
    meter = PulseCount(kind="pulse_count", per_pulse=0.001, ceiling_per_s=10)
    out = meter.open().update(readings(range(12)))
    assert [str(value) for value in out.value.tolist()][9:] == ["0.009", "0.01", "0.011"]
    thirds = PulseCount(kind="pulse_count", per_pulse=0.3, ceiling_per_s=10)
    assert thirds.open().update(readings([0, 10])).value.tolist() == pytest.approx([0, 3.0])
