"""Rows of figures: the range, its shifts, its days, its products; what belongs to which."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from plant.flow.sample import Int64
from plant.model.signal import Label
from twin.kpi.kpi import Measured
from twin.kpi.log import MachineLog
from twin.kpi.time import Band, product_at, shift_at

By = Literal["range", "shift", "day", "product"]

NO_PRODUCT = Label("未指定产品", "No product told")
RANGE = Label("时段", "Range")

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
    rows = [Measured(product_name(log, p), p, log.start, log.end) for p in band.products]
    return rows, band.product, lambda t: product_at(log, band.products, t)


ROWS: Mapping[By, Callable[[MachineLog, Band], Rows]] = {
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


def product_name(log: MachineLog, product: str) -> Label:
    """What people call it; one that plant.yaml no longer has goes by its id."""
    made = log.plant.products.get(product)
    return made.name if made else Label(product, product) if product else NO_PRODUCT


def table(row: Int64, column: Int64, weight: Int64, shape: tuple[int, int]) -> Int64:
    """Sums of whole ms by row and column; what has no row counts for nothing."""
    rows, columns = shape
    kept = row >= 0
    flat = np.bincount(row[kept] * columns + column[kept], weight[kept], rows * columns)
    return flat.reshape(shape).astype(np.int64)  # float64 is exact up to 2^53 ms
