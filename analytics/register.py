"""From an energy register to energy: increase, rollover, glitch and reset told apart.

A register is never re-based on one reading: a drop is judged by what follows it (reference: the
rules and oracles O-1 to O-5 of the project's energy study, after IEC 62053 practice).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GLITCH_READINGS = 3
"""A drop that is gone within so many readings was a glitch; one that lasts is a reset."""
NEAR_MODULUS = 0.98
"""Without a known ceiling, a rollover is believed only from so near to the modulus."""
SLACK = 1.5
"""Factor over the greatest plausible power, for the unevenness of readings."""


class Rule(StrEnum):
    """How an increase was judged."""

    NORMAL = "normal"
    ROLLOVER = "rollover"
    RESET = "reset"
    """A lower bound: what was counted before the reset after the last reading is not known."""


@dataclass(frozen=True, slots=True)
class Increase:
    """Energy between two readings (ms UTC), in the register's unit times its factor."""

    start: int
    end: int
    energy: float
    rule: Rule


@dataclass(slots=True)
class Register:
    """Judges the readings of one register, in time order.

    modulus      value at which it rolls over to 0; None: it does not
    ceiling_kw   greatest plausible power; None: not known
    Readings are in kWh (scaled already). ``glitches`` and ``resets`` count what was found.

    >>> r = Register(modulus=1_000_000.0)
    >>> [r.read(t * 60_000, v) for t, v in enumerate([999_984.0625, 20.0])][1][0].energy
    35.9375
    >>> r = Register(ceiling_kw=100.0)
    >>> readings = enumerate([1000.0, 1001.0, 0.0, 1002.0])
    >>> sum(i.energy for t, v in readings for i in r.read(t * 60_000, v)), r.glitches
    (2.0, 1)
    """

    modulus: float | None = None
    ceiling_kw: float | None = None
    glitches: int = 0
    resets: int = 0
    base: tuple[int, float] | None = None
    _dropped: list[tuple[int, float]] = field(default_factory=list)

    def saved(self, name: str) -> dict[str, float]:
        """The base and what was dropped since, under names that begin with ``name``."""
        if self.base is None:
            return {}
        kept = [self.base, *self._dropped]
        return {
            f"{name}_{what}{at or ''}": float(number)
            for at, pair in enumerate(kept)
            for what, number in zip(("time", "value"), pair, strict=True)
        }

    def restore(self, name: str, saved: Mapping[str, float]) -> None:
        """Take over what was saved."""
        if f"{name}_time" in saved:
            self.base = (int(saved[f"{name}_time"]), saved[f"{name}_value"])
        self._dropped = [
            (int(saved[f"{name}_time{at}"]), saved[f"{name}_value{at}"])
            for at in range(1, GLITCH_READINGS)
            if f"{name}_time{at}" in saved
        ]

    def read(self, time: int, value: float) -> list[Increase]:
        """What a reading settles: nothing, one increase, or those that a reset held back."""
        if self.base is None:
            self.base = (time, value)
            return []
        start, before = self.base
        if value >= before and self._plausible(value - before, time - start):
            if self._dropped:
                self.glitches += len(self._dropped)
                self._dropped.clear()
            self.base = (time, value)
            return [Increase(start, time, value - before, Rule.NORMAL)]
        rolled = self._rolled(before, value) if value < before and not self._dropped else 0.0
        if rolled and self._plausible(rolled, time - start):
            self.base = (time, value)
            return [Increase(start, time, rolled, Rule.ROLLOVER)]
        return self._drop(time, value)

    def _drop(self, time: int, value: float) -> list[Increase]:
        if self._dropped and value < self._dropped[-1][1]:
            self._dropped.clear()  # falls again: wait for something that counts upwards
        self._dropped.append((time, value))
        if len(self._dropped) < GLITCH_READINGS:
            return []
        self.resets += 1
        assert self.base is not None  # noqa: S101 - a drop is a drop from the base
        first = self._dropped[0]
        found = [Increase(self.base[0], first[0], max(first[1], 0.0), Rule.RESET)]
        if first[1] > self.base[1]:  # a jump upwards is a swap: nothing of it is energy
            found = [Increase(self.base[0], first[0], 0.0, Rule.RESET)]
        for earlier, later in zip(self._dropped, self._dropped[1:], strict=False):
            found.append(Increase(earlier[0], later[0], later[1] - earlier[1], Rule.NORMAL))
        self.base = self._dropped[-1]
        self._dropped.clear()
        return found

    def _rolled(self, before: float, value: float) -> float:
        if self.modulus is None:
            return 0.0
        if self.ceiling_kw is None and before < NEAR_MODULUS * self.modulus:
            return 0.0
        return value + self.modulus - before

    def _plausible(self, energy: float, ms: int) -> bool:
        if self.ceiling_kw is None:
            return True
        # a step of the register may be as late as one reading: allow a whole minute
        return energy <= self.ceiling_kw * SLACK * max(ms, 60_000) / 3.6e6
