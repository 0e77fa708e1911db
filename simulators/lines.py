"""Which device stands behind which source: plant.yaml's addresses are the only ones there are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from plant.errors import ConfigError
from plant.model.plant import Plant

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@runtime_checkable
class Addressed(Protocol):
    """A source configuration with host and port (Modbus, DL/T 645)."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def host(self) -> str:
        """Of the device."""

    @property
    def port(self) -> int:
        """Of the device."""


@dataclass(slots=True)
class Line:
    """One address, and the sources that share it.

    sources  source id -> (configuration, ids of the assets that read from it)
    """

    kind: str
    host: str
    port: int
    sources: dict[str, tuple[Any, list[str]]] = field(default_factory=dict)


def lines(plant: Plant) -> list[Line]:
    """Every address that the plant's edges read from.

    Raises ConfigError for a plant that is not simulated, or addresses beyond loopback.
    """
    if not plant.simulated:
        raise ConfigError(
            "this plant is not marked 'simulated: true'; simulators would answer for real machines"
        )
    found: dict[tuple[str, str, int], Line] = {}
    wrong = []
    for edge in plant.edges.values():
        for id, config in edge.sources.items():
            kind, host, port = _address(config)
            if host not in LOOPBACK:
                wrong.append(f"source {id}: {host} is not loopback; simulators serve nothing else")
            line = found.setdefault((kind, host, port), Line(kind, host, port))
            line.sources[id] = config, list(_readers(plant, id))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return list(found.values())


def _address(config: object) -> tuple[str, str, int]:
    if isinstance(config, Addressed):
        return config.kind, config.host, config.port
    parts = urlsplit(str(getattr(config, "url", "")))
    if not parts.hostname or not parts.port:
        raise ConfigError(f"no simulated peer for a source of kind {getattr(config, 'kind', '?')}")
    return str(cast("Any", config).kind), parts.hostname, parts.port


def _readers(plant: Plant, source: str) -> Iterator[str]:
    for asset in plant.assets.values():
        if any(s.reading is not None and s.reading.source == source for s in asset.signals):
            yield asset.id


def points(plant: Plant, source: str, asset: str) -> Iterator[Any]:
    """The addresses that an asset's signals have at a source."""
    for signal in plant.assets[asset].signals:
        if signal.reading is not None and signal.reading.source == source:
            yield signal.reading.at
