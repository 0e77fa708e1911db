"""What Kaikou knows, for people: machine types with their signals, and units."""

from collections.abc import Iterator
from pathlib import Path

from plant.errors import ConfigError
from plant.model.catalogue import MachineType, read_catalogue, require
from plant.model.draft import Draft
from plant.model.unit import Unit, known_units, normal, quantity_names
from plant.model.unit_page import by_quantity
from plant.model.validate import did_you_mean


def type_lines(folder: Path | None, wanted: str | None) -> Iterator[str]:
    """All machine types, or one with its signals; ``folder`` has further types."""
    types = require(read_catalogue([folder] if folder else [])).types
    if wanted is None:
        for id, found in sorted(types.items()):
            yield f"{id:<18} {found.role:<8} {found.name.zh} / {found.name.en}"
        return
    if wanted not in types:
        raise ConfigError(f"no machine type {wanted!r}{did_you_mean(wanted, sorted(types))}")
    found = types[wanted]
    yield f"{found.id}: {found.name.zh} / {found.name.en}; role {found.role}"
    for draft in signals_of(found):
        yield f"  {draft.id:<22} {draft.get('kind') or '?':<12} {_numbers(draft)}"
        yield f"  {'':<22} {_label(draft)}{_made(draft)}"


def signals_of(found: MachineType, *, own: bool = False) -> list[Draft]:
    """The signals of a type with what it inherits, or only those that its own file speaks of."""
    drafts = [Draft(found.id, id, parts) for id, parts in found.signals.items()]
    return [d for d in drafts if not own or d.parts[-1].document is found.document]


def states_of(draft: Draft) -> str:
    """The states of a signal as people read them; "" where plant.yaml names them."""
    states = draft.get("states")
    if isinstance(states, dict):
        return ", ".join(f"{n} {label.zh} / {label.en}" for n, label in states.items())
    return "PackML" if states else ""


def _numbers(draft: Draft) -> str:
    said = [str(draft.get("unit", ""))]
    if draft.given("range"):
        low, high = draft.get("range")
        said.append(f"{low:g}..{high:g}")
    if draft.get("deadband"):
        said.append(f"deadband {draft.get('deadband'):g}")
    return "  ".join([*filter(None, said), *filter(None, [states_of(draft)])])


def _label(draft: Draft) -> str:
    name = draft.get("name")
    return f"{name.zh} / {name.en}" if name is not None else ""


def _made(draft: Draft) -> str:
    if not draft.given("by"):
        return ""
    of = f" of {', '.join(draft.get('of'))}" if draft.given("of") else ""
    return f" (by {draft.get('by')}{of})"


def unit_lines(wanted: str | None) -> Iterator[str]:
    """All units; those of a quantity; or those that a spelling means."""
    units, chinese = known_units(), quantity_names()
    shown = False
    for quantity, members in by_quantity(units).items():
        names = (quantity, chinese[quantity])
        named = wanted is None or wanted in names
        chosen = members if named else [u for u in members if _means(u, wanted or "")]
        if chosen:
            shown = True
            yield f"{quantity} / {chinese[quantity]}"
            yield from (_unit(u) for u in chosen)
    if not shown:
        raise ConfigError(f"no unit and no quantity {wanted!r}{units.hint(wanted or '')}")


def _means(unit: Unit, text: str) -> bool:
    spellings = (unit.symbol, unit.ucum, unit.rec20, *unit.names)
    return normal(text) in {normal(s) for s in spellings if s}


def _unit(unit: Unit) -> str:
    return f"  {unit.symbol:<10} {unit.ucum:<12} {unit.rec20:<5} {' '.join(unit.names)}".rstrip()
