"""What every kind of conditioning is, and the little that all of them share."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from plant.flow.sample import SampleBatch
from plant.flow.status import SEVERITY
from plant.model.signal import Label

BAD = 0x8000_0000
"""Mask of the Bad severity."""


class Conditioner(Protocol):
    """A condition at work on the inputs of one signal.

    Batches come in time order; ``signal`` is the index into the condition's inputs (``of``), the
    values are scaled already. Rows that go out have signal 0. A Bad input gives a Bad output with
    the input's reason and NaN; nothing is ever made up for it.
    """

    def update(self, batch: SampleBatch) -> SampleBatch:
        """What the newer inputs mean."""

    def tick(self, now_ms: int) -> SampleBatch:
        """What has become certain by time alone; ``now_ms`` is the plant's time."""

    def saved(self) -> Mapping[str, float]:
        """What the next process must know, empty for most; a ``total`` is kept in any unit."""


class Condition(Protocol):
    """A kind of conditioning: the class is its configuration."""

    @property
    def kind(self) -> str:
        """The name in ``KINDS``."""

    def check(self, inputs: int) -> Iterable[str]:
        """What does not fit the number of inputs."""

    def open(self, saved: Mapping[str, float] | None = None, factor: float = 1.0) -> Conditioner:
        """Begin. ``saved`` is what the last process left, ``factor`` plant seconds per real one.

        Durations of what stays real when the plant's clock runs faster (lamp blinking, contact
        bounce) are multiplied by ``factor``, because samples carry plant time.
        """


class ConditionModel(BaseModel):
    """Base of the configuration classes: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    STATES: ClassVar[Mapping[int, Label]] = {}
    """Of a kind that gives a state: number -> name; empty where plant.yaml names them."""
    INPUT_UNIT: ClassVar[str] = ""
    """What its inputs are converted to; "" for whatever they are in."""
    OUTPUT_UNIT: ClassVar[str] = ""
    """What it gives; "" for the unit that plant.yaml gives to the signal."""

    def check(self, inputs: int) -> Iterable[str]:
        """One input, unless the kind says otherwise."""
        if inputs != 1:
            yield f"takes one input, {inputs} given"


class Inputs:
    """The newest value and status of each input, and the moments at which they changed.

    >>> inputs = Inputs(2)
    >>> list(inputs.moments(SampleBatch.of([0, 1, 0], [5, 5, 9], [1.0, 2.0, 3.0])))
    [5, 9]
    >>> inputs.value, inputs.worst()
    ([3.0, 2.0], 0)
    """

    def __init__(self, count: int) -> None:
        self.value = [float("nan")] * count
        self.status: list[int | None] = [None] * count

    @property
    def complete(self) -> bool:
        """Whether every input was heard at least once."""
        return None not in self.status

    def moments(self, batch: SampleBatch) -> Iterator[int]:
        """Take rows over; yields each source time once all of its rows are taken."""
        last: int | None = None
        rows = zip(
            batch.source_time.tolist(),
            batch.signal.tolist(),
            batch.value.tolist(),
            batch.status.tolist(),
            strict=True,
        )
        for time, signal, value, status in rows:
            if last is not None and time != last:
                yield last
            last = time
            self.value[signal] = value
            self.status[signal] = unusable(value, status)
        if last is not None:
            yield last

    def worst(self) -> int:
        """The first status of the worst severity among the inputs heard; 0 when all are Good."""
        heard = [s for s in self.status if s is not None]
        return max(heard, key=lambda s: s >> 30, default=0) if any(heard) else 0


class Rows:
    """Collects what goes out.

    >>> rows = Rows()
    >>> rows.add(5, 1.0)
    >>> rows.bad(6, 0x80310000)
    >>> rows.batch().value.tolist()
    [1.0, nan]
    """

    def __init__(self) -> None:
        self._time: list[int] = []
        self._value: list[float] = []
        self._status: list[int] = []

    def add(self, time: int, value: float, status: int = 0) -> None:
        """A value; ``status`` must not be Bad."""
        self._time.append(time)
        self._value.append(value)
        self._status.append(status)

    def bad(self, time: int, status: int) -> None:
        """No value, and why."""
        self.add(time, float("nan"), status)

    def batch(self) -> SampleBatch:
        """All of them."""
        count = len(self._time)
        return SampleBatch.of(np.zeros(count, np.int32), self._time, self._value, self._status)


def unusable(value: float, status: int) -> int:
    """The status as it is; BadNoData for a NaN that calls itself usable.

    >>> hex(unusable(float("nan"), 0)), unusable(1.0, 0)
    ('0x809b0000', 0)
    """
    return 0x809B_0000 if math.isnan(value) and not status & BAD else status


def is_bad_code(status: int) -> bool:
    """Whether a single status is Bad.

    >>> is_bad_code(0x80310000), is_bad_code(0x40000000)
    (True, False)
    """
    return bool(status & BAD)


def worse(a: int, b: int) -> int:
    """The worse of two statuses by severity, the first where they are alike.

    >>> hex(worse(0, 0x40950000))
    '0x40950000'
    """
    return b if (b & SEVERITY) > (a & SEVERITY) else a
