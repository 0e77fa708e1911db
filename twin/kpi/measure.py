"""Rows of a log measured: times, units, losses and stops of each range, shift, day or product."""

from collections.abc import Sequence

import numpy as np

from plant.flow.sample import Int64
from twin.kpi.figure import figure
from twin.kpi.kpi import Kpi, Measured, Times
from twin.kpi.log import MachineLog
from twin.kpi.row import ROWS, By, table
from twin.kpi.stop import put_failures, put_stops
from twin.kpi.time import Band, Booked, book
from twin.kpi.unit import put_readable, put_units

__all__ = ["By", "kpis"]


def kpis(log: MachineLog, by: By = "range") -> Sequence[Kpi]:
    """The figures of a log, one row for the range, for each shift, day or product in it.

    A shift that reaches beyond the range is cut; a day is what its shifts are, so a night shift
    belongs to the date on which it starts. Rows of shifts that are not worked are there too.
    """
    band = book(log)
    rows, of_piece, of_step = ROWS[by](log, band)
    if not rows:
        return []
    _put_times(rows, of_piece, band)
    put_stops(rows, of_piece, band)
    put_failures(rows, of_piece, band)
    if log.counts is not None:
        put_units(rows, (of_piece, of_step), log, band, log.counts)
        put_readable(rows, of_piece, band, log.counts)
    return [figure(row) for row in rows]


def _put_times(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    ms, n = band.ms, len(rows)
    planned = np.where(band.planned, ms, 0)
    booked = table(of_piece, band.booked, planned, (n, len(Booked)))
    potential = np.where(band.potential, ms, 0)
    pot = table(of_piece, np.zeros_like(ms), potential, (n, 1))[:, 0]
    outside = np.where((band.booked == Booked.APT) & ~band.planned, ms, 0)
    beside = table(of_piece, np.zeros_like(ms), outside, (n, 1))[:, 0]
    lost = table(of_piece, band.key, planned, (n, len(band.keys)))
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
