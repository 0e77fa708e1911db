"""A hardware counter in an I/O module: it rolls over, it starts again at zero, it is misread.

The module counts modulo 2^16 or 2^32. A reading below the last one is a rollover or a reset; both
look alike, so what the machine can do at most (``ceiling_per_s``) decides, and what cannot be
decided is counted short and said to be so.
"""

from dataclasses import dataclass
from enum import Enum, auto

SLACK = 2
"""Pulses above the ceiling that a reading may bring: one at each end of the interval."""


class Verdict(Enum):
    """What a reading is, compared with the one before."""

    FIRST = auto()
    """Nothing to compare with."""
    COUNTED = auto()
    """Certain."""
    SHORT = auto()
    """Pulses may be missing: a reset, a rollover that may be more than one."""
    DOUBTED = auto()
    """More than the machine can do: not counted until the next reading confirms or denies it."""


@dataclass(frozen=True, slots=True)
class Step:
    """The pulses a reading brings, and how sure they are."""

    pulses: int
    verdict: Verdict


class Register:
    """The last reading and what the next one means.

    >>> counter = Register(modulus=65536, ceiling_per_s=10.0)
    >>> [counter.step(raw, time).pulses for raw, time in ((65530, 0), (65534, 1000), (3, 2000))]
    [0, 4, 5]
    >>> counter.step(2, 3000)    # 65535 pulses in a second? No: it started again
    Step(pulses=2, verdict=<Verdict.SHORT: 3>)
    """

    def __init__(self, modulus: int, ceiling_per_s: float) -> None:
        self.raw: int | None = None
        self.time = 0
        self._modulus = modulus
        self._ceiling_per_ms = ceiling_per_s / 1000
        self._usual_ms = 10_000
        self._doubt: tuple[int, int] | None = None

    def resume(self, raw: int, time: int) -> None:
        """Go on from what a process before this one had read."""
        self.raw, self.time = raw, time

    def step(self, raw: int, time: int) -> Step:
        """Take one reading; ``time`` is ms UTC."""
        if self.raw is None:
            self.raw, self.time = raw, time
            return Step(0, Verdict.FIRST)
        step = self._compare(self.raw, self.time, raw, time)
        if step.verdict is Verdict.DOUBTED and self._doubt is not None:
            step = self._confirmed(*self._doubt, raw, time)
        if step.verdict is Verdict.DOUBTED:
            self._doubt = (raw, time)
            return step
        self._doubt = None
        if time > self.time:
            self._usual_ms = time - self.time
        self.raw, self.time = raw, time
        return step

    def _compare(self, before: int, then: int, raw: int, time: int) -> Step:
        elapsed_ms = time - then if time > then else self._usual_ms  # a clock set back
        allowed = elapsed_ms * self._ceiling_per_ms + SLACK
        forward = (raw - before) % self._modulus
        many = allowed >= self._modulus  # it may have rolled over more than once
        if raw >= before:
            if forward <= allowed:
                return Step(forward, Verdict.SHORT if many else Verdict.COUNTED)
            return Step(0, Verdict.DOUBTED)
        if forward <= allowed and forward < self._modulus // 4:
            return Step(forward, Verdict.SHORT if many else Verdict.COUNTED)
        if raw <= allowed:
            return Step(raw, Verdict.SHORT)
        return Step(0, Verdict.DOUBTED)

    def _confirmed(self, before: int, then: int, raw: int, time: int) -> Step:
        """A second reading that follows from the doubted one: the module was exchanged or set."""
        step = self._compare(before, then, raw, time)
        if step.verdict is Verdict.COUNTED:
            return Step(step.pulses, Verdict.SHORT)
        return Step(0, Verdict.DOUBTED)
