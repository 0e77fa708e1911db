"""One TCP connection to a Modbus device or serial gateway, on which requests take turns."""

import asyncio
import logging
from dataclasses import dataclass

from edge.adapters.line import Lines, no_connection
from edge.adapters.modbus_frame import Answers, Question, Refused
from edge.adapters.modbus_point import Table
from edge.adapters.turn import Silent, Turns
from plant.errors import DecodeError, Unavailable
from plant.flow.supervisor import Backoff

log = logging.getLogger("kaikou.edge")

DEAD_UNIT = (10, 11)
"""Exceptions of a gateway whose unit does not answer (Modbus application protocol 1.1b3, 7)."""
_PAUSES_S = (0.0, 0.3, 1.0)
"""What is tried between connecting and the first question, where nothing is configured."""
_WAITS = 3.0
"""Timeouts that the question after one to a dead unit is given: gateways wait longer than we do."""
_AGAIN_S = 0.05
"""Pause before a device that has just closed a connection is asked for the next one again."""


Registers = tuple[int, Table, int, int]
"""Unit, table, first address, how many."""


@dataclass(slots=True)
class Mute:
    """A block without an answer: since when (monotonic s), and how long it is left alone."""

    silent_at: float
    backoff: Backoff


class _Closed(Exception):
    """The connection ended before the answer was there."""


class _Wire(asyncio.Protocol):
    """One connection and the question that waits on it."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.heard: set[int] = set()
        """Units that answered on it."""
        self.missed = 0
        """Questions in a row without an answer."""
        self.strange: set[int] = set()
        self.closed = False
        self._answers = Answers()
        self._question: Question | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._end(_Closed())

    def data_received(self, data: bytes) -> None:
        if self._question is None:
            return  # nothing was asked: the answer to nothing
        self._answers.feed(data)
        try:
            answer = self._answers.take(self._question)
        except DecodeError as error:
            self._end(error)
            return
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _end(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def ask(self, question: Question, timeout_s: float) -> bytes:
        """Ask and wait; TimeoutError, _Closed, or what ``Answers.take`` raises."""
        if self.closed or self._transport is None or self._transport.is_closing():
            raise _Closed
        loop = asyncio.get_running_loop()
        self._answers.clear()
        self._answer = loop.create_future()
        self._question = question
        self.asked += 1
        timer = loop.call_later(timeout_s, self._end, TimeoutError())
        self._transport.write(question.encode())
        try:
            answer = await self._answer
        finally:
            timer.cancel()
            if self._answer.done() and not self._answer.cancelled():
                self._answer.exception()  # looked at, also where the task was cancelled
            self.strange = set(self._answers.strange)
            self._question = self._answer = None
        self.answered += 1
        return answer

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class ModbusLine:
    """A connection that several units behind one gateway share, and how its device behaves.

    Only one request is ever on its way, and transaction numbers go on over connections, so a late
    answer is never taken for another. After an answer that makes no sense, and after a timeout
    unless another unit is heard on it, the connection is closed and the next request opens a new
    one. What a device turns out to need is remembered: a new connection for each request where it
    closes after each answer, a pause after connecting.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.opened = 0
        self.turns = Turns()
        self.paused_s = 0.0
        """Spent between connections and first questions, which says nothing about units."""
        self.mute: dict[Registers, Mute] = {}
        """Blocks that were not answered at all the last time they were asked for."""
        self._transaction = 0
        self._wire: _Wire | None = None
        self._once = 0
        """Connections in a row that the device closed after their first answer."""
        self._pause = 0
        """Which of the pauses is tried."""
        self._proven = False
        """It has answered at once after a connection was made."""
        self._waits = False
        """The last question was for a unit that is dead: a gateway may still wait for it."""
        self._just_closed = False
        """A connection that worked has just ended, the device may need a moment for the next."""

    async def read(self, what: Registers, timeout_s: float, pause_s: float | None = None) -> bytes:
        """The data of an answer, as many bytes as were asked for.

        pause_s  between connecting and the first question; None: found out

        Raises
        ------
        Unavailable
            No connection; ``Silent`` where only the unit does not answer.
        Refused
            The device answered with an exception.
        DecodeError
            It answered something else than was asked for.
        """
        unit = what[0]
        async with self.turns.taken(unit):
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                data = await self._exchange(what, timeout_s, pause_s)
            except (Silent, asyncio.CancelledError):
                self.turns.silent(unit, loop.time() - began)
                raise
            except Refused as error:
                if error.code in DEAD_UNIT:
                    self.turns.silent(unit, loop.time() - began)
                else:
                    self.turns.heard(unit)
                raise
            self.turns.heard(unit)
        return data

    async def _exchange(self, what: Registers, timeout_s: float, pause_s: float | None) -> bytes:
        """Ask; once more where a connection that was used before turns out to be closed."""
        while True:
            wire = await self._connected(timeout_s, pause_s)
            fresh = wire.asked == 0
            self._transaction = self._transaction % 0xFFFF + 1
            question = Question(self._transaction, *what)
            try:
                data = await wire.ask(question, timeout_s * (_WAITS if self._waits else 1.0))
            except _Closed:
                self._note_close(wire)
                if fresh:
                    self._next_pause(pause_s)
                    raise Silent(f"{self._place(what)}: closed the connection unanswered") from None
            except TimeoutError:
                if fresh and not wire.strange:
                    self._next_pause(pause_s)
                self._keep_or_drop(wire, what[0])
                raise self._unanswered(wire, what, timeout_s) from None
            except asyncio.CancelledError:
                self._keep_or_drop(wire, what[0])
                raise
            except Refused:
                self._answered(wire, what[0], fresh=fresh)
                raise
            except BaseException:
                self._drop()
                raise
            else:
                self._answered(wire, what[0], fresh=fresh)
                return data

    def _answered(self, wire: _Wire, unit: int, *, fresh: bool) -> None:
        wire.heard.add(unit)
        wire.missed, self._waits = 0, False
        if fresh and not self._pause:
            self._proven = True
        if self._once >= 2:
            self._just_closed = True
            self._drop()

    def _note_close(self, wire: _Wire) -> None:
        """The device closed the connection; tell whether it does so after each answer."""
        if wire.answered == 1:
            self._once += 1
            if self._once == 2:
                log.info("%s:%d closes after each answer: it is connected to for each request",
                         self.host, self.port)  # fmt: skip
        elif wire.answered > 1:
            self._once = 0
        self._just_closed = wire.answered > 0
        self._drop()

    def _keep_or_drop(self, wire: _Wire, unit: int) -> None:
        """After a timeout: the connection stands where another unit is heard on it."""
        wire.missed += 1
        self._waits |= not self.turns.is_living(unit)
        if wire.missed > 1 or not wire.heard - {unit}:
            self._drop()

    def _unanswered(
        self, wire: _Wire, what: Registers, timeout_s: float
    ) -> Unavailable | DecodeError:
        text = f"{self._place(what)}: no answer in {timeout_s * 1000:.0f} ms"
        if 0 in wire.strange:
            return DecodeError(
                f"{text}, only frames with transaction 0: this device does not give the "
                "transaction back, so a late answer could not be told from a fresh one"
            )
        if wire.strange:
            text += f", only to other questions (transaction {min(wire.strange)}): is it slower?"
        return Silent(text)

    def _place(self, what: Registers) -> str:
        unit, table, first, _ = what
        return f"{self.host}:{self.port} unit {unit} {table}:{first}"

    def _next_pause(self, pause_s: float | None) -> None:
        """Nothing came on a new connection: perhaps it was asked too early."""
        if pause_s is None and not self._proven:
            self._pause = (self._pause + 1) % len(_PAUSES_S)

    async def _connected(self, timeout_s: float, pause_s: float | None) -> _Wire:
        wire = self._wire
        if wire is not None and not wire.closed:
            return wire
        if wire is not None:
            self._note_close(wire)
        wire = await self._connect(timeout_s)
        self._wire = wire
        self.opened += 1
        pause_s = _PAUSES_S[self._pause] if pause_s is None else pause_s
        if pause_s:
            await asyncio.sleep(pause_s)
            self.paused_s += pause_s
        return wire

    async def _connect(self, timeout_s: float) -> _Wire:
        """A new connection; a device that has just closed one may need a moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            try:
                async with asyncio.timeout_at(until):
                    _, wire = await loop.create_connection(_Wire, self.host, self.port)
            except (OSError, ValueError) as error:  # of a name that is none: UnicodeError
                if self._just_closed and loop.time() + _AGAIN_S < until:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                self._just_closed = False
                raise Unavailable(f"{self.host}:{self.port} {no_connection(error)}") from error
            self._just_closed = False
            return wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def close(self) -> None:
        """Close the connection; the transport is gone when this returns."""
        self._drop()
        await asyncio.sleep(0)  # the transport closes its socket in the next turn of the loop


LINES = Lines(ModbusLine)
"""Every Modbus connection of this process."""
