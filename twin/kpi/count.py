"""What was made: the increases of counters, each with the time in which it came about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.flow.port import HistorianReader
from plant.flow.sample import Float64, Int64, SampleBatch, distinct
from plant.flow.status import is_bad
from plant.model.plant import Asset, Plant
from twin.historian.counter import counter_steps
from twin.run import HOLD_MS

PART, GOOD, REJECT = "part_count", "good_count", "reject_count"
_LOOK_BACK_MS = (3_600_000, 86_400_000, 32 * 86_400_000)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Increases of the counters of one asset, in order of time.

    An increase falls to the later row's time, over resets and rollovers as in the port.

    asset     that counts
    signals   that were read
    measured  whether good ones are told from rejected ones here
    time      ms UTC of the row
    since     ms UTC of the counter's usable row before (or the range's start)
    made      units made (PQ)
    good      good units (GQ); a rejected one may take back what was counted as good
    edges     where it begins or ceases to be readable, ms UTC, with ``readable`` from there on
    """

    asset: str
    signals: tuple[str, ...]
    measured: bool
    time: Int64
    since: Int64
    made: Float64
    good: Float64
    edges: Int64
    readable: NDArray[np.bool_]


def read_counts(
    reader: HistorianReader,
    asset: Asset,
    start: int,
    end: int,
    *,
    known_at: int | None = None,
) -> Counts | None:
    """Counts over [start, end); None where the asset has no counter of units.

    Good and rejected ones make up what was made; else a count of parts less the rejected ones,
    or beside the good ones; else parts alone, of which nobody knows whether they are good.
    """
    have = {id for id in (PART, GOOD, REJECT) if asset.signal(id) is not None}
    if {GOOD, REJECT} <= have:
        plan = {GOOD: (1, 1), REJECT: (1, 0)}
    elif {PART, REJECT} <= have:
        plan = {PART: (1, 1), REJECT: (0, -1)}
    elif {PART, GOOD} <= have:
        plan = {PART: (1, 0), GOOD: (0, 1)}
    elif have & {PART, GOOD}:
        plan = {next(iter(have & {PART, GOOD})): (1, 1)}
    else:
        return None
    holds = {s.path: s.hold_ms for s in reader.series()}
    columns, known = [], []
    for id, (made, good) in plan.items():
        path = f"{asset.id}/{id}"
        rows = _rows(reader, path, start, end, known_at)
        hold = holds.get(path, HOLD_MS) or HOLD_MS
        signal = asset.signal(id)
        known.append(_readable(rows, hold, start, end))
        columns.append(_steps(rows, signal.modulus if signal else None, start, made, good))
    time, since, made_, good_ = (np.concatenate(c) for c in zip(*columns, strict=True))
    order = np.argsort(time, kind="stable")
    edges, readable = _all(known, start)
    return Counts(
        asset=asset.id,
        signals=tuple(plan),
        measured=len(plan) > 1,
        time=time[order],
        since=since[order],
        made=made_[order],
        good=good_[order],
        edges=edges,
        readable=readable,
    )


def inspecting(plant: Plant, line: str) -> Asset | None:
    """The last station of a line that tells good from rejected; None where none does."""
    for station in reversed(plant.lines[line].flow):
        asset = plant.assets[station.asset]
        if asset.signal(GOOD) is not None and (asset.signal(REJECT) or asset.signal(PART)):
            return asset
    return None


def _rows(
    reader: HistorianReader, path: str, start: int, end: int, known_at: int | None
) -> SampleBatch:
    """The rows of the range, before them the row carried in and, is it Bad, the last usable one."""
    carried = reader.as_of([path], start - 1, known_at)
    if len(carried) and not _usable(carried).any():
        until = int(carried.source_time[0])
        for back in _LOOK_BACK_MS:
            before = reader.read([path], until - back, until, known_at)
            usable = np.flatnonzero(_usable(before))
            if len(usable):
                carried = SampleBatch.concat([before.take(usable[-1:]), carried])
                break
    return SampleBatch.concat([carried, reader.read([path], start, end, known_at)])


def _usable(rows: SampleBatch) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = ~is_bad(rows.status) & ~np.isnan(rows.value)
    return usable


def _steps(
    rows: SampleBatch, modulus: float | None, start: int, made: int, good: int
) -> tuple[Int64, Int64, Float64, Float64]:
    rows = rows.take(_usable(rows))
    step = counter_steps(rows.value, modulus)
    before = np.maximum(np.concatenate([rows.source_time[:1], rows.source_time[:-1]]), start)
    rose = (step != 0) & (rows.source_time >= start)
    step, time = step[rose], rows.source_time[rose]
    return time, before[rose], step * made, step * good


def _readable(
    rows: SampleBatch, hold_ms: int, start: int, end: int
) -> tuple[Int64, NDArray[np.bool_]]:
    """Since when it is readable, and since when not: a row holds until the next, or hold_ms."""
    if not len(rows):
        return np.array([start], np.int64), np.array([False])
    usable, time = _usable(rows), rows.source_time
    ends = np.minimum(np.append(time[1:], end), time + hold_ms)
    at = np.concatenate([time[:1] - 1, time, ends])
    value = np.concatenate([[False], usable, np.zeros(len(time), np.bool_)])
    order = np.lexsort((value, at))  # of one moment, what begins comes after what ends
    at, value = at[order], value[order]
    last = np.append(at[1:] != at[:-1], True)
    return at[last], value[last]


def _all(
    known: Sequence[tuple[Int64, NDArray[np.bool_]]], start: int
) -> tuple[Int64, NDArray[np.bool_]]:
    """Where every one of them is readable."""
    edges = distinct(np.maximum(np.concatenate([at for at, _ in known]), start))
    readable = np.ones(len(edges), np.bool_)
    for at, value in known:
        place = np.searchsorted(at, edges, "right") - 1
        readable &= value[np.maximum(place, 0)] & (place >= 0)
    return edges, readable
