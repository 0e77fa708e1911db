"""Backup, restore and trust: what people do beside the running rooms."""

from importlib import import_module
from pathlib import Path
from typing import Any

from deploy.room import HISTORIAN
from plant.errors import ConfigError


def backup(data: Path, file: Path) -> str:
    """Copy the historian of a data folder into one file; says what was copied."""
    if not (data / HISTORIAN).is_dir():
        raise ConfigError(f"{data} holds no history; name the data folder with --data")
    twin: Any = import_module("twin.backup")
    return str(twin.backup(data / HISTORIAN, file))


def restore(file: Path, data: Path) -> str:
    """Bring a backup into a data folder; says what came back."""
    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    twin: Any = import_module("twin.backup")
    return str(twin.restore(file, data / HISTORIAN))


def trust(data: Path, edge: str | None, thumbprint: str | None) -> int:
    """List refused clients, or accept one."""
    folders = sorted(data.glob(f"opcua-{edge or '*'}"))
    if not folders:
        raise ConfigError(f"{data} holds no OPC UA server; name the data folder with --data")
    opcua: Any = import_module("edge.opcua.trust")
    for folder in folders:
        opcua.trust(folder, thumbprint)
    return 0
