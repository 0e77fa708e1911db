"""What people state: reasons of stops, products, modes. The twin checks and records it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, status

from gateway.answer.base import RefusalAnswer, label
from gateway.answer.statement import (
    MadeAnswer,
    ModeAnswer,
    ModeStatement,
    ProductAnswer,
    ProductStatement,
    ReasonAnswer,
    ReasonStatement,
    SaidAnswer,
    Statement,
)
from gateway.query import HISTORY_REFUSALS, At, KnownAt, wrong
from gateway.role import Person
from gateway.state import OPERATOR, VIEWER, asking, state
from gateway.statement import TooOften
from plant.errors import Rejected
from twin.kpi.statement import made_at, modes_at

router = APIRouter(tags=["statements"])

Operator = Annotated[Person, OPERATOR]
REFUSALS: dict[int | str, dict[str, object]] = {
    413: {"model": RefusalAnswer, "description": "Longer than anybody types"},
    429: {"model": RefusalAnswer, "description": "One person states too much in a minute"},
    503: {"model": RefusalAnswer, "description": "The twin does not answer within 5 s"},
}


@router.get("/reasons", dependencies=[VIEWER])
def reasons(request: Request) -> list[ReasonAnswer]:
    """The reasons that a person can give to a stop, with the kind of loss that each is."""
    plant = state(request).plant
    return [ReasonAnswer.model_validate(reason) for reason in plant.reasons.values()]


@router.post("/reasons", responses=REFUSALS)
async def say_reason(request: Request, body: ReasonStatement, person: Operator) -> SaidAnswer:
    """Say why a machine stood; also later, and again: the last word holds, former ones are kept.

    While it stands, `end` is null: the reason holds until the machine produces again.
    The answer comes when the twin has it on disk, and at best when history shows it.
    """
    return await _say(request, person, "reason", body)


@router.get("/products", dependencies=[VIEWER])
def products(request: Request) -> list[ProductAnswer]:
    """What the plant makes, with the planned seconds of a unit by machine."""
    plant = state(request).plant
    return [
        ProductAnswer(id=p.id, name=label(p.name), cycle_s=dict(p.cycle_s))
        for p in plant.products.values()
    ]


@router.get("/products/now", dependencies=[VIEWER], responses=HISTORY_REFUSALS)
async def made(request: Request, at: At = None, known_at: KnownAt = None) -> list[MadeAnswer]:
    """What each machine and line makes at a moment; nothing of those where nobody told.

    A machine makes what its line does, unless something else was told of it later.
    """
    kaikou = state(request)
    moment = kaikou.clock.now() if at is None else at
    found = await asking(request).ask(lambda r: made_at(r, kaikou.plant, moment, known_at))
    return [
        MadeAnswer(asset=id, product=s.word, start=s.start, person=s.person, said=s.said)
        for id, s in found.items()
    ]


@router.post("/products", responses=REFUSALS)
async def say_product(request: Request, body: ProductStatement, person: Operator) -> SaidAnswer:
    """Say what a machine or a line makes from a moment on."""
    return await _say(request, person, "product", body)


@router.get("/mode", dependencies=[VIEWER], responses=HISTORY_REFUSALS)
async def modes(request: Request, at: At = None, known_at: KnownAt = None) -> list[ModeAnswer]:
    """The modes that people stated and that hold at a moment; they beat the machine's signal."""
    kaikou = state(request)
    moment = kaikou.clock.now() if at is None else at
    found = await asking(request).ask(lambda r: modes_at(r, kaikou.plant, moment, known_at))
    return [
        ModeAnswer(
            asset=id,
            mode=s.word,
            start=s.start,
            end=None if s.lasting else s.end,
            person=s.person,
            said=s.said,
        )
        for id, s in found.items()
    ]


@router.post("/mode", responses=REFUSALS)
async def say_mode(request: Request, body: ModeStatement, person: Operator) -> SaidAnswer:
    """Say what a machine is used for, where its own signal does not tell."""
    return await _say(request, person, "mode", body)


async def _say(
    request: Request,
    person: Person,
    kind: str,
    body: ReasonStatement | ProductStatement | ModeStatement,
) -> SaidAnswer:
    kaikou = state(request)
    if body.asset not in kaikou.plant.assets:
        raise wrong(f"no machine {body.asset!r} in this plant")
    data = body.model_dump(exclude=set(Statement.model_fields))
    try:
        said = await kaikou.statements.say(person.name, kind, body.asset, data, body.start)
    except TooOften as error:
        headers = {"Retry-After": f"{error.retry_s:.0f}"}
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, str(error), headers) from None
    except Rejected as error:
        raise wrong(str(error)) from None
    return SaidAnswer(said=said.said, readable=said.readable)
