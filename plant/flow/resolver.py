"""Kinds by name: a table of lazy references, with entry points as the outside door.

A room keeps one table, ``{"modbus": "edge.adapters.modbus:Modbus"}``. Nothing is imported until
a plant names it, so a missing library is one clear message and not a failed start.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points

from plant.errors import ConfigError


class Kinds(Mapping[str, type]):
    """The kinds of one room, our own and those that other distributions add.

    ``group`` is the entry-point group for outsiders, e.g. ``kaikou.sources``; a name that is
    taken twice is an error.

    >>> kinds = Kinds("kaikou.examples", {"batch": "plant.flow.sample:SampleBatch"})
    >>> kinds["batch"].__name__
    'SampleBatch'
    >>> kinds["bach"]
    Traceback (most recent call last):
    ...
    plant.errors.ConfigError: no kind 'bach' in kaikou.examples; did you mean 'batch'?
    """

    def __init__(self, group: str, table: Mapping[str, str]) -> None:
        self.group = group
        self._table = dict(table)
        for point in entry_points(group=group):
            if self._table.setdefault(point.name, point.value) != point.value:
                raise ConfigError(f"{group}: the kind {point.name!r} is provided twice")

    def __getitem__(self, name: str) -> type:
        if name not in self._table:
            close = get_close_matches(name, self._table, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self._table)}"
            raise ConfigError(f"no kind {name!r} in {self.group}; {hint}")
        module, _, attribute = self._table[name].partition(":")
        kind: type = getattr(import_module(module), attribute)
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
