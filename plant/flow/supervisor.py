"""Runs a process's tasks: each has an owner and a name, only sources are told to stop.

A ``Supervisor`` is a TaskGroup with three habits: it retries what raised ``Unavailable`` with a
capped, jittered delay and logs transitions, not repetitions; on stop it ends sources first and
lets the closing of their channels travel downstream; after a deadline it cancels the stragglers
and names them.

An error that nobody expected is a bug. ``Unexpected`` keeps it to the unit it happened in (a
source, a viewer, a method): told once with its traceback, counted, and turned into ``Unavailable``,
so whoever retries that unit begins it anew with back-off. This is the one broad ``except``.
"""

import asyncio
import logging
import random
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

from plant.errors import ConfigError, KaikouError, Unavailable

log = logging.getLogger("kaikou.supervisor")

Run = Callable[[], Awaitable[None]]

_NUMBER = re.compile(r"\d+")
"""Ports and durations make no other reason."""


class Backoff:
    """Delays that double from ``first_s`` to ``cap_s``, each jittered by ±25 %.

    >>> b = Backoff(first_s=1.0, cap_s=4.0, random=lambda: 0.5)
    >>> [b.next() for _ in range(4)]
    [1.0, 2.0, 4.0, 4.0]
    """

    def __init__(
        self,
        first_s: float = 0.5,
        cap_s: float = 5.0,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._random = random
        self._delay_s = first_s

    def next(self) -> float:
        """The delay before the next try, in seconds."""
        delay = self._delay_s
        self._delay_s = min(self._cap_s, delay * 2)
        return delay * (0.75 + 0.5 * self._random())

    def reset(self) -> None:
        """The peer is back: begin again with the first delay."""
        self._delay_s = self._first_s


class Transition:
    """Logs that a peer went away once, and that it is back once, with how long it was gone.

    While it is away another reason is told as well, each once and a few at the most: a server that
    did not answer now does not trust us.
    """

    MOST_REASONS = 5

    def __init__(self, name: str) -> None:
        self._name = name
        self._lost_at: float | None = None
        self._reasons: set[str] = set()

    @property
    def lost(self) -> bool:
        """Whether the peer is away now."""
        return self._lost_at is not None

    def down(self, reason: object) -> None:
        """The peer is away; the first call of an absence is logged, and another reason."""
        kind = _NUMBER.sub("", str(reason))
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._reasons = {kind}
            log.warning("%s: lost: %s", self._name, reason)
        elif kind not in self._reasons and len(self._reasons) < self.MOST_REASONS:
            self._reasons.add(kind)
            log.warning("%s: still lost: %s", self._name, reason)

    def up(self) -> None:
        """The peer is there; logged only when it was away."""
        if self._lost_at is not None:
            log.info("%s: back after %.1f s", self._name, time.monotonic() - self._lost_at)
            self._lost_at = None


class Fault(Unavailable):
    """A unit ended in an error that nobody expected; ``__cause__`` is that error."""


class Unexpected:
    """Errors that nobody expected in one supervised unit.

    >>> unexpected = Unexpected("source press")
    >>> try:
    ...     with unexpected.caught():
    ...         [][0]
    ... except Unavailable as error:
    ...     print(error, "|", unexpected.count)
    IndexError: list index out of range | 1
    """

    MOST_TOLD = 20
    """Different errors of one unit that are told with their traceback."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._told: set[tuple[type[BaseException], str, int]] = set()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Run a unit: what it raises is ``Unavailable``, a ``Fault`` where nobody expected it.

        Cancellation, the wish to exit, want of memory and ``ConfigError`` pass as they are, also
        where they come out of a task group. The errors of a group count as one.
        """
        before = cancellations()
        try:
            yield
        except Exception as error:
            # a task group of Python 3.11 leaves one behind when a member of it failed
            if cancellations() > before and not isinstance(error, ExceptionGroup):
                raise asyncio.CancelledError from error
            told = self._judge(error)
            if told is error:
                raise
            raise told from error

    def _judge(self, error: Exception) -> Exception:
        """What to raise instead."""
        causes = list(_causes(error))
        graver = [c for c in causes if isinstance(c, (ConfigError, MemoryError))]
        if graver:
            return graver[0]
        foreign = [c for c in causes if not isinstance(c, KaikouError)]
        if not foreign:
            known = next((c for c in causes if isinstance(c, Unavailable)), None)
            return known or Unavailable(str(causes[0]))
        self._tell(foreign[0])
        return Fault(f"{type(foreign[0]).__name__}: {foreign[0]}"[:500])

    def _tell(self, error: Exception) -> None:
        self.count += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        key = (type(error), *place)
        if key not in self._told and len(self._told) < self.MOST_TOLD:
            self._told.add(key)
            log.error("%s: an error nobody expected; please report it", self._name, exc_info=error)


def cancellations() -> int:
    """How often the current task was told to stop; 0 where no loop runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    return 0 if task is None else task.cancelling()


def _causes(error: Exception) -> Iterator[Exception]:
    """The errors in a group of groups, or the error itself."""
    if isinstance(error, ExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part)
    else:
        yield error


class Supervisor:
    """Owns the tasks of one process.

    ``async with Supervisor() as s: s.start("twin", run); s.source("poll", poll)`` returns when
    everything ended; ``stop()`` (or SIGTERM, SIGINT after ``on_signals()``) cancels the sources.

    deadline_s  after ``stop``, what still runs is cancelled and named
    settled_s   a task that was retried and runs for so long is back, and that is logged
    """

    def __init__(self, deadline_s: float = 10.0, settled_s: float = 3.0) -> None:
        self.stopping = asyncio.Event()
        self._settled_s = settled_s
        self.stragglers: list[str] = []
        self._deadline_s = deadline_s
        self._group = asyncio.TaskGroup()
        self._sources: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        finally:
            if self._reaper:
                self._reaper.cancel()

    def start(
        self, name: str, run: Run, retry: bool = False, contained: bool = False
    ) -> asyncio.Task[None]:
        """A task that ends by itself once its input is closed.

        retry      ``Unavailable`` makes it start again after a delay
        contained  so does an error nobody expected; else that ends the process
        """
        task = self._group.create_task(
            self._supervise(name, run, contained) if retry or contained else _plain(run), name=name
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def source(
        self, name: str, run: Run, retry: bool = True, contained: bool = False
    ) -> asyncio.Task[None]:
        """A task that ``stop`` cancels; ``Unavailable`` makes it start again after a delay."""
        task = self.start(name, run, retry, contained)
        self._sources.add(task)
        task.add_done_callback(self._sources.discard)
        return task

    def on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """Cancel the sources; cancel and name whatever still runs after the deadline."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        for task in list(self._sources):
            task.cancel()
        self._reaper = asyncio.get_running_loop().create_task(self._reap(), name="reaper")

    async def _reap(self) -> None:
        await asyncio.sleep(self._deadline_s)
        self.stragglers = sorted(task.get_name() for task in self._tasks)
        if self.stragglers:
            log.error(
                "still running after %.0f s: %s", self._deadline_s, ", ".join(self.stragglers)
            )
        for task in list(self._tasks):
            task.cancel()

    async def _supervise(self, name: str, run: Run, contained: bool) -> None:
        backoff = Backoff()
        caught = Unexpected(name).caught if contained else nullcontext
        transition = Transition(name)

        def settled() -> None:
            transition.up()
            backoff.reset()

        while not self.stopping.is_set():
            works = asyncio.get_running_loop().call_later(self._settled_s, settled)
            try:
                with caught():
                    await run()
            except Unavailable as error:
                transition.down(error)
            else:
                return
            finally:
                works.cancel()
            await asyncio.sleep(backoff.next())


async def _plain(run: Run) -> None:
    await run()
