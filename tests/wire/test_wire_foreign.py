"""A foreign node that plant.yaml names: its values come in the units of the plant."""

from pathlib import Path

import pytest

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.flow.live import SignalTable
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.load import load
from plant.model.plant import PUBLISHERS, Plant
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.codec import encode_metrics
from plant.wire.edge_session import EdgeSession
from plant.wire.host_event import Data, Refused
from plant.wire.host_session import HostSession
from plant.wire.message import Runs
from plant.wire.ownership import Ownership
from twin.historian import KINDS as HISTORIANS

NOW = 1_795_000_000_000
PLANT = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂}, timezone: Asia/Shanghai}
units: {scfm: {}}
edges: {ignition: {name: {en: Ignition}}}
assets:
  oven:
    type: machine
    name: {zh: 烘箱}
    edge: ignition
    signals:
      power: {by: edge, unit: W, range: [0, 20000]}
      energy: {by: edge}
      temperature: {name: {en: T}, kind: measurement, unit: °C, by: edge}
      run: {name: {en: Run}, kind: state, by: edge, states: {0: {en: Off}, 1: {en: On}}}
"""
UNCERTAIN = int(StatusCode.UncertainEngineeringUnitsExceeded)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT, "utf-8")
    kinds = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
    return load(file, kinds, {})


def heard(plant, metrics, later=(), runs=None):  # type: ignore[no-untyped-def]
    """path -> (value, status) in order, and refusals, after births and one message of data.

    ``metrics``: name -> (value, engUnit); ``later``: (place among them, value).
    """
    table = SignalTable()
    own = [*plant.edges, *PUBLISHERS]
    host = HostSession(plant.group, own, table, ownership=Ownership.of(plant))
    edge = EdgeSession(plant.group, "ignition")
    edge.will(0)
    births = [
        MetricBirth(
            name, 128 + n, value=value, time=NOW, properties={"engUnit": unit} if unit else {}
        )
        for n, (name, (value, unit)) in enumerate(metrics.items())
    ]
    messages = list(edge.birth(NOW, [DeviceBirth("oven", births)], runs, ()))
    if later:
        alias, value = zip(*later, strict=True)
        rows = SampleBatch.of(list(alias), [NOW + 1] * len(alias), list(value))
        body = encode_metrics([128 + n for n in range(len(metrics))], rows)
        messages.append(edge.data("oven", body, NOW + 1))
    events = [e for m in messages for e in host.on_message(m.topic, m.payload, 1.0)]
    found: dict[str, list[tuple[float, int]]] = {}
    for event in events:
        if isinstance(event, Data):
            columns = (event.samples.signal, event.samples.value, event.samples.status)
            for signal, value, status in zip(*(c.tolist() for c in columns), strict=True):
                found.setdefault(table.path(signal), []).append((value, status))
    return found, [e.reason for e in events if isinstance(e, Refused)]


def test_the_unit_of_its_birth_is_converted_in_births_and_data(plant: Plant) -> None:
    metrics = {"power": (12_500.0, "W"), "energy": (3.6, "MJ"), "temperature": (212.0, "°F")}
    found, refused = heard(plant, metrics, [(0, 6000.0), (1, 7.2), (2, 32.0)])
    assert refused == []
    assert found["oven/power"] == [(12.5, 0), (6.0, 0)]
    assert [v for v, _ in found["oven/energy"]] == pytest.approx([1.0, 2.0])
    assert [v for v, _ in found["oven/temperature"]] == pytest.approx([100.0, 0.0])


def test_a_unit_that_only_plant_yaml_tells_is_converted(plant: Plant) -> None:
    found, _ = heard(plant, {"power": (12_500.0, None), "energy": (7.0, None)})
    assert found == {"oven/power": [(12.5, 0)], "oven/energy": [(7.0, 0)]}


def test_a_unit_that_cannot_be_converted_is_refused_and_told(plant: Plant) -> None:
    metrics = {"power": (80.0, "°C"), "energy": (1.0, "scfm"), "temperature": (20.0, "Cel")}
    found, refused = heard(plant, metrics, [(0, 81.0), (1, 2.0), (2, 21.0)])
    assert found == {"oven/temperature": [(20.0, 0), (21.0, 0)]}
    assert any("oven/power is in '°C' by its birth and in 'kW'" in text for text in refused)
    assert any("oven/energy" in text for text in refused)


def test_what_is_out_of_range_or_no_state_is_uncertain(plant: Plant) -> None:
    found, _ = heard(plant, {"run": (1.0, None), "power": (1.0, "kW")}, [(0, 7.0), (1, 21.0)])
    assert found["oven/run"] == [(1.0, 0), (7.0, UNCERTAIN)]
    assert found["oven/power"] == [(1.0, 0), (21.0, UNCERTAIN)]


def test_rows_of_an_edge_of_ours_are_not_converted_again(plant: Plant) -> None:
    found, _ = heard(plant, {"power": (12.5, "kW"), "energy": (1.0, "MJ")}, runs=Runs("r1"))
    assert found["oven/power"] == [(12.5, 0)]
    assert found["oven/energy"] == [(1.0, 0)]
