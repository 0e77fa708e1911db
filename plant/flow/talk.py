"""Connections that a server holds: each is a task of its own, and ends with the server, quietly.

``asyncio.start_server`` makes tasks of coroutine functions itself, and of Python 3.11 tells every
one that is cancelled as an "Exception in callback" with a traceback. A plain function as its
callback keeps the tasks where somebody owns them.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("kaikou.talk")

_PATIENCE_S = 1.0
"""What is cut has so long to end by itself before it is cancelled."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Talks:
    """``await asyncio.start_server(Talks("feed", talk), ...)``; ``end()`` after it is closed."""

    def __init__(self, name: str, talk: Talk) -> None:
        self._name = name
        self._talk = talk
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._talk(reader, writer), name=f"{self._name} talks")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s: a connection ended unexpectedly", self._name, exc_info=error)

    async def end(self) -> None:
        """Wait for those that were cut, cancel the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE_S)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
