"""What was refused: all of it is counted, each kind told once, in a log that cannot be flooded."""

import logging
import time
from collections import Counter
from collections.abc import Callable

A_NODE = 5
IN_ALL = 200
"""So many kinds of one sender, and lines in all, are told in ``FORGET_S``."""
FORGET_S = 3600.0
_LINE = 240


class Refusals:
    """Counts and tells; a reason is ``kind: details``, and the kind is told once a sender.

    >>> told = Refusals(logging.getLogger("kaikou.test"))
    >>> [told.take("g/n", f"too large: {n} bytes") for n in (7, 8)], told.count
    ([True, False], 2)
    """

    def __init__(self, log: logging.Logger, mono_s: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._log = log
        self._mono_s = mono_s
        self._told: set[tuple[str, str]] = set()
        self._of: Counter[str] = Counter()
        self._forget_at = mono_s() + FORGET_S

    def take(self, who: object, reason: str, kind: str | None = None) -> bool:
        """Count a refusal, of another kind than the reason says; whether it was told."""
        self.count += 1
        if self._mono_s() >= self._forget_at:
            self._forget()
        if len(self._told) >= IN_ALL:
            return False
        sender = str(who)[:_LINE]
        key = (sender, reason.partition(":")[0] if kind is None else kind)
        if key in self._told or self._of[sender] >= A_NODE:
            return False
        self._told.add(key)
        self._of[sender] += 1
        self._log.warning("%s: refused: %s", sender, one_line(reason))
        if len(self._told) == IN_ALL:
            self._log.warning("more is refused than is told here; all of it is counted")
        return True

    def _forget(self) -> None:
        self._told.clear()
        self._of.clear()
        self._forget_at = self._mono_s() + FORGET_S


def one_line(text: str) -> str:
    r"""A text of somebody else as part of one line of a log.

    >>> one_line("a\nb\x1b")
    'a\\nb\\x1b'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_LINE]
    )
