"""Power from the pulses of a meter's S0 output (EN 62053-31): energy for each, time between them.

Power is energy over time between moments at which the counter moved, so it is exact for steady
load and late by the window for a changing one. Where the next pulse is late the estimate falls
with the time since the last one: it can be no more than one pulse in that time.
"""

from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code
from edge.conditioning.register import Register, Verdict
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode

MS_PER_H = 3_600_000


class PulsePower(ConditionModel):
    """Raw reading of a hardware counter -> power in kW.

    Nothing is said before the counter moved twice, half a window apart (or stood still for
    ``zero_after_s``, which is 0 kW): over a shorter time one pulse more or less is too much.
    A reset of the counter begins anew and gives no value of its own.

    >>> from plant.flow.sample import SampleBatch
    >>> meter = PulsePower(
    ...     kind="pulse_power", pulses_per_kwh=1000, ceiling_kw=20, window_s=4
    ... ).open()
    >>> out = meter.update(SampleBatch.of([0] * 4, [0, 2000, 4000, 6000], [7, 9, 12, 14]))
    >>> out.source_time.tolist(), out.value.round(2).tolist()
    ([4000, 6000], [5.4, 4.5])
    """

    OUTPUT_UNIT: ClassVar[str] = "kW"

    kind: Literal["pulse_power"]
    modulus: Literal[65536, 4294967296] = Field(65536, description="counter of 16 or 32 bits")
    pulses_per_kwh: float = Field(gt=0, description="the meter's constant")
    ceiling_kw: float = Field(gt=0, description="the most that the connection can carry")
    window_s: float = Field(10.0, gt=0, description="s to average over, at least one pulse")
    zero_after_s: float = Field(120.0, gt=0, description="s without a pulse that mean no load")

    def open(
        self,
        saved: Mapping[str, float] | None = None,
        factor: float = 1.0,  # energy and time are both the plant's
    ) -> "PulseRate":
        """Begin; nothing is kept between processes."""
        return PulseRate(self)


class PulseRate:
    """The rate at work."""

    def __init__(self, config: PulsePower) -> None:
        self._config = config
        self._inputs = Inputs(1)
        self._ceiling_per_s = config.ceiling_kw * config.pulses_per_kwh / 3600
        self._register = Register(config.modulus, self._ceiling_per_s)
        self._moved: deque[tuple[int, int]] = deque()  # (time, pulses so far) of each movement
        self._pulses = 0
        self._settled = False
        self._still_since: int | None = None

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each reading from which a power follows."""
        rows = Rows()
        for time in self._inputs.moments(batch):
            raw, status = self._inputs.value[0], self._inputs.worst()
            if is_bad_code(status):
                rows.bad(time, status)
                continue
            if raw != int(raw) or not 0 <= raw < self._config.modulus:
                rows.bad(time, StatusCode.BadDecodingError)
                continue
            self._take(int(raw), time)
            power = self._power_kw(time)
            if power is not None:
                rows.add(time, power, status)
        return rows.batch()

    def _take(self, raw: int, time: int) -> None:
        if self._still_since is not None and time < self._still_since:  # a clock set back
            self._moved.clear()
            self._still_since = time
        step = self._register.step(raw, time)
        if self._still_since is None:
            self._still_since = time
        if step.verdict is Verdict.SHORT:  # what was missed would be power that was not seen
            self._moved.clear()
            self._pulses = 0
            self._still_since = time
        elif step.pulses:
            self._pulses += step.pulses
            self._moved.append((time, self._pulses))
            self._still_since = time
        limit = time - self._config.window_s * 1000
        while len(self._moved) > 2 and self._moved[1][0] < limit:
            self._moved.popleft()

    def _power_kw(self, time: int) -> float | None:
        silent_ms = time - (self._still_since if self._still_since is not None else time)
        if silent_ms >= self._config.zero_after_s * 1000:
            self._moved.clear()
            return 0.0
        if len(self._moved) < 2:
            self._settled = False
            return None
        (began, first), (ended, last) = self._moved[0], self._moved[-1]
        self._settled |= ended - began >= self._config.window_s * 500
        if not self._settled:
            return None
        per_ms = (last - first) / (ended - began)
        if silent_ms * per_ms > 1:
            per_ms = 1 / silent_ms
        return per_ms / self._config.pulses_per_kwh * MS_PER_H

    def tick(self, now_ms: int) -> SampleBatch:
        """Power follows from readings alone."""
        return SampleBatch.empty()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
