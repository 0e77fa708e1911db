"""Who may log in to the OPC UA server. No anonymous, no default, no password in the clear."""

import base64
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Sequence

from plant.errors import ConfigError
from plant.model.plant import OpcUaUser

log = logging.getLogger("kaikou.opcua")

SHORTEST = 8
"""Characters of a password (a hash may be of anything)."""
_N, _R, _P = 1 << 14, 8, 1
"""scrypt (RFC 7914): 16 MiB and about 40 ms a try."""
TRIES = 5
LOCK_S = 30.0


def hashed(password: str, salt: bytes | None = None) -> str:
    """A password as plant.yaml may hold it: ``$scrypt$N$r$p$salt$hash``.

    >>> kept = hashed("open sesame", b"0123456789abcdef")
    >>> kept[:21], verify("open sesame", kept), verify("open", kept)
    ('$scrypt$16384$8$1$MDE', True, False)
    """
    salt = salt or os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=64 << 20)
    return f"$scrypt${_N}${_R}${_P}${_b64(salt)}${_b64(digest)}"


def verify(password: str, kept: str) -> bool:
    """Whether a password is the hashed one; compares in constant time."""
    _, _, n, r, p, salt, digest = kept.split("$")
    tried = hashlib.scrypt(
        password.encode(),
        salt=base64.b64decode(salt),
        n=int(n),
        r=int(r),
        p=int(p),
        maxmem=64 << 20,
    )
    return hmac.compare_digest(tried, base64.b64decode(digest))


class Users:
    """The users of plant.yaml. Passwords given in the clear are hashed here and forgotten.

    After ``TRIES`` wrong passwords in a row a name is locked for ``LOCK_S``. A name that does not
    exist takes as long as one that does.
    """

    def __init__(
        self, users: Sequence[OpcUaUser], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not users:
            raise ConfigError(
                "the OPC UA server has no users, so nobody could log in: name them under "
                "edges.EDGE.opcua.users, each with a password from ${ENVIRONMENT}"
            )
        self._kept = {user.name: self._hash(user) for user in users}
        self._nobody = hashed(os.urandom(16).hex())
        self._failed: dict[str, tuple[int, float]] = {}
        self._monotonic = monotonic

    @staticmethod
    def _hash(user: OpcUaUser) -> str:
        if user.password.startswith("$scrypt$") and user.password.count("$") == 6:
            return user.password
        if len(user.password) < SHORTEST:
            raise ConfigError(
                f"OPC UA user {user.name!r}: the password has less than {SHORTEST} characters"
            )
        return hashed(user.password)

    def allows(self, name: str | None, password: str | None) -> bool:
        """Whether name and password are right, and the name is not locked."""
        if not name or not password:
            return False
        key = name if name in self._kept else ""  # unknown names share one lock: bounded
        count, since = self._failed.get(key, (0, 0.0))
        if count >= TRIES:
            if self._monotonic() - since < LOCK_S:
                return False
            count = 0
        if verify(password, self._kept.get(name, self._nobody)) and key:
            self._failed.pop(key, None)
            return True
        self._failed[key] = (count + 1, self._monotonic())
        if count + 1 == TRIES:
            log.warning("OPC UA user %r: %d wrong passwords, locked %d s", name, TRIES, LOCK_S)
        return False


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
