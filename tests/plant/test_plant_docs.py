"""The example in docs/plant-yaml.md is a plant that loads."""

import re
from pathlib import Path

from deploy import type_page
from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.model.load import load
from plant.model.unit_page import within
from twin.historian import KINDS as HISTORIANS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_of_plant_yaml_loads(tmp_path: Path) -> None:
    text = (DOCS / "plant-yaml.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    file = tmp_path / "plant.yaml"
    file.write_text(example[1], "utf-8")
    kinds = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
    plant = load(file, kinds, {"KAIKOU_MQTT_PASSWORD": "from the environment"})
    assert plant.group == "acme-works"
    assert plant.assets["saw"].line == "housings"
    assert plant.assets["lathe"].signal("vibration") is not None


def test_the_page_of_machine_types_is_current() -> None:
    text = (DOCS / "machine-types.md").read_text("utf-8")
    assert text == type_page.within(text), "run: python -m deploy.type_page docs/machine-types.md"


def test_the_page_of_units_is_current() -> None:
    text = (DOCS / "units.md").read_text("utf-8")
    assert text == within(text), "run: python -m plant.model.unit_page docs/units.md"
