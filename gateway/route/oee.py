"""Shifts, and OEE by ISO 22400-2."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.answer.oee import (
    OeeAnswer,
    ShiftsAnswer,
    constraint_answer,
    kpi_answer,
    shift_answer,
)
from gateway.query import (
    HISTORY_REFUSALS,
    LONGEST_DAYS,
    AssetId,
    End,
    Range,
    Start,
    check_range,
    machine,
)
from gateway.state import VIEWER, asking, state
from plant.flow.port import HistorianReader
from twin.calendar import shifts as shifts_between
from twin.kpi.line import line_kpis
from twin.kpi.log import read_log
from twin.kpi.measure import By, kpis

router = APIRouter(tags=["OEE"], dependencies=[VIEWER])

Rows = Annotated[
    By,
    Query(
        description="one row for the range, or one for each shift, day or product in it; a day is "
        "what its shifts are, and a shift that reaches beyond the range is cut"
    ),
]


@router.get("/shifts")
def shifts(request: Request, start: Start, end: End) -> ShiftsAnswer:
    """Every shift that touches a range, whole, in order, also to come; worked or not.

    A night shift belongs to the date on which it starts.
    """
    plant = state(request).plant
    check_range(start, end, LONGEST_DAYS)
    found = shifts_between(plant.calendar, plant.timezone, start, end)
    return ShiftsAnswer(
        calendar=plant.calendar is not None, shifts=[shift_answer(s) for s in found]
    )


@router.get("/oee", responses=HISTORY_REFUSALS, response_model=OeeAnswer)
async def oee(request: Request, asset: AssetId, times: Range, by: Rows = "range") -> Response:
    """OEE and its figures: times, units, losses, stops, MTBF and MTTR of a machine or a line.

    OEE = sum of planned run time times good units / (planned busy time - unknown time), products
    apart. Time without good data is unknown, neither up nor down; where less than 80 % of the
    planned time is known, or counted, the reason stands instead of the numbers. A line's figures
    are those of its constraint, never an average. Late rows and corrected reasons change them;
    `known_at` gives the former ones.
    """
    kaikou = state(request)
    plant = kaikou.plant
    if asset not in plant.lines:
        machine(kaikou, asset)
    start, end, known_at = times.start, times.until(kaikou, LONGEST_DAYS), times.known_at

    def of_line(reader: HistorianReader) -> OeeAnswer:
        found = line_kpis(reader, plant, asset, start, end, by=by, known_at=known_at)
        constraint = constraint_answer(found.constraint) if found else None
        rows = [kpi_answer(row) for row in found.rows] if found else []
        return OeeAnswer(asset=asset, line=True, constraint=constraint, rows=rows)

    def of_machine(reader: HistorianReader) -> OeeAnswer:
        found = kpis(read_log(reader, plant, asset, start, end, known_at=known_at), by)
        rows = [kpi_answer(row) for row in found]
        return OeeAnswer(asset=asset, line=False, constraint=None, rows=rows)

    question = of_line if asset in plant.lines else of_machine
    return await asking(request).answer(question, long=times.long)
