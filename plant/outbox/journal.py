"""Whether the write-ahead log holds what it did: SQLite passes over what is damaged in silence.

It believes frames until the first whose check-sum does not fit, for that is how a write ends that
a power cut tore. Such a tear lies in the last transaction, which was never accepted. A frame that
does not fit and was accepted is told apart: a later transaction follows it, which began only when
it was durable, or one wrong bit explains it. A file ``…open`` beside says that the outbox is in
use: a log that is missing then was taken away.

The format is https://www.sqlite.org/fileformat2.html#walformat.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plant.file import write_whole

HEAD, FRAME_HEAD = 32, 24
_MASK = np.uint64(0xFFFF_FFFF)
Words = NDArray[np.uint64]
Sum = tuple[int, int]


def mark_open(path: Path) -> None:
    """The outbox is in use from now on: its log belongs to it."""
    write_whole(_mark(path), b"")


def mark_closed(path: Path) -> None:
    """It was closed properly: SQLite took the log in and removed it."""
    _mark(path).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.open")


def log_problem(path: Path) -> str:
    """What of the log of this file was accepted and cannot be read any more; "" for nothing."""
    in_use = _mark(path).exists()
    try:
        data = Path(f"{path}-wal").read_bytes()
    except FileNotFoundError:
        return "its log is missing" if in_use and path.exists() else ""
    if len(data) < HEAD or not any(data[:HEAD]):
        return "its log is empty" if in_use else ""
    return _Log(data).problem()


@dataclass(slots=True)
class _Log:
    data: bytes

    def problem(self) -> str:
        head = self._words(0, HEAD)
        size = int.from_bytes(self.data[8:12], "big")
        if size < 512 or size & (size - 1):
            size = 4096
        made = _total(head[:6], (0, 0))
        stored = (_native(self.data, 24), _native(self.data, 28))
        if made != stored:
            starts = any(self._fits(0, seed, size) for seed in (made, stored))
            return "the head of its log is damaged" if starts else ""
        return self._chain(stored, size)

    def _chain(self, seed: Sum, size: int) -> str:
        """Follow the frames to the first that does not fit, and judge that one."""
        count, salts = self._count(size), self.data[16:24]
        for number in range(count):
            if self._fits(number, seed, size) and self._salts(number, size) == salts:
                seed = self._stored(number, size)
                continue
            if self._one_bit(number, seed, size, salts) or self._goes_on(number, size, salts):
                return f"frame {number + 1} of its log is damaged"
            return ""
        whole = (len(self.data) - HEAD) % (FRAME_HEAD + size) == 0
        return "" if whole else "its log is cut off"

    def _goes_on(self, number: int, size: int, salts: bytes) -> bool:
        """Whether a transaction follows the one of this frame: then that was durable."""
        ended = False
        for later in range(number, self._count(size)):
            if self._salts(later, size) != salts:
                continue
            if ended and self._fits(later, self._stored(later - 1, size), size):
                return True
            ended = ended or any(self.data[self._at(later, size) + 4 : self._at(later, size) + 8])
        return False

    def _one_bit(self, number: int, seed: Sum, size: int, salts: bytes) -> bool:
        """Whether this frame is as it was written but for one bit."""
        wrong_salt = _bits(self._salts(number, size), salts)
        made, stored = self._made(number, seed, size), self._stored(number, size)
        wrong_sum = (made[0] ^ stored[0]).bit_count() + (made[1] ^ stored[1]).bit_count()
        if wrong_salt + wrong_sum == 1:
            return True
        if wrong_salt:
            return False
        lost = np.array([(stored[at] - made[at]) & 0xFFFF_FFFF for at in (0, 1)], np.uint64)
        back = (np.uint64(1 << 32) - lost) & _MASK
        for bit in range(32):
            effect = (_effects(self._pairs(size)) << np.uint64(bit)) & _MASK
            if (effect == lost).all(axis=1).any() or (effect == back).all(axis=1).any():
                return True
        return False

    # ------------------------------------------------------------------------------- one frame

    def _count(self, size: int) -> int:
        return (len(self.data) - HEAD) // (FRAME_HEAD + size)

    @staticmethod
    def _at(number: int, size: int) -> int:
        return HEAD + number * (FRAME_HEAD + size)

    @staticmethod
    def _pairs(size: int) -> int:
        return (8 + size) // 8

    def _salts(self, number: int, size: int) -> bytes:
        at = self._at(number, size)
        return self.data[at + 8 : at + 16]

    def _stored(self, number: int, size: int) -> Sum:
        at = self._at(number, size)
        return _native(self.data, at + 16), _native(self.data, at + 20)

    def _made(self, number: int, seed: Sum, size: int) -> Sum:
        at = self._at(number, size)
        head, page = self._words(at, 8), self._words(at + FRAME_HEAD, size)
        return _total(np.concatenate([head, page]), seed)

    def _fits(self, number: int, seed: Sum, size: int) -> bool:
        return number < self._count(size) and self._made(number, seed, size) == self._stored(
            number, size
        )

    def _words(self, at: int, length: int) -> Words:
        big = int.from_bytes(self.data[:4], "big") & 1
        return np.frombuffer(self.data, ">u4" if big else "<u4", length // 4, at).astype(np.uint64)


def _native(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def _total(words: Words, seed: Sum) -> Sum:
    """SQLite's sum of pairs of words: s0 += x0 + s1, s1 += x1 + s0, modulo 2^32.

    It is linear, so each word counts with a weight, and the start with one of its own.
    """
    weights, start = _weights(len(words) // 2)
    sums = (words[:, None] * weights & _MASK).sum(axis=0, dtype=np.uint64) & _MASK
    first = [int(start[at][0]) * seed[0] + int(start[at][1]) * seed[1] for at in (0, 1)]
    return (int(sums[0]) + first[0]) & 0xFFFF_FFFF, (int(sums[1]) + first[1]) & 0xFFFF_FFFF


def _effects(pairs: int) -> Words:
    return _weights(pairs)[0]


@cache
def _weights(pairs: int) -> tuple[Words, list[list[int]]]:
    """How much each word counts in both sums, and the matrix of the start."""
    power = [[1, 0], [0, 1]]
    weights = np.zeros((2 * pairs, 2), np.uint64)
    for pair in range(pairs - 1, -1, -1):
        (a, b), (c, d) = power
        weights[2 * pair] = (a + b) & 0xFFFF_FFFF, (c + d) & 0xFFFF_FFFF
        weights[2 * pair + 1] = b, d
        power = [
            [(a + b) & 0xFFFF_FFFF, (a + 2 * b) & 0xFFFF_FFFF],
            [(c + d) & 0xFFFF_FFFF, (c + 2 * d) & 0xFFFF_FFFF],
        ]
    return weights, power
