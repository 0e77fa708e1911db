"""A recorded machine: rows of a CSV served again as a device, with the time the record gives them.

Shape of the SME retrofit data set: ts, asset, items, status, status_time, power_avg, cycle_time,
alarm, product. One record holds several machines; each is a device of its own.

Modbus (function 4): see ``REGISTERS``; the device's clock is input 0 (uint64, ms UTC), declared in
plant.yaml as ``clock: "input:0 uint64"``, so that one transaction carries a row and its time.
OPC UA: see ``NODES``; the row's time is the SourceTimestamp.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from plant.errors import ConfigError
from simulators.register import Moment, Register, RegisterMap

if TYPE_CHECKING:
    from simulators.opcua import NodeServer, Write

AT_ONCE = 100
"""Rows pushed together where nobody paces them: well below what a client's queue holds."""
COLUMNS = (
    "ts",
    "asset",
    "items",
    "status",
    "status_time",
    "power_avg",
    "cycle_time",
    "alarm",
    "product",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``number`` counts the rows of its machine from 1."""

    number: int
    time_ms: int
    items: float
    status: int
    status_time: float
    power: float
    cycle_time: float
    alarm: int
    product: int


def read_record(file: Path, machine: int) -> list[Row]:
    """The rows of one machine, oldest first.

    Raises ConfigError where the file has another shape, or no such machine.
    """
    rows: list[Row] = []
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(f"{file}: has no column {', '.join(missing)}")
            for line in reader:
                try:
                    if int(float(line["asset"])) == machine:
                        rows.append(_row(len(rows) + 1, line))
                except (TypeError, ValueError) as error:
                    raise ConfigError(f"{file}:{reader.line_num}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if not rows:
        raise ConfigError(f"{file}: has no rows of machine {machine}")
    if any(b.time_ms <= a.time_ms for a, b in pairwise(rows)):
        raise ConfigError(f"{file}: rows of machine {machine} are not in rising order of time")
    return rows


def _row(number: int, line: dict[str, str]) -> Row:
    at = datetime.fromisoformat(line["ts"])
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return Row(
        number,
        round(at.timestamp() * 1000),
        float(line["items"]),
        int(float(line["status"])),
        float(line["status_time"]),
        float(line["power_avg"]),
        float(line["cycle_time"]),
        int(float(line["alarm"])),
        int(float(line["product"])),
    )


REGISTERS: RegisterMap[Row] = RegisterMap(
    "recorded machine",
    Register("input:0", "uint64", "time of the row, ms UTC", lambda r, t: r.time_ms),
    Register("input:4", "uint32", "number of the row", lambda r, t: r.number),
    Register("input:6", "uint16", "status", lambda r, t: r.status),
    Register("input:7", "uint16", "alarm", lambda r, t: r.alarm),
    Register("input:8", "uint16", "product", lambda r, t: r.product),
    Register("input:10", "float64", "mean power, kW", lambda r, t: r.power),
    Register("input:14", "float64", "items", lambda r, t: r.items),
    Register("input:18", "float64", "time in status, s", lambda r, t: r.status_time),
    Register("input:22", "float64", "cycle time, s", lambda r, t: r.cycle_time),
)
"""What the Modbus device shows; the whole of it is one transaction."""

NODES: tuple[tuple[str, str], ...] = (
    ("Row", "UInt32"),
    ("Status", "Int32"),
    ("Alarm", "Int32"),
    ("Product", "Int32"),
    ("Power", "Double"),
    ("Items", "Double"),
    ("StatusTime", "Double"),
    ("CycleTime", "Double"),
)
"""Variables of the OPC UA device, as ``ns=2;s=M<machine>.<name>``."""


class Playback:
    """Rows one after the other: by real time, or by being read.

    rows_per_s  real rows a second since it was first asked; 0 shows the next row with every answer
    """

    def __init__(self, rows: Sequence[Row], rows_per_s: float) -> None:
        self.rows = rows
        self._rows_per_s = rows_per_s
        self._began_s: float | None = None
        self._next = 0

    @property
    def over(self) -> bool:
        """Whether the last row was shown."""
        return self._next >= len(self.rows)

    def now(self, real_s: float) -> Row:
        """The row to show now; at the end the last one stays."""
        if self._rows_per_s <= 0.0:
            self._next += 1
        else:
            if self._began_s is None:
                self._began_s = real_s
            self._next = int((real_s - self._began_s) * self._rows_per_s) + 1
        self._next = min(self._next, len(self.rows))
        return self.rows[self._next - 1]

    def due(self, real_s: float) -> Iterator[Row]:
        """Every row that became due since the last call; at rate 0 the next ``AT_ONCE``."""
        shown = self._next
        if self._rows_per_s <= 0.0:
            self._next = min(shown + AT_ONCE, len(self.rows))
        else:
            self.now(real_s)
        yield from self.rows[shown : self._next]


class RecordedUnit:
    """A recorded machine behind a Modbus unit id."""

    def __init__(self, playback: Playback) -> None:
        self.playback = playback

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Registers of one row."""
        if table != "input" or first + count > 26:
            return None
        return REGISTERS.words(self.playback.now(moment.real_s), table, first, count, moment)

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """None: it has no bits."""
        return None


async def show(server: "NodeServer", machine: int, rows: Iterator[Row]) -> int:
    """Write rows to an OPC UA server, each with its own time; returns how many."""
    shown = 0
    for row in rows:
        values = (
            row.number,
            row.status,
            row.alarm,
            row.product,
            row.power,
            row.items,
            row.status_time,
            row.cycle_time,
        )
        writes: list[Write] = [
            (f"M{machine}.{name}", value, row.time_ms, 0)
            for (name, _), value in zip(NODES, values, strict=True)
        ]
        await server.write(writes)
        shown += 1
    return shown
