"""The JSON Schema of plant.yaml, so that editors complete and check it as it is written.

``python -m plant.model.schema docs/plant.schema.json`` writes it; a test holds it current.
"""

import json
import sys
from pathlib import Path

from plant.model.shape import PlantShape


def schema_text() -> str:
    """The schema as it is committed: stable order, one trailing newline."""
    schema = PlantShape.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "plant.yaml of Kaikou"
    return json.dumps(schema, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), "utf-8")
