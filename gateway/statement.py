"""What people state goes to the twin and comes back as history.

The answer waits until the statement can be read where everybody reads, so that a page that asks
again shows it; not longer than ``READABLE_S``, because it is safe before that.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.history import History
from gateway.turn import TooMany
from plant.errors import Rejected, Unavailable
from plant.flow.port import HistorianReader
from plant.flow.rate import Rate
from plant.wire.request import Asker, Reply

A_MINUTE = 60
"""So many statements of one person are passed on in a minute."""
READABLE_S = 2.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Said:
    """Recorded at ``said``, ms UTC; ``readable``: the historian shows it already."""

    said: int
    readable: bool


class TooOften(Rejected):
    """A person states more than anybody types; ``retry_s`` seconds."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"too many statements in a minute; try again in {retry_s:.0f} s")
        self.retry_s = retry_s


class Statements:
    """Brings statements to the twin; one rate a person."""

    def __init__(self, asker: Asker, history: History) -> None:
        self._asker = asker
        self._history = history
        self._rates: dict[str, Rate] = {}

    async def say(
        self, person: str, kind: str, asset: str, data: Mapping[str, object], start: int
    ) -> Said:
        """Record one.

        Raises
        ------
        Unavailable
            The twin or the broker is not there, or cannot record now.
        Rejected
            The twin says what is wrong with it.
        TooOften
            The person has stated too much in the last minute.
        """
        rate = self._rates.setdefault(person, Rate(A_MINUTE, 60.0))
        if not rate.take():
            raise TooOften(rate.wait_s)
        reply = await self._asker.ask(kind, asset, person, {**data, "start": start})
        if not reply.ok:
            raise Unavailable(reply.error) if reply.again else Rejected(reply.error)
        return Said(reply.said, await self._readable(person, reply, start))

    async def _readable(self, person: str, reply: Reply, start: int) -> bool:
        def shown(reader: HistorianReader) -> bool:
            return any(e.data.get("said") == reply.said for e in reader.events(start, start + 1))

        try:
            async with asyncio.timeout(READABLE_S):
                while True:
                    if await self._history.ask(shown, who=person):
                        return True
                    await asyncio.sleep(_LOOK_S)
        except (TimeoutError, TooMany, Unavailable):
            return False
