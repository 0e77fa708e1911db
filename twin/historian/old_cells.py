"""Cells of a time whose rows are gone, taken from a file that was set aside."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Series
from twin.historian.cell import Cells
from twin.historian.segment import DAY_MS, SignalSpans, connect
from twin.historian.shelf import TierPart
from twin.historian.store import naming, select
from twin.historian.tier import scan_cells

if TYPE_CHECKING:
    from twin.historian.writer import EmbeddedWriter


def adopt_cells(writer: "EmbeddedWriter", file: Path, signals: Mapping[int, Series]) -> int:
    """Take what lies before the first row here and in no span yet; how many cells.

    From then on rows of that time are not stored any more: its cells say all that is known.
    """
    with writer.lock:
        ((first,),) = select(writer.database, "SELECT min(first) FROM segment")
        hot = writer.hot.view().source_time
    starts = [t for t in (first, *([int(hot.min())] if len(hot) else [])) if t is not None]
    cells = _uncovered(writer, file, signals)
    if cells is None:
        return 0
    if starts:
        cells = cells.take(cells.end <= min(starts) // DAY_MS * DAY_MS)
    if not len(cells):
        return 0
    part = TierPart.write(writer, _tier(file), cells, [spans_of(cells)])
    upto = int(cells.end.max())
    with writer.lock:
        with naming(writer.database) as db:
            part.name(db)
            db.execute(
                "INSERT INTO horizon VALUES ('raw', ?)"
                " ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                (upto,),
            )
        writer.raw_from = max(writer.raw_from, upto)
    return len(cells)


def all_covered(writer: "EmbeddedWriter", file: Path, signals: Mapping[int, Series]) -> bool:
    """Whether the historian answers from cells of its own for all that the file holds."""
    left = _uncovered(writer, file, signals)
    return left is not None and not len(left)


def _uncovered(writer: "EmbeddedWriter", file: Path, signals: Mapping[int, Series]) -> Cells | None:
    """Cells of a file, by the ids of this database, for which it has none; None: unreadable."""
    import duckdb

    try:
        with connect() as duck:
            cells = scan_cells(duck, [file])
    except duckdb.Error:
        return None
    if not np.isin(cells.signal, list(signals)).all():
        return None
    if not len(cells):
        return cells
    cells = _as_here(writer, cells, signals).sorted()
    query = "SELECT signals FROM tier WHERE tier = ?"
    with writer.lock:
        blobs = select(writer.database, query, (_tier(file),))
    for (blob,) in blobs:
        cells = cells.take(~_inside(cells, SignalSpans.decode(blob)))
    return cells


def _tier(file: Path) -> str:
    return file.name.partition("_")[0]


def _as_here(writer: "EmbeddedWriter", cells: Cells, signals: Mapping[int, Series]) -> Cells:
    ids = np.zeros(max(signals) + 1, np.int32)
    with writer.lock, naming(writer.database) as db:
        for old in np.unique(cells.signal).tolist():
            ids[old] = writer.admit(db, signals[old], [])
    return replace(cells, signal=ids[cells.signal])


def spans_of(cells: Cells) -> SignalSpans:
    """The spans that sorted cells cover by themselves."""
    joins = np.zeros(len(cells), np.bool_)
    joins[1:] = (cells.signal[1:] == cells.signal[:-1]) & (cells.start[1:] == cells.end[:-1])
    begin = np.flatnonzero(~joins)
    last = np.append(begin[1:], len(cells)) - 1
    many = (last - begin + 1).astype(np.int32)
    return SignalSpans(cells.signal[begin], cells.start[begin], cells.end[last], many)


def _inside(cells: Cells, spans: SignalSpans) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    found = np.zeros(len(cells), np.bool_)
    for signal in np.unique(cells.signal).tolist():
        mine = cells.signal == signal
        for at in np.flatnonzero(spans.signal == signal).tolist():
            found |= mine & (cells.start < spans.last[at]) & (cells.end > spans.first[at])
    return found
