"""OEE and availability of the shift that is on, told once a minute like any other signal."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from math import nan

from plant.errors import Unavailable
from plant.flow.clock import Clock
from plant.flow.port import HistorianReader
from plant.flow.status import StatusCode
from plant.flow.supervisor import Transition
from plant.model.plant import Plant
from twin.calendar import shifts
from twin.kpi.kpi import Kpi
from twin.kpi.line import line_kpis
from twin.kpi.log import read_log
from twin.kpi.measure import kpis
from twin.timeline import Derived

OEE, AVAILABILITY = "oee", "availability"
EVERY_S = 60.0
_FIRST_S = 15.0
_LEAST_S = 5.0
"""However fast the plant's clock runs, it is not told more often than this."""


def current(reader: HistorianReader, plant: Plant, now: int) -> Sequence[Derived]:
    """Both figures in %, of every machine and line that has such signals, for the shift so far.

    Bad where there is no figure: no shift is worked now, too little is known, nothing counts.
    Uncertain where quality is not measured and taken as 1.
    """
    return [told for asset in plant.assets for told in _told(reader, plant, asset, now)]


def _told(reader: HistorianReader, plant: Plant, asset: str, now: int) -> Iterator[Derived]:
    names = [s for s in (OEE, AVAILABILITY) if plant.assets[asset].signal(s) is not None]
    if not names:
        return
    row = _row(reader, plant, asset, now)
    for name in names:
        value = None if row is None else row.oee if name == OEE else row.availability
        path = f"{asset}/{name}"
        if value is None:
            yield Derived(path, now, nan, int(StatusCode.BadNoData))
        else:
            assumed = name == OEE and row is not None and row.quality_source is None
            status = int(StatusCode.UncertainSubNormal) if assumed else 0
            yield Derived(path, now, 100.0 * value, status)


def _row(reader: HistorianReader, plant: Plant, asset: str, now: int) -> Kpi | None:
    """The figures of the shift that is on, None where none is worked."""
    on = [s for s in shifts(plant.calendar, plant.timezone, now, now + 1) if s.working]
    if not on or on[0].start >= now:
        return None
    start = on[0].start
    if asset in plant.lines:
        found = line_kpis(reader, plant, asset, start, now)
        return found.rows[0] if found else None
    return kpis(read_log(reader, plant, asset, start, now))[0]


class CurrentFigures:
    """Reads and computes in a thread, ``tell`` publishes."""

    def __init__(
        self,
        plant: Plant,
        clock: Clock,
        opened: Callable[[], HistorianReader],
        tell: Callable[[Sequence[Derived]], object],
    ) -> None:
        self._plant = plant
        self._clock = clock
        self._opened = opened
        self._tell = tell
        self._reader: HistorianReader | None = None
        self._historian = Transition("figures: historian")
        self._busy = threading.Lock()
        self._closed = False

    async def run(self) -> None:
        """Tell them again and again, until cancelled."""
        wait_s = _FIRST_S
        while True:
            await asyncio.sleep(max(_LEAST_S, wait_s / self._clock.factor))
            wait_s = EVERY_S
            try:
                found = await asyncio.to_thread(self._compute, self._clock.now())
            except Unavailable as error:
                self._historian.down(error)
                continue
            self._historian.up()
            self._tell(found)

    def close(self) -> None:
        """Wait for a computation that still runs in its thread, and let go of the historian."""
        with self._busy:
            self._closed = True
            if self._reader is not None:
                self._reader.close()

    def _compute(self, now: int) -> Sequence[Derived]:
        with self._busy:
            if self._closed:
                return []
            if self._reader is None:
                self._reader = self._opened()
            return current(self._reader, self._plant, now)
