"""Shifts, and OEE by ISO 22400-2."""

from fastapi import APIRouter, Request

from gateway.answer.oee import ShiftsAnswer, shift_answer
from gateway.query import LONGEST_DAYS, End, Start, check_range
from gateway.state import VIEWER, state
from twin.calendar import shifts as shifts_between

router = APIRouter(tags=["OEE"], dependencies=[VIEWER])


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
