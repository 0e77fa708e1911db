"""The newest commit, written down beside the database, to know a write-ahead log that was cut.

SQLite drops without a word what it cannot read at the end of its log. So after every commit its
received time goes into a file of one line; where that is ahead of what the database knows at the
next start, acknowledged commits are missing, and a gap record says so. The line is not synced: it
is never ahead of a commit that was, so a power cut makes no false alarm.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from plant.flow.sample import Gap

NAME = "last-commit"
_LINE = "{} received {:+020d} since {:+020d} file {:+020d} log {:d}"


@dataclass(frozen=True, slots=True)
class Newest:
    """What the line says.

    generation  the historian that wrote it
    received    its newest received time
    since       least source time that a commit brought which may still be in the log only, ms UTC
    file_ns     when the database file was modified last, by its file system
    log         whether it had a write-ahead log then
    """

    generation: str
    received: int
    since: int
    file_ns: int
    log: bool


class LastCommit:
    """The file of one writer."""

    def __init__(self, folder: Path, database: Path, generation: str) -> None:
        self._generation = generation
        self._database = database
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)

    def say(self, received: int, since: int, *, log: bool = True) -> None:
        """A commit is durable; an error of the disk here harms nobody."""
        try:
            file_ns = self._database.stat().st_mtime_ns
            text = _LINE.format(self._generation, received, since, file_ns, log)
            os.pwrite(self._file, f"{text} {zlib.crc32(text.encode()):08x}\n".encode(), 0)
        except OSError:
            return

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def newest(folder: Path) -> Newest | None:
    """What was written down last; None where nothing was, or it cannot be read."""
    try:
        line = (folder / NAME).read_bytes().decode("ascii")
        text, _, crc = line.rstrip("\n").rpartition(" ")
        generation, _, received, _, since, _, file_ns, _, log = text.split(" ")
        if int(crc, 16) != zlib.crc32(text.encode()):
            return None
        return Newest(generation, int(received), int(since), int(file_ns), log == "1")
    except (OSError, ValueError):
        return None


def cut_gap(held: Newest, received: int) -> Gap:
    """What is missing where the database knows only what came by ``received``."""
    first = min(held.since, received) if received else held.since
    reason = "the newest commits are missing: the write-ahead log was lost, cut or damaged"
    return Gap("", min(first, held.received), held.received, -1, reason)


def taken_in_by_others(folder: Path, database: Path) -> bool:
    """Whether another program has taken the log into the file, as SQLite does when it closes it.

    It knows nothing of our check-sums, so the pages that it wrote have none that fit.
    """
    said = newest(folder)
    log = database.with_name(f"{database.name}-wal")
    if (
        said is None
        or not said.log
        or not database.exists()
        or (log.exists() and log.stat().st_size)
    ):
        return False
    return database.stat().st_mtime_ns != said.file_ns
