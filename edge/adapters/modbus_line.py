"""One TCP connection to a Modbus device or serial gateway, on which requests take turns."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.adapters.line import Lines
from edge.adapters.modbus_point import Table
from plant.errors import ConfigError, DecodeError, Unavailable

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient

_FUNCTION: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


class Refused(DecodeError):
    """The device answered with a Modbus exception; ``code`` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class ModbusLine:
    """A connection that several units behind one gateway share.

    Only one request is ever on its way. After a timeout, a cancelled request or an answer that
    makes no sense the connection is closed and the next request opens a new one, so a late answer
    is never taken for another; within a connection the transaction number is checked.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.opened = 0
        self._turn = asyncio.Lock()
        self._client: AsyncModbusTcpClient | None = None
        self._asked: tuple[int, int] | None = None

    async def read(
        self, table: Table, first: int, count: int, unit: int, timeout_s: float
    ) -> Sequence[int] | Sequence[bool]:
        """Registers, or bits, as the device holds them.

        Raises
        ------
        Unavailable
            No connection, or no answer in time.
        Refused
            The device answered with an exception.
        DecodeError
            It answered something else than was asked for.
        """
        async with self._turn:
            client = await self._connected(timeout_s)
            try:
                answer = await self._ask(client, table, first, count, unit)
            except BaseException as error:
                if not isinstance(error, Refused):
                    self._drop()
                raise
        return answer

    async def _connected(self, timeout_s: float) -> "AsyncModbusTcpClient":
        client = self._client
        if client is not None and client.connected:
            client.ctx.comm_params.timeout_connect = timeout_s
            return client
        self._drop()
        try:
            from pymodbus.client import AsyncModbusTcpClient
        except ImportError as error:
            raise ConfigError(f"Modbus needs pymodbus: install kaikou[modbus] ({error})") from error
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # the runner reports
        client = AsyncModbusTcpClient(
            self.host,
            port=self.port,
            timeout=timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._check,
            trace_connect=self._changed,
        )
        if not await client.connect():
            raise Unavailable(f"{self.host}:{self.port} does not accept a connection")
        self._client = client
        self.opened += 1
        return client

    async def _ask(
        self, client: "AsyncModbusTcpClient", table: Table, first: int, count: int, unit: int
    ) -> Sequence[int] | Sequence[bool]:
        from pymodbus.exceptions import ModbusException

        ask: dict[Table, Any] = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }
        bits = table in ("coil", "discrete")
        self._asked = (_FUNCTION[table], (count + 7) // 8 if bits else count * 2)
        try:
            answer = await ask[table](first, count=count, device_id=unit)
        except ModbusException as error:
            raise Unavailable(f"{self.host}:{self.port} unit {unit}: no answer") from error
        finally:
            self._asked = None
        if answer.isError():
            code = int(answer.exception_code)
            raise Refused(code, f"unit {unit} refuses {table} {first} (exception {code})")
        if answer.transaction_id != client.ctx.request_transaction_id:
            raise DecodeError(f"unit {unit} answered with transaction {answer.transaction_id}")
        words: Sequence[int] | Sequence[bool] = answer.bits if bits else answer.registers
        return words

    def _check(self, sending: bool, data: bytes) -> bytes:
        """Look at what came before pymodbus does: it would raise inside the event loop."""
        if sending or self._asked is None:
            return data
        problem = _problem(data, *self._asked)
        if problem:
            self._fail(DecodeError(problem, data[:32]))
            return b""
        return data

    def _changed(self, connected: bool) -> None:
        if not connected:
            self._fail(Unavailable(f"{self.host}:{self.port} closed the connection"))

    def _fail(self, error: Exception) -> None:
        """End the request that waits now, instead of letting it run into its timeout."""
        client = self._client
        if client is not None and self._asked and not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(error)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def close(self) -> None:
        """Close the connection; the transport is gone when this returns."""
        self._drop()
        await asyncio.sleep(0)  # the transport closes its socket in the next turn of the loop


def _problem(data: bytes, function: int, size: int) -> str:
    """What is wrong with received bytes; "" where they are, or may become, the expected answer.

    >>> _problem(bytes.fromhex("00010000000501040201f4"), 4, 2)
    ''
    >>> _problem(b"HTTP/1.1 400", 4, 2)
    'no Modbus frame'
    """
    length = int.from_bytes(data[4:6], "big")
    problem = ""
    if len(data) < 9:
        return problem  # the rest is on its way
    if data[2:4] != b"\0\0" or not 3 <= length <= 254:
        problem = "no Modbus frame"
    elif data[7] == function | 0x80:
        problem = "" if length == 3 else "an exception of the wrong length"
    elif data[7] != function:
        problem = f"function {data[7]} instead of {function}"
    elif data[8] != size or length != size + 3:
        problem = f"{data[8]} data bytes in {length} instead of {size}"
    return problem


LINES = Lines(ModbusLine)
"""Every Modbus connection of this process."""
