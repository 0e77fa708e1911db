"""One TCP connection to a serial-to-TCP server with meters behind it, which take turns."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from edge.adapters.dlt645_frame import (
    ANSWER,
    ANSWER_MORE,
    ERROR,
    ERRORS,
    READ,
    Frame,
    FrameReader,
    request,
)
from edge.adapters.line import Lines, no_connection
from edge.adapters.turn import Silent, Turns
from plant.errors import DecodeError, Unavailable

log = logging.getLogger("kaikou.edge")

_BITS = 11
"""Of a byte on the line: start, eight data, even parity, stop."""
_ANSWER_S = 0.5
"""A meter begins to answer within this time or not at all (standard, section 5.3)."""
_QUIET_S = 0.03
"""The line is free when nothing was heard on it for so long."""
_PACED_S = 0.05
"""Answers that never came sooner come over a real line, and cannot suddenly be much faster."""
_DOUBTED_S = 60.0
"""So long after a second answer to one question every answer is waited for twice."""
_DOUBT_S = 0.05
_NOISE = 512
ANYBODY = "A" * 12
"""The address that every meter answers."""


class Refused(DecodeError):
    """The meter answered that it does not give this item."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The answer that is waited for; what comes before ``earliest`` (loop time) was under way."""

    meter: str
    item: str
    earliest: float = 0.0

    def is_answer(self, frame: Frame) -> bool:
        """Whether a frame is from this meter, and the item or a refusal."""
        if self.meter not in (frame.meter, ANYBODY):
            return False
        answers = frame.control in (ANSWER, ANSWER_MORE) and frame.item == self.item
        return answers or frame.control == ERROR


class _Closed(Exception):
    """The connection ended before an answer was there."""


class _Pipe(asyncio.Protocol):
    """The connection: what is heard while nothing is asked, and the answers that are waited for."""

    def __init__(self) -> None:
        self.closed = False
        self.answered = False
        """It has brought an answer."""
        self.heard_at = 0.0
        self.unasked: deque[Frame] = deque(maxlen=16)
        self.unasked_bytes = 0
        self.early = 0
        """Frames that came too soon since the last question."""
        self.answers: list[Frame] = []
        self._frames = FrameReader()
        self._wanted: Wanted | None = None
        self._came: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._end(_Closed())

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        frames = self._frames.feed(data)
        wanted = self._wanted
        if wanted is None:
            self.unasked.extend(frames)
            self.unasked_bytes += len(data)
            return
        for frame in frames:
            if wanted.is_answer(frame):
                if self.heard_at < wanted.earliest:
                    self.early += 1
                else:
                    self.answers.append(frame)
                    self._end(None)
        if self._frames.noise > _NOISE:
            self._end(DecodeError(f"{self._frames.noise} bytes that are no DL/T 645 frame"))

    def _end(self, error: Exception | None) -> None:
        if self._came is not None and not self._came.done():
            if error is None:
                self._came.set_result(None)
            else:
                self._came.set_exception(error)

    def ask(self, frame: bytes, wanted: Wanted) -> None:
        """Send a question; nothing that was heard before can be its answer."""
        if self.closed or self._transport is None:
            raise _Closed
        self._frames = FrameReader()
        self.answers.clear()
        self.early = 0
        self._wanted = wanted
        self._came = asyncio.get_running_loop().create_future()
        self._transport.write(frame)

    async def answer(self, timeout_s: float) -> Frame:
        """The first answer; TimeoutError, _Closed, DecodeError."""
        if self._came is None:
            raise RuntimeError("nothing was asked")
        try:
            async with asyncio.timeout(timeout_s):
                await self._came
        finally:
            if self._came.done() and not self._came.cancelled():
                self._came.exception()
        return self.answers[0]

    def end(self) -> None:
        """The question is done with: what comes from now on was not asked for."""
        self._wanted = self._came = None
        self._frames = FrameReader()
        self.unasked.clear()
        self.unasked_bytes = 0

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class MeterLine:
    """A slow line. One request is on its way at a time; an answer says its meter and its item.

    It does not say its question, so what is late must not be taken for what is new: before each
    question the input is emptied and the line must be quiet; an answer that comes much sooner than
    this meter ever gave one was under way before. Where two answers come to one question, another
    master or a server that repeats is on the line: that is told once, and for a minute each answer
    must stand alone, or be asked for again. After a timeout the line is closed.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.turns = Turns()
        self.foreign = 0
        """Times that something was heard which nobody here had asked for."""
        self._pipe: _Pipe | None = None
        self._late_until = 0.0
        self._doubted_until = 0.0
        self._fastest_s: dict[tuple[str, str], float] = {}
        self._last: Wanted | None = None

    async def ask(
        self, meter: str, item: str, *, size: int, baud: int, wake: int, timeout_s: float
    ) -> Frame:
        """The answer with an item; ``size`` is the most bytes it can have beside the identifier.

        Raises
        ------
        Unavailable
            No connection; ``Silent`` where only the meter does not answer.
        Refused, DecodeError
            The meter has no such item; what came makes no sense.
        """
        question = request(meter, item, wake)
        line_s = (len(question) + wake + 16 + size) * _BITS / baud
        loop = asyncio.get_running_loop()
        async with self.turns.taken(meter, patient=False):
            began = loop.time()
            try:
                for _ in range(3):
                    frame = await self._exchange(question, meter, item, timeout_s, line_s)
                    if frame is not None:
                        break
                else:
                    raise DecodeError("different answers come to one question, three times")
            except (Silent, asyncio.CancelledError):
                self.turns.silent(meter, loop.time() - began)
                raise
            self.turns.heard(meter)
        if frame.control == ERROR:
            bits = frame.data[0] if frame.data else 1
            reasons = [text for bit, text in enumerate(ERRORS) if bits >> bit & 1]
            raise Refused(f"meter {meter} refuses {item}: {', '.join(reasons)}")
        return frame

    async def _exchange(
        self, question: bytes, meter: str, item: str, timeout_s: float, line_s: float
    ) -> Frame | None:
        """Ask once; None where it must be asked again."""
        loop = asyncio.get_running_loop()
        pipe = await self._connected(timeout_s)
        try:
            await self._quiet(pipe, timeout_s)
            sent = loop.time()
            fastest_s = self._fastest_s.get((meter, item), 0.0)
            earliest = sent + fastest_s / 2 if fastest_s > _PACED_S else 0.0
            wanted = self._last = Wanted(meter, item, earliest)
            pipe.ask(question, wanted)
            frame = await pipe.answer(timeout_s + line_s)
            took_s = loop.time() - sent
            if not await self._is_alone(pipe, doubted=sent < self._doubted_until):
                return None
        except _Closed as error:
            self._drop()
            if pipe.answered:
                return None  # it closes when nothing is asked for a while, or after each answer
            raise Unavailable(f"{self.host}:{self.port} closed the connection") from error
        except TimeoutError:
            self._late_until = sent + line_s + _ANSWER_S
            if pipe.early:
                self._fastest_s.pop((meter, item), None)
            self._drop()
            raise Silent(f"meter {meter} at {self.host}:{self.port} does not answer") from None
        except BaseException:
            self._drop()
            raise
        self._fastest_s[meter, item] = min(took_s, fastest_s or took_s)
        pipe.answered = True
        pipe.end()
        return frame

    async def _is_alone(self, pipe: _Pipe, *, doubted: bool) -> bool:
        """Whether no other answer to the same question came; where one did, wait for quiet."""
        if doubted:
            await asyncio.sleep(_DOUBT_S)
        if all(frame.data == pipe.answers[0].data for frame in pipe.answers):
            return True
        self._doubted_until = asyncio.get_running_loop().time() + _DOUBTED_S
        pipe.end()
        await self._settle(pipe, 4 * _DOUBT_S, 1.0)
        return False

    async def _quiet(self, pipe: _Pipe, timeout_s: float) -> None:
        """Empty the input, and let others on the line come to their end."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._late_until:
            await asyncio.sleep(self._late_until - loop.time())
        for _ in range(2):  # turns of the loop in which what the socket holds is read
            await asyncio.sleep(0)
        if not pipe.unasked_bytes:
            return
        self._note(pipe)
        asked = bool(pipe.unasked) and pipe.unasked[-1].control == READ
        await self._settle(pipe, _ANSWER_S if asked else _QUIET_S, timeout_s)
        pipe.end()

    async def _settle(self, pipe: _Pipe, quiet_s: float, limit_s: float) -> None:
        """Wait until nothing was heard for ``quiet_s``; no longer than ``limit_s``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        while (left := min(pipe.heard_at + quiet_s, until) - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    def _note(self, pipe: _Pipe) -> None:
        """Frames were heard that nobody here had asked for; single bytes are but noise."""
        if not pipe.unasked:
            return
        self.foreign += 1
        if self._last is not None and any(map(self._last.is_answer, pipe.unasked)):
            self._doubted_until = asyncio.get_running_loop().time() + _DOUBTED_S
        if self.foreign == 1:
            log.warning(
                "%s:%d: frames came unasked (%s): late copies, or another master on the line; "
                "they are not taken",
                self.host,
                self.port,
                ", ".join(f"meter {f.meter} {f.item}".strip() for f in pipe.unasked),
            )

    async def _connected(self, timeout_s: float) -> _Pipe:
        if self._pipe is not None and not self._pipe.closed:
            return self._pipe
        self._drop()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(timeout_s, 1.0)):
                _, self._pipe = await loop.create_connection(_Pipe, self.host, self.port)
        except (OSError, ValueError) as error:  # of a name that is none: UnicodeError
            raise Unavailable(f"{self.host}:{self.port} {no_connection(error)}") from error
        return self._pipe

    def _drop(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()

    async def close(self) -> None:
        """Close the connection; the transport is gone when this returns."""
        self._drop()
        await asyncio.sleep(0)


LINES = Lines(MeterLine)
"""Every meter line of this process."""
