"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from gateway.answer.plant import PersonAnswer
from gateway.person import SESSION_S, Person, TooManyTries
from gateway.state import COOKIE, VIEWER, same_origin, state

router = APIRouter(tags=["session"])


class LogIn(BaseModel):
    """Name and password."""

    user: str = Field(max_length=64)
    password: str = Field(max_length=256)


def _answer(person: Person) -> PersonAnswer:
    return PersonAnswer(name=person.name, rights=sorted(person.rights))


@router.post("/login", responses={401: {}, 429: {}})
async def log_in(body: LogIn, request: Request, response: Response) -> PersonAnswer:
    """Begin a session; sets an HttpOnly cookie that scripts cannot read."""
    if not same_origin(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "sent from another site")
    people = state(request).people
    try:
        async with request.app.state.log_in_lock:  # argon2 takes 64 MiB: one at a time
            token = await run_in_threadpool(people.log_in, body.user, body.password)
    except TooManyTries as error:
        headers = {"Retry-After": f"{error.retry_s:.0f}"}
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, str(error), headers) from None
    person = people.whose(token) if token else None
    if token is None or person is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "wrong name or password")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure
    )
    return _answer(person)


@router.post("/logout", status_code=204)
def log_out(request: Request, response: Response) -> None:
    """End the session."""
    token = request.cookies.get(COOKIE)
    if token and same_origin(request):
        state(request).people.log_out(token)
    response.delete_cookie(COOKIE)


@router.get("/me", responses={401: {}})
def me(person: Annotated[Person, VIEWER]) -> PersonAnswer:
    """Who is logged in."""
    return _answer(person)
