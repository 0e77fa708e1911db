"""The reference of all source kinds, made from their classes.

``python -m edge.adapters.table docs/adapters.md`` writes it between its two marks; a test holds it
current.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from edge.adapters import KINDS

BEGIN = "<!-- sources: made by python -m edge.adapters.table docs/adapters.md -->"
END = "<!-- end of sources -->"


def markdown() -> str:
    """All kinds, one after the other."""
    return "\n".join(line for name in KINDS for line in _kind(name, KINDS[name]))


def within(text: str) -> str:
    """A page with the reference in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def _kind(name: str, model: Any) -> Iterator[str]:
    yield f"\n### {name}\n"
    yield _plain(inspect.getdoc(inspect.getmodule(model)) or "") + "\n"
    yield _plain(inspect.getdoc(model) or "") + "\n"
    yield from _fields(model)
    yield f"\n`at`: {_plain(inspect.getdoc(model.Point) or '')}\n"
    yield from _fields(model.Point)


def _fields(model: Any) -> Iterator[str]:
    yield "| parameter | takes | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in model.model_fields.items():
        if key != "kind":
            name = field.alias or key
            yield f"| `{name}` | {_type(field)} | {_default(field)} | {field.description} |"


def _plain(text: str) -> str:
    """A docstring without examples, one line for a paragraph, ``x`` as `x`."""
    prose = text.partition(">>>")[0].replace("``", "`").strip()
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", prose))


def _type(field: FieldInfo) -> str:
    annotation = next((a for a in get_args(field.annotation) if a is not type(None)), None)
    if get_origin(field.annotation) is Literal:
        return ", ".join(str(value) for value in get_args(field.annotation))
    if get_origin(annotation) is Literal:
        return ", ".join(str(value) for value in get_args(annotation))
    if get_origin(field.annotation) is tuple:
        return "list of numbers"
    plain = {int: "whole number", bool: "true, false", str: "text"}
    names = {"RegisterPoint": "as `at`", "SecretStr": "text"}
    wanted = annotation or field.annotation
    return plain.get(wanted, names.get(getattr(wanted, "__name__", ""), str(wanted)))  # type: ignore[arg-type]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(within(page.read_text("utf-8")), "utf-8")
