"""Electric power estimated from a clamp-on current transformer: better than nothing, and said so.

Active power of a three-phase machine is sqrt(3) U I cos(phi) with the line-to-line voltage U (IEC
60050-131); of a single-phase one U I cos(phi). Neither U nor cos(phi) is measured here, so the
result is always Uncertain. cos(phi) of an idling induction motor is far below its nameplate
(magnetising current), hence the optional calibration points.
"""

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode


class CurrentPower(ConditionModel):
    """RMS current in A, of one conductor or of three -> estimated power in kW.

    >>> from plant.flow.sample import SampleBatch
    >>> estimate = CurrentPower(kind="current_power", voltage_v=380, power_factor=0.8).open()
    >>> out = estimate.update(SampleBatch.of([0], [0], [10.0]))
    >>> out.value.round(3).tolist(), hex(out.status[0])
    ([5.265], '0x40000000')
    >>> known = CurrentPower(kind="current_power", points=((0, 0), (2, 0.7), (8, 4.0))).open()
    >>> known.update(SampleBatch.of([0], [0], [5.0])).value.round(3).tolist()
    [2.35]
    """

    INPUT_UNIT: ClassVar[str] = "A"
    OUTPUT_UNIT: ClassVar[str] = "kW"

    kind: Literal["current_power"]
    voltage_v: float = Field(380.0, gt=0, description="V, line to line; to neutral with phases: 1")
    power_factor: float = Field(0.8, gt=0, le=1, description="cos(phi) assumed")
    phases: Literal[1, 3] = Field(3, description="conductors that carry current")
    transformers: Literal[1, 3] = Field(1, description="inputs: one CT, or one on each conductor")
    points: tuple[tuple[float, float], ...] = Field(
        (), description="(A, kW) seen with a real meter; straight lines between, used instead"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.transformers > self.phases:
            raise ValueError("three transformers need three phases")
        amperes = [a for a, _ in self.points]
        if self.points and (len(amperes) < 2 or sorted(set(amperes)) != amperes):
            raise ValueError("points: at least two, with rising current")
        return self

    def check(self, inputs: int) -> Iterable[str]:
        """One input for each transformer."""
        if inputs != self.transformers:
            yield f"takes {self.transformers} input(s) (transformers), {inputs} given"

    def power_kw(self, current_a: float) -> float:
        """Estimated power at a mean conductor current."""
        if self.points:
            amperes, kilowatts = zip(*self.points, strict=True)
            if current_a <= amperes[-1]:
                return float(np.interp(current_a, amperes, kilowatts))
            rise = (kilowatts[-1] - kilowatts[-2]) / (amperes[-1] - amperes[-2])
            return float(kilowatts[-1] + rise * (current_a - amperes[-1]))
        root = math.sqrt(3) if self.phases == 3 else 1.0
        return root * self.voltage_v * current_a * self.power_factor / 1000

    def open(
        self,
        saved: Mapping[str, float] | None = None,
        factor: float = 1.0,
    ) -> "Estimate":
        """Begin; nothing is kept between processes."""
        return Estimate(self)


class Estimate:
    """The estimate at work."""

    def __init__(self, config: CurrentPower) -> None:
        self._config = config
        self._inputs = Inputs(config.transformers)

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each moment at which all conductors are known."""
        inputs, rows = self._inputs, Rows()
        for time in inputs.moments(batch):
            status = inputs.worst()
            if is_bad_code(status):
                rows.bad(time, status)
            elif inputs.complete:
                mean = sum(inputs.value) / len(inputs.value)
                rows.add(time, self._config.power_kw(mean), status or StatusCode.Uncertain)
        return rows.batch()

    def tick(self, now_ms: int) -> SampleBatch:
        """Nothing becomes certain by time alone."""
        return SampleBatch.empty()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
