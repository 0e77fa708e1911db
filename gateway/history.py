"""The historian as the gateway asks it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Response
from pydantic import BaseModel

from gateway.turn import Turns
from plant.errors import Unavailable
from plant.flow.port import HistorianReader

T = TypeVar("T")

WAITING = 512
"""So many questions wait at most, of all people together."""
WAITING_EACH = 64
"""So many of one person; a page asks about twenty at once."""


class History:
    """The historian, read in threads of its own so that a question blocks nobody.

    Each thread opens its own reader. People take turns, and one thread more than one person may
    have is there, so that hundreds of questions of one keep nobody else waiting. Long questions
    have one thread for themselves and wait for each other only: a year of OEE never keeps a page
    from its band of the last hours.
    """

    def __init__(self, opener: Callable[[], HistorianReader], threads: int = 3) -> None:
        self._opener = opener
        self._readers: list[HistorianReader] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="historian")
        self._long = ThreadPoolExecutor(1, thread_name_prefix="historian-long")
        self._turns = Turns(threads, max(1, threads - 1), WAITING, WAITING_EACH)
        self._long_turns = Turns(1, 1, WAITING, WAITING_EACH)

    @property
    def waiting(self) -> int:
        """How many questions wait or are under way."""
        return sum(t.waiting + t.running for t in (self._turns, self._long_turns))

    @property
    def refused(self) -> int:
        """How many questions were not taken because too many waited."""
        return self._turns.refused + self._long_turns.refused

    async def ask(
        self,
        question: Callable[[HistorianReader], T],
        *,
        who: str = "",
        long: bool = False,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> T:
        """Run a question of a person against a reader.

        Raises
        ------
        TooMany
            Too many of this person wait already.
        Unavailable
            Too many of all wait already; or whoever asked is ``gone`` when it is his turn.
        """
        pool, turns = (self._long, self._long_turns) if long else (self._pool, self._turns)
        async with turns.turn(who):
            if gone is not None and await gone():
                raise Unavailable("whoever asked has gone")
            return await asyncio.get_running_loop().run_in_executor(pool, self._answer, question)

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


@dataclass(frozen=True, slots=True)
class Asking:
    """The historian for one request: in the turn of its person, and not for nobody."""

    history: History
    who: str
    gone: Callable[[], Awaitable[bool]]

    async def ask(self, question: Callable[[HistorianReader], T], *, long: bool = False) -> T:
        """See ``History.ask``."""
        return await self.history.ask(question, who=self.who, long=long, gone=self.gone)

    async def answer(
        self, question: Callable[[HistorianReader], BaseModel], *, long: bool = False
    ) -> Response:
        """The same for an answer that is made, and written as JSON, in the thread."""
        body = await self.ask(lambda reader: question(reader).model_dump_json(), long=long)
        return Response(body, media_type="application/json")
