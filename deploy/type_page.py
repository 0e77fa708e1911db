"""The reference of machine types: ``python -m deploy.type_page docs/machine-types.md`` writes it.

A test holds the page current.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.listing import signals_of, states_of
from plant.model.catalogue import MachineType, read_catalogue, require
from plant.model.draft import Draft

BEGIN = "<!-- types: made by python -m deploy.type_page docs/machine-types.md -->"
END = "<!-- end of types -->"


def markdown() -> str:
    """All types of the catalogue."""
    types = require(read_catalogue()).types
    return "\n".join(line for id in sorted(types) for line in _type(types[id]))


def within(text: str) -> str:
    """A page with the reference in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def _type(found: MachineType) -> Iterator[str]:
    data = found.document.data
    base = data.get("extends") if isinstance(data, dict) else None
    yield f"\n### {found.id}\n"
    more = f", and everything of `{base}`" if base else ""
    yield f"{found.name.zh} / {found.name.en}; role `{found.role}`{more}.\n"
    yield "| signal | name | kind | unit, range, states | by |"
    yield "|---|---|---|---|---|"
    for draft in signals_of(found, own=True):
        yield _signal(draft)
    for key, rules in (("State", found.state), ("Mode", found.mode)):
        told = "; ".join(
            f"`{r.signal}`: " + ", ".join(f"{k} → {v}" for k, v in r.map.items()) for r in rules
        )
        if told:
            yield f"\n{key} by {told}."


def _signal(draft: Draft) -> str:
    name, by = draft.get("name"), draft.get("by", "")
    label = f"{name.zh} / {name.en}" if name is not None else ""
    of = draft.get("of") or []
    made = by + (f" of {', '.join(f'`{n}`' for n in of)}" if of else "")
    said = [f"`{draft.get('unit')}`"] if draft.get("unit") else []
    if draft.given("range"):
        low, high = draft.get("range")
        said.append(f"{low:g} to {high:g}")
    if draft.get("estimated"):
        said.append("estimated")
    cells = (f"`{draft.id}`", label, draft.get("kind", ""), ", ".join([*said, states_of(draft)]))
    return f"| {' | '.join(str(c).rstrip(', ') for c in cells)} | {made} |"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(within(page.read_text("utf-8")), "utf-8")
