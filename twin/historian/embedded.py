"""The embedded historian: one SQLite file for what is new, Parquet files for what is sealed.

This module is only its configuration; what opens it imports apsw and, later, duckdb.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plant.flow.port import HistorianReader, HistorianWriter


class Embedded(BaseModel):
    """The default: files in the twin's data folder, no server.

    seal_rows       rows that wait in SQLite before they go into a Parquet file
    seal_s          or seconds that the oldest of them waits
    merge           files of one size and day that are merged into one
    retention_days  of raw samples; None: for ever. Each signal keeps its last row before the cut
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["embedded"] = "embedded"
    seal_rows: int = Field(100_000, ge=1)
    seal_s: float = Field(600.0, gt=0)
    merge: int = Field(8, ge=2)
    retention_days: float | None = Field(None, gt=0)

    def cut(self, now: int) -> int | None:
        """Raw rows before this (ms UTC) are not kept; None where all are."""
        if self.retention_days is None:
            return None
        return now - int(self.retention_days * 86_400_000)

    def writer(self, folder: Path) -> HistorianWriter:
        """Open for writing; a second writer on one folder is refused (``Unavailable``)."""
        from twin.historian.writer import EmbeddedWriter

        return EmbeddedWriter(folder, self)

    def reader(self, folder: Path) -> HistorianReader:
        """Open for reading, in any process; what is not there yet is ``Unavailable``."""
        from twin.historian.reader import EmbeddedReader

        return EmbeddedReader(folder)
