"""A bounded channel between two tasks, with a named policy for when it is full.

Closing travels downstream: the producer closes, the consumer's ``async for`` ends once all that
was accepted is taken. (``asyncio.Queue.shutdown`` would need Python 3.13.)
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class WhenFull(StrEnum):
    """What happens to a full channel. Every choice is counted."""

    DROP_OLDEST = "drop_oldest"
    BLOCK = "block"


@dataclass(slots=True)
class ChannelCount:
    """What a channel did, for the platform's own signals."""

    accepted: int = 0
    delivered: int = 0
    dropped: int = 0
    high_water: int = 0


class Closed(Exception):
    """The channel was closed by its producer."""


class Channel(Generic[T]):
    """Bounded, closable, for one event loop.

    >>> async def example() -> list[int]:
    ...     channel: Channel[int] = Channel(2, WhenFull.DROP_OLDEST)
    ...     for i in range(4):
    ...         await channel.put(i)
    ...     channel.close()
    ...     return [item async for item in channel]
    >>> asyncio.run(example())
    [2, 3]
    """

    def __init__(self, size: int, when_full: WhenFull) -> None:
        if size < 1:
            raise ValueError("a channel holds at least one item")
        self.count = ChannelCount()
        self._size = size
        self._when_full = when_full
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Hand an item on; waits, or drops the oldest, as the policy says."""
        while len(self._items) >= self._size and not self._closed:
            if self._when_full is WhenFull.DROP_OLDEST:
                self._items.popleft()
                self.count.dropped += 1
            else:
                self._room.clear()
                await self._room.wait()
        if self._closed:
            raise Closed
        self._items.append(item)
        self.count.accepted += 1
        self.count.high_water = max(self.count.high_water, len(self._items))
        self._changed.set()

    async def get(self) -> T:
        """The oldest item; raises ``Closed`` when there will never be one."""
        while not self._items:
            if self._closed:
                raise Closed
            self._changed.clear()
            await self._changed.wait()
        self.count.delivered += 1
        item = self._items.popleft()
        self._room.set()
        return item

    def drain(self) -> list[T]:
        """Everything that waits now, without waiting."""
        items = list(self._items)
        self._items.clear()
        self.count.delivered += len(items)
        self._room.set()
        return items

    def close(self) -> None:
        """No more items will come; what was accepted is still delivered."""
        self._closed = True
        self._changed.set()
        self._room.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        try:
            while True:
                yield await self.get()
        except Closed:
            return
