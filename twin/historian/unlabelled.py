"""The signals of sealed files of an earlier Kaikou, which do not say them themselves.

They stand in ``signals.json`` beside the database from the first start of this version on, so that
the files can be adopted where the database is lost.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from plant.errors import ConfigError
from plant.file import read_object, write_object
from plant.flow.port import Series
from twin.historian.label import Origin, series_of
from twin.historian.store import select

if TYPE_CHECKING:
    from twin.historian.writer import EmbeddedWriter

NAME = "signals.json"


def label_old_files(writer: "EmbeddedWriter") -> None:
    """Write the file where there are such files and it is not there yet."""
    file = writer.folder / NAME
    if file.exists():
        return
    query = "SELECT file FROM segment UNION ALL SELECT file FROM tier"
    if all(Origin.of(name) for (name,) in select(writer.database, query)):
        return
    query = "SELECT id, path, kind, unit, modulus, hold_ms, place FROM signal"
    write_object(file, {"signals": [list(row) for row in select(writer.database, query)]})


def old_signals(folder: Path) -> dict[int, Series]:
    """What the file says; empty where there is none, or it is damaged."""
    try:
        found = read_object(folder / NAME, "older files cannot be adopted without it") or {}
        return dict(series_of(row) for row in found.get("signals", ()))
    except (ConfigError, ValueError, TypeError):
        return {}
