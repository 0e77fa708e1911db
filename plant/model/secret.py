"""Which values of plant.yaml are secrets: texts that never stand in the file itself."""

from collections.abc import Sequence

SECRETS = {"password", "token", "secret", "key_password"}
"""Keys of settings under which a secret stands."""
_SETTINGS = {"broker", "historian", "copy", "edges"}


def is_secret(where: Sequence[str | int]) -> bool:
    """Whether a key holds a secret; ids of signals, products or sources may be any word.

    >>> is_secret(("broker", "password")), is_secret(("assets", "a", "signals", "password"))
    (True, False)
    >>> is_secret(("edges", "e", "sources", "token")), is_secret(("edges", "password"))
    (False, False)
    """
    if not where or where[0] not in _SETTINGS or where[-1] not in SECRETS:
        return False
    return len(where) > 4 if where[0] == "edges" else True


def is_of_the_box(where: Sequence[str | int]) -> bool:
    """Whether each box gives a value by itself: secrets, and who it is at the broker.

    >>> is_of_the_box(("broker", "username")), is_of_the_box(("broker", "host"))
    (True, False)
    """
    return is_secret(where) or tuple(where) == ("broker", "username")
