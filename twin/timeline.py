"""What holds since when, what was published of it, and what is to be published to make them agree.

Two time axes make corrections cheap: a row of the same source time with another value says that we
know better now. ``Record`` compares what was told with what holds and finds the least rows.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Generic, TypeVar

KEPT = 20_000
"""So many changes, or published rows, are remembered: two weeks of one a minute."""

T = TypeVar("T")


class Timeline(Generic[T]):
    """A value in steps. What is said of a moment replaces all that was said of later ones.

    >>> line = Timeline()
    >>> line.say(10, "a"), line.say(20, "b"), line.say(15, "c")
    (None, None, None)
    >>> line.at(9), line.at(10), line.at(30), list(line.moments(11, 99))
    (None, 'a', 'c', [15])
    """

    def __init__(self) -> None:
        self._since: list[int] = []
        self._value: list[T] = []

    def say(self, since: int, value: T) -> None:
        """From ``since`` on it is this."""
        cut = bisect_left(self._since, since)
        del self._since[cut:], self._value[cut:]
        if not self._value or self._value[-1] != value:
            self._since.append(since)
            self._value.append(value)
        if len(self._since) > KEPT:
            half = KEPT // 2
            del self._since[:half], self._value[:half]

    def at(self, time: int) -> T | None:
        """What holds then; None before anything was said."""
        place = bisect_right(self._since, time) - 1
        return self._value[place] if place >= 0 else None

    def moments(self, start: int, end: int) -> Iterator[int]:
        """When it changed, both ends included."""
        yield from self._since[bisect_left(self._since, start) : bisect_right(self._since, end)]

    def steps(self, start: int) -> list[tuple[int, T]]:
        """The steps from ``start`` on, the one that holds there included."""
        place = max(bisect_right(self._since, start) - 1, 0)
        return list(zip(self._since[place:], self._value[place:], strict=True))

    def go_back(self, steps: Sequence[tuple[int, T]]) -> None:
        """What was said from the first of these steps on was that, and nothing more."""
        cut = bisect_left(self._since, steps[0][0]) if steps else 0
        del self._since[cut:], self._value[cut:]
        self._since += [since for since, _ in steps]
        self._value += [value for _, value in steps]

    def copy(self) -> "Timeline[T]":
        """The same."""
        other: Timeline[T] = Timeline()
        other._since, other._value = list(self._since), list(self._value)
        return other


@dataclass(frozen=True, slots=True)
class Derived:
    """A value to publish; ``current``: nothing later was told of it, so it is the present one."""

    path: str
    time: int
    value: float
    status: int = 0
    current: bool = True


Holds = Callable[[int], tuple[float, int] | None]
"""Time -> value and status; None: nothing is to be said of it."""


class Record:
    """The published rows of one signal.

    >>> record = Record("saw/state")
    >>> holds = lambda t: (6.0, 0) if t < 50 else (5.0, 0)
    >>> [(d.time, d.value) for d in record.agree([10], holds, 0, 40)]
    [(10, 6.0)]
    >>> record.repeat(60, (6.0, 0)).time
    60
    >>> [(d.time, d.value, d.current) for d in record.agree([10, 50], holds, 0, 99)]
    [(50, 5.0, False), (60, 5.0, True)]
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.corrected = 0
        """Rows that were told again with another value."""
        self.told = False
        """Whether this process told anything of it."""
        self._time: list[int] = []
        self._told: list[tuple[float, int]] = []

    @property
    def last(self) -> int:
        """The source time of the newest row, 0 where there is none."""
        return self._time[-1] if self._time else 0

    def agree(self, moments: Iterable[int], holds: Holds, start: int, end: int) -> list[Derived]:
        """The rows that make what was told from ``start`` to ``end`` (included) what holds.

        ``moments`` are those at which it may change.
        """
        low = bisect_left(self._time, start)
        times = self._time[low : bisect_right(self._time, end)]
        wanted = sorted({*times, *(m for m in moments if start <= m <= end)})
        held = self._told[low - 1] if low else None
        out: list[Derived] = []
        for time in wanted:
            now = holds(time)
            if now is None:
                continue
            place = bisect_left(self._time, time)
            there = place < len(self._time) and self._time[place] == time
            if there and self._told[place] != now:
                self._told[place] = now
                self.corrected += 1
                out.append(self._row(place))
            elif not there and now != held:
                self._time.insert(place, time)
                self._told.insert(place, now)
                out.append(self._row(place))
            held = now
        self._trim()
        return out

    def learn(self, time: int, told: tuple[float, int]) -> bool:
        """Take a row that an earlier process told and that is the newest; whether it is news."""
        place = bisect_left(self._time, time)
        if place < len(self._time) and self._time[place] == time:
            if alike(self._told[place], told):
                return False
            self._told[place] = told
            return True
        self._time.insert(place, time)
        self._told.insert(place, told)
        return True

    def repeat(self, time: int, now: tuple[float, int]) -> Derived:
        """The same once more, so that silence is not taken for constancy."""
        self._time.append(max(time, self.last + 1))
        self._told.append(now)
        return self._row(len(self._time) - 1)

    def fill(self, holds: Holds, start: int, end: int, repeat_ms: int) -> list[Derived]:
        """Repetitions where, from ``start`` to ``end``, too long nothing was told of what holds."""
        out: list[Derived] = []
        place = max(bisect_left(self._time, start) - 1, 0)
        while place < len(self._time) and self._time[place] < end:
            last = place + 1 == len(self._time)
            following = end + 1 if last else min(self._time[place + 1], end + 1)
            due = self._time[place] + repeat_ms
            place += 1
            if (
                following - due > repeat_ms // 2
                and (now := holds(due)) is not None
                and any((now[0], not now[1]))
            ):
                self._time.insert(place, due)
                self._told.insert(place, now)
                out.append(self._row(place))
        return out

    def _row(self, place: int) -> Derived:
        self.told = True
        value, status = self._told[place]
        newest = place == len(self._time) - 1
        return Derived(self.path, self._time[place], value, status, newest)

    def _trim(self) -> None:
        if len(self._time) > KEPT:
            half = KEPT // 2
            del self._time[:half], self._told[:half]


def alike(one: tuple[float, int], other: tuple[float, int]) -> bool:
    """Equal; a value that is no number equals another."""
    return one[1] == other[1] and (one[0] == other[0] or (isnan(one[0]) and isnan(other[0])))
