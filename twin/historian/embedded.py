"""The embedded historian: one SQLite file for what is new, Parquet files for what is sealed.

This module is only its configuration; what opens it imports apsw and, later, duckdb.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plant.flow.port import HistorianReader, HistorianWriter

_DAY_MS = 86_400_000


class Embedded(BaseModel):
    """The default: files in the twin's data folder, no server.

    seal_rows       rows that wait in SQLite before they go into a Parquet file
    seal_s          or seconds that the oldest of them waits
    merge           files of one size and day that are merged into one
    retention_days  of raw samples; None: for ever. Each signal keeps its last row before the cut
    minute_days     how long cells of a minute are kept, also when the raw samples are gone
    hour_days       of an hour; None: for ever
    day_days        of a day
    timezone        where the plant's days begin; left out: the site's, as plant.yaml is read
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["embedded"] = "embedded"
    seal_rows: int = Field(2_000_000, ge=1)
    seal_s: float = Field(600.0, gt=0)
    merge: int = Field(8, ge=2)
    retention_days: float | None = Field(None, gt=0)
    minute_days: float | None = Field(366, gt=0)
    hour_days: float | None = Field(None, gt=0)
    day_days: float | None = Field(None, gt=0)
    timezone: str | None = None

    def cut(self, now: int) -> int | None:
        """Raw rows before this (ms UTC, a midnight) are not kept; None where all are."""
        return _midnight(now, self.retention_days)

    def tier_cut(self, tier: str, now: int) -> int | None:
        """Cells of a tier that end before this are not kept."""
        days = {"minute": self.minute_days, "hour": self.hour_days, "day": self.day_days}
        return _midnight(now, days[tier])

    def writer(self, folder: Path) -> HistorianWriter:
        """Open for writing; a second writer on one folder is refused (``Unavailable``)."""
        from twin.historian.writer import EmbeddedWriter

        return EmbeddedWriter(folder, self)

    def reader(self, folder: Path) -> HistorianReader:
        """Open for reading, in any process; what is not there yet is ``Unavailable``."""
        from twin.historian.reader import EmbeddedReader

        return EmbeddedReader(folder)


def _midnight(now: int, days: float | None) -> int | None:
    """So many days ago, at the beginning of that UTC day."""
    return None if days is None else (now - int(days * _DAY_MS)) // _DAY_MS * _DAY_MS
