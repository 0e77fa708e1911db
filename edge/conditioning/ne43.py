"""4-20 mA loops judged by NAMUR NE 43: a fault is a fault, never a clamped number.

NE 43 (2003): 3.8 to 20.5 mA carries the measured value; at or below 3.6 mA and at or above 21.0
mA the transmitter or the wire reports a failure; the two bands between say that the value is past
the transmitter's range. A broken wire reads near 0 mA and is a fault like any other.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edge.conditioning.condition import ConditionModel, unusable
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad

VALID_LOW_MA, VALID_HIGH_MA = 3.8, 20.5
"""Measured values (NE 43)."""
FAULT_LOW_MA, FAULT_HIGH_MA = 3.6, 21.0
"""At or past these the loop reports a failure (NE 43)."""


class Ne43(ConditionModel):
    """Loop current in mA -> engineering value.

    Inside 3.8 to 20.5 mA the value is Good and linear, also a little below ``at_4_ma`` and above
    ``at_20_ma``. In the bands next to a fault it is UncertainEngineeringUnitsExceeded, and after
    ``hold_s`` there BadSensorFailure: a process that stays past the range is no measurement. A
    fault is BadSensorFailure at once. Bad values are NaN.

    >>> from plant.flow.sample import SampleBatch
    >>> loop = Ne43(kind="ne43", at_4_ma=0, at_20_ma=250).open()
    >>> out = loop.update(SampleBatch.of([0] * 4, [0, 1, 2, 3], [12.0, 3.8, 20.6, 3.5]))
    >>> out.value.round(3).tolist(), [hex(s) for s in out.status]
    ([125.0, -3.125, 259.375, nan], ['0x0', '0x0', '0x40940000', '0x808c0000'])
    """

    INPUT_UNIT: ClassVar[str] = "mA"

    kind: Literal["ne43"]
    at_4_ma: float = Field(description="engineering value at 4 mA")
    at_20_ma: float = Field(description="engineering value at 20 mA")
    square_root: bool = Field(False, description="root of the span: flow from pressure difference")
    hold_s: float = Field(3.0, ge=0, description="s in a saturation band until it is a fault")

    @model_validator(mode="after")
    def _has_a_span(self) -> Self:
        if self.at_4_ma == self.at_20_ma:
            raise ValueError("at_4_ma and at_20_ma are the same: the loop has no span")
        return self

    def open(self, saved: Mapping[str, float] | None = None, factor: float = 1.0) -> "Loop":
        """Begin; nothing is kept between processes."""
        return Loop(self)


class Loop:
    """One loop at work."""

    def __init__(self, config: Ne43) -> None:
        self._config = config
        self._hold_ms = config.hold_s * 1000
        self._since: int | None = None  # when the saturation began

    def update(self, batch: SampleBatch) -> SampleBatch:
        """Judge the readings."""
        if not len(batch):
            return batch
        ma = batch.value
        bad = is_bad(batch.status) | np.isnan(ma)
        fault = ~bad & ((ma <= FAULT_LOW_MA) | (ma >= FAULT_HIGH_MA))
        band = ~bad & ~fault & ((ma < VALID_LOW_MA) | (ma > VALID_HIGH_MA))
        judged = self._judged(band, batch)
        c = self._config
        share = (ma - 4.0) / 16.0
        if c.square_root:
            share = np.sign(share) * np.sqrt(np.abs(share))
        value = c.at_4_ma + share * (c.at_20_ma - c.at_4_ma)
        status = batch.status.copy()
        status[band & (status == 0)] = StatusCode.UncertainEngineeringUnitsExceeded
        status[fault | judged] = StatusCode.BadSensorFailure
        for at in np.flatnonzero(bad):
            status[at] = unusable(math.nan, int(status[at]))
        value[bad | fault | judged] = np.nan
        return SampleBatch.of(np.zeros(len(batch), np.int32), batch.source_time, value, status)

    def _judged(self, band: NDArray[np.bool_], batch: SampleBatch) -> NDArray[np.bool_]:
        """Where the saturation has lasted too long."""
        judged = np.zeros(len(band), np.bool_)
        if not band.any():
            self._since = None
            return judged
        times = batch.source_time.tolist()
        for at, (inside, time) in enumerate(zip(band.tolist(), times, strict=True)):
            if not inside:
                self._since = None
            elif self._since is None or time < self._since:  # or a clock set back
                self._since = time
            elif time - self._since >= self._hold_ms:
                judged[at] = True
        return judged

    def tick(self, now_ms: int) -> SampleBatch:
        """Nothing becomes certain by time alone."""
        return SampleBatch.empty()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
