"""Shifts, and OEE with its figures (ISO 22400-2). Times are ms UTC, durations seconds."""

import datetime

from gateway.answer.base import Answer, LabelAnswer, example, label
from twin.calendar import Shift


class ShiftAnswer(Answer):
    """A shift, whole; ``date`` is that of its start, ``working`` whether it is worked.

    ``note``: the holiday, or that the year's public holidays are not known here.
    """

    id: str
    name: LabelAnswer
    crew: str | None
    crew_name: LabelAnswer | None
    date: datetime.date
    start: int
    end: int
    breaks: list[tuple[int, int]]
    working: bool
    note: LabelAnswer | None


class ShiftsAnswer(Answer):
    """The shifts that touch a range; ``calendar`` false: none is set, each day is one shift."""

    model_config = example(
        calendar=True,
        shifts=[
            {
                "id": "night",
                "name": {"zh": "夜班", "en": "Night shift"},
                "crew": "b",
                "crew_name": {"zh": "乙班", "en": "Crew B"},
                "date": "2025-11-21",
                "start": 1763733600000,
                "end": 1763762400000,
                "breaks": [[1763748000000, 1763749200000]],
                "working": True,
                "note": None,
            }
        ],
    )

    calendar: bool
    shifts: list[ShiftAnswer]


def shift_answer(shift: Shift) -> ShiftAnswer:
    """A shift as REST tells it."""
    return ShiftAnswer(
        id=shift.id,
        name=label(shift.name),
        crew=shift.crew.id if shift.crew else None,
        crew_name=label(shift.crew.name) if shift.crew else None,
        date=shift.date,
        start=shift.start,
        end=shift.end,
        breaks=list(shift.breaks),
        working=shift.working,
        note=label(shift.note) if shift.note else None,
    )
