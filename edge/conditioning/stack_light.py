"""The state that a stack light shows: which lamp, and whether it burns, blinks or flashes.

Colours mean what IEC 60204-1 table 4 says: red emergency, amber (yellow) abnormal, blue mandatory
action, green normal, white neutral. Blinking asks for attention (10.3.3); IEC 60073 separates slow
(0.4 to 0.8 Hz) from normal flashing (1.4 to 2.8 Hz), so ``fast_hz`` is 1.4. No lamp lit is "dark",
which is not "off": a bulb fails, a tower is unplugged, a machine may be silent at work.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code, worse
from edge.conditioning.lamp import Lamp, Light
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.signal import Label

Colour = Literal["red", "amber", "blue", "green", "white"]

NUMBER: Mapping[str, int] = {"white": 10, "green": 20, "blue": 30, "amber": 40, "red": 50}
"""Of a steady lamp; blinking is one more, flashing fast two."""
_ZH = {"white": "白灯", "green": "绿灯", "blue": "蓝灯", "amber": "黄灯", "red": "红灯"}
DARK = 0


def _states() -> dict[int, Label]:
    states = {DARK: Label("灯全灭", "Dark")}
    for colour, number in NUMBER.items():
        zh, en = _ZH[colour], colour.capitalize()
        states[number] = Label(f"{zh}亮", en)
        states[number + 1] = Label(f"{zh}闪", f"{en} blinking")
        states[number + 2] = Label(f"{zh}快闪", f"{en} flashing")
    return states


class StackLight(ConditionModel):
    """Lamp inputs (0 or 1) -> 0 dark, 20 green, 21 green blinking, 40 amber, 41 amber blinking ...

    The strongest lamp that is not dark decides. A change is told when it is certain: at most 1.5
    periods of the slowest blinking (``slowest_hz``) and one poll after it happened; until then the
    state before it stands. Poll at least four times as fast as the lamps blink; blinking that the
    polls do not resolve is UncertainSubNormal. Darkness of less than a quarter of the fastest
    period is the ripple of a lamp fed with alternating current, seen by a fast input, and is
    bridged. Times are real also where the plant's clock runs faster.

    >>> from plant.flow.sample import SampleBatch
    >>> tower = StackLight(kind="stack_light", lamps=("amber",), slowest_hz=1).open()
    >>> times = list(range(0, 3000, 125))
    >>> blinking = SampleBatch.of([0] * 24, times, [t // 500 % 2 for t in times])
    >>> StackLight.STATES[int(tower.update(blinking).value[-1])].en
    'Amber blinking'
    """

    kind: Literal["stack_light"]
    lamps: tuple[Colour, ...] = Field(min_length=1, description="colours of the inputs, in order")
    priority: tuple[Colour, ...] = Field(
        ("red", "amber", "blue", "green", "white"), description="strongest first"
    )
    slowest_hz: float = Field(0.5, gt=0, description="Hz of the slowest blinking that is meant")
    fast_hz: float = Field(1.4, gt=0, description="Hz from which blinking is flashing fast")
    fastest_hz: float = Field(5.0, gt=0, description="Hz above which it is no signal to people")
    pushed: bool = Field(False, description="inputs come only when they change (no polling)")

    STATES: ClassVar[Mapping[int, Label]] = _states()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(set(self.lamps)) != len(self.lamps):
            raise ValueError("lamps: a colour appears twice")
        missing = [colour for colour in self.lamps if colour not in self.priority]
        if missing:
            raise ValueError(f"priority: does not name {', '.join(missing)}")
        if not self.slowest_hz < self.fast_hz < self.fastest_hz:
            raise ValueError("slowest_hz, fast_hz and fastest_hz must rise")
        return self

    def check(self, inputs: int) -> Iterable[str]:
        """One input for each lamp."""
        if inputs != len(self.lamps):
            yield f"names {len(self.lamps)} lamps, {inputs} inputs given"

    def open(
        self,
        saved: Mapping[str, float] | None = None,
        factor: float = 1.0,
    ) -> "Tower":
        """Begin; what burns is seen again within 1.5 periods, so nothing is kept."""
        return Tower(self, factor)


class Tower:
    """The lamps at work."""

    def __init__(self, config: StackLight, factor: float) -> None:
        self._inputs = Inputs(len(config.lamps))
        self._pushed = config.pushed
        self._lamps = [
            Lamp(config.slowest_hz, config.fast_hz, config.fastest_hz, factor, config.pushed)
            for _ in config.lamps
        ]
        self._order = [config.lamps.index(c) for c in config.priority if c in config.lamps]
        self._number = [NUMBER[colour] for colour in config.lamps]
        self._heard = 0
        self._told: float | None = None

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each moment at which all lamps are certain."""
        rows = Rows()
        for time in self._inputs.moments(batch):
            self._heard = time
            self._see(time, rows)
        return rows.batch()

    def _see(self, time: int, rows: Rows) -> None:
        inputs = self._inputs
        status = inputs.worst()
        if is_bad_code(status):
            for lamp in self._lamps:
                lamp.forget()
            self._told = None
            rows.bad(time, status)
            return
        for lamp, value, heard in zip(self._lamps, inputs.value, inputs.status, strict=True):
            if heard is not None:
                lamp.see(value != 0, time)
        if all(lamp.certain for lamp in self._lamps):
            self._told, resolved = self._state()
            rows.add(time, self._told, status if resolved else worse(status, _UNRESOLVED))

    def _state(self) -> tuple[float, bool]:
        resolved = all(lamp.resolved for lamp in self._lamps)
        for at in self._order:
            light = self._lamps[at].light
            if light is not None and light is not Light.OFF:
                return float(self._number[at] + _STEP[light]), resolved
        return float(DARK), resolved

    def tick(self, now_ms: int) -> SampleBatch:
        """Lamps that were pushed and stand still since; polled ones are seen by ``update``."""
        if (
            not self._pushed
            or now_ms <= self._heard
            or not self._inputs.complete
            or is_bad_code(self._inputs.worst())
        ):
            return SampleBatch.empty()
        told, rows = self._told, Rows()
        self._see(now_ms, rows)
        return SampleBatch.empty() if self._told == told else rows.batch()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}


_STEP = {Light.ON: 0, Light.BLINKING: 1, Light.FLASHING: 2}
_UNRESOLVED = int(StatusCode.UncertainSubNormal)
