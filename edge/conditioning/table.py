"""The reference of all kinds of conditioning, made from their classes.

``python -m edge.conditioning.table docs/adapters.md`` writes it between its two marks; a test
holds it current.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from edge.conditioning import KINDS
from edge.conditioning.condition import ConditionModel

BEGIN = "<!-- conditioning: made by python -m edge.conditioning.table docs/adapters.md -->"
END = "<!-- end of conditioning -->"


def markdown() -> str:
    """All kinds, one after the other."""
    return "\n".join(line for name in KINDS for line in _kind(name, KINDS[name]))


def within(text: str) -> str:
    """A page with the reference in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def _kind(name: str, model: type) -> Iterator[str]:
    if not issubclass(model, ConditionModel):
        raise TypeError(f"{name}: {model} is no ConditionModel")
    yield f"\n### {name}\n"
    module = inspect.getdoc(inspect.getmodule(model)) or ""
    yield _plain(module) + "\n"
    yield _plain(inspect.getdoc(model) or "") + "\n"
    yield "| parameter | takes | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in model.model_fields.items():
        if key != "kind":
            yield f"| `{key}` | {_type(field)} | {_default(field)} | {field.description} |"
    if model.STATES:
        states = ", ".join(f"{n} {label.en} ({label.zh})" for n, label in model.STATES.items())
        yield f"\nStates: {states}."


def _plain(text: str) -> str:
    """A docstring without examples, one line for a paragraph, ``x`` as `x`."""
    prose = text.partition(">>>")[0].replace("``", "`").strip()
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", prose))


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(str(value) for value in get_args(annotation))
    names = {float: "number", int: "whole number", bool: "true, false", str: "text"}
    if annotation in names:
        return names[annotation]
    text = str(annotation)
    if "Literal" in text:
        return "list of " + ", ".join(re.findall(r"'(\w+)'", text))
    if text.startswith("tuple[tuple"):
        return "list of pairs"
    return "list of names" if text.startswith("tuple") else "number"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(within(page.read_text("utf-8")), "utf-8")
