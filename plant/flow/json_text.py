"""JSON from outside: bounded in size, depth, numbers and characters before anybody uses it.

Python reads what other encoders, databases and browsers do not take: lists 900 deep, integers of
a thousand digits, NaN, halves of surrogate pairs. ``read_json`` refuses these; ``shown`` makes what
an older version stored fit to be sent on.
"""

import json
import math
from typing import Any, NoReturn

from plant.errors import DecodeError

DEPTH = 16
"""Objects and lists may stand in each other so often."""
_INT64 = range(-(1 << 63), 1 << 63)
_HEAD = 80


def read_json(text: str | bytes, most_bytes: int) -> Any:
    """The value of a text; ``DecodeError`` says why there is none.

    >>> read_json('{"a": [1, 2.5, "x"]}', 100)
    {'a': [1, 2.5, 'x']}
    >>> read_json("[" * 17 + "]" * 17, 100)
    Traceback (most recent call last):
    ...
    plant.errors.DecodeError: JSON more than 16 deep
    >>> read_json("[NaN]", 100)
    Traceback (most recent call last):
    ...
    plant.errors.DecodeError: no JSON: NaN is no number of JSON
    """
    if len(text) > most_bytes:
        raise DecodeError(f"JSON of more than {most_bytes} bytes")
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise DecodeError(f"JSON more than {DEPTH} deep") from None
    except ValueError as error:  # what is no UTF-8 too
        raise DecodeError(f"no JSON: {error}") from None
    reason = fault(value)
    if reason is not None:
        raise DecodeError(reason)
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def fault(value: object, depth: int = DEPTH) -> str | None:
    """Why a value cannot be handed on as JSON; None where it can.

    >>> fault({"a": [1, "x"]}), fault({"a": 1 << 64})
    (None, 'JSON with an integer beyond 64 bits')
    """
    reason: str | None = None
    if isinstance(value, str):
        reason = _text_fault(value)
    elif isinstance(value, int):
        reason = None if value in _INT64 else "JSON with an integer beyond 64 bits"
    elif isinstance(value, float):
        reason = None if math.isfinite(value) else "JSON with a number beyond 64 bits"
    elif isinstance(value, dict | list):
        if not depth:
            return f"JSON more than {DEPTH} deep"
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        reason = next(filter(None, (fault(part, depth - 1) for part in parts)), None)
    return reason


def _text_fault(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "JSON with half a surrogate pair"
    return None


def stored_json(text: str) -> dict[str, Any]:
    r"""An object that a store has kept as text, as any encoder takes it.

    >>> stored_json('{"a":"' + chr(92) + 'ud800"}')
    {'a': '\\ud800'}
    >>> stored_json("7")
    {'unreadable': '7'}
    """
    try:
        value = shown(json.loads(text))
    except (RecursionError, ValueError):
        value = None
    return value if isinstance(value, dict) else {"unreadable": shown(text[:_HEAD])}


def shown(value: object, depth: int = DEPTH) -> Any:
    """A value with what no encoder takes replaced by its text, what is too deep by "…".

    >>> shown({"a": 1 << 64, "b": float("inf"), "c": [[1]]}, 2)
    {'a': '18446744073709551616', 'b': 'inf', 'c': ['…']}
    """
    if isinstance(value, dict | list):
        if not depth:
            return "…"
        if isinstance(value, dict):
            return {shown(str(k)): shown(v, depth - 1) for k, v in value.items()}
        return [shown(v, depth - 1) for v in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    out_of_range = isinstance(value, int) and value not in _INT64
    if out_of_range or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)[:_HEAD]
    return value
