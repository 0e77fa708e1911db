"""Logging in and out, and one's own password."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from gateway.answer.base import RefusalAnswer
from gateway.answer.people import PersonAnswer
from gateway.connection import peer_of
from gateway.person import TooManyTries
from gateway.role import LONGEST_PASSWORD, NAME_LENGTH, Person, spelled
from gateway.session import SESSION_S, Origin
from gateway.state import COOKIE, VIEWER, State, same_origin, state
from plant.errors import Rejected

router = APIRouter(tags=["session"])

DEVICE = "kaikou_device"
DEVICE_S = 365 * 86_400
_AGENT, _ADDRESS = 200, 64

WAIT: dict[int | str, dict[str, object]] = {
    429: {"model": RefusalAnswer, "description": "Failed too often from there; see Retry-After"}
}


class LogIn(BaseModel):
    """Name and password."""

    user: str = Field(max_length=NAME_LENGTH)
    password: str = Field(max_length=LONGEST_PASSWORD)


class OwnPassword(BaseModel):
    """The present password and the next one."""

    model_config = ConfigDict(extra="forbid")

    old: str = Field(max_length=LONGEST_PASSWORD)
    new: str = Field(max_length=LONGEST_PASSWORD)


def _answer(person: Person) -> PersonAnswer:
    return PersonAnswer(name=person.name, rights=sorted(person.rights))


def _origin(request: Request) -> Origin:
    return Origin(
        peer_of(request.client.host)[:_ADDRESS] if request.client else "",
        request.cookies.get(DEVICE, ""),
        request.headers.get("user-agent", "")[:_AGENT],
    )


@router.post("/login", responses=WAIT)
async def log_in(body: LogIn, request: Request, response: Response) -> PersonAnswer:
    """Begin a session; sets an HttpOnly cookie that scripts cannot read, and one for the device.

    After five failures a name waits at that address, longer each time (429 says how long). On a
    device where this person has logged in before failures are counted apart: others lock nobody
    out.
    """
    if not same_origin(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "sent from another site")
    kaikou, origin, name = state(request), _origin(request), spelled(body.user)
    if not await _true(kaikou, name, body.password, origin):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "wrong name or password")
    if before := request.cookies.get(COOKIE):
        await run_in_threadpool(kaikou.people.log_out, before)
    try:
        token = await run_in_threadpool(kaikou.people.begin, name, origin)
        device = await run_in_threadpool(kaikou.people.remember, name, origin.device)
    except Rejected:  # taken away meanwhile
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "wrong name or password") from None
    person = kaikou.people.whose(token)
    if person is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "wrong name or password")
    _set(request, response, COOKIE, token, SESSION_S)
    _set(request, response, DEVICE, device, DEVICE_S)
    return _answer(person)


async def _true(kaikou: State, name: str, password: str, origin: Origin) -> bool:
    """Whether the password is right; 429 while it has to wait, also for too many at once."""
    people = kaikou.people
    if not origin.device:
        kaikou.hashing.check_room(origin.address)  # at once: a flood takes no thread from others
    try:
        who = await run_in_threadpool(people.check_wait, name, origin)
        async with kaikou.hashing.turn(who):
            return await run_in_threadpool(people.true_password, name, password, origin)
    except TooManyTries as error:
        headers = {"Retry-After": f"{error.retry_s + 0.5:.0f}"}
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, str(error), headers) from None


def _set(request: Request, response: Response, name: str, token: str, age_s: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, token, max_age=age_s, httponly=True, samesite="strict", secure=secure)


@router.post("/logout", status_code=204)
def log_out(request: Request, response: Response) -> None:
    """End the session, and its live streams; the device stays known."""
    token = request.cookies.get(COOKIE)
    if not same_origin(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "sent from another site")
    if token:
        state(request).people.log_out(token)
    response.delete_cookie(COOKIE)


@router.get("/me")
def me(person: Annotated[Person, VIEWER]) -> PersonAnswer:
    """Who is logged in."""
    return _answer(person)


@router.post("/password", status_code=204, responses=WAIT)
async def own_password(
    body: OwnPassword, request: Request, response: Response, person: Annotated[Person, VIEWER]
) -> None:
    """Change one's own password; ends one's other sessions and forgets one's other devices."""
    kaikou, origin = state(request), _origin(request)
    if not await _true(kaikou, person.name, body.old, origin):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the present password is another one")
    token = request.cookies.get(COOKIE, "")
    try:
        async with kaikou.hashing.turn(person.name):
            await run_in_threadpool(
                kaikou.people.set_password, person.name, body.new, person.name, token
            )
    except Rejected as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    device = await run_in_threadpool(kaikou.people.remember, person.name)
    _set(request, response, DEVICE, device, DEVICE_S)
