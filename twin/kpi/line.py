"""Figures of a line: those of its constraint, never an average over machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plant.flow.port import HistorianReader
from plant.model.plant import Plant
from twin.kpi.kpi import Kpi
from twin.kpi.log import MachineLog, line_log, read_log
from twin.kpi.measure import By, kpis
from twin.kpi.stop import active


@dataclass(frozen=True, slots=True)
class Constraint:
    """The machine that decides what a line makes; ``how`` it is known.

    "named": in plant.yaml. "active_period": the longest average active period of the range
    (Roser, Nakano, Tanaka 2001): a machine is active unless it waits for others.
    """

    asset: str
    how: Literal["named", "active_period"]


@dataclass(frozen=True, slots=True)
class LineKpis:
    """Rows of a line, and the constraint whose times they are."""

    constraint: Constraint
    rows: Sequence[Kpi]


def line_kpis(
    reader: HistorianReader,
    plant: Plant,
    line: str,
    start: int,
    end: int,
    *,
    by: By = "range",
    known_at: int | None = None,
) -> LineKpis | None:
    """The figures of a line over [start, end), ms UTC; None where nothing is known of any station.

    Times are the constraint's. Units are counted where they are inspected (the last station that
    tells good from rejected), so PQ and GQ are of the same units; else at the constraint. Planned
    run times are the constraint's.
    """
    found = _constraint(reader, plant, line, start, end, known_at=known_at)
    if found is None:
        return None
    constraint, log = found
    whole = line_log(reader, plant, line, log, known_at=known_at)
    return LineKpis(constraint, kpis(whole, by))


def _constraint(
    reader: HistorianReader,
    plant: Plant,
    line: str,
    start: int,
    end: int,
    *,
    known_at: int | None,
) -> tuple[Constraint, MachineLog] | None:
    named = plant.lines[line].constraint
    if named is not None:
        log = read_log(reader, plant, named, start, end, known_at=known_at)
        return Constraint(named, "named"), log
    best: tuple[float, MachineLog] | None = None
    for station in plant.lines[line].flow:
        if plant.assets[station.asset].signal("state") is None:
            continue
        log = read_log(reader, plant, station.asset, start, end, known_at=known_at)
        mean = active(log).mean_ms
        if mean > 0 and (best is None or mean > best[0]):
            best = (mean, log)
    return (Constraint(best[1].asset, "active_period"), best[1]) if best else None
