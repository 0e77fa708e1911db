"""Fair turns: what is heavy is done one after the other, and nobody's many delay another's one.

Whoever asks (a person, an address) has a queue of his own, and the queues are served in turn.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator

from plant.errors import Rejected, Unavailable


class TooMany(Rejected):
    """One asks for more than may wait at once."""


class Turns:
    """At most ``most`` at a time, ``each`` of them for one.

    waiting  how many wait
    refused  how many were not taken in because too many waited
    """

    def __init__(self, most: int, each: int, wait: int, wait_each: int) -> None:
        self.waiting = 0
        self.refused = 0
        self._most = most
        self._each = each
        self._wait = wait
        self._wait_each = wait_each
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def running(self) -> int:
        """How many have their turn now."""
        return self._running.total()

    @contextlib.asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises
        ------
        TooMany
            ``wait_each`` of the same one wait already.
        Unavailable
            ``wait`` of all wait already.
        """
        await self._wait_for(who)
        try:
            yield
        finally:
            self._leave(who)

    def check_room(self, who: str) -> None:
        """TooMany where no further one of the same may wait."""
        if len(self._queues.get(who, ())) >= self._wait_each:
            self.refused += 1
            raise TooMany(f"{self._wait_each} questions of yours wait already; try again")

    async def _wait_for(self, who: str) -> None:
        if not self._queues.get(who) and self._free(who):
            self._running[who] += 1
            return
        self.check_room(who)
        if self.waiting >= self._wait:
            self.refused += 1
            raise Unavailable("too many questions wait; try again")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(who, deque()).append(mine)
        self.waiting += 1
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._leave(who)  # the turn came together with the end
            else:
                self._drop(who, mine)
            raise

    def _free(self, who: str) -> bool:
        return self.running < self._most and self._running[who] < self._each

    def _drop(self, who: str, mine: asyncio.Future[None]) -> None:
        queue = self._queues.get(who, deque())
        if mine in queue:
            queue.remove(mine)
            self.waiting -= 1
        if not queue:
            self._queues.pop(who, None)

    def _leave(self, who: str) -> None:
        self._running[who] -= 1
        if not self._running[who]:
            del self._running[who]
        for next_one in list(self._queues):
            while next_one in self._queues and self._free(next_one):
                self._call(next_one)

    def _call(self, who: str) -> None:
        """Give the first of a queue its turn; its owner stands at the end of the round then."""
        queue = self._queues.pop(who)
        mine = queue.popleft()
        self.waiting -= 1
        if queue:
            self._queues[who] = queue
        if not mine.cancelled():
            self._running[who] += 1
            mine.set_result(None)
