"""Why a machine stood: codes to choose from, and which time of ISO 22400-2 each kind is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from plant.model.signal import Label

LONGEST_REASON_MS = 31 * 86_400_000
"""A reason covers no more than this; a longer stop gets several."""


class UnitTime(StrEnum):
    """Where ISO 22400-2 books a time in which nothing is made."""

    PDT = "pdt"
    """Planned downtime: not part of the planned busy time."""
    ASUT = "asut"
    """Actual unit set-up time."""
    ADET = "adet"
    """Actual unit delay time: interrupts within an order."""
    ADOT = "adot"
    """Actual unit down time: it could work, and is given nothing to do."""


class ReasonKind(StrEnum):
    """What a reason is about; decides the loss it is shown under and the time it is booked to."""

    PLANNED = "planned"
    SETUP = "setup"
    MAINTENANCE = "maintenance"
    MALFUNCTION = "malfunction"
    MINOR = "minor"
    MATERIAL = "material"
    ORGANISATION = "organisation"
    QUALITY = "quality"
    OTHER = "other"

    @property
    def time(self) -> UnitTime:
        """The time of ISO 22400-2.

        >>> ReasonKind.PLANNED.time, ReasonKind.MATERIAL.time, ReasonKind.ORGANISATION.time
        (<UnitTime.PDT: 'pdt'>, <UnitTime.ADET: 'adet'>, <UnitTime.ADOT: 'adot'>)
        """
        return _TIMES.get(self, UnitTime.ADET)

    @property
    def label(self) -> Label:
        """As people read it."""
        return KIND_LABELS[self]


_TIMES = {
    ReasonKind.PLANNED: UnitTime.PDT,
    ReasonKind.SETUP: UnitTime.ASUT,
    ReasonKind.ORGANISATION: UnitTime.ADOT,
}

KIND_LABELS: dict[ReasonKind, Label] = {
    ReasonKind.PLANNED: Label("计划停机", "Planned"),
    ReasonKind.SETUP: Label("换型调整", "Set-up"),
    ReasonKind.MAINTENANCE: Label("维修保养", "Maintenance"),
    ReasonKind.MALFUNCTION: Label("设备故障", "Malfunction"),
    ReasonKind.MINOR: Label("短暂停机", "Minor stop"),
    ReasonKind.MATERIAL: Label("物料", "Material"),
    ReasonKind.ORGANISATION: Label("组织", "Organisation"),
    ReasonKind.QUALITY: Label("质量", "Quality"),
    ReasonKind.OTHER: Label("其他", "Other"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A code that a person gives to a stop."""

    code: str
    name: Label
    kind: ReasonKind


@dataclass(frozen=True, slots=True)
class Product:
    """What a machine makes; ``cycle_s`` is the planned run time of one unit by asset, in s."""

    id: str
    name: Label
    cycle_s: Mapping[str, float] = field(default_factory=dict)
