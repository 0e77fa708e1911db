"""What a signal is published in, and how what the device gives becomes that.

The type of a machine says the unit of a signal; where no type does, plant.yaml. What figures are
computed from has one unit in every plant (``FIXED``). A ``unit`` that plant.yaml gives to a type's
signal is the device's: it is converted once, in the edge (or where a foreign node's values are
taken). Numbers beside a unit (range, deadband, modulus) are in that one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from plant.errors import Problem
from plant.model.catalogue import Part
from plant.model.draft import Draft
from plant.model.locate import Document, Where
from plant.model.shape import OwnUnitShape
from plant.model.signal import Origin, SignalKind
from plant.model.unit import Conversion, Unit, Units, between, known_units

NUMBER = Unit("", "number")
SAME = Conversion()
FIXED = {
    "power": "kW",
    "energy": "kWh",
    "vibration": "mm/s",
    "current": "A",
    **dict.fromkeys(("part_count", "good_count", "reject_count"), "pcs"),
}
"""Ids whose signals are published in this unit where they are of its quantity."""
_PLAIN = {SignalKind.STATE, SignalKind.TEXT}


@dataclass(frozen=True, slots=True)
class Published:
    """A signal's unit and the numbers that are in it; ``conversion`` is from the device's."""

    unit: Unit = NUMBER
    conversion: Conversion = SAME
    range: tuple[float, float] | None = None
    deadband: float = 0.0
    modulus: float | None = None


def published(draft: Draft, kind: SignalKind, units: Units) -> Published:
    """What a draft is published in; what does not fit is added to its problems."""
    given = _given(draft, units)
    if given is None:
        return Published(NUMBER, range=draft.get("range"), modulus=draft.get("modulus"))
    of_types = [u for part, u in given if part is not draft.local and part.shape.unit is not None]
    unit = of_types[-1] if of_types else given[-1][1]
    fixed = units.find(FIXED.get(draft.id, ""))
    if fixed is not None and fixed.quantity == unit.quantity and unit.symbol:
        unit = fixed
    device = given[-1][1]
    found = Published(
        unit,
        between(device, unit),
        _converted(draft, "range", given, unit),
        _converted(draft, "deadband", given, unit) or 0.0,
        _converted(draft, "modulus", given, unit),
    )
    _sense(draft, kind, found, device)
    return found


def _given(draft: Draft, units: Units) -> list[tuple[Part, Unit]] | None:
    """The unit in force in each part; None where one is not known or of another quantity."""
    found: list[tuple[Part, Unit]] = []
    last: Unit | None = None
    for part in draft.parts:
        text = part.shape.unit
        if text is not None:
            unit = units.find(text, last.quantity if last else None)
            if unit is None:
                hint = units.hint(text) or "; `kaikou units` lists all"
                text = f"unknown unit {text!r}{hint}"
                draft.complain("unit", text)
                return None
            if last is not None and unit.quantity != last.quantity:
                draft.complain(
                    "unit",
                    f"{text!r} is a unit of {unit.quantity}; the type has this signal in "
                    f"{last.symbol!r}, a unit of {last.quantity}",
                )
                return None
            last = unit
        found.append((part, last or NUMBER))
    first = next((u for p, u in found if p.shape.unit is not None), NUMBER)
    return [(p, first if u is NUMBER else u) for p, u in found]


def _converted(draft: Draft, key: str, given: list[tuple[Part, Unit]], unit: Unit) -> Any:
    """A number of the draft in the published unit."""
    value = draft.get(key)
    part = draft.part(key)
    if value is None or part is None:
        return value
    of = next(u for p, u in given if p is part)
    conversion = between(of, unit)
    if conversion.none:
        return value
    if key == "range":
        return conversion.of(value[0]), conversion.of(value[1])
    return conversion.difference(value)


def _sense(draft: Draft, kind: SignalKind, found: Published, device: Unit) -> None:
    unit = found.unit
    if kind is SignalKind.COUNTER and not unit.adds:
        draft.complain(
            "unit", f"a counter cannot count {unit.quantity} ({unit.symbol}); it does not add up"
        )
    if kind in _PLAIN and unit.symbol:
        draft.complain("unit", f"a {kind} has no unit")
    origin = draft.get("by", Origin.EDGE)
    if origin != Origin.EDGE and device is not unit:
        draft.complain("unit", f"is by {origin}, which gives it in {unit.symbol!r}")


def own_units(
    shapes: Mapping[str, OwnUnitShape], document: Document, problems: list[Problem]
) -> Iterator[Unit]:
    """The plant's own units; one that Kaikou knows already is a problem, and an unknown base."""
    for name, shape in shapes.items():
        where: Where = ("units", name)
        known = known_units().find(name)
        base = None if shape.unit is None else known_units().find(shape.unit)
        if known is not None:
            text = f"is a unit already: {known.symbol}, of {known.quantity}"
            problems.append(document.problem(where, text, key=True))
        elif shape.unit is not None and base is None:
            hint = known_units().hint(shape.unit)
            problems.append(
                document.problem((*where, "unit"), f"unknown unit {shape.unit!r}{hint}")
            )
        elif base is None:
            yield Unit(name, name)
        else:
            factor, zero = Fraction(repr(shape.factor)), Fraction(repr(shape.zero))
            yield Unit(
                name,
                base.quantity,
                factor * base.factor,
                zero * base.factor + base.zero,
                base.adds,
            )
