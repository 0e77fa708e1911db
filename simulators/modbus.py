"""A Modbus TCP server for devices that are not there (functions 1 to 4, read-only).

Our own and not pymodbus's, because a simulated device must be able to answer late, with a stale
transaction, with nonsense or not at all, must read all registers of a transaction at one moment,
and must cost the benches little (45 us a round trip with its client against 70 us, measured).
Framing after MODBUS Messaging on TCP/IP Implementation Guide V1.0b, exceptions after MODBUS
Application Protocol V1.1b3.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Protocol

from simulators.habit import Habit
from simulators.link import Link
from simulators.register import Moment

_HEADER = struct.Struct(">HHHBB")
_SPAN = struct.Struct(">HH")
_TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
ILLEGAL_FUNCTION, ILLEGAL_VALUE, NO_TARGET = 1, 3, 11
GARBAGE = bytes.fromhex("dead00000005017f00ff")


class Unit(Protocol):
    """One device behind a unit id."""

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Registers as bytes, None where there are none."""

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Bits packed lowest first, None where there are none."""


Answered = Callable[[int, Moment, str, int, bytes], None]
"""Told of every good answer: unit id, moment, table, first address, data."""


class ModbusServer:
    """Serves units on one port.

    Parameters
    ----------
    units
        By unit id. An unknown one is answered "gateway target failed to respond".
    link
        How it answers now.
    answered
        Called with every answer that carries data, before it is sent: a bench's own record.
    clock
        Plant time in ms for the moments handed to the units.
    habit
        In what it differs from the standard.
    """

    def __init__(
        self,
        units: Mapping[int, Unit],
        link: Link | None = None,
        answered: Answered | None = None,
        clock: Callable[[], int] = lambda: 0,
        habit: Habit | None = None,
    ) -> None:
        self.units = units
        self.habit = habit or Habit()
        self.free_at = 0.0
        """Loop time until which it waits for a dead unit."""
        self.asked = 0
        self.connections = 0
        self.link = link or Link()
        self.answers = dict.fromkeys(units, 0)
        self._answered = answered
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the server is not open")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Cut every connection that is open."""
        for transport in list(self._open):
            transport.abort()

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """The answer's PDU."""
        code, data = self._read(unit, pdu)
        return bytes([pdu[0] | 0x80, code]) if code else bytes([pdu[0], len(data)]) + data

    def _read(self, unit: int, pdu: bytes) -> tuple[int, bytes]:
        """The exception, or 0 and the data."""
        table = _TABLES.get(pdu[0])
        device = self.units.get(unit)
        refusal = self.habit.dead_code if unit in self.habit.dead else self.habit.refuses(pdu)
        if table is None or device is None or refusal:
            return refusal or (ILLEGAL_FUNCTION if table is None else NO_TARGET), b""
        words = pdu[0] > 2
        first, count = _SPAN.unpack_from(pdu, 1) if len(pdu) == 5 else (0, 0)
        if not 1 <= count <= (125 if words else 2000):
            return ILLEGAL_VALUE, b""
        moment = Moment.now(self.answers[unit] + 1, self._clock())
        read = device.words if words else device.bits
        data = read(table, first, count, moment)
        if data is None:
            return self.habit.hole, b""
        self.answers[unit] += 1
        if self._answered is not None:
            self._answered(unit, moment, table, first, data)
        return 0, data


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._waiting = b""
        self._last = b""
        self._ready_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("Modbus TCP needs a stream")
        self._transport = transport
        if self._server.link.offline:
            transport.abort()
            return
        self._server._open.add(transport)
        self._server.connections += 1
        self._ready_at = asyncio.get_running_loop().time() + self._server.habit.ready_s

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server._open.discard(self._transport)
            self._transport = None

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._waiting += data
        while len(self._waiting) >= 8:
            transaction, protocol, length, unit, _ = _HEADER.unpack_from(self._waiting)
            if protocol != 0 or not 2 <= length <= 254:
                transport.abort()
                return
            if len(self._waiting) < 6 + length:
                return
            pdu = self._waiting[7 : 6 + length]
            self._waiting = self._waiting[6 + length :]
            self._answer(transport, transaction, unit, pdu)

    def _answer(
        self, transport: asyncio.Transport, transaction: int, unit: int, pdu: bytes
    ) -> None:
        link, habit = self._server.link, self._server.habit
        self._server.asked += 1
        if link.offline:
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        if unit in habit.dead and habit.dead_s:
            self._server.free_at = max(loop.time(), self._server.free_at) + habit.dead_s
        if link.silent or habit.ignores(unit, pdu) or loop.time() < self._ready_at:
            return
        if link.garbage:
            frame = GARBAGE
        else:
            answer = habit.frame(transaction, unit, self._server.answer(unit, pdu))
            frame, self._last = habit.copy(self._last) + answer, answer
        late_s = max(link.late_s, self._server.free_at - loop.time())
        if late_s > 0.0:
            loop.call_later(late_s, _send, transport, frame, habit.closes)
        else:
            _send(transport, frame, habit.closes)


def _send(transport: asyncio.Transport, frame: bytes, closes: bool) -> None:
    if not transport.is_closing():
        transport.write(frame)
        if closes:
            transport.close()
