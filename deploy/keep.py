"""Backup, restore and trust: what people do beside the running rooms."""

from collections.abc import Iterator
from pathlib import Path

from deploy.room import HISTORIAN
from plant.errors import ConfigError, Unavailable

FOLDER = "name the data folder with --data (the demo's is data/demo)"


def backup(data: Path, file: Path) -> str:
    """Copy the historian of a data folder into one file; says what was copied."""
    from twin import backup as archive

    if not (data / HISTORIAN).is_dir():
        raise ConfigError(f"{data} holds no history; {FOLDER}")
    try:
        return f"{file}: {archive.backup(data / HISTORIAN, file)}"
    except OSError as error:  # no such folder, no right, no space
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error


def restore(file: Path, data: Path) -> str:
    """Bring a backup into a data folder; says what came back."""
    from twin import backup as archive

    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    try:
        kept = archive.restore(file, data / HISTORIAN)
    except OSError as error:
        raise Unavailable(f"{data} cannot take the backup: {error.strerror}") from error
    return f"{data}: {kept}; what came later is covered by gap records"


def trust(data: Path, edge: str | None, fingerprint: str | None) -> Iterator[str]:
    """Accept a client's certificate, named by the beginning of its fingerprint; or list them."""
    folders = sorted(data.glob(f"opcua-{edge or '*'}"))
    if not folders:
        raise ConfigError(f"{data} holds no OPC UA server; {FOLDER}")
    if fingerprint and len(folders) > 1:
        names = ", ".join(f.name.removeprefix("opcua-") for f in folders)
        raise ConfigError(f"several edges have an OPC UA server; say which with --edge: {names}")
    from edge.opcua.trust import TrustStore

    for folder in folders:
        store = TrustStore(folder / "pki")
        if fingerprint:
            yield f"trusted from now on: {store.accept(fingerprint)}"
            continue
        name = folder.name.removeprefix("opcua-")
        for title, shown in (("trusted", store.trusted()), ("refused", store.rejected())):
            yield f"{name}: {title}{'' if shown else ': none'}"
            yield from (f"  {certificate}" for certificate in shown)
        if store.rejected():
            yield "accept one of the refused with the beginning of its fingerprint"
