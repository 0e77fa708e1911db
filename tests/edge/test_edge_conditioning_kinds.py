"""What every kind of conditioning promises, whatever it conditions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.conditioning import KINDS
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad

EXAMPLES: Mapping[str, dict[str, Any]] = {
    "current_state": {"idle": 0.5, "working": 3.0, "overload": 9.0, "inrush": 8.0},
    "current_power": {"voltage_v": 380},
    "stack_light": {"lamps": ["red", "amber", "green"]},
    "contact_state": {"contacts": ["running", "fault"], "priority": ["fault", "running"]},
    "pulse_count": {"ceiling_per_s": 5},
    "pulse_power": {"pulses_per_kwh": 1000, "ceiling_kw": 20},
    "ne43": {"at_4_ma": 0, "at_20_ma": 250},
}
INPUTS = {"stack_light": 3, "contact_state": 2}


def condition(kind: str) -> Any:
    """The example of a kind, as plant.yaml would give it."""
    return KINDS[kind].model_validate({"kind": kind} | EXAMPLES[kind])  # type: ignore[attr-defined]


@st.composite
def inputs(draw: st.DrawFn, count: int) -> SampleBatch:
    """Samples of several inputs in time order, some of them Bad."""
    steps = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=40))
    rows = [
        (
            signal,
            time,
            draw(st.integers(0, 22)),
            draw(st.sampled_from([0, 0, 0, 0x80310000, 1 << 30])),
        )
        for time in np.cumsum(steps).tolist()
        for signal in range(count)
    ]
    signal, time, value, status = zip(*rows, strict=True)
    return SampleBatch.of(
        signal, time, np.where(is_bad(np.array(status, np.uint32)), np.nan, value), status
    )


def test_every_kind_has_an_example_and_names_itself() -> None:
    assert set(KINDS) == set(EXAMPLES)
    for kind in KINDS:
        assert condition(kind).kind == kind
        assert not list(condition(kind).check(INPUTS.get(kind, 1)))
        assert list(condition(kind).check(7))


@pytest.mark.parametrize("kind", list(KINDS))
def test_unknown_keys_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        KINDS[kind].model_validate({"kind": kind, "x": 1} | EXAMPLES[kind])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data())
def test_cutting_a_batch_anywhere_changes_nothing(kind: str, data: st.DataObject) -> None:
    count = INPUTS.get(kind, 1)
    batch = data.draw(inputs(count))
    cut = data.draw(st.integers(0, len(batch) // count)) * count
    whole = condition(kind).open().update(batch)
    in_two = condition(kind).open()
    at = np.arange(len(batch))
    parts = [in_two.update(batch.take(part)) for part in (at[:cut], at[cut:])]
    assert SampleBatch.concat(parts).same_as(whole)


@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data())
def test_bad_in_is_bad_out_with_its_reason_and_bad_is_never_a_number(
    kind: str, data: st.DataObject
) -> None:
    count = INPUTS.get(kind, 1)
    batch = data.draw(inputs(count))
    out = condition(kind).open().update(batch)
    assert np.array_equal(np.isnan(out.value), is_bad(out.status))
    assert not out.signal.any()
    assert (np.diff(out.source_time) > 0).all()
    lost = set(batch.source_time[is_bad(batch.status)].tolist())
    reasons = dict(zip(out.source_time.tolist(), out.status.tolist(), strict=True))
    for time in lost:
        assert reasons[time] == StatusCode.BadNoCommunication
    unsure = set(batch.source_time[batch.status == 1 << 30].tolist()) - lost
    for time in unsure & set(reasons):
        assert reasons[time] != 0


@pytest.mark.parametrize("kind", list(KINDS))
def test_nan_that_calls_itself_good_is_no_data(kind: str) -> None:
    count = INPUTS.get(kind, 1)
    batch = SampleBatch.of(list(range(count)), [5] * count, [np.nan] * count)
    assert condition(kind).open().update(batch).status.tolist() == [StatusCode.BadNoData]


@pytest.mark.parametrize("kind", list(KINDS))
def test_nothing_in_is_nothing_out(kind: str) -> None:
    opened = condition(kind).open()
    assert not len(opened.update(SampleBatch.empty()))
    assert not len(opened.tick(10_000))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_clock_that_is_set_back_stops_nothing(kind: str) -> None:
    count = INPUTS.get(kind, 1)
    opened = condition(kind).open()
    day = 86_400_000
    value = {"ne43": 12.0, "current_state": 5.0, "current_power": 5.0}.get(kind)
    for start in (2 * day, day):
        rows = [
            (signal, start + 250 * n, (start // day == 1) + n // 4 if value is None else value)
            for n in range(600)
            for signal in range(count)
        ]
        signal, time, values = zip(*rows, strict=True)
        if kind in {"stack_light", "contact_state"}:
            values = tuple(1 if s == 1 else 0 for s in signal)
        out = opened.update(SampleBatch.of(signal, time, values))
        late = out.source_time >= start + 10_000
        assert late.sum() >= 500
        assert not is_bad(out.status[late]).any()
