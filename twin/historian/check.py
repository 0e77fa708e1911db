"""Sealed files looked at anew: those a reader found wrong at once, all others in turn.

A reader cannot write to the manifest; it leaves a note with the name of the file. Files of an
earlier Kaikou get their check-sums here too, after their rows were compared with what the manifest
says of each signal: what was wrong before that, and reads well, cannot be known.
"""

import time
from typing import TYPE_CHECKING

from twin.historian.aside import differs, set_aside, sound_segments, sound_tiers
from twin.historian.checksum import checksum
from twin.historian.named import SUSPECT, named_file
from twin.historian.segment import SEGMENT_COLUMNS, Segment
from twin.historian.store import SAMPLES, TIERS, select, writing
from twin.historian.tier import TIER_COLUMNS, TierFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.historian.writer import EmbeddedWriter

_STEP_BYTES = 16 << 20
"""So much is looked at in one turn of ``retain``: 3 MB/s at most."""
_ROUND_S = 86_400.0
"""After all files were looked at, the next round begins so long after the last one began."""


class Round:
    """Where the writer stands in looking at every file."""

    def __init__(self) -> None:
        self.begun = -_ROUND_S
        self.files: list[Segment | TierFile] = []


def check(writer: "EmbeddedWriter") -> None:
    """A turn: every note, and a few megabytes of the round."""
    _notes(writer)
    with writer.lock:
        unsummed = _unsummed(writer)
    if unsummed:
        for segment in unsummed:
            take_sum(writer, segment)
        return
    at = writer.round
    if not at.files and time.monotonic() - at.begun >= _ROUND_S:
        at.begun = time.monotonic()
        with writer.lock:
            at.files = everything(writer)
    done = 0
    while at.files and done < _STEP_BYTES:
        file = at.files.pop()
        done += file.bytes
        look(writer, file)


def look(writer: "EmbeddedWriter", file: Segment | TierFile) -> bool:
    """Whether a file is sound, or no longer named; else it is set aside."""
    with writer.lock:
        now = named_file(writer.database, file.file)
    if isinstance(now, Segment):
        return bool(sound_segments(writer, [now]))
    return now is None or bool(sound_tiers(writer, [now]))


def everything(writer: "EmbeddedWriter") -> list[Segment | TierFile]:
    """Every file that the manifest names."""
    samples = f"SELECT {SEGMENT_COLUMNS} FROM segment ORDER BY id DESC"  # noqa: S608
    cells = f"SELECT {TIER_COLUMNS} FROM tier ORDER BY id DESC"  # noqa: S608
    found: list[Segment | TierFile] = [Segment(*r) for r in select(writer.database, samples)]
    return found + [TierFile(*r) for r in select(writer.database, cells)]


def _notes(writer: "EmbeddedWriter") -> None:
    place = writer.folder / SUSPECT
    if not place.is_dir():
        return
    for note in list(place.iterdir()):
        with writer.lock:
            file = named_file(writer.database, note.name)
        if file is not None:
            look(writer, file)
        note.unlink(missing_ok=True)


def _unsummed(writer: "EmbeddedWriter") -> "Sequence[Segment | TierFile]":
    """A few files without a check-sum."""
    for table, columns, kind in (
        ("segment", SEGMENT_COLUMNS, Segment),
        ("tier", TIER_COLUMNS, TierFile),
    ):
        query = f"SELECT {columns} FROM {table} WHERE crc IS NULL LIMIT 4"  # noqa: S608
        found = select(writer.database, query)
        if found:
            return [kind(*row) for row in found]
    return []


def take_sum(writer: "EmbeddedWriter", file: Segment | TierFile) -> bool:
    """Give a file of an earlier Kaikou its check-sum; False where it is set aside instead."""
    table, kind = ("segment", SAMPLES) if isinstance(file, Segment) else ("tier", TIERS)
    path = writer.folder / kind / file.file
    try:
        crc = checksum(path)
        why = differs(writer, file)
    except OSError:
        return look(writer, file)
    if why:
        set_aside(writer, file, why)
        return False
    with writer.lock, writing(writer.database) as db:
        db.execute(f"UPDATE {table} SET crc = ? WHERE id = ?", (crc, file.id))  # noqa: S608
    return look(writer, file)
