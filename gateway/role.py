"""Rights and roles: what a person may do, and the four bundles of it that an account can have."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from plant.errors import Rejected

NAME_LENGTH = 64
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 256

_SIGNS = "._-@"
_ALIKE = ("LATIN", "CYRILLIC", "GREEK")
"""Scripts whose letters look alike."""

ITSELF = "kaikou"
"""Who does what nobody asked for: the first accounts. No person's name."""


class Right(StrEnum):
    """What a person may do. An admin keeps accounts and cannot command machines."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


class Role(StrEnum):
    """What an account is; each stands for the rights in ``RIGHTS``."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


RIGHTS: Mapping[Role, tuple[Right, ...]] = {
    Role.VIEWER: (Right.VIEWER,),
    Role.OPERATOR: (Right.VIEWER, Right.OPERATOR),
    Role.ENGINEER: (Right.VIEWER, Right.OPERATOR, Right.ENGINEER),
    Role.ADMIN: (Right.VIEWER, Right.ADMIN),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    name: str
    rights: frozenset[Right]


def role_of(rights: Iterable[Right]) -> Role:
    """The role that comes with these rights; the highest where it is a bundle of its own.

    >>> role_of([Right.VIEWER, Right.OPERATOR]), role_of(RIGHTS[Role.ADMIN])
    (<Role.OPERATOR: 'operator'>, <Role.ADMIN: 'admin'>)
    """
    held = set(rights)
    for role in (Role.ADMIN, Role.ENGINEER, Role.OPERATOR):
        if Right(role) in held:
            return role
    return Role.VIEWER


def check_name(name: str) -> None:
    """Rejected where it cannot be a name: it signs statements, and stands in logs and addresses.

    >>> check_name("李工")
    >>> check_name("a b")
    Traceback (most recent call last):
    plant.errors.Rejected: a name has 1 to 64 letters, digits and . _ - @, nothing else
    """
    whole = 0 < len(name) <= NAME_LENGTH and unicodedata.normalize("NFKC", name) == name
    if not whole or not all(c.isalnum() or c in _SIGNS for c in name):
        text = f"a name has 1 to {NAME_LENGTH} letters, digits and . _ - @, nothing else"
        raise Rejected(text)
    if not any(map(str.isalnum, name)) or name.casefold() == ITSELF:
        raise Rejected(f"nobody is called {name!r}")
    if len({s for c in name for s in _ALIKE if unicodedata.name(c, "").startswith(s)}) > 1:
        raise Rejected("a name has letters of one script: those of others look like them")


def spelled(name: str) -> str:
    """A name as it is kept, however a keyboard composes its letters.

    >>> spelled("cafe" + chr(0x301)) == "caf" + chr(0xE9)
    True
    """
    return unicodedata.normalize("NFC", name)


def check_password(password: str, name: str) -> None:
    """Rejected where it is too short, too long, the name, or one sign over and over."""
    if len(password) < SHORTEST_PASSWORD:
        raise Rejected(f"a password has at least {SHORTEST_PASSWORD} characters")
    if len(password) > LONGEST_PASSWORD:
        raise Rejected(f"a password has at most {LONGEST_PASSWORD} characters")
    if len(set(password)) < 4 or (name and password.casefold() in {name.casefold() * 2, name}):
        raise Rejected("that password is guessed at once: take several words")
