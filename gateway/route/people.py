"""Accounts, sessions and what was done to them: for admins. Every change is written down."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, TypeVar

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from gateway.answer.people import (
    AccountAnswer,
    ActAnswer,
    GivenAnswer,
    NewAccount,
    NewPassword,
    NewRole,
    SessionAnswer,
    WhichAccount,
    WhichSession,
)
from gateway.query import wrong
from gateway.role import RIGHTS, Person
from gateway.state import ADMIN, state
from plant.errors import Rejected

router = APIRouter(tags=["people"])

Admin = Annotated[Person, ADMIN]
T = TypeVar("T")


@router.get("/people", dependencies=[ADMIN])
def people(request: Request) -> list[AccountAnswer]:
    """Every account with its role and how many sessions it has."""
    return [AccountAnswer.model_validate(a) for a in state(request).people.accounts()]


@router.post("/people")
async def add(body: NewAccount, request: Request, admin: Admin) -> GivenAnswer:
    """Add an account."""
    change = partial(
        state(request).people.add, body.name, body.password, RIGHTS[body.role], admin.name
    )
    given = await _hashed(request, admin, change)
    return GivenAnswer(name=body.name, password=None if body.password else given)


@router.post("/people/password")
async def set_password(body: NewPassword, request: Request, admin: Admin) -> GivenAnswer:
    """Give an account another password: its sessions end, its devices are forgotten."""
    change = partial(state(request).people.set_password, body.name, body.password, admin.name)
    given = await _hashed(request, admin, change)
    return GivenAnswer(name=body.name, password=None if body.password else given)


@router.post("/people/role", status_code=204)
async def set_role(body: NewRole, request: Request, admin: Admin) -> None:
    """Give an account another role; holds at once. The last admin stays one."""
    await _changed(partial(state(request).people.set_role, body.name, body.role, admin.name))


@router.post("/people/remove", status_code=204)
async def remove(body: WhichAccount, request: Request, admin: Admin) -> None:
    """Take an account away, and end its sessions. Not the last admin's."""
    await _changed(partial(state(request).people.remove, body.name, admin.name))


@router.get("/sessions", dependencies=[ADMIN])
def sessions(request: Request) -> list[SessionAnswer]:
    """Every session that is on, the newest first."""
    return [
        SessionAnswer(**{**asdict(s), "begun": int(s.begun * 1000), "until": int(s.until * 1000)})
        for s in state(request).people.sessions()
    ]


@router.post("/sessions/end", status_code=204)
async def end_session(body: WhichSession, request: Request, admin: Admin) -> None:
    """End a session and its live streams."""
    await _changed(partial(state(request).people.end_session, body.id, admin.name))


@router.get("/acts", dependencies=[ADMIN])
def acts(request: Request) -> list[ActAnswer]:
    """What was done to accounts and sessions, and by whom, the newest first."""
    return [ActAnswer.model_validate(a) for a in state(request).people.acts()]


async def _hashed(request: Request, admin: Person, change: Callable[[], T]) -> T:
    async with state(request).hashing.turn(admin.name):
        return await _changed(change)


async def _changed(change: Callable[[], T]) -> T:
    """Change an account in a thread; 422 with the reason."""
    try:
        return await run_in_threadpool(change)
    except Rejected as error:
        raise wrong(str(error)) from None
