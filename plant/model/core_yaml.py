"""YAML 1.2 with its core schema: ``On``, ``Off``, ``Yes`` and ``No`` are words and 20:00 is text.

PyYAML reads YAML 1.1, where they are booleans and sixty times twenty. The parser is the same; only
what an unquoted scalar means is that of YAML 1.2 (section 10.3.2).
"""

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

PLAIN = "plain"
_TAG = "tag:yaml.org,2002:"
_PLAIN: tuple[tuple[str, re.Pattern[str], Callable[[str], object]], ...] = (
    ("null", re.compile(r"~|null|Null|NULL|"), lambda _: None),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), lambda t: t[0] in "tT"),
    ("int", re.compile(r"[-+]?[0-9]+"), int),
    ("int", re.compile(r"0o[0-7]+"), lambda t: int(t, 0)),
    ("int", re.compile(r"0x[0-9a-fA-F]+"), lambda t: int(t, 0)),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (
        "float",
        re.compile(r"[-+]?\.(inf|Inf|INF)"),
        lambda t: -math.inf if t[0] == "-" else math.inf,
    ),
    ("float", re.compile(r"\.(nan|NaN|NAN)"), lambda _: math.nan),
)
DEEPEST = 64
_MOST_DIGITS = 400
"""Longer numbers are texts; Python refuses to read integers of more than 4300 digits."""
_BY_TAG = {f"{_TAG}{name}" for name, _, _ in _PLAIN}


class TagError(ValueError):
    """A tag that plain data does not have."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Resolves nothing: an unquoted scalar without a tag is only marked as such."""

    yaml_implicit_resolvers: ClassVar[dict[None, list[object]]] = {None: [(PLAIN, re.compile(""))]}


def compose(text: str) -> yaml.Node | None:
    """The nodes of a document.

    Raises
    ------
    yaml.YAMLError
        It is not YAML, or nested deeper than anything people write.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):  # the parser of trees would overflow its stack
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            at: Any = event.start_mark
            raise yaml.MarkedYAMLError(None, None, f"deeper than {DEEPEST}", at)
    node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return node


def plain(text: str) -> object:
    """What an unquoted scalar means.

    >>> [plain(t) for t in ("On", "no", "true", "~", "0x1F", "1e3", "20:00", "012", "-.5")]
    ['On', 'no', True, None, 31, 1000.0, '20:00', 12, -0.5]
    """
    if len(text) <= _MOST_DIGITS:
        for _, pattern, make in _PLAIN:
            if pattern.fullmatch(text):
                return make(text)
    return text


def scalar(node: yaml.ScalarNode) -> object:
    """The value of a scalar.

    Raises
    ------
    TagError
        It has a tag that is none of YAML's core schema, or its text does not fit its tag.
    """
    text = str(node.value)
    tag = str(node.tag)
    if tag == PLAIN:
        return plain(text)
    if tag == f"{_TAG}str":
        return text
    for name, pattern, make in _PLAIN:
        if tag == f"{_TAG}{name}" and pattern.fullmatch(text):
            return make(text)
    if tag in _BY_TAG:
        raise TagError(f"{text!r} is no {tag.removeprefix(_TAG)}")
    raise TagError(_unknown(tag))


def check_collection(node: yaml.CollectionNode) -> None:
    """Raise ``TagError`` for a mapping or a list with a tag of its own."""
    if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
        raise TagError(_unknown(str(node.tag)))


def _unknown(tag: str) -> str:
    return f"the tag {tag!r} is not known here; leave it out"
