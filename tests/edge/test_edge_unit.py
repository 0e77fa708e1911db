"""From the device's unit to the published one: once, before filter and conditioning."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from edge.filter import Filter
from edge.scaling import Scaling
from edge.stage import PUBLISHED, Stage
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.load import load
from plant.model.signal import Signal
from simulators.peer import KINDS as PEERS
from tests.edge.test_edge_service import Record, edge, stopped
from twin.historian import KINDS as HISTORIANS

KINDS: Any = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
NAME = {"en": "M"}
NOW = 1_795_000_000_000


def _plant(folder: Path, signals: dict[str, Any], source: dict[str, Any] | None = None) -> Any:
    io = source or {"kind": "modbus", "host": "127.0.0.1", "port": 502}
    given = {
        "kaikou": 1, "enterprise": "test", "site": {"id": "u", "name": NAME, "timezone": "UTC"},
        "broker": {"host": "127.0.0.1", "port": 9},
        "edges": {"edge1": {"name": NAME, "sources": {"io": io}}},
        "assets": {"press": {"type": "press", "name": NAME, "edge": "edge1", "signals": signals}},
    }  # fmt: skip
    file = folder / "plant.yaml"
    file.write_text(yaml.safe_dump(given, allow_unicode=True), "utf-8")
    return load(file, KINDS, {})


def _read(register: int, **more: Any) -> dict[str, Any]:
    return {"source": "io", "at": f"input:{register} uint16", **more}


def _signals(folder: Path, signals: dict[str, Any]) -> list[Signal]:
    found = _plant(folder, signals).assets["press"].signals
    return [s for s in found if s.id in signals]


def test_a_deadband_and_a_range_hold_in_the_published_unit(tmp_path: Path) -> None:
    power = _signals(tmp_path, {"power": _read(0, unit="W", deadband=50, range=[0, 20_000])})
    raw = SampleBatch.of([0] * 4, [NOW + i for i in range(4)], [12_500, 12_549, 12_550, 20_001])
    rows = Scaling(power, [0]).apply(raw, ManualClock(NOW))
    assert rows.value.tolist() == [12.5, 12.549, 12.55, 20.001]
    told = Filter(power).report(rows)
    assert told.value.tolist() == [12.5, 12.55, 20.001]
    assert told.status.tolist() == [0, 0, StatusCode.UncertainEngineeringUnitsExceeded]


def test_a_number_that_is_no_state_is_uncertain_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    door = {"name": NAME, "kind": "state", "states": {0: {"en": "Shut"}, 5: {"en": "Open"}}}
    doors = _signals(tmp_path, {"door": door | _read(0), "hatch": door | _read(1, scale=0.5)})
    given = [(0, 0.0), (0, 5.0), (0, 3.0), (1, 10.0), (1, 3.0), (0, 65_535.0), (0, np.nan)]
    signal, value = zip(*given, strict=True)
    raw = SampleBatch.of(list(signal), [NOW + i for i in range(7)], list(value))
    with caplog.at_level(logging.WARNING):
        scaling = Scaling(doors, [0, 1])
        status = scaling.apply(raw, ManualClock(NOW)).status.tolist()
        scaling.apply(raw, ManualClock(NOW))
    strange = StatusCode.UncertainEngineeringUnitsExceeded
    assert status == [0, 0, strange, 0, strange, strange, StatusCode.BadNoData]
    told = [r.getMessage() for r in caplog.records]
    assert told == [
        "press/door: 3 is none of its states: 0 Shut, 5 Open",
        "press/hatch: 1.5 is none of its states: 0 Shut, 5 Open",
        "press/door: 65535 is none of its states: 0 Shut, 5 Open",
    ]


def _conditioned(signals: list[Signal], rows: SampleBatch, saved: Any = None) -> Any:
    stage = Stage(signals, saved or {})
    out = stage.process(rows, NOW)
    made = next(at for at, s in enumerate(signals) if s.condition is not None)
    values = out.value[out.signal == made].tolist()
    return values, stage.saved(np.array([made], np.int32))


def test_conditions_work_in_their_own_unit(tmp_path: Path) -> None:
    raw = {"name": NAME, "kind": "measurement", "hidden": True}
    estimate = {"kind": "current_power", "voltage_v": 380, "power_factor": 0.8}
    signals = {"amps": raw | _read(0, unit="mA"), "power": {"of": ["amps"], "condition": estimate}}
    found = _signals(tmp_path, signals)
    at = next(i for i, s in enumerate(found) if s.id == "amps")
    values, _ = _conditioned(found, SampleBatch.of([at], [NOW], [10_000.0]))
    assert values == pytest.approx([5.265], abs=1e-3)


def test_a_loops_span_is_in_the_unit_beside_it(tmp_path: Path) -> None:
    raw = {"name": NAME, "kind": "measurement", "hidden": True}
    span = {"kind": "ne43", "at_4_ma": 0, "at_20_ma": 25}
    signals = {
        "loop": raw | _read(0, unit="mA"),
        "pressure": {"unit": "MPa", "of": ["loop"], "condition": span},
    }
    found = _signals(tmp_path, signals)
    at = next(i for i, s in enumerate(found) if s.id == "loop")
    values, _ = _conditioned(found, SampleBatch.of([at], [NOW], [12.0]))
    assert values == [125.0]  # bar


def test_a_total_stays_in_the_published_unit_whatever_the_pulses_are_in(tmp_path: Path) -> None:
    raw = {"name": NAME, "kind": "counter", "hidden": True}
    pulses = {"kind": "pulse_count", "per_pulse": 100, "ceiling_per_s": 5}
    signals = {
        "s0": raw | _read(0),
        "energy": {"unit": "Wh", "of": ["s0"], "condition": pulses},
    }
    found = _signals(tmp_path, signals)
    at = next(i for i, s in enumerate(found) if s.id == "s0")
    rows = SampleBatch.of([at] * 2, [NOW, NOW + 1000], [10.0, 12.0])
    kept = {"total": 1000.0, PUBLISHED: 1.0}
    values, saved = _conditioned(found, rows, {"press/energy": kept})
    assert values == [1000.0, 1000.2]
    before = {"total": 1_000_000.0}  # of a version that published what the pulses are in
    assert _conditioned(found, rows, {"press/energy": before})[0] == [1000.0, 1000.2]
    assert saved["press/energy"]["total"] == 1000.0  # kWh, the base; 2 pulses beside it
    later = SampleBatch.of([at], [NOW + 2000], [13.0])
    again, _ = _conditioned(found, later, saved)
    assert again == pytest.approx([1000.3])


async def test_watts_of_a_device_are_durable_as_kilowatts(tmp_path: Path) -> None:
    async with PEERS["modbus"](count=2, folder=tmp_path) as peer:
        await peer.show([12_500.0, 974.0])
        signals = {
            "power": {"source": "io", "at": peer.points[0], "unit": "W"},
            "energy": {"source": "io", "at": peer.points[1], "unit": "Wh"},
        }
        plant = _plant(tmp_path, signals, peer.source() | {"poll_ms": 50})
        record = Record(plant)
        task = await edge(plant, tmp_path / "edge1", record)
        await record.until(lambda: record.of("press/power") and record.of("press/energy"))
        await stopped(task)
    assert [(v, s) for _, v, s in record.of("press/power")] == [(12.5, 0)]
    assert [(v, s) for _, v, s in record.of("press/energy")] == [(0.974, 0)]
