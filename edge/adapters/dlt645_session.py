"""The meters of one source, asked one item after the other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.adapters.dlt645_frame import numbers
from edge.adapters.dlt645_item import ITEMS, Item
from edge.adapters.dlt645_line import ANYBODY, MeterLine, Refused
from edge.adapters.dlt645_point import MeterPoint
from edge.adapters.turn import Silent
from edge.source import Answer
from plant.errors import DecodeError
from plant.flow.clock import Clock
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import StatusCode
from plant.flow.supervisor import Backoff

_FIRST_S, _LAST_S = 10.0, 300.0
"""When an item is asked for again that a meter keeps silent about."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a line is spoken to; see ``Dlt645``."""

    baud: int
    wake: int
    timeout_s: float


@dataclass(slots=True, eq=False)
class Wish:
    """One item of a meter, and which points want which of its numbers.

    silent_at    when it was not answered the last time (monotonic s); 0: it was
    rests_until  before that it is not asked for, as long as the meter's others are answered
    """

    item: Item
    points: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    silent_at: float = 0.0
    rests_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_S, _LAST_S))


@dataclass(slots=True, eq=False)
class Meter:
    """One meter of a session.

    named     the address it answers with, where any meter was asked
    heard     at its last turn
    asked_at  when that was (monotonic s); 0: never
    """

    address: str
    wishes: dict[str, Wish] = field(default_factory=dict)
    named: str = ""
    heard: bool = False
    asked_at: float = 0.0


@dataclass(slots=True, eq=False)
class Columns:
    """An answer in the making, one entry a point."""

    value: Float64
    status: UInt32
    time: Int64
    why: dict[int, str] = field(default_factory=dict)

    def fail(self, points: Sequence[int], status: StatusCode, why: str) -> None:
        """No value of these points."""
        self.status[points] = status
        self.why |= dict.fromkeys(points, why)


class MeterSession:
    """Meters that answer come first; of those that do not, one is tried in a poll."""

    def __init__(
        self, asking: Asking, points: Sequence[MeterPoint], clock: Clock, line: MeterLine
    ) -> None:
        self._asking = asking
        self._clock = clock
        self._line = line
        self._count = len(points)
        self._meters: dict[str, Meter] = {}
        for index, point in enumerate(points):
            meter = self._meters.setdefault(point.meter, Meter(point.meter))
            item = ITEMS.find(point.item)
            if item is not None:
                wish = meter.wishes.setdefault(point.item, Wish(item))
                wish.points.append(index)
                wish.parts.append(point.part)

    async def read(self) -> Answer:
        """Every item once; the numbers of an item share the time its answer ended."""
        columns = Columns(
            np.full(self._count, np.nan),
            np.full(self._count, StatusCode.BadNoCommunication, np.uint32),
            np.full(self._count, self._clock.now(), np.int64),
        )
        heard = False
        silent: Silent | None = None
        for meter in sorted(self._meters.values(), key=lambda m: (not m.heard, m.asked_at)):
            if heard and silent is not None and meter.asked_at and not meter.heard:
                self._fail(meter, columns, f"meter {meter.address} does not answer")
                continue  # one silent meter a poll is enough
            try:
                await self._turn(meter, columns)
                heard = meter.heard = True
            except Silent as error:
                silent = error
                meter.heard, meter.named = False, ""
                self._fail(meter, columns, str(error))
        if not heard and silent is not None:
            raise silent
        columns.status[np.isnan(columns.value) & (columns.status == 0)] = StatusCode.BadNoData
        at = np.arange(self._count, dtype=np.int32)
        samples = SampleBatch.of(at, columns.time, columns.value, columns.status)
        return Answer(samples, why=columns.why)

    @staticmethod
    def _fail(meter: Meter, columns: Columns, why: str) -> None:
        """No communication about what was not read of a meter."""
        for wish in meter.wishes.values():
            unread = [at for at in wish.points if columns.status[at] != 0]
            columns.fail(unread, StatusCode.BadNoCommunication, why)

    async def _turn(self, meter: Meter, columns: Columns) -> None:
        """Ask for everything; an item without an answer is Bad alone where others have one.

        A meter that answered the last time gets a second chance, by another item where it has one.
        """
        heard, missed = False, 0
        alone = len(self._meters) == 1 and not meter.asked_at
        chances = 2 if meter.heard or alone else 1
        meter.asked_at = time.monotonic()
        todo = sorted(meter.wishes.values(), key=lambda w: w.silent_at)
        if len(todo) == 1:
            todo *= chances
        for wish in todo:
            if heard and time.monotonic() < wish.rests_until:
                why = "no answer to this item; it is asked for seldom"
                columns.fail(wish.points, StatusCode.BadNoCommunication, why)
                continue
            try:
                await self._item(meter, wish, columns)
            except Silent as error:
                wish.silent_at, missed = time.monotonic(), missed + 1
                if missed >= chances + heard or missed == len(todo):
                    raise
                wish.rests_until = time.monotonic() + wish.backoff.next()
                columns.fail(wish.points, StatusCode.BadNoCommunication, str(error))
            else:
                heard, wish.silent_at = True, 0.0
                wish.backoff.reset()
                if len(meter.wishes) == 1:
                    return

    async def _item(self, meter: Meter, wish: Wish, columns: Columns) -> None:
        asking, points = self._asking, wish.points
        try:
            frame = await self._line.ask(
                meter.named or meter.address,
                wish.item.id,
                size=wish.item.size,
                baud=asking.baud,
                wake=asking.wake,
                timeout_s=asking.timeout_s,
            )
            columns.value[points] = _pick(wish.item, frame.data[4:], wish.parts)
            columns.status[points] = 0
            for at in points:
                columns.why.pop(at, None)
            if meter.address == ANYBODY:
                meter.named = frame.meter  # from now on this one, whoever else may answer
        except Refused as error:
            columns.fail(points, StatusCode.BadConfigurationError, str(error))
        except DecodeError as error:
            columns.fail(points, StatusCode.BadDecodingError, str(error))
        columns.time[points] = self._clock.now()


def _pick(item: Item, data: bytes, parts: Sequence[int]) -> list[float]:
    """The wanted numbers of an answer; NaN for those a shorter block does not hold."""
    have = numbers(item, data)
    return [have[part] if part < len(have) else float("nan") for part in parts]
