"""Modbus TCP: registers read in blocks, decoded as whole columns."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.adapters.modbus_point import Order, RegisterPoint


class Modbus(BaseModel):
    """A Modbus TCP device, or one unit behind a serial gateway.

    Sources with the same host and port share one connection and take turns on it.

    host, port     of the device or gateway
    unit           unit id (slave address)
    poll_ms        real milliseconds between polls
    timeout_ms     for one answer; after it the connection is opened anew
    order          of bytes in values of several registers, where a point gives none
    max_registers  the largest block the device answers
    max_bits       the same for coils and discrete inputs
    max_gap        unasked registers read along to join two blocks; 0 where they may not exist
    clock          where the device tells its own time, read in the same transaction as all points
    clock_unit     what that clock counts since 1970 (UTC)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    Point: ClassVar[type[BaseModel]] = RegisterPoint

    kind: Literal["modbus"] = "modbus"
    host: str = Field(min_length=1)
    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255)
    poll_ms: int = Field(default=1000, ge=10)
    timeout_ms: int = Field(default=1000, ge=10)
    order: Order = "ABCD"
    max_registers: int = Field(default=125, ge=1, le=125)
    max_bits: int = Field(default=2000, ge=1, le=2000)
    max_gap: int = Field(default=0, ge=0, le=124)
    clock: RegisterPoint | None = None
    clock_unit: Literal["ms", "s"] = "ms"

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
                            f"registers {low}-{max(end, clock_end) - 1} do not fit one transaction of "
                            f"{self.max_registers} together with the clock"
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
                        f"{table} {first}-{end - 1} overlaps {other} at {other_first}-{other_end - 1}"
                    ),
                )
            if table == other_table and other_end >= end:
                continue
        reach = (path, point)
