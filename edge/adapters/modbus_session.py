"""One unit read block by block: what a block cannot give is Bad, the others are undisturbed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.adapters.modbus_block import EXACT, Block
from edge.adapters.modbus_frame import Refused, Short
from edge.adapters.modbus_line import DEAD_UNIT, ModbusLine, Mute, Registers
from edge.adapters.modbus_point import Order, RegisterPoint
from edge.adapters.modbus_stretch import FIRST_S, LAST_S, Stretch, split
from edge.adapters.turn import Silent
from edge.source import Answer
from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import SEVERITY, StatusCode
from plant.flow.supervisor import Backoff

_BUSY = (5, 6)
"""It needs more time; busy: asked again."""
_BUSY_PAUSES_S = (0.05, 0.1, 0.2)
_STATUS = {
    Short.code: StatusCode.BadDecodingError,
    1: StatusCode.BadConfigurationError,  # illegal function
    2: StatusCode.BadConfigurationError,  # illegal data address
    3: StatusCode.BadConfigurationError,  # illegal data value: the block is too long for it
    5: StatusCode.BadTimeout,
    6: StatusCode.BadTimeout,
}
_REST_S = 60.0
"""How long at the most a block that is not answered is left alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """What a session asks for.

    pause_s   between connecting and the first request; None: found out
    clock_ms  what the last point counts since 1970, in ms; 0: no point is the device's clock
    """

    unit: int
    timeout_s: float
    pause_s: float | None
    order: Order
    clock_ms: int
    blocks: Sequence[Block]


@dataclass(slots=True, eq=False)
class Columns:
    """An answer in the making, one entry a point."""

    value: Float64
    status: UInt32
    time: Int64
    why: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int) -> "Columns":
        """Nothing is known yet."""
        return cls(np.full(count, np.nan), np.zeros(count, np.uint32), np.zeros(count, np.int64))

    def take(self, block: Block, value: Float64, status: UInt32) -> None:
        """The values of a block, and why some of them are not Good."""
        self.value[block.points], self.status[block.points] = value, status
        if status.any():
            for at in np.flatnonzero(status).tolist():
                self.why[int(block.points[at])] = (
                    "its code for no value"
                    if status[at] == StatusCode.BadNoData
                    else "beyond 2^53, not exact"
                )

    def fail(self, block: Block, status: StatusCode, why: str) -> None:
        """No value of a block."""
        self.status[block.points] = status
        self.why |= dict.fromkeys(block.points.tolist(), why)

    def fail_unread(self, block: Block, why: str) -> None:
        """No communication about those points of a block that were not read."""
        at = block.points[self.time[block.points] == 0]
        self.status[at] = StatusCode.BadNoCommunication
        self.why |= dict.fromkeys(at.tolist(), why)


class ModbusSession:
    """Reads its blocks one after the other; each has its own time.

    A block that is refused is cut until the registers that do not exist are found. Where no part
    of it is answered (a device that boots refuses everything) it stays whole, so it costs one
    request a poll. A block that keeps silent while others are answered is left alone for a while;
    the second time it is cut as well, one silent part a poll, and tried whole again from time to
    time after the parts were read.
    """

    def __init__(
        self, asking: Asking, points: Sequence[RegisterPoint], clock: Clock, line: ModbusLine
    ) -> None:
        self._asking = asking
        self._clock = clock
        self._line = line
        self._count = len(points)
        self._stretches = [Stretch(block, [block]) for block in asking.blocks]
        self._heard = False
        self._lost_s = 0.0

    async def read(self) -> Answer:
        """Every block once."""
        asking = self._asking
        columns = Columns.of(self._count + (asking.clock_ms > 0))
        self._heard, self._lost_s = False, 0.0
        silent: Silent | None = None
        missed: list[Stretch] = []
        await self._rejoin()
        for stretch in sorted(self._stretches, key=self._silent_at):
            rests = self._heard and time.monotonic() < stretch.rests_until
            if rests or (stretch.doubtful and any(m.doubtful for m in missed)):
                columns.fail_unread(stretch.whole, "no answer to this block; it is asked seldom")
                continue
            try:
                await self._stretch(stretch, columns)
            except Silent as error:
                silent = error
                if self._lost_s > (1.9 if self._heard else 0.9) * asking.timeout_s:
                    raise  # the unit, not one block of it
                columns.fail_unread(stretch.whole, str(error))
                missed.append(stretch)
        if silent is not None and not self._heard:
            raise silent
        if asking.clock_ms == 0:
            for stretch in missed:
                self._stretches = split(self._stretches, stretch, asking.order)
        columns.status[np.isnan(columns.value) & (columns.status == 0)] = StatusCode.BadNoData
        columns.time[columns.time == 0] = self._clock.now()
        if asking.clock_ms:
            _date(columns, asking.clock_ms)
        last = self._count
        samples = SampleBatch.of(
            np.arange(last, dtype=np.int32),
            columns.time[:last],
            columns.value[:last],
            columns.status[:last],
        )
        return Answer(samples, why={at: why for at, why in columns.why.items() if at < last})

    async def _stretch(self, stretch: Stretch, columns: Columns) -> None:
        """Read a block, whole or in its parts; cut it where that is due."""
        began = time.monotonic()
        cuts = self._asking.clock_ms == 0 and began >= stretch.again
        todo = [stretch.whole] if cuts else stretch.parts[::-1]
        done: list[Block] = []
        answered = False
        try:
            while todo:
                block = todo.pop()
                refused = await self._block(block, columns)
                answered |= refused is None
                parts = None
                if refused is not None and cuts and refused.code not in _BUSY:
                    parts = block.halves(self._asking.order)
                if parts is not None:
                    todo.extend(reversed(parts))
                    continue
                if refused is not None:
                    status = _STATUS.get(refused.code, StatusCode.BadDeviceFailure)
                    columns.fail(block, status, str(refused))
                columns.time[block.points] = self._clock.now()
                done.append(block)
        except Silent:
            self._rest(stretch, time.monotonic() - began)
            raise
        self._line.mute.pop(self._key(stretch.whole), None)
        stretch.heard()
        stretch.settle(done if answered else [stretch.whole], answered=answered, cut=cuts)

    async def _rejoin(self) -> None:
        """See whether a block that was cut because it was silent is answered whole again."""
        now = time.monotonic()
        root = next((s.root for s in self._stretches if s.root and now >= s.root.again_whole), None)
        if root is None:
            return
        root.again_whole = now + LAST_S
        try:
            await self._ask(root.whole)
        except (Unavailable, DecodeError):
            return
        root.heard()
        self._line.mute.pop(self._key(root.whole), None)
        self._stretches = [s for s in self._stretches if s.root is not root] + [root]

    async def _block(self, block: Block, columns: Columns) -> Refused | Short | None:
        """Read one block into the columns; the error where the device does not give it whole."""
        began = time.monotonic() - self._line.paused_s
        try:
            data = await self._ask(block)
            columns.take(block, *block.decode(data))
        except Refused as error:
            if error.code in DEAD_UNIT:
                self._lost_s += time.monotonic() - self._line.paused_s - began
                raise Silent(str(error)) from error
            self._heard = True
            return error
        except Silent:
            self._lost_s += time.monotonic() - self._line.paused_s - began
            raise
        except Short as error:
            self._heard = True
            return error
        except DecodeError as error:
            columns.fail(block, StatusCode.BadDecodingError, str(error))
        self._heard = True
        return None

    async def _ask(self, block: Block) -> bytes:
        """The data of a block; a device that is busy is asked again."""
        asking = self._asking
        pauses = iter(_BUSY_PAUSES_S)
        while True:
            try:
                return await self._line.read(self._key(block), asking.timeout_s, asking.pause_s)
            except Refused as error:
                pause_s = next(pauses, None)
                if error.code not in _BUSY or pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    def _rest(self, stretch: Stretch, took_s: float) -> None:
        """A block kept silent; where others are answered it is left alone for a while."""
        if took_s < self._asking.timeout_s / 2 and not stretch.doubtful:
            return
        now = time.monotonic()
        mute = self._line.mute.setdefault(
            self._key(stretch.whole), Mute(now, Backoff(FIRST_S, _REST_S))
        )
        mute.silent_at = now
        if self._heard:
            stretch.rests_until = now + mute.backoff.next()

    def _silent_at(self, stretch: Stretch) -> tuple[bool, float]:
        """Blocks that were answered come first, then the one that has been silent the longest."""
        mute = self._line.mute.get(self._key(stretch.whole))
        return stretch.doubtful, mute.silent_at if mute else 0.0

    def _key(self, block: Block) -> Registers:
        return self._asking.unit, block.table, block.first, block.count


def _date(columns: Columns, clock_ms: int) -> None:
    """The device's own time for all points, which came in the same transaction."""
    told = columns.value[-1]
    if columns.status[-1] or not 0 <= told < EXACT:
        status = columns.status[:-1]
        odd = status & SEVERITY == 0
        status[odd] = StatusCode.BadDecodingError
        columns.value[:-1] = np.nan
        why = columns.why.get(len(columns.value) - 1, "")
        columns.why |= dict.fromkeys(np.flatnonzero(odd).tolist(), f"the device's clock: {why}")
    else:
        columns.time[:] = int(told) * clock_ms
