"""Stops and failures of each row, and how long a machine was active without interruption."""

from dataclasses import dataclass

import numpy as np

from plant.flow.sample import Int64, distinct
from twin.kpi.kpi import Measured, Stops
from twin.kpi.log import MachineLog
from twin.kpi.row import table
from twin.kpi.time import UNKNOWN, Band, Booked, book

_FAILS = {"malfunction", "maintenance"}


def put_stops(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    """Stops by name: their planned time, and how many touch it."""
    counts = np.array([bool(k.loss) for k in band.keys])[band.key]
    held = band.planned & counts & band.inside & (of_piece >= 0)
    planned = np.where(held, band.ms, 0)
    n, k = len(rows), len(band.keys)
    ms = table(of_piece, band.key, planned, (n, k))
    stops = int(band.stop[-1]) + 1
    each = distinct(of_piece[held] * stops + band.stop[held])
    key_of = np.zeros(stops, np.int64)
    key_of[band.stop] = band.key
    many = table(each // stops, key_of[each % stops], np.ones(len(each), np.int64), (n, k))
    for i, row in enumerate(rows):
        for j in np.flatnonzero(ms[i]).tolist():
            key = band.keys[j]
            row.stops.append(Stops(key.code, key.name, key.kind, int(ms[i, j]), int(many[i, j])))


def put_failures(rows: list[Measured], of_piece: Int64, band: Band) -> None:
    """Failures that begin and repairs that end in each row, and the planned time between."""
    fails = np.array([k.loss in _FAILS for k in band.keys])[band.key]
    planned = np.where(fails & band.planned, band.ms, 0)
    time = table(of_piece, np.zeros_like(planned), planned, (len(rows), 1))[:, 0]
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
