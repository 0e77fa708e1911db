"""Runs a pydantic model over located data: every finding with its place, and what is left usable.

What is wrong is cut out and the rest is validated again, so that the second pass can go on with
the healthy part and one error does not hide, or cause, another.
"""

from copy import deepcopy
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from plant.errors import Problem
from plant.model.locate import Document, Where
from plant.model.secret import SECRETS

Model = TypeVar("Model", bound=BaseModel)


def did_you_mean(word: object, known: list[str]) -> str:
    """A hint for a word that is not known.

    >>> did_you_mean("prot", ["port", "host"])
    "; did you mean 'port'?"
    >>> did_you_mean("xyz", ["port", "host"])
    '; known: host, port'
    >>> did_you_mean("float", ["float32", "float64", "bool"])
    "; did you mean 'float32' or 'float64'?"
    """
    begun = [k for k in known if len(str(word)) > 2 and k.startswith(str(word))]
    if 2 <= len(begun) <= 3:  # no guess which
        return f"; did you mean {' or '.join(map(repr, begun))}?"
    close = get_close_matches(str(word), known, 1, 0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known and len(known) <= 12 else ""


def validate(
    model: type[Model], data: object, document: Document, base: Where
) -> tuple[Model | None, list[Problem]]:
    """``data``, which stands at ``base`` of the document, as a model, and all that is wrong.

    None only when nothing usable is left.
    """
    problems: dict[Where, Problem] = {}
    left = deepcopy(data)
    for first in (True, *[False] * 32):
        try:
            return model.model_validate(left), list(problems.values())
        except ValidationError as error:
            cuts: list[Where] = []
            for detail in error.errors(include_url=False, include_context=True):
                where, is_key = _place(detail, left)
                cuts.append(where)
                if (*base, *where) in document.unset:  # said already
                    continue
                if first and not any(where[: len(w)] == w for w in problems):
                    text = _text(detail, model, where)
                    at = _after_missing(detail, where)
                    problems[where] = document.problem((*base, *at), text, key=is_key)
            for where in sorted(set(cuts), key=_depth, reverse=True):
                if not where:
                    return None, list(problems.values())
                _cut(left, where)
    return None, list(problems.values())


def _after_missing(detail: ErrorDetails, where: Where) -> Where:
    """Where a missing key belongs: the path is printed with it, the place is its parent's."""
    return (*where, detail["loc"][-1]) if detail["type"] == "missing" else where


def _place(detail: ErrorDetails, data: object) -> tuple[Where, bool]:
    """The deepest part of an error's path that exists in the data, and whether it is a key.

    pydantic puts tags of unions and "[key]" into paths; they are not in the data.
    """
    where: list[str | int] = []
    at: Any = data
    for part in detail["loc"]:
        in_list = isinstance(at, list) and isinstance(part, int) and part < len(at)
        if not in_list and not (isinstance(at, dict) and part in at):
            break
        at = at[part]
        where.append(part)
    is_key = detail["type"] in {"extra_forbidden", "missing"} or "[key]" in detail["loc"]
    return tuple(where), is_key


def _depth(where: Where) -> tuple[int, list[str]]:
    """Deepest first, and of a list the last first, so that cutting moves nothing yet to be cut."""
    return len(where), [f"{p:09d}" if isinstance(p, int) else p for p in where]


def _cut(data: Any, where: Where) -> None:
    for key in where[:-1]:
        data = data[key]
    if isinstance(data, dict):
        data.pop(where[-1], None)
    elif isinstance(data, list) and isinstance(where[-1], int) and where[-1] < len(data):
        del data[where[-1]]


def _text(detail: ErrorDetails, model: type[BaseModel], where: Where) -> str:
    if detail["type"] == "extra_forbidden":
        return "unknown key" + did_you_mean(where[-1], _fields_at(model, where[:-1]))
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] in {"model_type", "dict_type"}:
        given = detail["input"]
        shown = {list: "a list", type(None): "nothing"}.get(type(given), repr(given))
        return f"should be keys with values, not {shown}"
    if detail["type"] == "string_pattern_mismatch" and "[key]" in detail["loc"]:
        return "not an id: letters, digits and underscore, starting with a letter"
    text = detail["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    given = detail["input"]
    secret = bool(where) and where[-1] in SECRETS
    told = isinstance(given, str) and repr(given) in text
    if isinstance(given, str | int | float | bool) and not secret and not told:
        text += f", not {given!r}"
    if detail["type"] in {"literal_error", "enum"}:
        expected = str(detail.get("ctx", {}).get("expected", "")).replace("'", "")
        words = [w.strip() for part in expected.split(" or ") for w in part.split(",")]
        text += did_you_mean(given, words) if get_close_matches(str(given), words, 1) else ""
    return text


def _fields_at(model: object, where: Where) -> list[str]:
    """The keys that a model knows at a path inside it."""
    candidates = [model]
    for part in where:
        candidates = [inner for c in candidates for inner in _inside(c, part)]
    names: set[str] = set()
    for candidate in candidates:
        for option in _options(candidate):
            if isinstance(option, type) and issubclass(option, BaseModel):
                names.update(f.alias or n for n, f in option.model_fields.items())
    return sorted(names)


def _options(annotation: object) -> list[object]:
    """An annotation's alternatives, with Annotated and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [o for a in get_args(annotation) for o in _options(a)]
    return [annotation]


def _inside(annotation: object, part: str | int) -> list[object]:
    found: list[object] = []
    for option in _options(annotation):
        arguments = get_args(option)
        if get_origin(option) is dict:
            found.append(arguments[1])
        elif get_origin(option) in {list, tuple} and arguments:
            found.append(arguments[0])
        elif isinstance(option, type) and issubclass(option, BaseModel):
            info = option.model_fields.get(str(part))
            if info is not None:
                found.append(info.annotation)
    return found
