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
_TURNAROUND_S = 0.02
"""A meter waits for so long at least before it answers (the same section)."""
_DOUBTED_S = 60.0
"""So long after a second answer to one question every answer is waited for twice."""
_DOUBT_S = 0.05
_NOISE = 512
ANYBODY = "A" * 12
"""The address that every meter answers."""


class Refused(DecodeError):
    """The meter answered that it does not give this item."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a meter.

    wait_s   that its answer may take, on the line and in the meter
    early_s  an answer that comes sooner cannot have been asked for over a real line
    """

    meter: str
    item: str
    frame: bytes
    wait_s: float
    early_s: float

    def is_answer(self, frame: Frame) -> bool:
        """Whether a frame is from this meter, and the item or a refusal."""
        if self.meter not in (frame.meter, ANYBODY):
            return False
        answers = frame.control in (ANSWER, ANSWER_MORE) and frame.item == self.item
        return answers or frame.control == ERROR


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame, and the loop time at which it was complete."""

    frame: Frame
    at: float


class _Closed(Exception):
    """The connection ended before an answer was there."""


class _Pipe(asyncio.Protocol):
    """The connection: what is heard while nothing is asked, and the answers that are waited for."""

    def __init__(self) -> None:
        self.closed = False
        self.used = False
        """It has brought an answer."""
        self.heard_at = 0.0
        self.unasked: deque[Heard] = deque(maxlen=16)
        self.unasked_bytes = 0
        self.early = 0
        """Frames that came too soon since the last question."""
        self.answers: list[Heard] = []
        self.other: Frame | None = None
        """The last frame that came for the question and is no answer to it, nor its echo."""
        self._frames = FrameReader()
        self.sent_at = 0.0
        self._question: Question | None = None
        self._guarded = False
        self._came: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._end(_Closed())

    def data_received(self, data: bytes) -> None:
        now = self.heard_at = asyncio.get_running_loop().time()
        frames = [Heard(frame, now) for frame in self._frames.feed(data)]
        question = self._question
        if question is None:
            self.unasked.extend(frames)
            self.unasked_bytes += len(data)
            return
        for heard in frames:
            if question.is_answer(heard.frame):
                if self._guarded and now - self.sent_at < question.early_s:
                    self.early += 1
                else:
                    self.answers.append(heard)
                    self._end(None)
            elif heard.frame.control != READ:
                self.other = heard.frame
        if self._frames.noise > _NOISE:
            self._end(DecodeError(f"{self._frames.noise} bytes that are no DL/T 645 frame"))

    def _end(self, error: Exception | None) -> None:
        if self._came is not None and not self._came.done():
            if error is None:
                self._came.set_result(None)
            else:
                self._came.set_exception(error)

    def ask(self, question: Question, *, guarded: bool) -> None:
        """Send a question; nothing that was heard before can be its answer.

        guarded  pass over what comes sooner than ``early_s``
        """
        if self.closed or self._transport is None:
            raise _Closed
        loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self.answers.clear()
        self.early, self.other = 0, None
        self._question, self._guarded = question, guarded
        self._came = loop.create_future()
        self.sent_at = loop.time()
        self._transport.write(question.frame)

    async def answered(self, timeout_s: float) -> None:
        """Wait for the first answer; TimeoutError, _Closed, DecodeError."""
        if self._came is None:
            raise RuntimeError("nothing was asked")
        try:
            async with asyncio.timeout(timeout_s):
                await self._came
        finally:
            if self._came.done() and not self._came.cancelled():
                self._came.exception()

    def end(self) -> None:
        """The question is done with: what comes from now on was not asked for."""
        self._question = self._came = None
        self._frames = FrameReader()
        self.unasked.clear()
        self.unasked_bytes = 0

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class MeterLine:
    """A slow line. One request is on its way at a time; an answer says its meter and its item.

    It does not say its question, so what is late must not be taken for what is new. Before each
    question the input is emptied and the line must be quiet. On a line that is as slow as its baud
    rate says, what comes sooner than question and answer can travel was under way before, and is
    passed over; whether it is such a line is found out with the first answer. Where two answers
    come to one question, another master or a server that repeats is on the line: that is told once,
    and for a minute each answer must stand alone, or be asked for again. After a timeout the
    connection is closed.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.turns = Turns()
        self.foreign = 0
        """Times that something was heard which nobody here had asked for."""
        self._pipe: _Pipe | None = None
        self._paced: bool | None = None
        """Whether answers take the time that the baud rate gives them; None: not known."""
        self._late_until = 0.0
        self._doubted_until = 0.0
        self._last: tuple[Question, float, Frame] | None = None
        """The last question that was answered, when it was sent, and what was taken."""

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
        frame = request(meter, item, wake)
        byte_s = _BITS / baud
        wait_s = timeout_s + (len(frame) + wake + 16 + size) * byte_s
        early_s = ((len(frame) + 17) * byte_s + _TURNAROUND_S) / 2
        question = Question(meter, item, frame, wait_s, early_s)
        async with self.turns.taken(meter, patient=False):
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                answer = await self._alone(question)
            except (Silent, asyncio.CancelledError):
                self.turns.silent(meter, loop.time() - began)
                raise
            self.turns.heard(meter)
        if answer.control == ERROR:
            bits = answer.data[0] if answer.data else 1
            reasons = [text for bit, text in enumerate(ERRORS) if bits >> bit & 1]
            raise Refused(f"meter {meter} refuses {item}: {', '.join(reasons)}")
        return answer

    async def _alone(self, question: Question) -> Frame:
        """An answer that stands alone; ask up to three times for it."""
        for _ in range(3):
            answer = await self._exchange(question)
            if answer is not None:
                return answer
        raise DecodeError("different answers come to one question, three times")

    async def _exchange(self, question: Question) -> Frame | None:
        """Ask once; None where it must be asked again."""
        pipe = await self._connected(question.wait_s)
        try:
            await self._quiet(pipe, question.wait_s)
            pipe.ask(question, guarded=self._paced is True)
            await pipe.answered(question.wait_s)
            answer = await self._chosen(pipe, question)
        except _Closed as error:
            self._drop()
            if pipe.used:
                return None  # it closes when nothing is asked for a while, or after each answer
            raise Unavailable(f"{self.host}:{self.port} closed the connection") from error
        except TimeoutError:
            self._late_until = pipe.sent_at + question.early_s + _ANSWER_S
            if pipe.early:  # perhaps it was the answer: is the line faster than its baud rate?
                self._paced = None
            self._drop()
            where, other = f"{self.host}:{self.port}", pipe.other
            heard = (
                f"; what came is of meter {other.meter}, control {other.control:02X}H, item "
                f"{other.item or 'none'}"
                if other is not None
                else ""
            )
            raise Silent(f"meter {question.meter} at {where} does not answer{heard}") from None
        except BaseException:
            self._drop()
            raise
        pipe.used = True
        pipe.end()
        if answer is None:  # the true answer may still be on its way: not before it can be here
            self._late_until = pipe.sent_at + 2 * question.early_s + _ANSWER_S
        else:
            self._last = question, pipe.sent_at, answer
        return answer

    async def _chosen(self, pipe: _Pipe, question: Question) -> Frame | None:
        """The answer among those that came; None where none can be trusted."""
        now = asyncio.get_running_loop().time()
        early = pipe.answers[0].at - pipe.sent_at < question.early_s
        if early and self._paced is None:  # is this a fast line, or was it under way before?
            await asyncio.sleep(pipe.sent_at + min(_ANSWER_S, question.wait_s) - now)
        elif now < self._doubted_until:
            await asyncio.sleep(_DOUBT_S)
        await _look()
        first, last = pipe.answers[0].frame, pipe.answers[-1].frame
        same = all(heard.frame.data == first.data for heard in pipe.answers)
        follows = pipe.answers[-1].at - pipe.sent_at >= question.early_s
        if self._paced is None:
            self._paced = not early or (follows and not same)
        if same or (early and follows and self._paced):
            return last
        self._doubted_until = asyncio.get_running_loop().time() + _DOUBTED_S
        return None

    async def _quiet(self, pipe: _Pipe, timeout_s: float) -> None:
        """Empty the input, and let others on the line come to their end."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._late_until:
            await asyncio.sleep(self._late_until - loop.time())
        await _look()
        if not pipe.unasked_bytes:
            return
        self._note(pipe)
        asked = bool(pipe.unasked) and pipe.unasked[-1].frame.control == READ
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
        if self._last is not None:
            question, sent_at, taken = self._last
            for heard in pipe.unasked:
                if question.is_answer(heard.frame):
                    self._doubted_until = asyncio.get_running_loop().time() + _DOUBTED_S
                    if heard.frame.data != taken.data and (
                        question.early_s <= heard.at - sent_at <= question.wait_s
                    ):
                        self._paced = None  # what was taken may have been under way before
        if self.foreign == 1:
            log.warning(
                "%s:%d: frames came unasked (%s): late copies, or another master on the line; "
                "they are not taken",
                self.host,
                self.port,
                ", ".join(f"meter {h.frame.meter} {h.frame.item}".strip() for h in pipe.unasked),
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


async def _look() -> None:
    """Let the loop turn, so that what the socket holds is read."""
    for _ in range(2):
        await asyncio.sleep(0)


LINES = Lines(MeterLine)
"""Every meter line of this process."""
