"""Events and gap records on the wire: a string metric of the node that carries JSON.

They travel as outbox rows like samples do, so nothing of them is lost. The metric is called
``Kaikou/Record``, has the datatype String and an alias of its own in NBIRTH (where it is null); an
NDATA with it holds one record::

    {"event": {"time": 1763770000000, "asset": "lathe", "kind": "meter.reset", "data": {}}}
    {"gap": {"edge": "g/edge1", "first": 0, "last": 0, "samples": 7, "reason": "outbox full",
             "signals": ["lathe/power"]}}

Hosts that are not ours show a string that they may ignore.
"""

import json
from collections.abc import Mapping

from plant.errors import DecodeError
from plant.flow.json_text import read_json
from plant.flow.sample import Event, Gap
from plant.wire.gate import NAME_CHARS, RECORD_BYTES, TIME_LAST

RECORD = "Kaikou/Record"
"""The metric's reserved name; no signal of a plant has a slash in its id."""


def encode_event(event: Event) -> str:
    """An event as the record's string; its ``data`` has to be JSON-able."""
    body = {
        "time": event.time,
        "asset": event.asset,
        "kind": event.kind,
        "data": dict(event.data),
    }
    return json.dumps({"event": body}, ensure_ascii=False, separators=(",", ":"))


def encode_gap(gap: Gap) -> str:
    """A gap as the record's string.

    >>> gap = Gap("g/edge1", 1000, 2000, 7, "outbox full", ("lathe/power",))
    >>> decode_record(encode_gap(gap)) == gap
    True
    """
    body = {
        "edge": gap.edge,
        "first": gap.first,
        "last": gap.last,
        "samples": gap.samples,
        "reason": gap.reason,
        "signals": list(gap.signals),
    }
    return json.dumps({"gap": body}, ensure_ascii=False, separators=(",", ":"))


def decode_record(text: str) -> Event | Gap:
    """Read a record; raises ``DecodeError`` for anything else.

    >>> decode_record('{"event":{"time":5,"asset":"saw","kind":"jam","data":{}}}')
    Event(time=5, asset='saw', kind='jam', data={})
    """
    body = read_json(text, RECORD_BYTES)
    try:
        if "event" in body:
            return _event(body["event"])
        return _gap(body["gap"])
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError(f"not a record: {error}") from error


def _event(body: Mapping[str, object]) -> Event:
    data = body["data"]
    if not isinstance(data, dict):
        raise TypeError("data is no object")
    return Event(_time(body["time"]), _word(body["asset"]), _word(body["kind"]), data)


def _gap(body: Mapping[str, object]) -> Gap:
    signals = body["signals"]
    if not isinstance(signals, list):
        raise TypeError("signals is no list")
    return Gap(
        _word(body["edge"]),
        _time(body["first"]),
        _time(body["last"]),
        _whole(body["samples"]),
        _word(body["reason"]),
        tuple(_word(s) for s in signals),
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{str(value)[:40]!r} is no whole number")
    return value


def _time(value: object) -> int:
    time = _whole(value)
    if not 0 <= time <= TIME_LAST:
        raise ValueError(f"{time} is no time in ms UTC")
    return time


def _word(value: object) -> str:
    if not isinstance(value, str) or len(value) > NAME_CHARS or not value.isprintable():
        raise TypeError(f"{str(value)[:40]!r} is no line of at most {NAME_CHARS} characters")
    return value
