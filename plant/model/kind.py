"""What the loader needs of a room's kinds: the class is its configuration.

Everything else that a kind can do (open a connection, condition a batch) is a Protocol of the
room that runs it.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

KindTable = Mapping[str, type[BaseModel]]
"""Kinds by name; ``plant.flow.resolver.Kinds`` is one."""


@runtime_checkable
class SourceKind(Protocol):
    """A validated source configuration: it knows its points and what is wrong with them."""

    Point: ClassVar[type[BaseModel]]

    def check(self, points: Mapping[str, BaseModel]) -> Iterable[tuple[str, str]]:
        """(signal path, problem) of points that cannot be read together."""
