"""Whose turn it is on a line that several units share: the dead must not hold up the living.

A question to a unit that does not answer keeps the line busy for a whole timeout. So units that
answer go first, and of those that do not only one is asked now and then: after each such question
the line belongs to the others for three times as long as it took.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from plant.errors import Unavailable

_SHARE = 3.0
"""Rest of the line after a question without an answer, in times of what it took."""
_LIVE_S = 120.0
"""Who answered within this time counts as living."""


class Silent(Unavailable):
    """The line is there, the unit that was asked does not answer."""


class Turns:
    """Turns of the units of one line, by their address.

    A unit that has answered before may fail once; it is asked again like a new one.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: dict[int | str, int] = {}
        """Unit -> questions in a row without an answer; 2 for one that never answered."""
        self._heard_at: dict[int | str, float] = {}
        self._rest_until = 0.0
        self._busy = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @asynccontextmanager
    async def taken(self, unit: int | str, *, patient: bool = True) -> AsyncIterator[None]:
        """Have the line; a silent unit waits for its time, or is refused where ``patient`` is not.

        Raises
        ------
        Silent
            The unit did not answer the last times, and it is not its time to be asked again.
        """
        while True:
            rest_s = self._rest_s(unit)
            if rest_s <= 0:
                await self._take(self._rank(unit))
                rest_s = self._rest_s(unit)
                if rest_s <= 0:
                    break
                self._leave()  # meanwhile another one has kept silent
            if not patient:
                raise Silent(f"{unit} does not answer; it is asked again in {rest_s:.0f} s")
            await asyncio.sleep(rest_s)
        try:
            yield
        finally:
            self._leave()

    def heard(self, unit: int | str) -> None:
        """A unit answered."""
        self._failed[unit] = 0
        self._heard_at[unit] = self._monotonic()

    def silent(self, unit: int | str, took_s: float) -> None:
        """A unit did not answer, which kept the line busy for ``took_s``."""
        self._failed[unit] = 2 if unit not in self._heard_at else self._failed.get(unit, 0) + 1
        self._rest_until = max(self._rest_until, self._monotonic() + _SHARE * took_s)

    def is_living(self, unit: int | str) -> bool:
        """Whether this unit answered the last time it was asked."""
        return self._rank(unit) == 0

    def _rank(self, unit: int | str) -> int:
        """0 for one that answers, 1 for one that is new or doubtful, 2 for a silent one."""
        return min(2, self._failed.get(unit, 1))

    def _rest_s(self, unit: int | str) -> float:
        """How long a unit must not be asked, because it does not answer and others do."""
        now = self._monotonic()
        if self._rest_until <= now or self._rank(unit) < 2:
            return 0.0
        living = any(
            now - at < _LIVE_S and not self._failed[other] for other, at in self._heard_at.items()
        )
        return self._rest_until - now if living else 0.0

    async def _take(self, rank: int) -> None:
        if not self._busy:
            self._busy = True
            return
        mine = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._order), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was ours in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            next_one = heapq.heappop(self._waiting)[2]
            if not next_one.done():
                next_one.set_result(None)
                return
        self._busy = False
