"""What a node says, as Kaikou takes it: a number or a string, its time and its status."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

from datetime import UTC, datetime, timedelta
from enum import Enum
from math import isnan
from typing import Any

from asyncua import ua as _ua
from asyncua.ua.status_codes import StatusCodes

from edge.scaling import TEXT_CHARS
from plant.flow.clock import Clock
from plant.flow.status import SEVERITY, StatusCode

ua: Any = _ua

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_NAN = float("nan")
_EXACT = 2**53
"""Whole numbers above it do not all have a float64."""
_OVERFLOW = 0x0480
"""InfoType DataValue with the Overflow bit (OPC 10000-4, table "DataValue InfoBits")."""

GONE = frozenset(
    {
        int(StatusCodes.BadNodeIdUnknown),
        int(StatusCodes.BadNodeIdInvalid),
        int(StatusCodes.BadMonitoredItemIdInvalid),
    }
)
"""The server has no such node, or has it no longer."""


def name(status: int) -> str:
    """OPC UA's name of a status code."""
    return str(ua.StatusCode(ua.UInt32(status)).name)


def status_of(data: Any) -> int:
    """The status of a DataValue; that its queue overflowed is told once, not by every value."""
    status = int(data.StatusCode.value) if data.StatusCode is not None else 0
    return status & ~_OVERFLOW if status & _OVERFLOW == _OVERFLOW else status


def overflowed(data: Any) -> bool:
    """Whether values before this one were lost in the server's queue."""
    return data.StatusCode is not None and int(data.StatusCode.value) & _OVERFLOW == _OVERFLOW


def time_of(data: Any, clock: Clock) -> int:
    """UTC ms at which a DataValue was true; now where the server gives no time at all."""
    at = data.SourceTimestamp or data.ServerTimestamp
    return ms(at) if at is not None else clock.now()


def ms(at: datetime) -> int:
    """UTC ms of a time stamp (asyncua gives naive UTC)."""
    return (at.replace(tzinfo=UTC) - _EPOCH) // _MS


def content(data: Any) -> tuple[float | str, int, str]:
    """A number or a string, its status, and why it is not what the server gave.

    NaN and Bad where the server gave nothing, or nothing that is one number.
    """
    status = status_of(data)
    value = data.Value.Value if data.Value is not None else None
    if not isinstance(value, (float, int, str)):
        value = _plain(value)
    if status & 0x8000_0000:
        return _NAN, status, ""
    if isinstance(value, str):
        return value, status, _too_long(value)
    if isinstance(value, (bool, int, float)):
        return _number(value, status)
    if value is None:
        return _NAN, int(StatusCode.BadNoData), ""
    kind = "an array" if isinstance(value, list) else type(value).__name__
    return _NAN, int(StatusCode.BadDecodingError), f"it is {kind}, not one number"


def _too_long(text: str) -> str:
    most = TEXT_CHARS
    return f"it has {len(text)} characters, {most} are taken" if len(text) > most else ""


def _plain(value: Any) -> Any:
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) - _EPOCH) / _MS
    return value


def _number(value: bool | int | float, status: int) -> tuple[float, int, str]:
    number = float(value)
    if isnan(number):
        return number, int(StatusCode.BadNoData), ""
    if isinstance(value, int) and abs(value) > _EXACT and not status & SEVERITY:
        return number, int(StatusCode.Uncertain), "it is beyond 2^53 and not exact"
    return number, status, ""


def node_id(text: str, spaces: list[str]) -> Any:
    """A node id; ``nsu=URI;…`` is looked up among the server's namespaces.

    Raises ``ValueError`` where the server has no such namespace, or the text is no node id.
    """
    if text.startswith("nsu="):
        uri, _, rest = text.removeprefix("nsu=").partition(";")
        if uri not in spaces:
            raise ValueError(f"the server has no namespace {uri!r}")
        text = f"ns={spaces.index(uri)};{rest}"
    return ua.NodeId.from_string(text)
