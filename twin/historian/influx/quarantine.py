"""Sending lines so that a wrong one never stops the others: bodies are parted until it is alone.

The server stores of a body what it can and names one line that it cannot, or none at all when it
cannot parse one. Either way the same lines may be sent again: they overwrite themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plant.errors import Rejected
from twin.historian.influx.server import Server, TooLarge


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that the server does not take: its place among those sent, and why."""

    place: int
    line: str
    reason: str


def send(server: Server, which: str, lines: Sequence[str]) -> Sequence[Refusal]:
    """Make lines durable in a bucket; those that it does not take come back.

    Raises
    ------
    Unavailable
        Some may be stored and some not.
    """
    return _send(server, which, lines, 0) if lines else []


def _send(server: Server, which: str, lines: Sequence[str], first: int) -> Sequence[Refusal]:
    try:
        server.write(which, "\n".join(lines).encode("utf-8"))
    except Rejected as error:
        if len(lines) == 1:
            reason = "larger than the server takes" if isinstance(error, TooLarge) else str(error)
            return [Refusal(first, lines[0], reason)]
    else:
        return []
    half = len(lines) // 2
    return [
        *_send(server, which, lines[:half], first),
        *_send(server, which, lines[half:], first + half),
    ]
