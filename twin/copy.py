"""A second historian that follows the first by itself, in commit order.

It runs in a thread of its own, beside the way of the data: a copy that is slow or away delays
nobody, and when it is back it goes on from its own mark.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from plant.errors import Unavailable
from plant.flow.clock import Clock
from plant.flow.port import HistorianReader, HistorianWriter
from plant.flow.supervisor import Backoff, Transition
from twin.transfer.follow import follow

log = logging.getLogger("kaikou.twin")

PAUSE_S = 1.0
RETAIN_S = 5.0


class Copy:
    """Follows the historian called ``name``; ``read`` and ``write`` open both ends."""

    def __init__(
        self,
        read: Callable[[], HistorianReader],
        write: Callable[[], HistorianWriter],
        name: str,
        clock: Clock,
    ) -> None:
        self._read, self._write = read, write
        self._name = name
        self._clock = clock
        self._reader: HistorianReader | None = None
        self._writer: HistorianWriter | None = None
        self._retained = time.monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copy")

    async def run(self) -> None:
        """Follow until it is cancelled."""
        loop = asyncio.get_running_loop()
        transition, backoff = Transition("copy of the history"), Backoff()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._step)
            except Unavailable as error:
                transition.down(error)
                await asyncio.sleep(backoff.next())
            else:
                transition.up()
                backoff.reset()
                await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        """Wait for the step under way, then release both ends."""
        self._thread.shutdown()
        for end in (self._reader, self._writer):
            if end is not None:
                end.close()

    def _step(self) -> None:
        """In the copy's thread: take what is new, and seal what is due."""
        if self._writer is None:
            self._writer = self._write()
        if self._reader is None:
            self._reader = self._read()
        follow(self._reader, self._writer, self._name)
        now = time.monotonic()
        if now - self._retained >= RETAIN_S:
            self._retained = now
            self._writer.retain(self._clock.now())
