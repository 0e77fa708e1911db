"""What a machine does, told from the current it draws.

Each border between two states is a Schmitt trigger with a dwell of its own: up at one threshold,
down at a lower one, and only after the current stayed beyond it for the dwell. Peaks of a starting
motor (five to eight times the rated current is usual) are not evidence for ``inrush_s``. A current
of zero says that nothing is drawn, or that the clamp is off the wire: the state is "no current",
and whether the machine is off is for others to say.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code
from plant.flow.sample import SampleBatch
from plant.model.signal import Label


class CurrentState(ConditionModel):
    """Current in A (or power in kW) -> 0 no current, 1 idle, 2 working, 3 overload.

    A change is stamped when it is certain: the dwell after it happened. Durations are plant time,
    because the machine's physics runs in it. The thresholds are in the unit of the input.

    >>> from plant.flow.sample import SampleBatch
    >>> saw = CurrentState(kind="current_state", idle=0.5, working=3.0, up_dwell_s=1).open()
    >>> times, amperes = [0, 1000, 2000, 3000, 4000], [1.2, 1.2, 6.0, 6.0, 6.0]
    >>> out = saw.update(SampleBatch.of([0] * 5, times, amperes))
    >>> out.source_time.tolist(), out.value.tolist()
    ([1000, 2000, 3000, 4000], [1.0, 1.0, 2.0, 2.0])
    """

    kind: Literal["current_state"]
    idle: float = Field(gt=0, description="from here up the machine is on")
    working: float = Field(gt=0, description="from here up it works")
    overload: float | None = Field(None, description="from here up it works too hard; none: never")
    hysteresis: float = Field(
        0.15, ge=0, lt=1, description="share of a threshold by which the current must fall below it"
    )
    up_dwell_s: float = Field(1.0, ge=0, description="s beyond a threshold until the state rises")
    down_dwell_s: float = Field(2.0, ge=0, description="s below it until the state falls")
    inrush: float | None = Field(None, description="from here up a peak is a starting motor")
    inrush_s: float = Field(2.0, ge=0, description="s for which such a peak is no evidence")

    STATES: ClassVar[Mapping[int, Label]] = {
        0: Label("无电流", "No current"),
        1: Label("待机", "Idle"),
        2: Label("工作", "Working"),
        3: Label("过载", "Overload"),
    }

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.working * (1 - self.hysteresis) <= self.idle:
            raise ValueError("working, less the hysteresis, must be above idle")
        if self.overload is not None and self.overload * (1 - self.hysteresis) <= self.working:
            raise ValueError("overload, less the hysteresis, must be above working")
        if self.inrush is not None and self.inrush <= self.working:
            raise ValueError("inrush must be above working")
        return self

    def open(self, saved: Mapping[str, float] | None = None, factor: float = 1.0) -> "Activity":
        """Begin; the state is found again after one dwell, so nothing is kept."""
        return Activity(self)


class Border:
    """One threshold with hysteresis and dwell; ``above`` is None until it is known."""

    def __init__(self, up: float, down: float, up_ms: float, down_ms: float) -> None:
        self.above: bool | None = None
        self._up, self._down = up, down
        self._dwell = {True: up_ms, False: down_ms}
        self._side = False
        self._since: int | None = None

    def see(self, value: float, time: int) -> None:
        """One reading."""
        side = value >= (self._down if self._side else self._up)
        if self._since is None or side != self._side or time < self._since:  # or a clock set back
            self._side, self._since = side, time
        first = self.above is None
        if time - self._since >= (min(self._dwell.values()) if first else self._dwell[side]):
            self.above = side

    def forget(self) -> None:
        """Nothing is known any more."""
        self.above, self._since, self._side = None, None, False


class Activity:
    """The state at work."""

    def __init__(self, config: CurrentState) -> None:
        self._config = config
        self._inputs = Inputs(1)
        keep = 1 - config.hysteresis
        up_ms, down_ms = config.up_dwell_s * 1000, config.down_dwell_s * 1000
        levels = [config.idle, config.working]
        levels += [config.overload] if config.overload is not None else []
        self._borders = [Border(level, level * keep, up_ms, down_ms) for level in levels]
        self._peak_since: int | None = None

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each reading once the state is known."""
        rows = Rows()
        for time in self._inputs.moments(batch):
            value, status = self._inputs.value[0], self._inputs.worst()
            if is_bad_code(status):
                self._peak_since = None
                for border in self._borders:
                    border.forget()
                rows.bad(time, status)
                continue
            if not self._masked(value, time):
                for border in self._borders:
                    border.see(value, time)
            known = [border.above for border in self._borders]
            if None not in known:
                rows.add(time, float(sum(map(bool, known))), status)
        return rows.batch()

    def _masked(self, value: float, time: int) -> bool:
        """Whether the reading is a starting motor's peak and says nothing of the state."""
        limit = self._config.inrush
        if limit is None or value < limit:
            self._peak_since = None
            return False
        if self._peak_since is None or time < self._peak_since:
            self._peak_since = time
        return time - self._peak_since < self._config.inrush_s * 1000

    def tick(self, now_ms: int) -> SampleBatch:
        """Nothing becomes certain without a reading."""
        return SampleBatch.empty()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
