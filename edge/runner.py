"""Runs one source, whatever its protocol: schedule, retry, silence, counters.

A poll starts every ``poll_ms`` of real time, without drift; one that takes longer skips the turns
it missed and counts them, so polls never pile up. After a failure the runner opens a new session
and reads at once; when that fails within a poll interval too, the peer is lost and every point is
Bad: at most two polls and a timeout after its last answer. Then it is tried again with a capped,
jittered delay. An error that nobody expected is the loss of this source and of no other.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.clock import EdgeClock
from edge.pace import Pace
from edge.push import Restatement
from edge.quality import QualityLog
from edge.scaling import Scaling
from edge.source import Answer, Session, Source
from edge.stamp import Stamps
from plant.errors import Unavailable
from plant.flow.channel import Channel, WhenFull
from plant.flow.sample import Int32, SampleBatch, Text, UInt32
from plant.flow.status import is_bad
from plant.flow.supervisor import Backoff, Fault, Transition, Unexpected, cancellations

_ANSWERS = 64
"""Answers that may wait between adapter and conditioning."""


@dataclass(slots=True)
class Count:
    """What a runner did since the process started."""

    polls: int = 0
    skipped: int = 0
    """Turns that were missed because a poll took too long."""
    failed: int = 0
    """Reads that ended in Unavailable."""
    bad: int = 0
    """Points read Bad: refused, rubbish, no value."""
    opened: int = 0
    lost: int = 0
    """How often the peer was given up."""
    unexpected: int = 0
    """Sessions that ended in an error nobody expected."""
    dropped: int = 0
    """Samples that the channel to conditioning had no room for."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One answer in signals of the process; ``good`` is False where the peer is lost.

    at       the plant's time when the answer was complete, ms UTC
    trusted  whether the clock that says so can be trusted
    """

    batch: SampleBatch
    texts: Sequence[Text]
    at: int
    good: bool
    trusted: bool = True


class Runner:
    """One source and what is read from it; answers go into ``answers``.

    stagger  part of a poll interval (0 to 1) that the first poll waits
    names    of the points in the log; their numbers where nothing is given
    """

    def __init__(
        self,
        name: str,
        source: Source,
        points: Sequence[Any],
        scaling: Scaling,
        *,
        clock: EdgeClock,
        folder: Path,
        stagger: float = 0.0,
        names: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.scaling = scaling
        self.count = Count()
        self.answers: Channel[Read] = Channel(_ANSWERS, WhenFull.DROP_OLDEST)
        self._sizes: deque[int] = deque()
        self._points = points
        self._clock = clock
        self._folder = folder
        self._period_s = source.poll_ms / 1000
        self._phase_s = self._period_s * (stagger % 1.0)
        self._stamps = Stamps(len(points), polled=bool(source.poll_ms))
        self._push = None if source.poll_ms else Restatement(len(points))
        self._transition = Transition(f"source {name}")
        self._unexpected = Unexpected(f"source {name}")
        names = names or [f"point {number}" for number in range(len(points))]
        self._quality = QualityLog(name, names)
        self._pace = Pace(name, source.poll_ms)
        self._cancellations = 0

    @property
    def lost(self) -> bool:
        """Whether the peer is given up for now."""
        return self._transition.lost

    async def run(self) -> None:
        """Read until cancelled; closes ``answers`` on the way out."""
        backoff = Backoff()
        limit_s: float | None = None
        if self._push is not None:  # what holds since before the start is vouched for anew
            self._push.lose(self._clock.now())
        try:
            await asyncio.sleep(self._phase_s)
            while True:
                polls = self.count.polls
                try:
                    with self._unexpected.caught():
                        await self._converse(limit_s)
                except Unavailable as error:
                    self.count.failed += 1
                    self.count.unexpected = self._unexpected.count
                    if self.count.polls > polls and not isinstance(error, Fault):
                        backoff.reset()
                        if self._period_s and not self.lost:
                            limit_s = self._period_s
                            continue  # a second try, at once
                    limit_s = None
                    await self._lose(error)
                    await asyncio.sleep(backoff.next())
        finally:
            self.answers.close()

    async def _converse(self, limit_s: float | None) -> None:
        """Open a session and read until it fails; ``limit_s`` bounds the first answer."""
        self._cancellations = cancellations()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(limit_s):
                    session = await stack.enter_async_context(
                        self.source.open(self._points, self._clock, self._folder)
                    )
                    self.count.opened += 1
                    if self._push is not None:
                        self._push.opened()
                    self._pace.begin()
                    answer = await self._read(session)
            except TimeoutError as error:
                raise Unavailable("no answer") from error
            while True:
                await self._take(answer)
                if self._period_s:
                    self.count.skipped += await self._pace.turn()
                answer = await self._read(session)

    async def _read(self, session: Session) -> Answer:
        """Read; a cancellation that got lost on the way still counts.

        ``asyncio.wait_for`` of Python 3.11, on which asyncua waits, forgets one that comes in the
        same turn of the loop as the answer.
        """
        answer = await session.read()
        if cancellations() > self._cancellations:
            raise asyncio.CancelledError
        problem = answer.misfit(len(self._points), polled=self._period_s > 0)
        if problem:
            raise RuntimeError(problem)
        return answer

    async def _take(self, answer: Answer) -> None:
        if not answer.alive:
            await self._lose(Unavailable("no connection"))
            return
        if self._push is not None and answer.says_nothing:
            return
        self.count.polls += 1
        self._transition.up()
        samples, texts = self.scaling.sort(answer)
        self._quality.see(*_statuses(samples, texts), answer.why)
        samples = self._stamps.date(samples, self._clock.now())
        texts = self._stamps.texts(texts, self._clock.now())
        trusted = self._clock.trusted
        if self._push is not None:
            now = self._clock.now()
            samples = self._push.add(samples, now, answer.vouched, trusted=trusted)
            texts = self._push.texts(texts)
            trusted = True
        batch = self.scaling.apply(samples, self._clock, trusted=trusted)
        self.count.bad += int(is_bad(batch.status).sum())
        texts = self.scaling.texts(texts, self._clock, trusted=trusted)
        await self._put(batch, texts, good=True)

    async def _lose(self, error: Unavailable) -> None:
        lost = self.lost
        self._transition.down(error)
        if lost:
            return
        self.count.lost += 1
        self._quality.forget()
        now = self._clock.now()
        if self._push is not None:
            self._push.lose(now)
        await self._put(self.scaling.lost(now), (), good=False)

    async def _put(self, batch: SampleBatch, texts: Sequence[Text], *, good: bool) -> None:
        while len(self._sizes) > len(self.answers):  # taken meanwhile
            self._sizes.popleft()
        if len(self._sizes) == _ANSWERS:  # the oldest goes
            self.count.dropped += self._sizes.popleft()
        self._sizes.append(len(batch) + len(texts))
        read = Read(batch, texts, self._clock.now(), good, self._clock.trusted)
        await self.answers.put(read)


def _statuses(samples: SampleBatch, texts: Sequence[Text]) -> tuple[Int32, UInt32]:
    """Points and their statuses."""
    if not texts:
        return samples.signal, samples.status
    signal, status = zip(*((t.signal, t.status) for t in texts), strict=True)
    return (
        np.concatenate([samples.signal, np.array(signal, np.int32)]),
        np.concatenate([samples.status, np.array(status, np.uint32)]),
    )
