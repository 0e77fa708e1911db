"""Whether a row can be among many: a Bloom filter over signal and source time.

A late row is nearly always a new one. Sorting everything that is hot to find that out would cost
more than all the rest of a commit; this costs two bytes set a row.
"""

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Int32, Int64

_LEAST = 1 << 17
_ROOM = 16
"""Bytes a row at least: with two set for each row, one absent row in 70 is taken for present."""
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))


class Presence:
    """Grows with the rows; ``maybe`` never denies a row that was added."""

    def __init__(self) -> None:
        self._rows = 0
        self._shift = np.uint64(0)
        self.grow(0)

    def full(self, more: int) -> bool:
        """Whether it is too small for so many more: then ``grow`` and add all again."""
        return (self._rows + more) * _ROOM > len(self._table)

    def grow(self, rows: int) -> None:
        """Empty, with room for twice so many rows."""
        size = max(_LEAST, 1 << (2 * rows * _ROOM).bit_length())
        self._shift = np.uint64(65 - size.bit_length())
        self._table = np.zeros(size, np.uint8)
        self._rows = 0

    def add(self, signal: Int32, time: Int64) -> None:
        """Rows that are there from now on."""
        for place in self._places(signal, time):
            self._table[place] = 1
        self._rows += len(signal)

    def maybe(self, signal: Int32, time: Int64) -> NDArray[np.bool_]:
        """False: it was never added. True: it probably was."""
        one, two = (self._table[place] for place in self._places(signal, time))
        found: NDArray[np.bool_] = (one & two).astype(np.bool_)
        return found

    def _places(self, signal: Int32, time: Int64) -> tuple[Int64, Int64]:
        key = time.astype(np.uint64) * _ODD[0]
        key ^= signal.astype(np.uint64) * _ODD[1]
        key ^= key >> np.uint64(29)
        first, second = key * _ODD[1], key * _ODD[2]
        first >>= self._shift
        second >>= self._shift
        return first.view(np.int64), second.view(np.int64)
