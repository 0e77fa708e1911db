"""Modbus TCP: registers read in blocks, decoded as whole columns."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.adapters.modbus_block import plan
from edge.adapters.modbus_line import LINES
from edge.adapters.modbus_point import BITS, Order, RegisterPoint
from edge.adapters.modbus_session import Asking, ModbusSession
from plant.flow.clock import Clock
from plant.model.host import Host


class Modbus(BaseModel):
    """A Modbus TCP device, or one unit behind a serial gateway.

    Sources with the same host and port share one connection and take turns on it; units that do
    not answer are asked seldom, so they do not hold up the others. Neighbouring registers are read
    together. A block that the device refuses is cut until the register that does not exist is
    found, all others are read, and the whole block is tried again from time to time; so is one that
    is answered short, or not at all while others are. A device that is busy (exception 5, 6) is
    asked again, one that closes after each answer is connected to for each block.
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
    connect_pause_ms: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="ms the device needs between a connection and the first request; none: found"
        " out (0, 300, 1000)",
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
            limit = self.max_bits if table in BITS else self.max_registers
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
    ) -> AsyncIterator[ModbusSession]:
        """A session on the line to this host and port; the first read connects."""
        async with LINES.take(self.host, self.port) as line:
            yield ModbusSession(self.asking(points), points, clock, line)

    def asking(self, points: Sequence[RegisterPoint]) -> Asking:
        """What a session asks for and how."""
        extra = () if self.clock is None else (self.clock,)
        return Asking(
            unit=self.unit,
            timeout_s=self.timeout_ms / 1000,
            pause_s=None if self.connect_pause_ms is None else self.connect_pause_ms / 1000,
            order=self.order,
            clock_ms={"ms": 1, "s": 1000}[self.clock_unit] if self.clock else 0,
            blocks=plan(
                [*points, *extra],
                order=self.order,
                max_registers=self.max_registers,
                max_bits=self.max_bits,
                max_gap=0x1_0000 if self.clock else self.max_gap,
            ),
        )


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
