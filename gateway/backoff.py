"""How long a log-in waits after failures, in memory that is bounded and that no attacker can use.

Failures are counted by keys such as (name, address). A key falls, by a hash with a secret of this
process, into one of ``SLOTS`` counters. Nothing is ever pushed out: a thousand other names erase
no failure, and who wants to block a stranger cannot tell which names would share his counter.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

SLOTS = 1 << 16
FORGOTTEN_S = 3600.0
"""A counter without a failure for so long begins again at nothing."""


@dataclass(frozen=True, slots=True)
class Key:
    """What failures are counted for: ``free`` of them cost nothing, then the wait doubles."""

    parts: tuple[str, ...]
    free: int = 5
    longest_s: float = 300.0


@dataclass(slots=True)
class _Count:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class Backoff:
    """Counters of failures."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._secret = secrets.token_bytes(16)
        self._counts: dict[int, _Count] = {}

    def wait_s(self, key: Key) -> float:
        """Seconds until this key may try again; 0: now."""
        count = self._counts.get(self._slot(key))
        return max(0.0, count.until - self._now()) if count else 0.0

    def failed(self, key: Key) -> None:
        """Count a failure."""
        now = self._now()
        count = self._counts.setdefault(self._slot(key), _Count())
        if now - count.last > FORGOTTEN_S:
            count.failures = 0
        count.failures, count.last = count.failures + 1, now
        over = count.failures - key.free
        if over >= 0:
            count.until = now + min(key.longest_s, 2.0 ** min(over, 30))

    def passed(self, key: Key) -> None:
        """The true password came: nothing is counted any more."""
        self._counts.pop(self._slot(key), None)

    def _slot(self, key: Key) -> int:
        digest = hashlib.blake2b(key=self._secret, digest_size=4)
        for part in key.parts:
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
        return int.from_bytes(digest.digest(), "big") % SLOTS
