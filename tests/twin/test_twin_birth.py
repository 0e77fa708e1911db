"""What strange births may do to the historian's list of signals."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from deploy.argument import DEMO_PLANT
from deploy.kinds import kinds
from plant.flow.live import SignalTable
from plant.flow.port import Series
from plant.model.load import load
from plant.wire.birth import PLANT_HASH
from plant.wire.host_event import Born
from plant.wire.message import Metric
from plant.wire.ownership import Ownership
from plant.wire.topic import NodeId
from twin import birth
from twin.declared import Declared

PASSWORDS = {"KAIKOU_OPCUA_PASSWORD": "correct-horse", "KAIKOU_MILL_PASSWORD": "battery-staple"}
STRANGER = NodeId("far", "n")


class Writer:
    """A historian that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Series] = []

    def declare(self, series: Sequence[Series]) -> None:
        self.told += series


def born(unit: object, node: NodeId = STRANGER, **properties: object) -> Born:
    metric = Metric("t", 1, 1, 10, 1.0, properties={"engUnit": unit, **properties})  # type: ignore[dict-item]
    return Born(node, None, np.zeros(0, np.int32), False, metrics=[metric])


def test_a_stranger_that_says_another_unit_each_time_does_not_fill_the_historian(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(birth, "CHANGES", 3)
    plant = load(DEMO_PLANT, kinds(), PASSWORDS)
    declared, writer = Declared(SignalTable(), ()), Writer()
    births = birth.Births(plant, declared, Ownership.of(plant))
    with caplog.at_level(logging.WARNING, "kaikou.twin"):
        for number in range(100):
            births.take(born(f"unit{number}"))
            declared.tell(writer)  # type: ignore[arg-type]
    assert [series.unit for series in writer.told] == ["unit0", "unit1", "unit2", "unit3"]
    assert len(caplog.records) == 4
    births.take(born("unit3"))
    declared.tell(writer)  # type: ignore[arg-type]
    assert len(writer.told) == 4, "and what it said last of all that was taken still holds"


def test_what_one_node_says_without_end_leaves_the_others_their_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(birth, "CHANGES", 3)
    plant = load(DEMO_PLANT, kinds(), PASSWORDS)
    (edge,) = plant.edges
    mine, analytics = NodeId(plant.group, edge), NodeId(plant.group, "kaikou_analytics")
    declared, writer = Declared(SignalTable(), ()), Writer()
    births = birth.Births(plant, declared, Ownership.of(plant))
    with caplog.at_level(logging.WARNING, "kaikou.twin"):
        for number in range(200):
            hash = Metric(PLANT_HASH, None, 1, 12, f"other{number}")
            births.take(replace(born(f"unit{number}"), announced=True))
            births.take(Born(analytics, None, np.zeros(0, np.int32), True, metrics=[hash]))
        assert len(caplog.records) < 100
        caplog.clear()
        for unit in ("kW", "kWh"):
            births.take(born(unit, mine))
            declared.tell(writer)  # type: ignore[arg-type]
        refused = Born(mine, "saw", np.zeros(0, np.int32), True, refused=["state"])
        gap = births.take(refused)
        assert births.take(refused) is None
    assert writer.told[-1].unit == "kWh", "another node used up its changes, not this one's"
    assert gap is not None
    assert gap.signals == ("saw/state",)


@pytest.mark.parametrize("odd", [float("inf"), float("nan"), -1.0, 1e300, "soon", True, None])
def test_a_property_that_is_no_number_is_none(odd: object) -> None:
    event = born("kW", max_interval_s=odd, modulus=odd, kind=odd)
    series = birth.series_of_birth("far/n/t", event.metrics[0])
    assert (series.modulus in {None, 1.0}, series.hold_ms in {0, 3000}) == (True, True)
