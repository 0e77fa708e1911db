"""Modbus TCP: registers read in blocks, decoded as whole columns."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edge.adapters.modbus_block import Block, plan
from edge.adapters.modbus_line import LINES, ModbusLine, Refused
from edge.adapters.modbus_point import Order, RegisterPoint
from edge.source import Answer
from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import StatusCode
from plant.model.host import Host

_EXCEPTION = {
    1: StatusCode.BadConfigurationError,  # illegal function
    2: StatusCode.BadConfigurationError,  # illegal data address
    3: StatusCode.BadConfigurationError,  # illegal data value: the block is too long for it
    4: StatusCode.BadDeviceFailure,
}
_DEAD_UNIT = (10, 11)
"""Exceptions of a gateway whose unit does not answer (Modbus application protocol 1.1b3, 7)."""


class Modbus(BaseModel):
    """A Modbus TCP device, or one unit behind a serial gateway.

    Sources with the same host and port share one connection and take turns on it. Neighbouring
    registers are read together; a block that the device refuses is cut until the register that
    does not exist is found, and all others are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    Point: ClassVar[type[BaseModel]] = RegisterPoint

    kind: Literal["modbus"] = "modbus"
    host: Host = Field(description="of the device or gateway")
    port: int = Field(default=502, ge=1, le=65535, description="its TCP port")
    unit: int = Field(default=1, ge=0, le=255, description="unit id (slave address)")
    poll_ms: int = Field(default=1000, ge=10, description="real ms between polls")
    timeout_ms: int = Field(
        default=1000, ge=10, description="ms for one answer; then the connection is opened anew"
    )
    order: Order = Field(
        default="ABCD", description="bytes of values of several registers, where `at` gives none"
    )
    max_registers: int = Field(
        default=125, ge=1, le=125, description="the largest block the device answers"
    )
    max_bits: int = Field(
        default=2000, ge=1, le=2000, description="the same for coils and discrete inputs"
    )
    max_gap: int = Field(
        default=0,
        ge=0,
        le=124,
        description="registers nobody asked for, read along to join two blocks",
    )
    clock: RegisterPoint | None = Field(
        default=None,
        description="where the device tells its own time, read in one transaction with all points",
    )
    clock_unit: Literal["ms", "s"] = Field(
        default="ms", description="what that clock counts since 1970 (UTC)"
    )

    def check(self, points: Mapping[str, RegisterPoint]) -> Iterable[tuple[str, str]]:
        """Overlapping registers, values wider than a block, points out of the clock's block."""
        yield from _overlaps(points)
        for path, point in points.items():
            table, first, end = point.span
            limit = self.max_bits if table in ("coil", "discrete") else self.max_registers
            if end - first > limit:
                yield path, f"{point.type} needs {end - first} registers, max_registers is {limit}"
        if self.clock is not None:
            clock_table, clock_first, clock_end = self.clock.span
            low = min([clock_first, *(p.span[1] for p in points.values())])
            for path, point in points.items():
                table, first, end = point.span
                if table != clock_table:
                    yield path, f"the clock is in {clock_table}; one transaction reads one table"
                elif max(end, clock_end) - min(low, clock_first) > self.max_registers:
                    yield (
                        path,
                        (
                            f"registers {low}-{max(end, clock_end) - 1} do not fit one transaction "
                            f"of {self.max_registers} together with the clock"
                        ),
                    )

    @asynccontextmanager
    async def open(
        self,
        points: Sequence[RegisterPoint],
        clock: Clock,
        folder: Path,
    ) -> AsyncIterator["ModbusSession"]:
        """A session on the line to this host and port; the first read connects."""
        async with LINES.take(self.host, self.port) as line:
            yield ModbusSession(self, points, clock, line)


class ModbusSession:
    """Reads its blocks one after the other; each has its own time."""

    def __init__(
        self, config: Modbus, points: Sequence[RegisterPoint], clock: Clock, line: ModbusLine
    ) -> None:
        self._config = config
        self._clock = clock
        self._line = line
        self._count = len(points)
        asked, gap = list(points), config.max_gap
        if config.clock is not None:
            asked, gap = [*points, config.clock], 0x1_0000
        self._blocks = plan(
            asked,
            order=config.order,
            max_registers=config.max_registers,
            max_bits=config.max_bits,
            max_gap=gap,
        )

    async def read(self) -> Answer:
        """Every block once; what a block cannot give is Bad, the others are undisturbed."""
        n = self._count + (self._config.clock is not None)
        value: Float64 = np.full(n, np.nan)
        status: UInt32 = np.zeros(n, np.uint32)
        time: Int64 = np.zeros(n, np.int64)
        todo = self._blocks[::-1]
        done: list[Block] = []
        while todo:
            block = todo.pop()
            parts = await self._read(block, value, status)
            if parts:
                todo.extend(reversed(parts))
            else:
                time[block.points] = self._clock.now()
                done.append(block)
        self._blocks = done
        status[np.isnan(value) & (status == 0)] = StatusCode.BadNoData
        if self._config.clock is not None:
            self._told(value, status, time)
        last = self._count
        signal = np.arange(last, dtype=np.int32)
        return Answer(SampleBatch.of(signal, time[:last], value[:last], status[:last]))

    async def _read(
        self, block: Block, value: Float64, status: UInt32
    ) -> tuple[Block, Block] | None:
        """Read a block into the columns, or say in which parts to read it from now on."""
        config = self._config
        try:
            words = await self._line.read(
                block.table, block.first, block.count, config.unit, config.timeout_ms / 1000
            )
            value[block.points] = block.decode(words)
        except Refused as error:
            if error.code in _DEAD_UNIT:
                raise Unavailable(str(error)) from error
            if error.code in (2, 3) and config.clock is None:
                parts = block.halves(config.order)
                if parts:  # find the point that does not exist, read all others
                    return parts
            status[block.points] = _EXCEPTION.get(error.code, StatusCode.BadDeviceFailure)
        except DecodeError:
            status[block.points] = StatusCode.BadDecodingError
        return None

    def _told(self, value: Float64, status: UInt32, time: Int64) -> None:
        """The device's own time for all points, which came in the same transaction."""
        told = value[-1]
        if status[-1] or not 0 <= told < 2**53:
            status[:-1][status[:-1] == 0] = StatusCode.BadDecodingError
            value[:-1] = np.nan
        else:
            time[:] = int(told) * (1000 if self._config.clock_unit == "s" else 1)


def _overlaps(points: Mapping[str, RegisterPoint]) -> Iterable[tuple[str, str]]:
    """Values that share registers without being the same ones (bits of one register may)."""
    ordered = sorted(points.items(), key=lambda item: item[1].span)
    reach: tuple[str, RegisterPoint] | None = None
    for path, point in ordered:
        table, first, end = point.span
        if reach is not None:
            other, at = reach
            other_table, other_first, other_end = at.span
            same = (first, end) == (other_first, other_end)
            if table == other_table and first < other_end and not same:
                yield (
                    path,
                    (
                        f"{table} {first}-{end - 1} overlaps {other} "
                        f"at {other_first}-{other_end - 1}"
                    ),
                )
            if table == other_table and other_end >= end:
                continue
        reach = (path, point)
