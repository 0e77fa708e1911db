"""Whether tiers say what the raw rows say, by brute force; and that no file is lost."""

import numpy as np

from plant.flow.sample import SampleBatch
from twin.historian.cell import COLUMNS, cells_of
from twin.historian.segment import SignalSpans, connect, newest, scan
from twin.historian.store import SAMPLES, TIERS, select
from twin.historian.tier import TIERS as NAMES
from twin.historian.tier import edges_of, read_rules, scan_cells


def raw_rows(writer):
    """Every newest row by the database's ids, hot ones too."""
    files = [
        writer.folder / SAMPLES / f for (f,) in select(writer.database, "SELECT file FROM segment")
    ]
    with connect() as duck:
        sealed = scan(duck, files)
    return newest(SampleBatch.concat([sealed, writer.hot.view()]))


def check_files(writer):
    """Every file is named, and every name is a file."""
    db = writer.database
    named = {
        f for t in ("segment", "tier", "retired") for (f,) in select(db, f"SELECT file FROM {t}")
    }
    there = {f.name for kind in (SAMPLES, TIERS) for f in (writer.folder / kind).iterdir()}
    assert there == named


def check_tiers(writer):
    """Compare every covered cell with the rows; how many there were."""
    db, rows, compared = writer.database, raw_rows(writer), 0
    rules = read_rules(db)
    dirty = select(db, "SELECT signal, first, upto FROM dirty")
    with connect() as duck:
        for tier in NAMES:
            seen = {}
            query = "SELECT file, first, upto, cells, signals FROM tier WHERE tier = ?"
            for file, first, upto, count, blob in select(db, query, (tier,)):
                cells, spans = (
                    scan_cells(duck, [writer.folder / TIERS / file]),
                    SignalSpans.decode(blob),
                )
                assert spans.rows.sum() == len(cells) == count
                assert (first, upto) == (spans.first.min(), spans.last.max())
                for signal, start, end in zip(
                    spans.signal.tolist(), spans.first.tolist(), spans.last.tolist(), strict=True
                ):
                    others = seen.setdefault(signal, [])
                    assert all(end <= a or start >= b for a, b in others), "spans overlap"
                    others.append((start, end))
                    inside = (cells.signal == signal) & (cells.start >= start) & (cells.start < end)
                    bad = [(a, b) for s, a, b in dirty if s in (-1, signal)]
                    if start >= writer.raw_from:
                        compared += _same(
                            cells.take(inside),
                            _wanted(rows, signal, start, end, tier, writer.zone, rules),
                            bad,
                        )
    return compared


def _wanted(rows, signal, start, end, tier, zone, rules):
    time = rows.source_time
    mine = rows.take((rows.signal == signal) & (time >= start) & (time < end))
    return cells_of(mine, edges_of(tier, start, end, zone), rules)


def _same(found, wanted, dirty):
    found, wanted = (_clean(cells, dirty) for cells in (found, wanted))
    assert len(found) == len(wanted)
    for name in COLUMNS:
        a, b = getattr(found, name), getattr(wanted, name)
        exact = name not in {"integral", "increase"}
        assert (
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            if exact
            else np.allclose(a, b, 1e-9)
        )
    return len(found)


def _clean(cells, dirty):
    keep = np.ones(len(cells), bool)
    for start, end in dirty:
        keep &= (cells.start >= end) | (cells.end <= start)
    return cells.take(keep)
