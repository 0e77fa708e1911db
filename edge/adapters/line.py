"""Connections shared by sources: one for each host and port, closed after the last has gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar


class Line(Protocol):
    """What can be shared."""

    async def close(self) -> None:
        """Release the connection."""


L = TypeVar("L", bound=Line)


class Lines(Generic[L]):
    """The open lines of one protocol.

    A serial gateway often accepts one connection, and answers of a bus must not overlap; so all
    sources with the same host and port get the same line, whose requests take turns.
    """

    def __init__(self, make: Callable[[str, int], L]) -> None:
        self._make = make
        self._open: dict[tuple[asyncio.AbstractEventLoop, str, int], tuple[L, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def take(self, host: str, port: int) -> AsyncIterator[L]:
        """The line to a host and port, shared with whoever has it now."""
        key = (asyncio.get_running_loop(), host, port)
        line, users = self._open.get(key) or (self._make(host, port), 0)
        self._open[key] = (line, users + 1)
        try:
            yield line
        finally:
            line, users = self._open[key]
            if users > 1:
                self._open[key] = (line, users - 1)
            else:
                del self._open[key]
                await line.close()
