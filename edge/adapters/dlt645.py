"""DL/T 645-2007 electricity meters on a serial line behind a serial-to-TCP server."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.adapters.dlt645_item import ITEMS
from edge.adapters.dlt645_line import ANYBODY, LINES
from edge.adapters.dlt645_point import MeterPoint
from edge.adapters.dlt645_session import Asking, MeterSession
from plant.flow.clock import Clock
from plant.model.host import Host


class Dlt645(BaseModel):
    """One serial line with its meters.

    Sources with the same host and port take turns on it. Meters that are silent are asked seldom,
    so they do not slow the others down; an item that a meter never answers disturbs no other.
    Before each question the input is emptied, so a late answer or another master's is not taken.
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
            if point.meter == ANYBODY and len(meters) > 1:
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
    ) -> AsyncIterator[MeterSession]:
        """A session on the line to this host and port; the first read connects."""
        async with LINES.take(self.host, self.port) as line:
            asking = Asking(self.baud, self.wake, self.timeout_ms / 1000)
            yield MeterSession(asking, points, clock, line)
