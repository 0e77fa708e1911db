"""Totals from pulses that a module counts: parts, kWh, cubic metres.

The total survives restarts of the edge (its last raw reading is kept with it) and of the module (a
reset is not a rollover). What cannot be bridged is counted short, and that sample is Uncertain.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code, worse
from edge.conditioning.register import Register, Verdict
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode


class PulseCount(ConditionModel):
    """Raw reading of a hardware counter -> total in the unit of the signal.

    UncertainSubNormal: pulses may be missing before this sample (the module started again, or was
    away so long that it may have rolled over more than once). UncertainLastUsableValue: the
    reading jumped further than ``ceiling_per_s`` allows; the total stands until the next one.

    >>> from plant.flow.sample import SampleBatch
    >>> parts = PulseCount(kind="pulse_count", ceiling_per_s=5).open({"total": 100.0})
    >>> out = parts.update(SampleBatch.of([0] * 3, [0, 1000, 2000], [65534, 65535, 1]))
    >>> out.value.tolist(), out.status.tolist()
    ([100.0, 101.0, 103.0], [0, 0, 0])
    """

    kind: Literal["pulse_count"]
    modulus: Literal[65536, 4294967296] = Field(65536, description="counter of 16 or 32 bits")
    per_pulse: float = Field(1.0, gt=0, description="parts, kWh, m3 for one pulse")
    ceiling_per_s: float = Field(gt=0, description="pulses a second the machine can give at most")

    def open(
        self,
        saved: Mapping[str, float] | None = None,
        factor: float = 1.0,  # counting has no duration of its own
    ) -> "Total":
        """Go on from ``saved``: total, and raw with time (ms UTC) where they are known."""
        return Total(self, saved or {})


class Total:
    """The total at work; kept in pulses, exact to 2^53."""

    def __init__(self, config: PulseCount, saved: Mapping[str, float]) -> None:
        self._config = config
        per_unit = 1 / config.per_pulse
        self._per_unit = round(per_unit) if abs(per_unit - round(per_unit)) < 1e-9 else per_unit
        self._inputs = Inputs(1)
        self._base = saved.get("total", 0.0)
        self._pulses = int(saved.get("pulses", 0))
        self._register = Register(config.modulus, config.ceiling_per_s)
        if "raw" in saved:
            self._register.resume(int(saved["raw"]), int(saved["time"]))

    @property
    def _total(self) -> float:
        return self._base + self._pulses / self._per_unit  # 9 / 1000 is 0.009, 9 * 0.001 is not

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each reading."""
        rows = Rows()
        for time in self._inputs.moments(batch):
            raw, status = self._inputs.value[0], self._inputs.worst()
            if is_bad_code(status):
                rows.bad(time, status)
                continue
            if raw != int(raw) or not 0 <= raw < self._config.modulus:
                rows.bad(time, StatusCode.BadDecodingError)
                continue
            step = self._register.step(int(raw), time)
            self._pulses += step.pulses
            if step.verdict is Verdict.SHORT:
                status = worse(status, StatusCode.UncertainSubNormal)
            elif step.verdict is Verdict.DOUBTED:
                status = worse(status, StatusCode.UncertainLastUsableValue)
            rows.add(time, self._total, status)
        return rows.batch()

    def tick(self, now_ms: int) -> SampleBatch:
        """Nothing becomes certain by time alone."""
        return SampleBatch.empty()

    def saved(self) -> Mapping[str, float]:
        """The total and the reading it belongs to."""
        kept = {"total": self._base, "pulses": float(self._pulses)}
        if self._register.raw is not None:
            kept |= {"raw": float(self._register.raw), "time": float(self._register.time)}
        return kept
