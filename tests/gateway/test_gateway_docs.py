"""The description of the interface, and the page about it."""

import re
from pathlib import Path

from gateway.app import create_app

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"


def _methods() -> dict[str, dict[str, dict]]:
    paths: dict[str, dict[str, dict]] = create_app(None).openapi()["paths"]
    return paths


def test_the_page_names_every_address_and_no_other() -> None:
    there = {f"{m.upper()} {path}" for path, methods in _methods().items() for m in methods}
    named = set(re.findall(r"`((?:GET|POST) /[\w/-]+)`", PAGE.read_text("utf-8")))
    assert named == there


def test_everything_is_described_with_its_refusals() -> None:
    for path, methods in _methods().items():
        for what in methods.values():
            assert what.get("description"), path
            if path.startswith("/api/"):
                assert what["responses"]["422"]["content"]["application/json"]["schema"] == {
                    "$ref": "#/components/schemas/RefusalAnswer"
                }
            for parameter in what.get("parameters", ()):
                schema = parameter["schema"]
                options = [schema, *schema.get("anyOf", ())]
                known = any({"maximum", "maxLength", "maxItems", "enum"} & set(o) for o in options)
                assert known, f"{path}: {parameter['name']} has no bound"
