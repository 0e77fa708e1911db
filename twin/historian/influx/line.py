"""Line protocol: what is written is typed by the model, never by the Python value at hand.

Line protocol has no escape for a backslash at the end of a tag, nor for a line break in one, so
tags are percent-encoded where they hold such; everything else is escaped as its parser wants.
"""

import json
import re
from collections.abc import Mapping, Sequence
from math import isinf, isnan
from urllib.parse import unquote

import numpy as np

from plant.flow.sample import SampleBatch

_ODD = re.compile("[%\\\\\x00-\x1f\x7f\ud800-\udfff]")
_SPECIAL = re.compile("([,= ])")
_WHOLE = float(2**53)
"""Integers above are not exact in a float64."""

PIECE = 512 * 1024
"""Characters of one string field; the server takes a mebibyte."""


def tag(text: str) -> str:
    r"""A tag's value as it stands in a line; the server shows it without the backslashes.

    >>> print(tag("a, b=c"), tag("50%\\"), sep="|")
    a\,\ b\=c|50%25%5C
    """
    return _SPECIAL.sub(r"\\\1", label(text))


def label(text: str) -> str:
    r"""A tag's value as the server shows it.

    >>> label("two\nlines"), unlabel(label("100 %"))
    ('two%0Alines', '100 %')
    """
    if not _ODD.search(text):
        return text
    return _ODD.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "replace")), text)


def unlabel(shown: str) -> str:
    """What ``label`` was given."""
    return unquote(shown) if "%" in shown else shown


def tags(**values: str) -> str:
    """The tags of a line with their commas; what is empty is left out.

    >>> tags(line="", machine="lathe")
    ',machine=lathe'
    """
    return "".join(f",{name}={tag(value)}" for name, value in values.items() if value)


def string(text: str) -> str:
    r"""A string field's value.

    >>> print(string('say "a\\b"'))
    "say \"a\\b\""
    """
    safe = text.encode("utf-8", "replace").decode("utf-8")
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def pieces(name: str, text: str) -> str:
    """A long string over several fields: ``name``, ``name1``, …; no control characters in it.

    >>> pieces("s", "abc")
    's="abc"'
    """
    parts = [text[i : i + PIECE] for i in range(0, len(text), PIECE)] or [""]
    return ",".join(f"{name}{i or ''}={string(part)}" for i, part in enumerate(parts))


def joined(name: str, fields: Mapping[str, str]) -> str:
    """What ``pieces`` was given."""
    parts = [fields.get(name, "")]
    while f"{name}{len(parts)}" in fields:
        parts.append(fields[f"{name}{len(parts)}"])
    return "".join(parts)


def text_field(text: str) -> str:
    r"""A text as field ``s``; as JSON in ``j`` where the server's CSV would spoil it.

    >>> print(text_field("O1000"), text_field("a\nb"))
    s="O1000" j="\"a\\nb\""
    """
    if _ODD.search(text.replace("%", "").replace("\\", "")):
        return pieces("j", json.dumps(text))
    return pieces("s", text)


def field_text(fields: Mapping[str, str]) -> str:
    """What ``text_field`` was given."""
    if "j" in fields:
        return str(json.loads(joined("j", fields)))
    return joined("s", fields)


def value_fields(value: float, status: int, state: bool) -> str:
    """Fields of one value, each with its comma behind; what cannot be in ``f`` or ``i`` beside.

    ``f`` and ``i`` hold what is not Bad. ``b`` holds what came with a Bad status, or is no whole
    number though the signal is a state; ``n`` is the sign of an infinity. NaN writes nothing.

    >>> value_fields(0.1, 0, False), value_fields(4.0, 0, True), value_fields(4.0, 1 << 31, True)
    ('f=0.1,', 'i=4i,', 'b=4.0,')
    """
    if isnan(value):
        return ""
    if isinf(value):
        return f"n={1 if value > 0 else -1}i,"
    if status & 0x8000_0000:
        return f"b={value!r},"
    if not state:
        return f"f={value!r},"
    if value.is_integer() and abs(value) <= _WHOLE:
        return f"i={int(value)}i,"
    return f"b={value!r},"


def sample_lines(
    batch: SampleBatch,
    heads: Sequence[str],
    states: np.ndarray[tuple[int], np.dtype[np.bool_]],
    received: int,
    rev: Mapping[int, int],
) -> list[str]:
    """A line a row, in order; ``rev`` says which rows are corrections, and their number.

    ``heads`` are measurement and tags of each signal, ``states`` which of them are states.
    """
    status = batch.status
    odd = ~np.isfinite(batch.value)
    if status.any():
        odd |= status != 0
    state = states[batch.signal]
    tail = f",q=0i,rt={received}i "
    names = [heads[s] for s in batch.signal.tolist()]
    values, times = batch.value.tolist(), batch.source_time.tolist()
    if not state.any():
        lines = [f"{h} f={v!r}{tail}{t}" for h, v, t in zip(names, values, times, strict=True)]
    else:
        odd |= state & (batch.value != np.rint(batch.value))
        odd |= state & (np.abs(batch.value) > _WHOLE)
        lines = [
            f"{h} i={v:.0f}i{tail}{t}" if s else f"{h} f={v!r}{tail}{t}"
            for h, v, t, s in zip(names, values, times, state.tolist(), strict=True)
        ]
    again = set(np.flatnonzero(odd).tolist()) | rev.keys() if rev else np.flatnonzero(odd).tolist()
    for i in again:
        q = int(status[i])
        number = f",rev={rev[i]}" if rev.get(i) else ""
        fields = value_fields(values[i], q, bool(state[i]))
        lines[i] = f"{names[i]}{number} {fields}q={q}i,rt={received}i {times[i]}"
    return lines
