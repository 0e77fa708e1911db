"""Energy by state, kept up in pieces, equals energy of the whole; estimates stay Uncertain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.consumption import Consumption
from analytics.unassigned import Unassigned
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad, is_good
from plant.model.packml import PackML
from plant.model.plant import Asset
from plant.model.signal import Label, Origin, Signal, SignalKind

NAME = Label("机", "Machine")
HOUR = 3_600_000
GROUPS = ("producing", "waiting", "stopped", "unknown")


def _signal(id: str, kind: SignalKind, unit: str = "", origin: Origin = Origin.EDGE) -> Signal:
    return Signal(f"m/{id}", "m", id, NAME, kind, unit, origin=origin)


def _asset(*, metered: bool) -> Asset:
    signals = [
        _signal("state", SignalKind.STATE, origin=Origin.TWIN),
        _signal("power", SignalKind.MEASUREMENT, "kW"),
        _signal("part_count", SignalKind.COUNTER),
        *(_signal(f"energy_{g}_kwh", SignalKind.COUNTER, "kWh") for g in GROUPS),
        _signal("energy_per_part_kwh", SignalKind.MEASUREMENT, "kWh"),
    ]
    if metered:
        signals.append(_signal("energy", SignalKind.COUNTER, "kWh"))
    return Asset("m", "machine", NAME, "machine", "edge1", None, tuple(signals))


def _rows(paths: list[str], rows: list[tuple[int, str, float]]) -> SampleBatch:
    rows = sorted(rows)
    index = [paths.index(f"m/{id}") for _, id, _ in rows]
    return SampleBatch.of(index, [t for t, _, _ in rows], [v for _, _, v in rows])


def test_estimated_power_becomes_uncertain_energy_by_state() -> None:
    estimator = Consumption(_asset(metered=False))
    rows = _rows(
        list(estimator.inputs),
        [
            (0, "state", PackML.Execute),
            (0, "power", 20.0),
            (HOUR // 10, "state", PackML.Suspended),
            (HOUR // 10, "power", 4.0),
            (0, "part_count", 0),
            (HOUR // 20, "part_count", 3),
        ],
    )
    out = estimator.update(rows, HOUR // 5)
    values = dict(zip(estimator.outputs, out.value.tolist(), strict=True))
    assert values["m/energy_producing_kwh"] == pytest.approx(2.0)
    assert values["m/energy_waiting_kwh"] == pytest.approx(0.4)
    assert not is_good(out.status).any()
    assert not is_bad(out.status[:4]).any()


def test_a_metered_machine_is_good_and_its_reset_is_an_event() -> None:
    estimator = Consumption(_asset(metered=True))
    minute = 60_000
    readings = [100.0, 100.5, 101.0, 0.0, 0.5, 1.0, 1.5]
    rows = _rows(
        list(estimator.inputs),
        [
            (0, "state", PackML.Execute),
            *((i * minute, "energy", v) for i, v in enumerate(readings)),
        ],
    )
    out = estimator.update(rows, 7 * minute)
    assert out.value[0] == pytest.approx(1.0 + 1.5)
    assert is_good(out.status[:4]).all()
    assert [e.kind for e in estimator.events()] == ["meter.reset"]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.0, 2.0, 5.0, 6.0])), max_size=20),
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 30)), min_size=1, max_size=30),
    st.lists(st.integers(1, 1800), max_size=6),
    st.booleans(),
)
def test_in_pieces_equals_at_once(
    states: list[tuple[int, float]],
    powers: list[tuple[int, float]],
    cuts: list[int],
    metered: bool,
) -> None:
    rows: list[tuple[int, str, float]] = []
    time = 0
    for step, value in states:
        rows.append((time, "state", value))
        time += step * 1000
    time, register = 0, 0.0
    for step, value in powers:
        rows.append((time, "power", value))
        if metered:
            rows.append((time, "energy", register))
        time += step * 1000
        register += value * step / 3600
    end = 1800_000 + 1000

    def run(ends: list[int]) -> list[float]:
        estimator = Consumption(_asset(metered=metered))
        batch = _rows(list(estimator.inputs), rows)
        since = -1
        for until in ends:
            part = batch.take((batch.source_time > since) & (batch.source_time <= until))
            out = estimator.update(part, until)
            since = until
        return [float(v) for v in out.value[:4]]

    pieces = run([*sorted({c * 1000 + 7 for c in cuts}), end])
    assert pieces == pytest.approx(run([end]), abs=1e-9)


def test_saved_totals_go_on_in_the_next_process() -> None:
    first = Consumption(_asset(metered=True))
    paths = list(first.inputs)
    first.update(
        _rows(paths, [(0, "state", 6.0), (0, "energy", 10.0), (HOUR, "energy", 12.0)]), HOUR
    )
    second = Consumption(_asset(metered=True))
    second.restore(first.saved())
    rows = _rows(paths, [(HOUR, "state", 6.0), (2 * HOUR, "energy", 15.0)])
    assert second.update(rows, 2 * HOUR).value[0] == pytest.approx(5.0)


def test_unassigned_may_be_negative_and_says_what_it_rests_on() -> None:
    estimator = Unassigned("rest", ["incomer/power", "a/power", "b/power"], "incomer/energy", [])
    rows = SampleBatch.of([0, 1, 2], [0, 0, 0], [10.0, 6.0, 7.0])
    out = estimator.update(rows, 1000)
    assert (out.value[0], out.status[0]) == (-3.0, StatusCode.Good)
    estimated = SampleBatch.of([1], [2000], [5.0], [StatusCode.UncertainSubNormal])
    out = estimator.update(estimated, 2000)
    assert (out.value[0], out.status[0]) == (-2.0, StatusCode.UncertainSubNormal)
    gone = SampleBatch.of([0], [3000], [np.nan], [StatusCode.BadNoCommunication])
    assert is_bad(estimator.update(gone, 3000).status).all()
