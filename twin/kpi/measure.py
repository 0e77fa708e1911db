"""Rows of a log measured: times, units, losses and stops of each range, shift, day or product."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int64
from plant.model.signal import Label
from twin.kpi.count import Counts
from twin.kpi.kpi import Kpi, Measured, ProductCount, Stops, Times, figure
from twin.kpi.log import MachineLog
from twin.kpi.time import UNKNOWN, Band, Booked, StopKey, book, product_at, shift_at

By = Literal["range", "shift", "day", "product"]

NO_PRODUCT = Label("未指定产品", "No product told")
RANGE = Label("时段", "Range")
_FAILS = {"malfunction", "maintenance"}


def kpis(log: MachineLog, by: By = "range") -> Sequence[Kpi]:
    """The figures of a log, one row for the range, for each shift, day or product in it.

    A shift that reaches beyond the range is cut; a day is what its shifts are, so a night shift
    belongs to the date on which it starts. Rows of shifts that are not worked are there too.
    """
    band = book(log)
    rows, of_piece, of_step = _ROWS[by](log, band)
    if not rows:
        return []
    _times(rows, of_piece, band)
    _stops(rows, of_piece, band)
    _failed(rows, of_piece, band)
    if log.counts is not None:
        _counts(rows, (of_piece, of_step), log, band, log.counts)
        _readable(rows, of_piece, band, log.counts)
    return [figure(row) for row in rows]


# ----------------------------------------------------------------------------------------- rows

RowOf = Callable[[Int64], Int64]
"""Which row each moment belongs to, -1 for none."""
Rows = tuple[list[Measured], Int64, RowOf]


def _by_range(log: MachineLog, band: Band) -> Rows:
    row = Measured(RANGE, "", log.start, log.end, notes=_notes(log, range(len(log.shifts))))
    return [row], np.zeros(len(band.start), np.int64), lambda t: np.zeros(len(t), np.int64)


def _by_shift(log: MachineLog, band: Band) -> Rows:
    kept = [n for n, s in enumerate(log.shifts) if s.start < log.end and s.end > log.start]
    rows = []
    for n in kept:
        shift = log.shifts[n]
        row = Measured(
            shift.name,
            f"{shift.date.isoformat()}/{shift.id}",
            max(shift.start, log.start),
            min(shift.end, log.end),
            shift=shift,
            day=shift.date,
            notes=(shift.note,) if shift.note else (),
        )
        rows.append(row)
    number = _numbers(len(log.shifts), {n: i for i, n in enumerate(kept)})
    return rows, number[band.shift], lambda t: number[shift_at(log, t)]


def _by_day(log: MachineLog, band: Band) -> Rows:
    kept = [n for n, s in enumerate(log.shifts) if s.start < log.end and s.end > log.start]
    dates = sorted({log.shifts[n].date for n in kept})
    rows = []
    for day in dates:
        its = [n for n in kept if log.shifts[n].date == day]
        text = day.isoformat()
        row = Measured(
            Label(text, text),
            text,
            max(min(log.shifts[n].start for n in its), log.start),
            min(max(log.shifts[n].end for n in its), log.end),
            day=day,
            notes=_notes(log, its),
        )
        rows.append(row)
    places = {n: dates.index(log.shifts[n].date) for n in kept}
    number = _numbers(len(log.shifts), places)
    return rows, number[band.shift], lambda t: number[shift_at(log, t)]


def _by_product(log: MachineLog, band: Band) -> Rows:
    rows = [Measured(_product(log, p), p, log.start, log.end) for p in band.products]
    return rows, band.product, lambda t: product_at(log, band.products, t)


_ROWS: Mapping[By, Callable[[MachineLog, Band], Rows]] = {
    "range": _by_range,
    "shift": _by_shift,
    "day": _by_day,
    "product": _by_product,
}


def _numbers(shifts: int, places: Mapping[int, int]) -> Int64:
    """Row of each shift, -1 for those without and, at the end, for no shift."""
    number = np.full(shifts + 1, -1, np.int64)
    for shift, row in places.items():
        number[shift] = row
    return number


def _notes(log: MachineLog, which: Sequence[int]) -> tuple[Label, ...]:
    found = {n: None for i in which if (n := log.shifts[i].note) is not None}
    return tuple(found)


def _product(log: MachineLog, product: str) -> Label:
    made = log.plant.products.get(product)
    return made.name if made else Label(product, product) if product else NO_PRODUCT


# ---------------------------------------------------------------------------------------- times


def _table(row: Int64, column: Int64, weight: Int64, shape: tuple[int, int]) -> Int64:
    """Sums of whole ms by row and column; what has no row counts for nothing."""
    rows, columns = shape
    kept = row >= 0
    flat = np.bincount(row[kept] * columns + column[kept], weight[kept], rows * columns)
    return flat.reshape(shape).astype(np.int64)  # float64 is exact up to 2^53 ms


def _times(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    ms, n = band.ms, len(rows)
    planned = np.where(band.planned, ms, 0)
    booked = _table(of_piece, band.booked, planned, (n, len(Booked)))
    potential = np.where(band.potential, ms, 0)
    pot = _table(of_piece, np.zeros_like(ms), potential, (n, 1))[:, 0]
    outside = np.where((band.booked == Booked.APT) & ~band.planned, ms, 0)
    beside = _table(of_piece, np.zeros_like(ms), outside, (n, 1))[:, 0]
    lost = _table(of_piece, band.key, planned, (n, len(band.keys)))
    for i, row in enumerate(rows):
        of = booked[i].tolist()
        pbt = sum(of)
        row.times = Times(
            pot=int(pot[i]),
            pdt=int(pot[i]) - pbt,
            pbt=pbt,
            unknown=of[Booked.UNKNOWN],
            apt=of[Booked.APT],
            asut=of[Booked.ASUT],
            adet=of[Booked.ADET],
            adot=of[Booked.ADOT],
            outside=int(beside[i]),
        )
        for key, ms_lost in zip(band.keys, lost[i].tolist(), strict=True):
            if ms_lost and key.loss:
                had = row.lost.get(key.loss, (key.name, 0))
                row.lost[key.loss] = (had[0], had[1] + ms_lost)


def _stops(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    """Stops by name: their planned time, and how many touch it."""
    counts = np.array([bool(k.loss) for k in band.keys])[band.key]
    held = band.planned & counts & band.inside & (of_piece >= 0)
    planned = np.where(held, band.ms, 0)
    n, k = len(rows), len(band.keys)
    ms = _table(of_piece, band.key, planned, (n, k))
    each = np.unique(np.stack([of_piece[held], band.key[held], band.stop[held]]), axis=1)
    many = _table(each[0], each[1], np.ones(each.shape[1], np.int64), (n, k))
    for i, row in enumerate(rows):
        for j in np.flatnonzero(ms[i]).tolist():
            key = band.keys[j]
            row.stops.append(Stops(key.code, key.name, key.kind, int(ms[i, j]), int(many[i, j])))


def _failed(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    """Failures that begin and repairs that end in each row, and the planned time between."""
    fails = np.array([_fails(k) for k in band.keys])[band.key]
    planned = np.where(fails & band.planned, band.ms, 0)
    time = _table(of_piece, np.zeros_like(planned), planned, (len(rows), 1))[:, 0]
    number = np.cumsum(np.diff(fails.astype(np.int64), prepend=0) == 1) - 1
    for i, row in enumerate(rows):
        row.failed_ms = int(time[i])
    at = np.flatnonzero(fails & band.planned)
    if not len(at):
        return
    begins = np.diff(number[at], prepend=-1) != 0
    ends = np.append(begins[1:], True)
    every = np.flatnonzero(fails)
    final = every[np.searchsorted(number[every], number[at[ends]], "right") - 1]
    known_after = np.append(band.key[1:] != UNKNOWN, False)[final]
    for first in at[begins].tolist():
        if band.inside[first] and of_piece[first] >= 0:
            rows[int(of_piece[first])].failures += 1
    for last, repaired in zip(at[ends].tolist(), known_after.tolist(), strict=True):
        if repaired and band.inside[last] and of_piece[last] >= 0:
            rows[int(of_piece[last])].repairs += 1


def _fails(key: StopKey) -> bool:
    return key.loss in _FAILS


# --------------------------------------------------------------------------------------- counts


def _counts(
    rows: list[Measured], of: tuple[Int64, RowOf], log: MachineLog, band: Band, counts: Counts
) -> None:
    """Units by row and product: of known time, of unknown time, outside worked shifts."""
    of_piece, of_step = of
    worked = np.array([s.working for s in log.shifts] + [False])[shift_at(log, counts.time)]
    unknown = _made_unknown(band, counts)
    row = of_step(counts.time)
    product = product_at(log, band.products, counts.time)
    shape = (len(rows), len(band.products))

    def units(which: NDArray[np.bool_], column: Float64) -> list[list[int]]:
        kept = which & (row >= 0)
        flat = np.bincount(
            row[kept] * shape[1] + product[kept], column[kept], shape[0] * shape[1]
        ).reshape(shape)
        return [[round(x) for x in line] for line in flat.tolist()]

    made = units(worked & ~unknown, counts.made)
    good = units(worked & ~unknown, counts.good)
    lost, outside = units(worked & unknown, counts.made), units(~worked, counts.made)
    planned = np.where(band.planned, band.ms, 0)
    time = _table(of_piece, band.product, planned, shape)
    source = (counts.asset, counts.signals[0]) if counts.measured else None
    for i, measured in enumerate(rows):
        measured.counted = True
        measured.quality_source = source
        measured.pq_unknown = sum(lost[i])
        measured.pq_outside = sum(outside[i])
        for j, id in enumerate(band.products):
            if made[i][j] or good[i][j] or time[i, j]:
                gq = good[i][j] if counts.measured else None
                pru = log.plant.cycle_ms(log.asset, id)
                product_count = ProductCount(id, _product(log, id), pru, made[i][j], gq)
                measured.products.append(product_count)


def _made_unknown(band: Band, counts: Counts) -> NDArray[np.bool_]:
    """Whether the state was unknown in more than half of the time in which units came about."""
    length = np.where(band.key == UNKNOWN, band.end - band.start, 0)
    total = np.concatenate([[0], np.cumsum(length)])
    edges = np.append(band.start, band.end[-1])

    def until(time: Int64) -> Int64:
        place = np.clip(np.searchsorted(edges, time, "right") - 1, 0, len(length) - 1)
        inside = np.where(band.key[place] == UNKNOWN, time - edges[place], 0)
        return total[place] + inside

    unknown = until(counts.time) - until(counts.since)
    more: NDArray[np.bool_] = 2 * unknown > counts.time - counts.since
    return more


def _readable(rows: list[Measured], of_piece: Int64, band: Band, counts: Counts) -> None:
    """Known planned time in which what counts could be read, ms."""
    held = band.planned & (band.booked != Booked.UNKNOWN) & band.inside & (of_piece >= 0)
    edges = np.append(counts.edges, max(int(band.end[-1]), int(counts.edges[-1])))
    total = np.concatenate([[0], np.cumsum(np.where(counts.readable, np.diff(edges), 0))])

    def until(time: Int64) -> Int64:
        place = np.clip(np.searchsorted(edges, time, "right") - 1, 0, len(counts.edges) - 1)
        inside = np.where(counts.readable[place], np.maximum(time - edges[place], 0), 0)
        return total[place] + inside

    ms = until(band.end[held]) - until(band.start[held])
    table = _table(of_piece[held], np.zeros(len(ms), np.int64), ms, (len(rows), 1))
    for i, row in enumerate(rows):
        row.readable = int(table[i, 0])


@dataclass(frozen=True, slots=True)
class Active:
    """How long a machine was active without interruption, on average (Roser): ms, and how often."""

    mean_ms: float
    periods: int


def active(log: MachineLog) -> Active:
    """The average active period: it works, is set up, or stands for a cause of its own.

    Inactive is what waits for others (starved, blocked, material) or has nothing to do; unknown
    and unplanned time ends a period and belongs to none.
    """
    band = book(log)
    waits = {"starved", "blocked", "suspended", "material", "organisation", "unexplained"}
    own = np.array([k.booked != Booked.UNKNOWN and k.loss not in waits for k in band.keys])
    on = own[band.key] & band.planned & band.inside
    periods = int(np.count_nonzero(np.diff(on.astype(np.int64), prepend=0) == 1))
    total = int(band.ms[on].sum())
    return Active(total / periods if periods else 0.0, periods)
