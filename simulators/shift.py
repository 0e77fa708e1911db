"""When people are at the line: the plant's calendar, else three shifts with breaks."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from plant.model import calendar as model


@dataclass(frozen=True, slots=True)
class Pause:
    """From a minute of the day on, for some minutes, nobody feeds the machines."""

    minute: int
    minutes: int


PAUSES = (
    Pause(2 * 60, 20),
    Pause(6 * 60, 5),
    Pause(10 * 60, 20),
    Pause(14 * 60, 5),
    Pause(18 * 60, 20),
    Pause(22 * 60, 5),
)
"""Of a plant without a calendar: shifts change at 6, 14 and 22, with a break in the middle."""
DAY = (6 * 60, 22 * 60)
"""Minutes of the day between which offices and lights draw the base load of the day."""


class Calendar:
    """Asks the plant's clock on the wall, once a minute of plant time.

    >>> c = Calendar(ZoneInfo("Asia/Shanghai"))
    >>> eight = 1_700_006_400_000  # 2023-11-15 08:00 in Shanghai
    >>> c.manned(eight), c.manned(eight + 2 * 3_600_000), c.by_day(eight)
    (True, False, True)
    """

    def __init__(self, zone: ZoneInfo, calendar: model.Calendar | None = None) -> None:
        self._zone = zone
        self._calendar = calendar
        self._minute_ms = -1
        self._minute = 0
        self._manned = True

    def _of_day(self, now_ms: int) -> int:
        minute_ms = now_ms // 60_000
        if minute_ms != self._minute_ms:
            self._minute_ms = minute_ms
            at = datetime.fromtimestamp(now_ms / 1000.0, self._zone)
            minute = self._minute = at.hour * 60 + at.minute
            if self._calendar is not None:
                self._manned = self._calendar.manned(at)
            else:
                self._manned = not any(p.minute <= minute < p.minute + p.minutes for p in PAUSES)
        return self._minute

    def manned(self, now_ms: int) -> bool:
        """Whether operators feed the line."""
        self._of_day(now_ms)
        return self._manned

    def by_day(self, now_ms: int) -> bool:
        """Whether it is day for the base load."""
        return DAY[0] <= self._of_day(now_ms) < DAY[1]
