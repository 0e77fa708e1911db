"""A file that the manifest names, by its name: for readers and the writer alike."""

import json
from collections.abc import Sequence
from pathlib import Path

import apsw

from plant.flow.sample import Gap, Int32
from twin.historian.segment import SEGMENT_COLUMNS, Segment
from twin.historian.store import SAMPLES, select
from twin.historian.tier import TIER_COLUMNS, TierFile

SUSPECT = "suspect"
"""Folder of notes for the writer, each named like a file that a reader found wrong."""

DAMAGED = "{file} {why}: set aside"
"""Reason of the gap record."""


def named_file(db: apsw.Connection, file: str) -> Segment | TierFile | None:
    """The line of a file in the manifest."""
    query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE file = ?"  # noqa: S608 - names are ours
    for row in select(db, query, (file,)):
        return Segment(*row)
    query = f"SELECT {TIER_COLUMNS} FROM tier WHERE file = ?"  # noqa: S608
    for row in select(db, query, (file,)):
        return TierFile(*row)
    return None


def damage_gap(segment: Segment, why: str, paths: Sequence[str]) -> Gap:
    """What is missing with a file."""
    reason = DAMAGED.format(file=f"{SAMPLES}/{segment.file}", why=why)
    return Gap("", segment.first, segment.last, segment.rows, reason, tuple(paths))


def paths_of(db: apsw.Connection, signals: Int32) -> list[str]:
    """The paths of some database ids, sorted."""
    ids = json.dumps(sorted(set(signals.tolist())))
    query = "SELECT path FROM signal WHERE id IN (SELECT value FROM json_each(?)) ORDER BY path"
    return [path for (path,) in select(db, query, (ids,))]


def suspect(folder: Path, file: str) -> None:
    """Leave a note for the writer; where that cannot be, its own round finds the file."""
    try:
        (folder / SUSPECT).mkdir(exist_ok=True)
        (folder / SUSPECT / file).touch()
    except OSError:
        return
