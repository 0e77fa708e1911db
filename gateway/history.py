"""The historian as the gateway asks it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Response
from pydantic import BaseModel

from plant.flow.port import HistorianReader

T = TypeVar("T")


class History:
    """The historian, read in threads of its own so that a long question blocks nobody.

    Each thread opens its own reader. ``ask`` waits for a free thread; at most ``threads``
    questions are under way.
    """

    def __init__(self, opener: Callable[[], HistorianReader], threads: int = 2) -> None:
        self._opener = opener
        self._readers: list[HistorianReader] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="historian")

    async def ask(self, question: Callable[[HistorianReader], T]) -> T:
        """Run a question against a reader."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, question)

    async def answer(self, question: Callable[[HistorianReader], BaseModel]) -> Response:
        """The same for an answer that is made, and written as JSON, in the thread."""
        body = await self.ask(lambda reader: question(reader).model_dump_json())
        return Response(body, media_type="application/json")

    def _answer(self, question: Callable[[HistorianReader], T]) -> T:
        reader: HistorianReader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._opener()
            self._local.reader = reader
            self._readers.append(reader)
        return question(reader)

    def close(self) -> None:
        """Wait for what is under way, then release."""
        self._pool.shutdown()
        for reader in self._readers:
            reader.close()
