"""How many parts stand between two stations, from what each has counted, and how surely."""

from dataclasses import dataclass

AGREE = 2
"""So many observations in a row must agree before a level is believed."""
DISAGREE = 3
"""So many that agree with each other overrule one that was believed."""


@dataclass(slots=True)
class Level:
    """Parts that left the first station and have not left the second one.

    These are: a finished part that the first one still holds, the buffer, and an unfinished one in
    the second: 0 to ``capacity`` + 2. Counters begin anywhere, so at first only their difference
    is known. How far it ever went bounds the level, and what is seen fixes it: a station that
    starts to work at the moment when a part arrives had none, one that starts when its next one
    takes a part had no room.

    >>> level = Level(capacity=4)
    >>> level.update(100), level.range
    (True, (0, 6))
    >>> level.update(103), level.range      # three more came than went: at least three are there
    (True, (3, 6))
    >>> level.saw(1), level.saw(1), level.range
    (False, True, (1, 1))
    >>> level.update(104), level.range
    (True, (2, 2))
    """

    capacity: int
    difference: int | None = None
    _empty: int | None = None
    _least: int = 0
    _most: int = 0
    _seen: int = 0
    _agreed: int = 0

    @property
    def most(self) -> int:
        """The highest level there can be."""
        return self.capacity + 2

    def update(self, difference: int) -> bool:
        """Take the difference of the counts; whether it fits what was known."""
        fits = True
        if self.difference is None:
            self._least = self._most = difference
        self._least = min(self._least, difference)
        self._most = max(self._most, difference)
        self.difference = difference
        if self._empty is not None and not 0 <= difference - self._empty <= self.most:
            self._empty, fits = None, False
        if self._most - self._least > self.most:  # scrap, or a part taken out or put in by hand
            self._least = self._most = difference
            fits = False
        return fits

    def saw(self, level: int) -> bool:
        """What was seen says that so many are there now; whether it is believed."""
        if self.difference is None:
            return False
        empty = self.difference - level
        self._agreed = self._agreed + 1 if empty == self._seen and self._agreed else 1
        self._seen = empty
        if empty == self._empty:
            return True
        if self._agreed >= (AGREE if self._empty is None else DISAGREE):
            self._empty = empty
            self._least = max(self._least, empty)
            self._most = min(self._most, empty + self.most)
        return empty == self._empty

    @property
    def range(self) -> tuple[int, int]:
        """The least and the most that can be there now."""
        if self.difference is None:
            return 0, self.most
        if self._empty is not None:
            level = self.difference - self._empty
            return level, level
        return self.difference - self._least, self.difference - self._most + self.most
