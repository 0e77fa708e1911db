"""Who watches over a WebSocket, and whether he still may.

A session that ended, an account that is gone and rights that changed end the WebSockets of it:
within a second where it was done elsewhere (``kaikou people``, the clock), else at once.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.person import People
from gateway.role import Person
from gateway.session import digest
from plant.errors import ConfigError, Rejected, Unavailable

EACH = 64
"""So many WebSockets of one person: an account may be shared by all screens of a hall."""
MOST = 512
CHECK_S = 1.0


@dataclass(eq=False, slots=True)
class Watcher:
    """One WebSocket; ``ended`` is set when its session has ended."""

    token: bytes
    person: Person
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Watchers:
    """All WebSockets with the sessions that they belong to."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._all: set[Watcher] = set()
        self._each: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    @contextlib.contextmanager
    def watching(self, token: str, person: Person) -> Iterator[Watcher]:
        """A WebSocket, while it is open.

        Raises
        ------
        Rejected
            This person, or all together, have too many.
        """
        if self._each[person.name] >= EACH or len(self._all) >= MOST:
            raise Rejected(f"more than {EACH} streams of one account, or {MOST} of all")
        mine = Watcher(digest(token), person)
        self._all.add(mine)
        self._each[person.name] += 1
        self._changed.set()  # what ended between the question who it is and now
        try:
            yield mine
        finally:
            self._all.discard(mine)
            self._each[person.name] -= 1
            if not self._each[person.name]:
                del self._each[person.name]

    async def run(self) -> None:
        """Look once a second, and whenever the accounts changed."""
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._people.changed = changed
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_S):
                        await self._changed.wait()
                self._changed.clear()
                await self._check()
        finally:
            self._people.changed = lambda: None

    async def _check(self) -> None:
        watchers = list(self._all)
        if not watchers:
            return
        tokens = list({w.token for w in watchers})
        try:
            present = await asyncio.to_thread(self._people.present, tokens)
        except (Unavailable, ConfigError):
            return  # nobody is thrown out because a disk is slow; the next look tells
        for watcher in watchers:
            if present.get(watcher.token) != watcher.person:
                watcher.ended.set()
