"""The edge's clock, and whether it can be trusted.

A box without a battery starts in the past until it has heard a time server. Its outbox knows the
newest time that was right; a clock behind that is wrong for certain. Until the system clock has
passed it, time goes on from there and what is stamped is Uncertain.
"""

import ctypes
import logging
import time
from collections.abc import Callable

from plant.flow.clock import Clock

log = logging.getLogger("kaikou.edge")

_SLACK_MS = 5_000
"""A clock that was slewed back a little is not wrong."""


class EdgeClock:
    """Plant time that does not start before a time known to be past.

    >>> from plant.flow.clock import ManualClock
    >>> system = ManualClock(1_000)
    >>> clock = EdgeClock(system, monotonic=lambda: 0.0)
    >>> clock.not_before(1_000_000)
    >>> clock.trusted, clock.now()
    (False, 1000001)
    >>> system.advance(2_000_000)
    >>> clock.trusted, clock.now()
    (True, 2001000)
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest = 0
        self._monotonic = monotonic
        self._began = monotonic()
        self._trusted = True

    def not_before(self, newest_trusted: int) -> None:
        """``newest_trusted`` (ms UTC) was right before this process began."""
        self._newest = newest_trusted
        self._trusted = self._clock.now() >= newest_trusted - _SLACK_MS
        if not self._trusted:
            log.warning("the system clock is behind the last trusted time: samples are Uncertain")

    @property
    def factor(self) -> float:
        """Plant seconds per real second."""
        return self._clock.factor

    @property
    def trusted(self) -> bool:
        """Whether the system clock has been right since the start, or became so."""
        if not self._trusted:
            self._trusted = self._clock.now() >= self._newest
            if self._trusted:
                log.info("the system clock is right again")
        return self._trusted

    def now(self) -> int:
        """Milliseconds UTC of the plant."""
        if self.trusted:
            return self._clock.now()
        passed_ms = (self._monotonic() - self._began) * 1000 * self._clock.factor
        return self._newest + 1 + int(passed_ms)


class _Timex(ctypes.Structure):
    """The head of Linux's ``struct timex`` (adjtimex(2)); the rest is room for it to write in."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


_UNSYNCHRONISED = 0x0040
_NANOSECONDS = 0x2000


def kernel_offset_ms() -> float | None:
    """How far the system clock is from its time server, as the kernel knows it; None: it does not.

    Only Linux tells, and only while something (chrony, systemd-timesyncd, ntpd) disciplines the
    clock.
    """
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    answer = _Timex()
    if ask(ctypes.byref(answer)) < 0 or answer.status & _UNSYNCHRONISED:
        return None
    return float(answer.offset) / (1e6 if answer.status & _NANOSECONDS else 1e3)
