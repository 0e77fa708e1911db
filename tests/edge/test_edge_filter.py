"""Report by exception as columns equals report by exception one sample at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.filter import Filter
from edge.scaling import Scaling
from edge.source import Answer
from edge.stage import Stage
from plant.errors import ConfigError
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.signal import Label, Signal, SignalKind


def signal(id: str, **more: object) -> Signal:
    given = {"kind": SignalKind.MEASUREMENT, **more}
    return Signal(f"a/{id}", "a", id, Label(id, id), **given)  # type: ignore[arg-type]


SIGNALS = [
    signal("x"),
    signal("y", deadband=0.5),
    signal("z", deadband=0.1, max_interval=1.0),
    signal("all", max_interval=0.0),
]
Row = tuple[int, int, float, int]


class OneByOne:
    """The rule, written plainly."""

    def __init__(self) -> None:
        self.last: dict[int, Row] = {}

    def passes(self, row: Row) -> bool:
        index, time, value, status = row
        last = self.last.get(index)
        if last is None:
            self.last[index] = row
            return True
        of = SIGNALS[index]
        moved = abs(value - last[2])
        new = (
            status != last[3]
            or math.isnan(value) != math.isnan(last[2])
            or (moved > 0 and moved >= of.deadband * (1 - 1e-9))
            or (time != last[1] and abs(time - last[1]) >= of.max_interval * 1000)
        )
        if new:
            self.last[index] = row
        return new


rows = st.lists(
    st.tuples(
        st.integers(0, len(SIGNALS) - 1),
        st.integers(0, 4000),
        st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 1.5]), st.just(float("nan"))),
        st.sampled_from([0, int(StatusCode.Uncertain), int(StatusCode.BadNoData)]),
    ),
    max_size=30,
)


def kept(batch: list[Row]) -> list[Row]:
    """Of one millisecond only the last of a signal."""
    return [
        row
        for at, row in enumerate(batch)
        if not any(later[:2] == row[:2] for later in batch[at + 1 :])
    ]


@settings(max_examples=300)
@given(st.lists(rows, max_size=5))
def test_equals_one_sample_at_a_time(batches: list[list[Row]]) -> None:
    columns, plain = Filter(SIGNALS), OneByOne()
    for batch in batches:
        wanted = [row for row in kept(batch) if plain.passes(row)]
        if not batch:
            continue
        out = columns.report(SampleBatch.of(*zip(*batch, strict=True)))
        got = zip(
            out.signal.tolist(),
            out.source_time.tolist(),
            out.value.tolist(),
            out.status.tolist(),
            strict=True,
        )
        assert [(s, t, repr(v), q) for s, t, v, q in got] == [
            (s, t, repr(v), q) for s, t, v, q in wanted
        ]


def test_a_change_of_status_always_passes() -> None:
    one = Filter([signal("x", deadband=100.0)])
    statuses = [0, 0, StatusCode.BadNoCommunication, StatusCode.BadNoCommunication, 0]
    batch = SampleBatch.of([0] * 5, range(5), [1, 1, np.nan, np.nan, 1], statuses)
    assert one.report(batch).source_time.tolist() == [0, 2, 4]


def test_another_value_or_status_under_the_same_time_is_a_correction() -> None:
    one = Filter([signal("x")])
    one.report(SampleBatch.of([0], [5], [1.0]))
    assert one.report(SampleBatch.of([0], [5], [2.0])).value.tolist() == [2.0]
    assert not len(one.report(SampleBatch.of([0], [5], [2.0])))  # the same again
    bad = SampleBatch.of([0], [5], [np.nan], [StatusCode.BadSensorFailure])
    assert one.report(bad).status.tolist() == [StatusCode.BadSensorFailure]
    assert one.doubled == 0


def test_of_two_values_of_one_millisecond_beside_each_other_the_first_is_counted() -> None:
    one = Filter([signal("x")])
    assert one.report(SampleBatch.of([0, 0], [6, 6], [2.0, 3.0])).value.tolist() == [3.0]
    assert one.doubled == 1


def test_texts_are_reported_when_they_change() -> None:
    one = Filter([signal("t", kind=SignalKind.TEXT)])
    told = [Text(0, at, text) for at, text in ((0, "A"), (10, "A"), (20, "B"), (60_020, "B"))]
    assert [t.time for t in one.texts(told)] == [0, 20, 60_020]


def test_a_text_that_was_lost_is_reported_again_when_it_is_back() -> None:
    one = Filter([signal("t", kind=SignalKind.TEXT)])
    one.texts([Text(0, 0, "A")])
    one.report(SampleBatch.of([0], [5], [np.nan], [StatusCode.BadNoCommunication]))
    assert [t.text for t in one.texts([Text(0, 10, "A"), Text(0, 11, "A")])] == ["A"]


# ---------------------------------------------------------------------------------------- scaling


def scaled(batch: SampleBatch, *signals: Signal, now: int = 1000) -> SampleBatch:
    scaling = Scaling(signals, [10 + i for i in range(len(signals))])
    return scaling.apply(batch, ManualClock(now))


def test_scale_offset_and_range() -> None:
    measured = signal("t", scale=0.01, offset=-50.0, range=(0.0, 100.0))
    out = scaled(SampleBatch.of([0, 0, 0], [1, 2, 3], [6674, 0, np.nan]), measured)
    assert out.signal.tolist() == [10, 10, 10]
    assert out.value[:2].tolist() == [pytest.approx(16.74), -50.0]
    assert out.status.tolist() == [
        0,
        StatusCode.UncertainEngineeringUnitsExceeded,
        StatusCode.BadNoData,
    ]


def test_bad_has_no_value_and_keeps_its_reason() -> None:
    out = scaled(SampleBatch.of([0], [1], [5.0], [StatusCode.BadDeviceFailure]), signal("x"))
    assert np.isnan(out.value[0])
    assert out.status.tolist() == [StatusCode.BadDeviceFailure]


def test_an_infinite_value_is_none() -> None:
    out = scaled(SampleBatch.of([0, 0], [1, 2], [np.inf, -np.inf]), signal("x", scale=0.5))
    assert np.isnan(out.value).all()
    assert out.status.tolist() == [StatusCode.BadNoData] * 2


def test_far_in_the_future_and_estimated_are_uncertain() -> None:
    batch = SampleBatch.of([0, 1, 0], [1000, 1000, 20_000], [1.0, 1.0, 1.0])
    out = scaled(batch, signal("x"), signal("e", estimated=True))
    assert out.status.tolist() == [0, StatusCode.Uncertain, StatusCode.Uncertain]


def test_a_device_with_a_dead_clock_is_dated_when_it_was_read() -> None:
    now = 1_795_000_000_000
    batch = SampleBatch.of([0, 0, 0], [0, 946_684_800_000, now - 5], [1.0, 2.0, 3.0])
    out = scaled(batch, signal("x"), now=now)
    assert out.source_time.tolist() == [now, now, now - 5]
    assert out.status.tolist() == [StatusCode.Uncertain, StatusCode.Uncertain, 0]


def test_a_clock_that_is_not_trusted_makes_uncertain() -> None:
    scaling = Scaling([signal("x")], [0])
    out = scaling.apply(SampleBatch.of([0], [1], [1.0]), ManualClock(1), trusted=False)
    assert out.status.tolist() == [StatusCode.Uncertain]


def test_strings_and_numbers_go_where_they_belong() -> None:
    scaling = Scaling([signal("x"), signal("t", kind=SignalKind.TEXT)], [0, 1])
    answer = Answer(
        SampleBatch.of([0, 1], [5, 6], [1.0, 42.0]), [Text(0, 7, "rubbish"), Text(1, 8, "O1234")]
    )
    samples, texts = scaling.sort(answer)
    assert samples.value[0] == 1.0
    assert samples.status.tolist() == [0, StatusCode.BadDecodingError]
    assert [(t.signal, t.text) for t in texts] == [(1, "O1234"), (1, "42")]


# ------------------------------------------------------------------------------------------ stage


def test_a_condition_may_build_on_another() -> None:
    from edge.conditioning import KINDS

    power = KINDS["current_power"](kind="current_power", voltage_v=400, power_factor=1.0)
    level = KINDS["ne43"](kind="ne43", at_4_ma=0.0, at_20_ma=100.0)
    chain = [
        signal("power", condition=power, inputs=("a/amps",)),
        signal("amps", condition=level, inputs=("a/loop",)),
        signal("loop"),
    ]
    stage = Stage(chain, {})
    out = stage.process(SampleBatch.of([2], [1000], [12.0]), 1000)
    assert sorted(set(out.signal.tolist())) == [0, 1, 2]
    newest = dict(zip(out.signal.tolist(), out.value.tolist(), strict=True))
    assert newest[1] == 50.0
    assert newest[0] == pytest.approx(math.sqrt(3) * 400 * 50 / 1000)


def test_what_is_saved_comes_with_the_signals_rows() -> None:
    from edge.conditioning import KINDS

    count = KINDS["pulse_count"](kind="pulse_count", ceiling_per_s=10.0)
    signals = [signal("count", condition=count, inputs=("a/raw",)), signal("raw")]
    stage = Stage(signals, {"a/count": {"total": 100.0, "raw": 7.0, "time": 0.0}})
    out = stage.process(SampleBatch.of([1], [1000], [9.0]), 1000)
    assert out.value[out.signal == 0].tolist() == [102.0]
    assert stage.saved(np.array([1], np.int32)) == {}
    kept = stage.saved(out.signal)["a/count"]
    assert (kept["total"], kept["pulses"], kept["raw"]) == (100.0, 2.0, 9.0)
    assert stage.saved(out.signal) == {}


def test_an_edge_must_be_named_where_there_are_several() -> None:
    from types import SimpleNamespace
    from typing import Any

    from edge.service import choose

    plant: Any = SimpleNamespace(edges={"a": 1, "b": 2})
    assert choose(plant, "b") == 2  # type: ignore[comparison-overlap]
    with pytest.raises(ConfigError, match="a, b"):
        choose(plant, None)
