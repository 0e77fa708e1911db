"""OPC UA servers that are not as they should be: a true one, with parts of it replaced."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asyncua import ua as _ua
from asyncua.common.utils import ServiceError

from edge.adapters.opcua import OpcUa
from simulators.opcua import NodeServer

ua: Any = _ua


class Strange(NodeServer):
    """A server without security, on loopback; ``change`` is given every session it makes."""

    def __init__(self, count: int, folder: Path, change: Callable[[Any], None]) -> None:
        nodes = [(f"n{at}", "Double") for at in range(count)]
        super().__init__(nodes, folder, security="None")
        self._change = change

    @property
    def inner(self) -> Any:
        """asyncua's server."""
        return self._server

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen."""
        await super().open(host, port)
        core = self.inner.iserver
        make = core.create_session

        def made(*args: Any, **kwargs: Any) -> Any:
            session = make(*args, **kwargs)
            self._change(session)
            return session

        core.create_session = made


@asynccontextmanager
async def strange(
    folder: Path, change: Callable[[Any], None] = lambda _: None, count: int = 3
) -> AsyncIterator[Strange]:
    """Run one."""
    server = Strange(count, folder, change)
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def lab(port: int, **more: object) -> OpcUa:
    """A source for it."""
    given = {
        "url": f"opc.tcp://127.0.0.1:{port}/",
        "publish_ms": 50,
        "timeout_ms": 3000,
        "lab": True,
        "security": "None",
    }
    return OpcUa.model_validate(given | more)


def at_most(count: int, sizes: list[int]) -> Callable[[Any], None]:
    """Sessions that take so many items in one call."""

    def change(session: Any) -> None:
        create = session.create_monitored_items

        async def limited(params: Any) -> Any:
            sizes.append(len(params.ItemsToCreate))
            if len(params.ItemsToCreate) > count:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            return await create(params)

        session.create_monitored_items = limited

    return change
