"""When work is planned, as the plant's calendar has it: outside, nobody is missed at a machine."""

from bisect import bisect_right
from zoneinfo import ZoneInfo

from plant.model.calendar import Calendar
from twin.calendar import shifts

_DAYS_MS = 4 * 86_400_000


class Planned:
    """Asked in the order of time, mostly; breaks are within a shift, so they are planned.

    >>> from datetime import date
    >>> from plant.model.calendar import ShiftTime
    >>> from plant.model.signal import Label
    >>> early = Calendar((ShiftTime("e", Label("早", "Early"), 6 * 60, 14 * 60),))
    >>> planned = Planned(early, ZoneInfo("UTC"))
    >>> hour, day = 3_600_000, 20_000 * 86_400_000
    >>> [planned.at(day + h * hour) for h in (5, 6, 13, 14)]
    [False, True, True, False]
    >>> (planned.changes_after(day + 7 * hour) - day) / hour
    14.0
    """

    def __init__(self, calendar: Calendar, zone: ZoneInfo) -> None:
        self._calendar = calendar
        self._zone = zone
        self._first = self._last = 0
        self._edges: list[int] = []

    def __repr__(self) -> str:
        """Of what it follows."""
        return f"Planned({self._calendar!r}, {self._zone.key!r})"

    def at(self, time: int) -> bool:
        """Whether work is planned then."""
        self._reach(time)
        return bisect_right(self._edges, time) % 2 == 1

    def changes_after(self, time: int) -> int:
        """When that changes next; a time far ahead where it does not soon."""
        self._reach(time)
        place = bisect_right(self._edges, time)
        return self._edges[place] if place < len(self._edges) else self._last - _DAYS_MS // 4

    def _reach(self, time: int) -> None:
        """Have the shifts around a time: their starts and ends in turn, joined where they meet."""
        if self._first + _DAYS_MS // 4 <= time < self._last - _DAYS_MS // 4:
            return
        self._first, self._last = time - _DAYS_MS, time + _DAYS_MS
        self._edges = []
        for shift in shifts(self._calendar, self._zone, self._first, self._last):
            if not shift.working:
                continue
            if self._edges and shift.start <= self._edges[-1]:
                self._edges[-1] = max(self._edges[-1], shift.end)
            else:
                self._edges += (shift.start, shift.end)
