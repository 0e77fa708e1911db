"""What a machine sees of the world it stands in; ``simulators.world.World`` is one."""

from typing import Any, Protocol

from simulators.shift import Calendar


class Surroundings(Protocol):
    """The plant around one machine, at this step.

    now_ms        plant time, ms UTC
    manned        whether somebody works now (shifts and breaks)
    line_voltage  between phases, V
    total_kw      what the whole plant draws, kW; ``power_factor`` of that
    """

    now_ms: int
    manned: bool
    line_voltage: float
    total_kw: float
    power_factor: float
    calendar: Calendar

    @property
    def voltage(self) -> tuple[float, float, float]:
        """Phase to neutral, V."""

    def air_use(self) -> float:
        """Share of a compressor's delivery that machines take, leaks left out."""

    def note(self, asset: str, kind: str, **data: Any) -> None:
        """Write something into the ledger."""
