"""Shifts, and OEE with its figures (ISO 22400-2). Times are ms UTC, durations seconds."""

import datetime
from typing import Literal

from gateway.answer.base import Answer, LabelAnswer, example, label
from plant.model.signal import Label
from twin.calendar import Shift
from twin.kpi.kpi import Kpi, Times
from twin.kpi.line import Constraint


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


class TimesAnswer(Answer):
    """Times of ISO 22400-2 in s.

    pot = pbt + pdt; pbt = aubt + adot + unknown; aubt = aupt + adet; aupt = apt + asut;
    outside: producing outside the planned busy time, in none of the others.
    """

    pot_s: float
    pbt_s: float
    pdt_s: float
    aubt_s: float
    aupt_s: float
    apt_s: float
    asut_s: float
    adet_s: float
    adot_s: float
    unknown_s: float
    outside_s: float


class CountsAnswer(Answer):
    """Units in worked shifts: made, good, scrapped; null where nobody counts.

    ``pq_unknown``: made while nothing was known of the state; ``pq_outside``: outside worked
    shifts. Neither is in ``pq``.
    """

    pq: int | None
    gq: int | None
    sq: int | None
    pq_unknown: int
    pq_outside: int


class SourceAnswer(Answer):
    """Where good is told from rejected."""

    asset: str
    signal: str | None


class ProductCountAnswer(Answer):
    """Units of one product; ``pru_s``: planned run time of one."""

    product: str
    name: LabelAnswer
    pru_s: float | None
    pq: int
    gq: int | None


class LossAnswer(Answer):
    """A step of the waterfall; only ``speed`` may be negative: faster than planned."""

    key: str
    name: LabelAnswer
    seconds: float


class StopAnswer(Answer):
    """All stops of one name: planned time and how many."""

    code: str
    name: LabelAnswer
    kind: str
    seconds: float
    count: int


class KpiAnswer(Answer):
    """A row of figures; a ratio is null where it is not known, and ``why_not`` says why.

    ``coverage``: share of the planned busy time of which the state is known; ``count_coverage``:
    share of that in which the counters could be read. ``losses``: planned busy time less these is
    the planned time of good units. ``stops``: longest first. ``at_least``: no failure was
    seen, MTBF is a lower bound. ``quality_note``: how OEE counts what nobody inspects.
    """

    key: str
    name: LabelAnswer
    start: int
    end: int
    shift: ShiftAnswer | None
    times: TimesAnswer
    counts: CountsAnswer
    coverage: float
    count_coverage: float | None
    availability: float | None
    effectiveness: float | None
    quality: float | None
    oee: float | None
    nee: float | None
    technical_efficiency: float | None
    utilization: float | None
    allocation: float | None
    setup_rate: float | None
    scrap_ratio: float | None
    throughput_per_h: float | None
    quality_source: SourceAnswer | None
    quality_note: LabelAnswer | None
    why_not: LabelAnswer | None
    notes: list[LabelAnswer]
    products: list[ProductCountAnswer]
    losses: list[LossAnswer]
    stops: list[StopAnswer]
    mtbf_s: float | None
    at_least: bool
    mttr_s: float | None
    failures: int | None
    estimator: LabelAnswer | None


class ConstraintAnswer(Answer):
    """The machine at which a line's figures are taken; ``how`` it is known."""

    asset: str
    how: Literal["named", "active_period"]


class OeeAnswer(Answer):
    """Figures of a machine or, at its constraint, of a line.

    ``constraint`` null for a machine, and for a line of which nothing is known (no rows then).
    """

    asset: str
    line: bool
    constraint: ConstraintAnswer | None
    rows: list[KpiAnswer]


def kpi_answer(kpi: Kpi) -> KpiAnswer:
    """A row as REST tells it, in seconds."""
    failures, source = kpi.failures, kpi.quality_source
    return KpiAnswer(
        key=kpi.key,
        name=label(kpi.name),
        start=kpi.start,
        end=kpi.end,
        shift=shift_answer(kpi.shift) if kpi.shift else None,
        times=_times(kpi.times),
        counts=CountsAnswer.model_validate(kpi),
        coverage=kpi.coverage,
        count_coverage=kpi.count_coverage,
        availability=kpi.availability,
        effectiveness=kpi.effectiveness,
        quality=kpi.quality,
        oee=kpi.oee,
        nee=kpi.nee,
        technical_efficiency=kpi.technical_efficiency,
        utilization=kpi.utilization,
        allocation=kpi.allocation,
        setup_rate=kpi.setup_rate,
        scrap_ratio=kpi.scrap_ratio,
        throughput_per_h=kpi.throughput_per_h,
        quality_source=SourceAnswer(asset=source[0], signal=source[1]) if source else None,
        quality_note=_label(kpi.quality_note),
        why_not=_label(kpi.why_not),
        notes=[label(note) for note in kpi.notes],
        products=[
            ProductCountAnswer(
                product=p.product,
                name=label(p.name),
                pru_s=None if p.pru is None else p.pru / 1000,
                pq=p.pq,
                gq=p.gq,
            )
            for p in kpi.products
        ],
        losses=[LossAnswer(key=x.key, name=label(x.name), seconds=x.ms / 1000) for x in kpi.losses],
        stops=[
            StopAnswer(
                code=s.code, name=label(s.name), kind=s.kind, seconds=s.ms / 1000, count=s.count
            )
            for s in kpi.stops
        ],
        mtbf_s=failures.mtbf_s if failures else None,
        at_least=failures.at_least if failures else False,
        mttr_s=failures.mttr_s if failures else None,
        failures=failures.failures if failures else None,
        estimator=label(failures.estimator) if failures else None,
    )


def constraint_answer(constraint: Constraint) -> ConstraintAnswer:
    """The constraint as REST tells it."""
    return ConstraintAnswer(asset=constraint.asset, how=constraint.how)


def _label(name: Label | None) -> LabelAnswer | None:
    return label(name) if name else None


def _times(times: Times) -> TimesAnswer:
    names = (field.removesuffix("_s") for field in TimesAnswer.model_fields)
    return TimesAnswer(**{f"{name}_s": getattr(times, name) / 1000 for name in names})
