"""DL/T 645-2007 electricity meters on a serial line behind a serial-to-TCP server."""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge.adapters.dlt645_frame import numbers
from edge.adapters.dlt645_item import ITEMS, Item
from edge.adapters.dlt645_line import LINES, MeterLine, Refused, Silent
from edge.source import Answer
from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import StatusCode
from plant.flow.supervisor import Backoff
from plant.model.host import Host


class MeterPoint(BaseModel):
    """One number of one meter on the line.

    In one line: ``000000000001 00010000``, ``000000000001 0201FF00 2``. Values are what the meter
    shows, at its terminals: the ratio of its transformers is the signal's ``scale``.

    >>> MeterPoint.model_validate("000000000001 0201FF00 2").part
    2
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: str = Field(
        description="twelve digits as printed on it; `AAAAAAAAAAAA` asks whoever is there"
    )
    item: str = Field(description="data identifier of the standard, eight hexadecimal digits")
    part: int = Field(
        default=0, ge=0, description="which number of a block item: of `0201FF00`, 1 is phase B"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        if not isinstance(at, str):
            return at
        words = at.split()
        if len(words) not in (2, 3):
            raise ValueError(f"{at!r}: write 'METER ITEM' or 'METER ITEM PART'")
        return dict(zip(("meter", "item", "part"), words, strict=False))

    @field_validator("meter")
    @classmethod
    def _address(cls, meter: str) -> str:
        if len(meter) != 12 or not (meter.isdecimal() or meter == "A" * 12):
            raise ValueError(f"{meter!r}: a meter's address has twelve digits (quote it in YAML)")
        return meter

    @field_validator("item")
    @classmethod
    def _item(cls, item: str) -> str:
        if ITEMS.find(item) is None:
            raise ValueError(f"{item!r} is no data item we know; see edge/adapters/dlt645.yaml")
        return item.upper()

    def __str__(self) -> str:
        return f"{self.meter} {self.item}" + (f" {self.part}" if self.part else "")

    @property
    def unit(self) -> str:
        """What the standard gives the item in; "" for a plain number."""
        item = ITEMS.find(self.item)
        return item.unit if item is not None else ""

    @model_validator(mode="after")
    def _part(self) -> "MeterPoint":
        item = ITEMS.find(self.item)
        if item is not None and self.part >= item.parts:
            raise ValueError(
                f"{self.item} has {item.parts} number(s), part {self.part} is none of them"
            )
        return self


class Dlt645(BaseModel):
    """One serial line with its meters.

    Sources with the same host and port take turns on it. A meter that is silent is left alone for
    some seconds, so it does not slow the others down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    Point: ClassVar[type[BaseModel]] = MeterPoint

    kind: Literal["dlt645"] = "dlt645"
    host: Host = Field(description="of the serial-to-TCP server")
    port: int = Field(ge=1, le=65535, description="its TCP port")
    poll_ms: int = Field(default=5000, ge=100, description="real ms between polls of all points")
    baud: Literal[600, 1200, 2400, 4800, 9600, 19200, 38400] = Field(
        default=2400, description="of the line (8E1): says how long question and answer travel"
    )
    wake: int = Field(default=4, ge=0, le=8, description="FE bytes before each frame")
    timeout_ms: int = Field(
        default=1000, ge=50, description="ms a meter may take besides the time on the line"
    )

    def check(self, points: Mapping[str, MeterPoint]) -> Iterable[tuple[str, str]]:
        """More items than the line carries in a poll; a wildcard beside other meters."""
        meters = {p.meter for p in points.values()}
        asked: set[tuple[str, str]] = set()
        line_ms = 0.0
        for path, point in points.items():
            if point.meter == "A" * 12 and len(meters) > 1:
                yield path, "every meter on the line answers the wildcard address; give its own"
            item = ITEMS.find(point.item)
            if item is None or (point.meter, point.item) in asked:
                continue
            asked.add((point.meter, point.item))
            line_ms += (self.wake * 2 + 16 + 16 + item.size) * 11_000 / self.baud
            if line_ms > self.poll_ms:
                yield (
                    path,
                    (
                        f"{len(asked)} items take {line_ms / 1000:.1f} s at {self.baud} baud, "
                        f"poll_ms is {self.poll_ms}"
                    ),
                )
                return

    @asynccontextmanager
    async def open(
        self, points: Sequence[MeterPoint], clock: Clock, folder: Path
    ) -> AsyncIterator["MeterSession"]:
        """A session on the line to this host and port; the first read connects."""
        async with LINES.take(self.host, self.port) as line:
            yield MeterSession(self, points, clock, line)


@dataclass(slots=True)
class Meter:
    """One meter of a session: what is asked of it, and when it is tried again if it is silent."""

    address: str
    items: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Identifier -> (point, part) of each number wanted from it."""
    again: float = 0.0
    heard: bool = False
    """At its last turn."""
    backoff: Backoff = field(default_factory=lambda: Backoff(2.0, 8.0))


class MeterSession:
    """Asks one item after the other; a silent meter is not asked again until its pause is over."""

    def __init__(
        self, config: Dlt645, points: Sequence[MeterPoint], clock: Clock, line: MeterLine
    ) -> None:
        self._config = config
        self._clock = clock
        self._line = line
        self._count = len(points)
        self._meters: dict[str, Meter] = {}
        for index, point in enumerate(points):
            meter = self._meters.setdefault(point.meter, Meter(point.meter))
            meter.items.setdefault(point.item, []).append((index, point.part))

    async def read(self) -> Answer:
        """Every item once; the numbers of an item share the time its answer ended."""
        value: Float64 = np.full(self._count, np.nan)
        status: UInt32 = np.full(self._count, StatusCode.BadNoCommunication, np.uint32)
        at: Int64 = np.full(self._count, self._clock.now(), np.int64)
        heard = 0
        silent = Silent("no meter asked")
        for meter in self._meters.values():
            if time.monotonic() < meter.again:
                continue
            try:
                await self._turn(meter, value, status, at)
                heard += 1
                meter.heard = True
                meter.backoff.reset()
            except Silent as error:
                silent = error
                meter.again = time.monotonic() + meter.backoff.next()
        if not heard:
            raise Unavailable(str(silent))
        status[np.isnan(value) & (status == 0)] = StatusCode.BadNoData
        return Answer(SampleBatch.of(np.arange(self._count, dtype=np.int32), at, value, status))

    async def _turn(self, meter: Meter, value: Float64, status: UInt32, at: Int64) -> None:
        """Ask for everything; a meter that answered the last time gets a second chance."""
        try:
            await self._ask(meter, value, status, at)
        except Silent:
            if not meter.heard:
                raise
            meter.heard = False
            await self._ask(meter, value, status, at)

    async def _ask(self, meter: Meter, value: Float64, status: UInt32, at: Int64) -> None:
        config = self._config
        for name, wanted in meter.items.items():
            item = ITEMS.find(name)
            if item is None:
                continue
            rows = np.array([index for index, _ in wanted])
            try:
                data = await self._line.ask(
                    meter.address,
                    name,
                    size=item.size,
                    baud=config.baud,
                    wake=config.wake,
                    timeout_s=config.timeout_ms / 1000,
                )
                value[rows] = _pick(item, data, [part for _, part in wanted])
                status[rows] = 0
            except Refused:
                status[rows] = StatusCode.BadConfigurationError
            except DecodeError:
                status[rows] = StatusCode.BadDecodingError
            at[rows] = self._clock.now()


def _pick(item: Item, data: bytes, parts: Sequence[int]) -> list[float]:
    """The wanted numbers of an answer; NaN for those a shorter block does not hold."""
    have = numbers(item, data)
    return [have[part] if part < len(have) else float("nan") for part in parts]
