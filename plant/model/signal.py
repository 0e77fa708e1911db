"""A signal: one named series of one asset, with everything that decides how it is treated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class SignalKind(StrEnum):
    """Decides aggregation, chart and storage (DESIGN section 3)."""

    MEASUREMENT = "measurement"
    """Time-weighted mean, min, max."""
    COUNTER = "counter"
    """Increase, with rollover and reset told apart."""
    STATE = "state"
    """Last value held; durations."""
    SETPOINT = "setpoint"
    """Held."""
    TEXT = "text"


class Origin(StrEnum):
    """Which process publishes a signal."""

    EDGE = "edge"
    TWIN = "twin"
    ANALYTICS = "analytics"


@dataclass(frozen=True, slots=True)
class Label:
    """A name in both languages of the plant."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a source finds a signal: ``at`` is the source kind's own Point model, validated."""

    source: str
    at: object


@dataclass(frozen=True, slots=True)
class Signal:
    """A resolved signal.

    path          "asset/id", unique in the plant, stable over moves between edges
    unit          as printed ("kW", "mm/s"), "" for none
    range         least and greatest value that make sense, engineering units; None: unbounded
    deadband      smallest change worth reporting, engineering units; 0 reports every change
    max_interval  s; an unchanged signal is reported again after this
    decimals      digits after the point on a screen; never more than the sensor resolves
    modulus       of a counter: the value at which it rolls over to 0; None: it does not
    states        of a state: number -> name
    reading       how the edge reads it; None where it is conditioned or derived
    scale/offset  value in ``unit`` = what is read, or conditioned, * scale + offset
    input_scales  the same of each input, to the unit that the condition works in
    condition     the condition kind's own model, validated; its ``of`` names its inputs
    hidden        read for a condition only, never published
    estimated     not measured: derived from something else, always Uncertain
    """

    path: str
    asset: str
    id: str
    name: Label
    kind: SignalKind
    unit: str = ""
    range: tuple[float, float] | None = None
    deadband: float = 0.0
    max_interval: float = 60.0
    decimals: int = 1
    modulus: float | None = None
    states: Mapping[int, Label] = field(default_factory=dict)
    origin: Origin = Origin.EDGE
    reading: Reading | None = None
    scale: float = 1.0
    offset: float = 0.0
    condition: object | None = None
    inputs: tuple[str, ...] = ()
    input_scales: tuple[tuple[float, float], ...] = ()
    hidden: bool = False
    estimated: bool = False
    simulated: bool = False
    was: tuple[str, ...] = ()
