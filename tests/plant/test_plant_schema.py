"""The committed JSON Schema is the one the code makes, and every key of it is documented."""

from pathlib import Path

from plant.model import shape
from plant.model.schema import schema_text

DOCS = Path(__file__).parents[2] / "docs"


def test_the_schema_is_current() -> None:
    committed = (DOCS / "plant.schema.json").read_text("utf-8")
    assert committed == schema_text(), "run: python -m plant.model.schema docs/plant.schema.json"


def test_every_key_of_plant_yaml_is_documented() -> None:
    text = (DOCS / "plant-yaml.md").read_text("utf-8")
    models = [
        shape.PlantShape,
        shape.SiteShape,
        shape.BrokerShape,
        shape.OutboxShape,
        shape.OpcUaShape,
        shape.GatewayShape,
        shape.EdgeShape,
        shape.LineShape,
        shape.AssetShape,
        shape.SignalShape,
        shape.CalendarShape,
        shape.ShiftShape,
        shape.RotationShape,
        shape.CrewShape,
        shape.ProductShape,
        shape.ReasonShape,
        shape.TypeShape,
        shape.StateRuleShape,
    ]
    keys = {f.alias or key for model in models for key, f in model.model_fields.items()}
    missing = sorted(key for key in keys if f"`{key}`" not in text)
    assert missing == []
