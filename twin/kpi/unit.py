"""Units of each row and product: of known time, of unknown time, outside worked shifts."""

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int64
from twin.kpi.count import GOOD, REJECT, Counts
from twin.kpi.kpi import Measured, ProductCount
from twin.kpi.log import MachineLog
from twin.kpi.row import RowOf, product_name, table
from twin.kpi.time import UNKNOWN, Band, Booked, product_at, shift_at


def put_units(
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
    time = table(of_piece, band.product, planned, shape)
    told_by = GOOD if GOOD in counts.signals else REJECT
    source = (counts.asset, told_by) if counts.measured else None
    for i, measured in enumerate(rows):
        measured.counted = True
        measured.quality_source = source
        measured.pq_unknown = sum(lost[i])
        measured.pq_outside = sum(outside[i])
        for j, id in enumerate(band.products):
            if made[i][j] or good[i][j] or time[i, j]:
                gq = good[i][j] if counts.measured else None
                pru = log.plant.cycle_ms(log.asset, id)
                product_count = ProductCount(id, product_name(log, id), pru, made[i][j], gq)
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


def put_readable(rows: list[Measured], of_piece: Int64, band: Band, counts: Counts) -> None:
    """Known planned time in which what counts could be read, ms."""
    held = band.planned & (band.booked != Booked.UNKNOWN) & band.inside & (of_piece >= 0)
    edges = np.append(counts.edges, max(int(band.end[-1]), int(counts.edges[-1])))
    total = np.concatenate([[0], np.cumsum(np.where(counts.readable, np.diff(edges), 0))])

    def until(time: Int64) -> Int64:
        place = np.clip(np.searchsorted(edges, time, "right") - 1, 0, len(counts.edges) - 1)
        inside = np.where(counts.readable[place], np.maximum(time - edges[place], 0), 0)
        return total[place] + inside

    ms = until(band.end[held]) - until(band.start[held])
    ms_of_row = table(of_piece[held], np.zeros(len(ms), np.int64), ms, (len(rows), 1))
    for i, row in enumerate(rows):
        row.readable = int(ms_of_row[i, 0])
