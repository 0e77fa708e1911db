"""The table of units for people: ``python -m plant.model.unit_page docs/units.md`` writes it.

A test holds the page current.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from plant.model.unit import Unit, Units, known_units, quantity_names

BEGIN = "<!-- units: made by python -m plant.model.unit_page docs/units.md -->"
END = "<!-- end of units -->"


def markdown() -> str:
    """All of Kaikou's units by quantity."""
    return "\n".join(_lines(known_units()))


def within(text: str) -> str:
    """A page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def by_quantity(units: Units) -> dict[str, list[Unit]]:
    """Units with a symbol, in the order of the table."""
    found: dict[str, list[Unit]] = {}
    for unit in units.all:
        if unit.symbol:
            found.setdefault(unit.quantity, []).append(unit)
    return found


def amount(unit: Unit) -> str:
    """How much a unit is, in the base unit of its quantity.

    >>> [amount(known_units().find(u)) for u in ("kWh", "degC", "psi")]
    ['3600000', '1 (+ 273.15)', '6894.757293']
    """
    zero = f" (+ {float(unit.zero):.10g})" if unit.zero else ""
    return f"{float(unit.factor):.10g}{zero}"


def _lines(units: Units) -> Iterator[str]:
    chinese = quantity_names()
    for quantity, members in by_quantity(units).items():
        counted = "; a counter may count it" if members[0].adds else ""
        yield f"\n### {quantity} ({chinese[quantity]}){counted}\n"
        yield "| unit | amount | UCUM | Rec 20 | also |"
        yield "|---|---|---|---|---|"
        for unit in members:
            also = ", ".join(f"`{name}`" for name in unit.names)
            ucum = f"`{unit.ucum}`" if unit.ucum else ""
            yield f"| `{unit.symbol}` | {amount(unit)} | {ucum} | {unit.rec20} | {also} |"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(within(page.read_text("utf-8")), "utf-8")
