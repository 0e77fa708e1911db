"""Aliases: two bytes that stand for (device, metric, type) for ever, in this outbox."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from plant.errors import ConfigError
from plant.outbox.schema import record_sum, select_small, transaction

FIRST_ALIAS, LAST_ALIAS = 128, 16383

AliasKey = tuple[str, str, int]
"""(device, metric, Sparkplug datatype); device "" is the node itself."""


@dataclass(frozen=True, slots=True)
class KnownMetric:
    """A metric that was published once; ``properties`` is JSON, as its birth last told them."""

    alias: int
    name: str
    type: int
    properties: str


def _meaning(properties: str) -> tuple[str, str]:
    """Unit and kind, "" where they are not told."""
    told = json.loads(properties)
    return str(told.get("engUnit", "")), str(told.get("kind", ""))


class AliasBook:
    """The table of aliases; nothing of it is held in memory, thousands of strings add up.

    An alias whose row is damaged is gone, and rows that wait under it belong to nobody any more
    (``damage``). ``above`` is the least number that may be given, less one.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        self.above = FIRST_ALIAS - 1

    def give(
        self, keys: Mapping[AliasKey, str], as_before: Mapping[AliasKey, int] | None = None
    ) -> dict[AliasKey, int]:
        """The alias of every key, the next free one where it has none; keeps the properties.

        A metric whose unit or kind is another than before gets a new one: rows that wait under
        the old alias mean what they meant. That is then called "metric~alias". ``as_before`` are
        aliases that this process has given already: a file that is made anew while it runs takes
        them over.
        """
        found: dict[AliasKey, int] = {}
        told: list[AliasKey] = []
        former: list[tuple[int, str, str, int, str]] = []
        newest = self.above
        for alias, key, properties in self._rows():
            newest = max(newest, alias)
            if key in keys and _meaning(properties) != _meaning(keys[key]):
                device, metric, kind = key
                former.append((alias, device, f"{metric}~{alias}", kind, properties))
            elif key in keys:
                found[key] = alias
                if keys[key] == properties:
                    told.append(key)
        before = as_before or {}
        found |= before
        newest = max(newest, *before.values()) if before else newest
        fresh = [key for key in keys if key not in found]
        if newest + len(fresh) > LAST_ALIAS:
            raise ConfigError(
                f"{self._path}: all {LAST_ALIAS - FIRST_ALIAS + 1} aliases have been given; divide "
                "the signals among more edges"
            )
        found |= {key: number for number, key in enumerate(fresh, newest + 1)}
        known = set(told)
        changed = [(found[key], *key, text) for key, text in keys.items() if key not in known]
        if changed:
            with transaction(self._db):
                put_aliases(self._db, [*former, *changed])
        return {key: found[key] for key in keys}

    def of_device(self, device: str) -> list[KnownMetric]:
        """Everything a device ever published, the newest first."""
        return [
            KnownMetric(alias, metric, kind, properties)
            for alias, (of, metric, kind), properties in self._rows()
            if of == device
        ][::-1]

    def damaged(self) -> bool:
        """Whether a row of the table is."""
        return any(row is None for row in read_aliases(self._db))

    def clear(self) -> set[int]:
        """Forget the rows that are damaged, not their numbers; the aliases that are known then."""
        known = {alias for alias, _, _ in self._rows()}
        every = [alias for (alias,) in self._db.execute("SELECT alias FROM alias")]
        self.above = max([self.above, *(alias for alias in every if alias <= LAST_ALIAS)])
        with transaction(self._db):
            gone = [(alias,) for alias in every if alias not in known]
            self._db.executemany("DELETE FROM alias WHERE alias = ?", gone)
        return known

    def _rows(self) -> Iterator[tuple[int, AliasKey, str]]:
        return (row for row in read_aliases(self._db) if row is not None)


def read_aliases(
    database: apsw.Connection,
) -> Iterator[tuple[int, AliasKey, str] | None]:
    """Every alias with its key and properties, in order; None for a row that is damaged."""
    for columns in database.execute(f"{select_small('alias')} ORDER BY alias"):
        *said, total = columns
        alias, device, metric, kind, properties = said
        if total is not None and total != record_sum(*said):
            yield None
            continue
        try:
            key = (device.decode(), metric.decode(), kind)
            right = isinstance(json.loads(properties), dict) and isinstance(kind, int)
        except (AttributeError, ValueError, TypeError):
            right = False
        yield (alias, key, properties.decode()) if right else None


def put_aliases(database: apsw.Connection, rows: Sequence[tuple[int, str, str, int, str]]) -> None:
    """Write rows (alias, device, metric, type, properties) with their sums."""
    database.executemany(
        "INSERT OR REPLACE INTO alias VALUES(?, ?, ?, ?, ?, ?)",
        (
            (*row, record_sum(row[0], row[1].encode(), row[2].encode(), row[3], row[4].encode()))
            for row in rows
        ),
    )
