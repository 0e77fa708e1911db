"""What was set aside, brought back: ``kaikou history adopt``.

Every file of samples that is whole and says its signals is taken like a page of another historian:
rows that are here already change nothing. A file goes only when each of its rows was looked for
and found here. Of a set-aside database the hot rows, texts, waveforms, events and gap records are
taken as far as its pages can be read.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plant.errors import Unavailable
from plant.flow.port import Changes, Series
from plant.flow.sample import SampleBatch
from twin.historian.adopt import adopt, unknown
from twin.historian.checksum import checksum
from twin.historian.label import KEY, Origin, decode
from twin.historian.old_cells import adopt_cells, all_covered
from twin.historian.old_database import OldDatabase
from twin.historian.segment import connect, scan
from twin.historian.store import ASIDE, RECEIVED, SAMPLES, TIERS, select, writing
from twin.historian.unlabelled import old_signals

if TYPE_CHECKING:
    from twin.historian.writer import EmbeddedWriter

Progress = Callable[[str, int, int], None]
"""Called with what is looked at, its number and how many there are."""

Rename = Mapping[str, Series]
"""A former path -> the series that the plant has it as now."""


@dataclass(slots=True)
class Found:
    """What became of everything.

    files, rows  of samples that were adopted, and rows that were new here
    records      texts, waveforms, events and gap records that were new or there already
    cells        of a time whose rows are gone
    left         what was not adopted, and why
    """

    files: int = 0
    rows: int = 0
    databases: int = 0
    records: int = 0
    cells: int = 0
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not (self.files or self.databases or self.left):
            return "nothing is set aside"
        line = (
            f"{self.files} files of samples, {self.rows} rows that were not here; {self.databases}"
            f" databases, {self.records} other records; {self.cells} cells whose rows are gone"
        )
        return "\n".join([line, *(f"not adopted: {line}" for line in self.left)])


def salvage(writer: "EmbeddedWriter", rename: Rename, progress: Progress, now: int) -> Found:
    """Bring back all that can be; what is there twice changes nothing, so it may be run again."""
    found = Found()
    aside = writer.folder / ASIDE
    databases = [OldDatabase(f) for f in sorted(aside.glob("historian-*.sqlite"))]
    whole = True
    for number, old in enumerate(databases):
        progress(old.file.name, number, len(databases))
        whole &= _database(writer, old, rename, found)
    files = sorted((aside / SAMPLES).glob("*.parquet"))
    for number, file in enumerate(files):
        progress(file.name, number, len(files))
        why = _samples(writer, file, databases, rename, found)
        if why:
            found.left.append(f"{ASIDE}/{SAMPLES}/{file.name}: {why}")
    writer.retain(now, force=True)  # cells are made of the rows that are here now
    cells = sorted((aside / TIERS).glob("*.parquet"))
    for number, file in enumerate(cells):
        progress(file.name, number, len(cells))
        signals = _signals(file, databases, writer.folder)
        if signals and not _wrong(file, databases):
            found.cells += adopt_cells(writer, file, _renamed(signals, rename))
            if not found.left and all_covered(writer, file, _renamed(signals, rename)):
                file.unlink()
    if whole and not found.left:
        _nothing_is_missing(writer, databases)
    for old in databases:
        if not old.errors:
            old.keep_as_done()
    return found


def _database(writer: "EmbeddedWriter", old: OldDatabase, rename: Rename, found: Found) -> bool:
    """Whether all of it could be read."""
    signals = _renamed(old.signals(), rename)
    index = {id_: n for n, id_ in enumerate(signals)}
    for page in old.pages(index):
        page_ = replace(page, series=list(signals.values()))
        found.rows += len(unknown(writer, _as_here(writer, page_)))
        adopt(writer, page_, None)
        found.records += sum(map(len, (page.texts, page.waveforms, page.events, page.gaps)))
    found.databases += 1
    found.left += [f"{ASIDE}/{old.file.name}: {error}" for error in old.errors]
    return not old.errors


def _samples(
    writer: "EmbeddedWriter",
    file: Path,
    databases: Sequence[OldDatabase],
    rename: Rename,
    found: Found,
) -> str:
    """Why a file was not adopted, "" where it was."""
    import duckdb

    why = _wrong(file, databases)
    if why:
        return why
    signals = _signals(file, databases, writer.folder)
    try:
        with connect() as duck:
            rows = scan(duck, [file])
    except (duckdb.Error, OverflowError) as error:
        return f"cannot be read: {str(error).splitlines()[0][:120]}"
    held = {id_: signals[id_] for id_ in np.unique(rows.signal).tolist() if id_ in signals}
    if len(held) < len(np.unique(rows.signal)):
        return "nothing says what its signals are"
    series = _renamed(held, rename)
    number = np.zeros(max(series, default=0) + 1, np.int32)
    number[list(series)] = np.arange(len(series))
    page = Changes(list(series.values()), _numbered(rows, number[rows.signal]))
    found.rows += len(unknown(writer, _as_here(writer, page)))
    adopt(writer, page, None)
    missing = len(unknown(writer, _as_here(writer, page)))
    if missing:
        return f"{missing} of its rows are older than the retention"
    found.files += 1
    file.unlink()
    with writer.lock, writing(writer.database) as db:
        db.execute("DELETE FROM aside WHERE file = ?", (file.name,))
    return ""


def _wrong(file: Path, databases: Sequence[OldDatabase]) -> str:
    """Why the file is not as it was sealed, as far as anything tells."""
    origin = Origin.of(file.name)
    sums = {origin.crc} if origin else {old.sums().get(file.name) for old in databases}
    sums.discard(None)
    try:
        if sums and checksum(file) not in sums:
            return "it is not as it was written (check-sum)"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _signals(file: Path, databases: Sequence[OldDatabase], folder: Path) -> Mapping[int, Series]:
    """What a file's signals are: it says so itself, else the database that named it."""
    import duckdb

    with connect() as duck, contextlib.suppress(duckdb.Error, ValueError):
        query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = ?"
        for (value,) in duck.execute(query, [str(file), KEY]).fetchall():
            return decode(value)
    for old in databases:
        if file.name in old.sums():
            return old.signals()
    return old_signals(folder)


def _renamed(signals: Mapping[int, Series], rename: Rename) -> dict[int, Series]:
    return {id_: rename.get(series.path, series) for id_, series in signals.items()}


def _numbered(
    rows: SampleBatch, signal: "np.ndarray[tuple[int], np.dtype[np.int32]]"
) -> SampleBatch:
    return SampleBatch(signal, rows.source_time, rows.value, rows.status, rows.received_time)


def _as_here(writer: "EmbeddedWriter", page: Changes) -> SampleBatch:
    """The rows of a page by the ids of this database; of those it does not know, -1."""
    with writer.lock:
        known = dict(select(writer.database, "SELECT path, id FROM signal"))
    ids = np.array([known.get(s.path, -1) for s in page.series], np.int32)
    if not len(page.samples):
        return page.samples
    return _numbered(page.samples, ids[page.samples.signal])


def _nothing_is_missing(writer: "EmbeddedWriter", databases: Sequence[OldDatabase]) -> None:
    """Gap records over what a lost database held, where all of it is here again, go."""
    names = [f"{ASIDE}/{old.file.name}" for old in databases]
    with writer.lock, writing(writer.database) as db:
        for name in names:
            db.execute(
                "DELETE FROM gap WHERE edge = '' AND samples = -1 AND instr(reason, ?) > 0", (name,)
            )
        db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (RECEIVED, str(writer.received)))


def require_embedded(writer: object) -> "EmbeddedWriter":
    """The writer, where its kind sets files aside."""
    from twin.historian.writer import EmbeddedWriter

    if isinstance(writer, EmbeddedWriter):
        return writer
    raise Unavailable("this historian keeps no files: there is nothing to adopt or to verify")
