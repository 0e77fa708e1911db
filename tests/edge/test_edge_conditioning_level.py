"""Conditioning of currents: NE 43 loops, state and power from a clamp."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.conditioning.current_power import CurrentPower
from edge.conditioning.current_state import CurrentState
from edge.conditioning.ne43 import Ne43
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode


def series(values: list[float], step_ms: int = 500) -> SampleBatch:
    """One input, equally spaced."""
    return SampleBatch.of([0] * len(values), np.arange(len(values)) * step_ms, values)


@given(st.floats(-1, 25, allow_nan=False))
def test_ne43_judges_one_reading_by_its_bands(ma: float) -> None:
    out = Ne43(kind="ne43", at_4_ma=-50, at_20_ma=150).open().update(series([ma]))
    status, value = int(out.status[0]), float(out.value[0])
    if ma <= 3.6 or ma >= 21.0:
        assert status == StatusCode.BadSensorFailure
        assert math.isnan(value)
    else:
        inside = 3.8 <= ma <= 20.5
        assert status == (0 if inside else StatusCode.UncertainEngineeringUnitsExceeded)
        assert value == pytest.approx(-50 + (ma - 4) / 16 * 200)  # never clamped


def test_ne43_saturation_is_a_fault_after_its_hold_and_recovers_at_once() -> None:
    loop = Ne43(kind="ne43", at_4_ma=0, at_20_ma=100, hold_s=1).open()
    out = loop.update(series([20.7, 20.7, 20.7, 12.0, 20.7]))
    over, broken = StatusCode.UncertainEngineeringUnitsExceeded, StatusCode.BadSensorFailure
    assert out.status.tolist() == [over, over, broken, 0, over]


def test_ne43_a_wire_that_breaks_is_bad_at_the_first_reading() -> None:
    loop = Ne43(kind="ne43", at_4_ma=0, at_20_ma=250).open()
    out = loop.update(series([10.4, 0.02, 0.0, 10.4]))
    assert np.array_equal(out.value, [100.0, np.nan, np.nan, 100.0], equal_nan=True)
    assert out.status.tolist() == [0, StatusCode.BadSensorFailure, StatusCode.BadSensorFailure, 0]


def test_ne43_takes_the_root_of_a_flow() -> None:
    flow = Ne43(kind="ne43", at_4_ma=0, at_20_ma=100, square_root=True).open()
    assert flow.update(series([4.0, 8.0, 20.0])).value.tolist() == [0.0, 50.0, 100.0]


def test_ne43_without_a_span_is_refused() -> None:
    with pytest.raises(ValidationError, match="no span"):
        Ne43(kind="ne43", at_4_ma=5, at_20_ma=5)


LATHE = CurrentState(kind="current_state", idle=2.0, working=8.0, inrush=25.0)


def told(config: CurrentState, values: list[float], step_ms: int = 500) -> list[tuple[int, float]]:
    """The changes of state, with their times."""
    out = config.open().update(series(values, step_ms))
    changes: list[tuple[int, float]] = []
    for time, value in zip(out.source_time.tolist(), out.value.tolist(), strict=True):
        if not changes or changes[-1][1] != value:
            changes.append((time, value))
    return changes


def test_lathe_from_off_over_the_spindle_start_to_work_and_back() -> None:
    amperes = [0.0] * 6 + [5.0] * 6 + [40.0] * 3 + [14.0] * 8 + [5.0] * 10 + [0.0] * 6
    assert told(LATHE, amperes) == [(1000, 0), (4000, 1), (8500, 2), (13500, 1), (18500, 0)]


def test_a_start_that_falls_back_to_idle_was_no_work() -> None:
    assert told(LATHE, [5.0] * 6 + [40.0] * 3 + [5.0] * 6) == [(1000, 1)]


def test_a_peak_that_stays_is_no_start() -> None:
    assert told(LATHE, [5.0] * 6 + [40.0] * 12)[-1] == (6000, 2)  # 2 s of peak, then 1 s of dwell


def test_a_pause_shorter_than_the_dwell_is_still_work() -> None:
    assert told(LATHE, ([12.0] * 6 + [5.0] * 3) * 5) == [(1000, 2)]


def test_zero_current_is_called_so_and_not_off() -> None:
    assert [CurrentState.STATES[n].en for n in sorted(CurrentState.STATES)] == [
        "No current",
        "Idle",
        "Working",
        "Overload",
    ]


@given(st.lists(st.floats(0, 15), min_size=4, max_size=200))
def test_a_state_never_turns_back_before_its_dwell(values: list[float]) -> None:
    changes = told(LATHE, values, step_ms=250)
    triples = zip(changes, changes[1:], changes[2:], strict=False)
    for (_, before), (since, state), (until, after) in triples:
        if before < state > after:
            assert until - since >= 2000
        if before > state < after:
            assert until - since >= 1000


@given(st.lists(st.floats(6.9, 9.0), min_size=20, max_size=100), st.booleans())
def test_noise_inside_the_hysteresis_never_changes_the_state(
    noise: list[float], working: bool
) -> None:
    before = [12.0 if working else 4.0] * 12
    inside = [min(value, 7.9) for value in noise] if not working else noise
    assert len(told(LATHE, before + inside, step_ms=250)) == 1


def test_after_bad_input_the_state_is_found_again_by_dwell() -> None:
    batch = SampleBatch.of(
        [0] * 6, np.arange(6) * 500, [12, 12, 12, math.nan, 12, 12], [0, 0, 0, 0x80310000, 0, 0]
    )
    out = LATHE.open().update(batch)
    assert out.source_time.tolist() == [1000, 1500]
    late = LATHE.open().update(series([12.0] * 3))
    assert late.value.tolist() == [2.0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"working": 2.1}, "working"),
        ({"overload": 8.5}, "overload"),
        ({"inrush": 7.0}, "inrush"),
    ],
)
def test_thresholds_that_touch_are_refused(change: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CurrentState.model_validate(LATHE.model_dump() | change)


@given(st.floats(0, 100), st.floats(100, 700), st.floats(0.1, 1))
def test_power_is_always_an_estimate(current: float, voltage: float, factor: float) -> None:
    config = CurrentPower(kind="current_power", voltage_v=voltage, power_factor=factor)
    out = config.open().update(series([current]))
    assert out.value[0] == pytest.approx(3**0.5 * voltage * current * factor / 1000)
    assert out.status.tolist() == [StatusCode.Uncertain]


def test_three_transformers_are_averaged_once_all_were_heard() -> None:
    config = CurrentPower(
        kind="current_power", voltage_v=400, power_factor=1, transformers=3, phases=3
    )
    batch = SampleBatch.of([0, 1, 2, 0], [0, 0, 10, 20], [9.0, 10.0, 11.0, 12.0])
    out = config.open().update(batch)
    assert out.source_time.tolist() == [10, 20]
    assert out.value.tolist() == pytest.approx([3**0.5 * 4.0, 3**0.5 * 4.4])


def test_single_phase_and_bad_points() -> None:
    one = CurrentPower(kind="current_power", voltage_v=230, power_factor=1, phases=1)
    assert one.power_kw(10) == pytest.approx(2.3)
    with pytest.raises(ValidationError, match="rising"):
        CurrentPower(kind="current_power", points=((2, 1), (1, 0)))
    with pytest.raises(ValidationError, match="three phases"):
        CurrentPower(kind="current_power", phases=1, transformers=3)
