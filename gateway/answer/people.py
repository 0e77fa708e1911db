"""People: who is logged in, accounts, sessions, and what was done to them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.answer.base import Answer, example
from gateway.role import LONGEST_PASSWORD, NAME_LENGTH, Role

Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]


class PersonAnswer(Answer):
    """Who is logged in."""

    name: str
    rights: list[str]


class AccountAnswer(Answer):
    """An account; ``damaged``: its row was found changed, it is shut until a password is given."""

    model_config = example(name="li", role="operator", sessions=1, damaged=False)

    name: str
    role: Role
    sessions: int
    damaged: bool


class SessionAnswer(Answer):
    """A session that is on; ms UTC. ``agent``: what the browser calls itself."""

    id: str
    name: str
    begun: int
    until: int
    address: str
    agent: str


class ActAnswer(Answer):
    """At ``time`` (ms UTC) ``person`` did ``what`` to the account ``about``."""

    time: int
    person: str
    what: str
    about: str


class GivenAnswer(Answer):
    """The password that an account was given; ``password`` null where the admin chose it."""

    name: str
    password: str | None


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(_Body):
    """An account to add; without ``password`` one is made and told once."""

    name: Name
    role: Role
    password: str | None = Field(None, max_length=LONGEST_PASSWORD)


class NewRole(_Body):
    """Another role for an account."""

    name: Name
    role: Role


class NewPassword(_Body):
    """Another password for an account; without one it is made and told once."""

    name: Name
    password: str | None = Field(None, max_length=LONGEST_PASSWORD)


class WhichAccount(_Body):
    """An account."""

    name: Name


class WhichSession(_Body):
    """A session by the id that ``GET /api/sessions`` tells."""

    id: str = Field(min_length=1, max_length=64)
