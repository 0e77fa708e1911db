"""Connections shared by sources: one for each host and port, closed after the last has gone."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary


def no_connection(error: Exception) -> str:
    """Why there is no connection, in the words of whoever installs the device."""
    if isinstance(error, (socket.gaierror, ValueError)):  # of a name that is none: UnicodeError
        return "is not known here: the name cannot be looked up"
    return "does not accept a connection"


class Line(Protocol):
    """What can be shared."""

    async def close(self) -> None:
        """Release the connection."""


L = TypeVar("L", bound=Line)


@dataclass(slots=True)
class Share(Generic[L]):
    """A line and how many use it."""

    line: L
    users: int = 0


class Lines(Generic[L]):
    """The open lines of one protocol.

    A serial gateway often accepts one connection, and answers of a bus must not overlap; so all
    sources with the same host and port get the same line, whose requests take turns.
    """

    def __init__(self, make: Callable[[str, int], L]) -> None:
        self._make = make
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], Share[L]]]
        self._lines = WeakKeyDictionary()

    @asynccontextmanager
    async def take(self, host: str, port: int) -> AsyncIterator[L]:
        """The line to a host and port, shared with whoever has it now.

        The last user closes it; the line itself stays, because it knows whether an answer is
        still on its way.
        """
        lines = self._lines.setdefault(asyncio.get_running_loop(), {})
        share = lines.get((host, port))
        if share is None:
            share = lines[host, port] = Share(self._make(host, port))
        share.users += 1
        try:
            yield share.line
        finally:
            share.users -= 1
            if not share.users:
                await share.line.close()
