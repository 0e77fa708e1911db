"""Aliases: two bytes that stand for (device, metric, type) for ever, in this outbox."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from plant.errors import ConfigError
from plant.outbox.schema import transaction

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
    """The table of aliases; nothing of it is held in memory, thousands of strings add up."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._db = connection
        self._path = path

    def give(self, keys: Mapping[AliasKey, str]) -> dict[AliasKey, int]:
        """The alias of every key, the next free one where it has none; keeps the properties.

        A metric whose unit or kind is another than before gets a new one: rows that wait under
        the old alias mean what they meant. That is then called "metric~alias".
        """
        found: dict[AliasKey, int] = {}
        told: list[AliasKey] = []
        former: list[tuple[str, int]] = []
        alias = FIRST_ALIAS - 1
        for alias, device, metric, kind, properties in self._db.execute(
            "SELECT alias, device, metric, type, properties FROM alias ORDER BY alias"
        ):
            key = (device, metric, kind)
            if key in keys and _meaning(properties) != _meaning(keys[key]):
                former.append((f"{metric}~{alias}", alias))
            elif key in keys:
                found[key] = alias
                if keys[key] == properties:
                    told.append(key)
        fresh = [key for key in keys if key not in found]
        if alias + len(fresh) > LAST_ALIAS:
            raise ConfigError(
                f"{self._path}: all {LAST_ALIAS - FIRST_ALIAS + 1} aliases have been given; divide "
                "the signals among more edges"
            )
        found |= {key: number for number, key in enumerate(fresh, alias + 1)}
        known = set(told)
        changed = [(found[key], *key, text) for key, text in keys.items() if key not in known]
        if changed:
            with transaction(self._db):
                self._db.executemany("UPDATE alias SET metric = ? WHERE alias = ?", former)
                self._db.executemany("INSERT OR REPLACE INTO alias VALUES(?, ?, ?, ?, ?)", changed)
        return found

    def of_device(self, device: str) -> list[KnownMetric]:
        """Everything a device ever published, the newest first."""
        return [
            KnownMetric(*row)
            for row in self._db.execute(
                "SELECT alias, metric, type, properties FROM alias WHERE device = ? "
                "ORDER BY alias DESC",
                (device,),
            )
        ]
