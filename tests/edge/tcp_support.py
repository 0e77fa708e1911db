"""A TCP server for scripted devices, on a port of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Device(Protocol):
    """What answers, and whom it is talking to."""

    port: int

    @property
    def writers(self) -> set[asyncio.StreamWriter]:
        """The connections that are open."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client."""


@asynccontextmanager
async def listening(device: Device) -> AsyncIterator[None]:
    """Serve; at the end nothing stays open."""
    server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
    device.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for writer in list(device.writers):
            writer.close()
        await server.wait_closed()
