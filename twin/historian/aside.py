"""Sealed files that are not as they were written: set aside, named, told by a gap record.

What the file covered answers from the rest. A file of samples keeps its line in table ``aside``,
and comes back by itself at a start that finds it whole again; a file of cells is made anew from the
rows, and only where these are gone is anything missing.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import numpy as np

from plant.flow.sample import Gap
from twin.historian.checksum import CHECKED, MISSING
from twin.historian.dirt import EVERY
from twin.historian.named import DAMAGED, damage_gap, named_file, paths_of
from twin.historian.record import insert_gap
from twin.historian.segment import (
    DAY_MS,
    SEGMENT_COLUMNS,
    Segment,
    SignalSpans,
    connect,
    scan,
)
from twin.historian.store import ASIDE, SAMPLES, TIERS, naming, select
from twin.historian.tier import TierFile, scan_cells

if TYPE_CHECKING:
    from twin.historian.dirt import Touched
    from twin.historian.writer import EmbeddedWriter

log = logging.getLogger("kaikou.historian")


def sound_segments(writer: "EmbeddedWriter", segments: Sequence[Segment]) -> list[Segment]:
    """Those whose file is as it was sealed, looked at anew; the others are set aside."""
    sound = []
    for segment in segments:
        path = writer.folder / SAMPLES / segment.file
        why = CHECKED.wrong(path, segment.bytes, segment.crc, fresh=True)
        if not why and segment.crc is None:
            why = differs(writer, segment)
        if why:
            set_segment_aside(writer, segment, why)
        else:
            sound.append(segment)
    return sound


def sound_tiers(writer: "EmbeddedWriter", files: Sequence[TierFile]) -> list[TierFile]:
    """The same of files of cells."""
    sound = []
    for file in files:
        why = CHECKED.wrong(writer.folder / TIERS / file.file, file.bytes, file.crc, fresh=True)
        if not why and file.crc is None:
            why = differs(writer, file)
        if why:
            set_tier_aside(writer, file, why)
        else:
            sound.append(file)
    return sound


def set_aside(writer: "EmbeddedWriter", file: Segment | TierFile, why: str) -> None:
    """Either of them."""
    if isinstance(file, Segment):
        set_segment_aside(writer, file, why)
    else:
        set_tier_aside(writer, file, why)


def differs(writer: "EmbeddedWriter", file: Segment | TierFile) -> str:
    """Of a file without a check-sum: why its rows are not those that the manifest tells of.

    Of each signal it knows the first and last time, how many rows, and the last row.
    """
    import duckdb

    table, kind = ("segment", SAMPLES) if isinstance(file, Segment) else ("tier", TIERS)
    query = f"SELECT signals FROM {table} WHERE id = ?"  # noqa: S608 - names are ours
    with writer.lock:
        found = select(writer.database, query, (file.id,))
    if not found:
        return ""
    said = SignalSpans.decode(found[0][0])
    try:
        with connect() as duck:
            if isinstance(file, TierFile):
                cells = scan_cells(duck, [writer.folder / kind / file.file])
                return "" if len(cells) == file.cells else "holds other cells than were written"
            there = SignalSpans.of(scan(duck, [writer.folder / kind / file.file]).sorted())
    except (duckdb.Error, ValueError, OverflowError) as error:
        return f"cannot be read: {str(error).splitlines()[0][:120]}"
    same = all(
        np.array_equal(getattr(said, name), getattr(there, name))
        for name in ("signal", "first", "last", "rows")
    )
    if same and said.tail is not None and there.tail is not None:
        same = there.tail.same_as(said.tail)
    return "" if same else "holds other rows than were written"


def set_segment_aside(writer: "EmbeddedWriter", segment: Segment, why: str) -> None:
    """Take a file of samples out of the manifest, in one transaction with its gap record."""
    with writer.lock:
        found = select(writer.database, "SELECT signals FROM segment WHERE id = ?", (segment.id,))
        if not found:
            return
        paths = paths_of(writer.database, SignalSpans.decode(found[0][0]).signal)
        gap = damage_gap(segment, why, paths)
        with naming(writer.database) as db:
            _keep(db, segment.file, "", why, segment.day, segment.id)
            db.execute("DELETE FROM segment WHERE id = ?", (segment.id,))
            insert_gap(db, gap, writer.received + 1)
        writer.committed(writer.received + 1)
        writer.warm_files -= {segment.file}
    _move(writer.folder, SAMPLES, segment.file, why)


def set_tier_aside(writer: "EmbeddedWriter", file: TierFile, why: str) -> None:
    """Take a file of cells out of the manifest; its days are made anew where rows are left."""
    with writer.lock:
        found = select(writer.database, "SELECT signals FROM tier WHERE id = ?", (file.id,))
        if not found:
            return
        days = range(file.first // DAY_MS, (file.upto - 1) // DAY_MS + 1)
        touched: list[Touched] = [
            (EVERY, day)
            for day in days
            if day in writer.dirt.built and day * DAY_MS >= writer.raw_from
        ]
        gone = file.first < writer.raw_from
        with naming(writer.database) as db:
            _keep(db, file.file, file.tier, why, file.first // DAY_MS, file.id)
            db.execute("DELETE FROM tier WHERE id = ?", (file.id,))
            writer.dirt.mark(db, touched)
            if gone:
                reason = DAMAGED.format(file=f"{TIERS}/{file.file}", why=why)
                paths = paths_of(db, SignalSpans.decode(found[0][0]).signal)
                last = min(file.upto, writer.raw_from) - 1
                gap = Gap("", file.first, last, -1, reason, tuple(paths))
                insert_gap(db, gap, writer.received + 1)
        writer.dirt.marked(touched)
        if gone:
            writer.committed(writer.received + 1)
    _move(writer.folder, TIERS, file.file, why)


def _keep(  # noqa: PLR0917
    db: apsw.Connection, file: str, tier: str, why: str, day: int, id_: int
) -> None:
    """Remember the line of the manifest, so that the file can come back."""
    table = "tier" if tier else "segment"
    columns = "tier, first, upto, cells, bytes, crc" if tier else SEGMENT_COLUMNS
    ((signals, *line),) = select(
        db,
        f"SELECT signals, {columns} FROM {table} WHERE id = ?",  # noqa: S608 - names are ours
        (id_,),
    )
    db.execute(
        "INSERT OR REPLACE INTO aside VALUES (?, ?, unixepoch(), ?, ?, ?, ?)",
        (file, tier, why, day, json.dumps(line), signals),
    )


def _move(folder: Path, kind: str, file: str, why: str) -> None:
    log.error("%s: %s/%s %s: set aside, a gap record says so", folder, kind, file, why)
    if why != MISSING:
        move_aside(folder, kind, file)


def move_aside(folder: Path, kind: str, file: str) -> None:
    """Into the folder of what was set aside; where the disk refuses, it stays for another time."""
    target = folder / ASIDE / kind
    try:
        target.mkdir(parents=True, exist_ok=True)
        (folder / kind / file).rename(target / file)
    except OSError as error:
        log.warning("%s: %s/%s cannot be moved: %s", folder, kind, file, error.strerror)


def lost_days(db: apsw.Connection) -> set[int]:
    """Days with rows set aside: cells that were made while these were whole stay as they are."""
    return {day for (day,) in select(db, "SELECT day FROM aside WHERE tier = ''")}


def come_back(writer: "EmbeddedWriter") -> int:
    """Name files of samples again that were missing or damaged and are whole now; how many."""
    back = 0
    for file, line, signals in select(
        writer.database, "SELECT file, line, signals FROM aside WHERE tier = ''"
    ):
        segment = Segment(*json.loads(line))
        for place in (writer.folder / SAMPLES, writer.folder / ASIDE / SAMPLES):
            if not CHECKED.wrong(place / file, segment.bytes, segment.crc, fresh=True):
                (place / file).rename(writer.folder / SAMPLES / file)
                _name_again(writer, segment, signals)
                log.info("%s: %s/%s is whole again", writer.folder, SAMPLES, file)
                back += 1
                break
    return back


def _name_again(writer: "EmbeddedWriter", segment: Segment, signals: bytes) -> None:
    spans = SignalSpans.decode(signals)
    columns = SEGMENT_COLUMNS.removeprefix("id, ")
    values = [getattr(segment, name) for name in columns.split(", ")]
    marks = ", ".join("?" * len(values))
    with writer.lock:
        touched = writer.dirt.touched_by(segment.day, spans)
        with naming(writer.database) as db:
            db.execute(
                f"INSERT OR IGNORE INTO segment ({columns}, signals) VALUES ({marks}, ?)",  # noqa: S608
                (*values, signals),
            )
            db.execute("DELETE FROM aside WHERE file = ?", (segment.file,))
            writer.dirt.mark(db, touched)
        writer.dirt.marked(touched)


def check_lengths(writer: "EmbeddedWriter") -> int:
    """Set aside what is missing or of another length than was written; how many."""
    wrong = 0
    for kind, table in ((SAMPLES, "segment"), (TIERS, "tier")):
        there = {
            entry.name: entry.stat().st_size
            for entry in (writer.folder / kind).iterdir()
            if entry.is_file()
        }
        query = f"SELECT file, bytes FROM {table}"  # noqa: S608 - names are ours
        for file, size in select(writer.database, query):
            if there.get(file) != size:
                wrong += 1
                _look(writer, file)
    return wrong


def _look(writer: "EmbeddedWriter", file: str) -> None:
    """Look at a file and set it aside if it is wrong."""
    named = named_file(writer.database, file)
    if isinstance(named, Segment):
        sound_segments(writer, [named])
    elif named is not None:
        sound_tiers(writer, [named])
