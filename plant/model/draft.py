"""A signal before it is resolved: what is said of it, and where that was said."""

from dataclasses import dataclass, field
from typing import Any

from plant.errors import Problem
from plant.model.catalogue import Part


@dataclass(slots=True)
class Draft:
    """One signal of one asset, its parts merged key by key; later parts overrule earlier ones."""

    asset: str
    id: str
    parts: tuple[Part, ...]
    problems: list[Problem] = field(default_factory=list)

    @property
    def path(self) -> str:
        """asset/id."""
        return f"{self.asset}/{self.id}"

    @property
    def local(self) -> Part | None:
        """What plant.yaml itself says, if anything."""
        return next((p for p in self.parts if p.where[0] == "assets"), None)

    def part(self, key: str) -> Part | None:
        """The part that decides a key."""
        return next(
            (p for p in reversed(self.parts) if getattr(p.shape, key, None) is not None), None
        )

    def part_of(self, key: str) -> Part:
        """The part that decides a key, else the last that speaks of the signal."""
        return self.part(key) or self.parts[-1]

    def get(self, key: str, default: Any = None) -> Any:
        """The value that holds, or the default where nobody gave one."""
        part = self.part(key)
        return default if part is None else getattr(part.shape, key)

    def given(self, key: str) -> bool:
        """Whether anybody gave a value."""
        return self.part(key) is not None

    def tried(self, key: str) -> bool:
        """Whether a file says anything under a key, even what was found wrong and left out."""
        return any(p.document.has((*p.where, key)) for p in self.parts)

    def complain(self, key: str, text: str) -> None:
        """A problem with a key, placed where plant.yaml speaks of the signal if it does."""
        part = self.part(key) or self.local or self.parts[-1]
        if self.local is not None and part is not self.local:
            part = self.local
        where = (*part.where, key) if getattr(part.shape, key, None) is not None else part.where
        self.problems.append(part.document.problem(where, text, key=not key))


def present(drafts: dict[str, Draft]) -> dict[str, Draft]:
    """The signals that this plant has: read, said by a publisher itself, or conditioned.

    ``by`` names the publisher that gives a signal of its own accord (twin, analytics, or the edge
    that says how it is itself); it is there when everything it is derived ``of`` is.

    A catalogue lists what a machine of its type may have; a signal of the edge that is neither
    read nor has all the inputs of its condition is absent. plant.yaml's own words are never
    silently dropped: an input that does not exist is left for ``inputs`` to complain of.
    """
    found = {
        path: d for path, d in drafts.items() if d.given("source") or d.given("at") or _said_here(d)
    }
    while True:
        more = {
            path: d
            for path, d in drafts.items()
            if path not in found
            and (d.given("condition") or d.given("by"))
            and all(absolute(name, d.asset) in found for name in d.get("of", []))
        }
        if not more:
            return {path: d for path, d in drafts.items() if path in found}
        found |= more


def _said_here(draft: Draft) -> bool:
    local = draft.local
    only_here = len(draft.parts) == 1 and local is not None
    return only_here or (local is not None and bool(local.shape.of or local.shape.condition))


def absolute(name: str, asset: str) -> str:
    """An input's path: ``current`` is the same asset's, ``press/current`` another's."""
    return name if "/" in name else f"{asset}/{name}"
