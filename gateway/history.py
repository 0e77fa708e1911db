"""The historian as the gateway asks it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Response
from pydantic import BaseModel

from plant.errors import Unavailable
from plant.flow.port import HistorianReader

T = TypeVar("T")

WAITING = 256
"""So many questions wait at most; a page asks about twenty at once."""


class History:
    """The historian, read in threads of its own so that a question blocks nobody.

    Each thread opens its own reader. Long questions have one thread for themselves and wait for
    each other only: a year of OEE never keeps a page from its band of the last hours.

    refused  how many questions were not taken because too many waited
    """

    def __init__(self, opener: Callable[[], HistorianReader], threads: int = 2) -> None:
        self.refused = 0
        self.waiting = 0
        self._opener = opener
        self._readers: list[HistorianReader] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="historian")
        self._long = ThreadPoolExecutor(1, thread_name_prefix="historian-long")

    async def ask(self, question: Callable[[HistorianReader], T], *, long: bool = False) -> T:
        """Run a question against a reader; ``Unavailable`` where too many wait already."""
        if self.waiting >= WAITING:
            self.refused += 1
            raise Unavailable("too many questions wait for the historian; try again")
        pool = self._long if long else self._pool
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, self._answer, question)
        finally:
            self.waiting -= 1

    async def answer(
        self, question: Callable[[HistorianReader], BaseModel], *, long: bool = False
    ) -> Response:
        """The same for an answer that is made, and written as JSON, in the thread."""
        body = await self.ask(lambda reader: question(reader).model_dump_json(), long=long)
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
        self._pool.shutdown(cancel_futures=True)
        self._long.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.close()
