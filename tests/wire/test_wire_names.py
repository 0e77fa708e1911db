"""Names on the wire are unique, also when case is not looked at."""

from pathlib import Path

import pytest

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.errors import ConfigError
from plant.model.load import load
from twin.historian import KINDS as HISTORIANS

KINDS = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
PLANT = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂, en: Works}, timezone: Asia/Shanghai}
edges:
  edge1:
    name: {zh: 一, en: One}
    sources: {io: {kind: modbus, host: 127.0.0.1, port: 502, poll_ms: 500}}
  EDGE: {name: {zh: 二, en: Two}, sources: {}}
assets:
  oven:
    type: machine
    name: {zh: 炉, en: Oven}
    edge: edge1
    signals:
      zone: {name: {zh: 区, en: Zone}, kind: measurement, source: io, at: input:100 int16}
      ZONE: {name: {zh: 区, en: Zone}, kind: measurement, source: io, at: input:101 int16}
  DEVICE: {type: machine, name: {zh: 炉, en: Oven}, edge: edge1, signals: {}}
"""


def problems(folder: Path, text: str) -> str:
    file = folder / "plant.yaml"
    file.write_text(text, "utf-8")
    try:
        load(file, KINDS, {})
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("old", "new"), [("EDGE", "Edge1"), ("DEVICE", "Oven"), ("DEVICE", "edge1"), ("ZONE", "Zone")]
)
def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path, old: str, new: str) -> None:
    """tck: topic-structure-namespace-unique-edge-node-descriptor
    topic-structure-namespace-unique-device-id case-sensitivity-sparkplug-ids
    case-sensitivity-metric-names payloads-nbirth-edge-node-descriptor
    """
    text = PLANT.replace("ZONE", "zone2").replace("EDGE", "edge2").replace("DEVICE", "kiln")
    assert problems(tmp_path, text) == ""
    line = {"EDGE": "  EDGE:", "DEVICE": "  DEVICE:", "ZONE": "      ZONE:"}[old]
    broken = PLANT.replace(line, line.replace(old, new))
    broken = broken.replace("ZONE", "zone2").replace("EDGE", "edge2").replace("DEVICE", "kiln")
    assert "the id is already that of" in problems(tmp_path, broken)
