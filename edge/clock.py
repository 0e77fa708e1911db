"""The edge's clock, and whether it can be trusted.

A box without a battery starts in the past until it has heard a time server. Its outbox knows the
newest time that was right, and no time before ``EARLIEST_MS`` ever is; a clock behind that is wrong
for certain. Until the system clock has passed it, time goes on from there and what is stamped is
Uncertain.
"""

import ctypes
import logging
import time
from collections.abc import Callable

from plant.flow.clock import Clock

log = logging.getLogger("kaikou.edge")

EARLIEST_MS = 1_735_689_600_000
"""2025-01-01: a clock that says less is wrong, also on a box that has kept nothing yet.

A fixed date, because what else a new box could go by (times of files, of the installation) was
stamped by that same clock, or by another one that may be ahead.
"""
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

    def __init__(
        self,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._newest = 0
        self._monotonic = monotonic
        self._synchronised = synchronised
        self._began = monotonic()
        self._trusted = True

    def not_before(self, newest_trusted: int) -> None:
        """``newest_trusted`` (ms UTC) was right before this process began."""
        self._newest = newest_trusted
        self._began = self._monotonic()
        self._trusted = True
        self._see(self._clock.now())

    @property
    def factor(self) -> float:
        """Plant seconds per real second."""
        return self._clock.factor

    @property
    def trusted(self) -> bool:
        """Whether the system clock is not known to be wrong."""
        return self._see(self._clock.now())

    def now(self) -> int:
        """Milliseconds UTC of the plant."""
        now = self._clock.now()
        return now if self._see(now) else self._goes_on()

    def _goes_on(self) -> int:
        passed_ms = (self._monotonic() - self._began) * 1000 * self._clock.factor
        return self._newest + 1 + int(passed_ms)

    def _see(self, now: int) -> bool:
        """Judge the system clock; a time server that the kernel follows outweighs our memory.

        So a clock that was once ahead, by years, does not make everything Uncertain for years.
        """
        if self._trusted:
            if now < self._newest - _SLACK_MS and not self._is_served(now):
                self._trusted = False
                log.warning("the system clock is behind a time that is past: samples are Uncertain")
        elif now >= self._newest or self._is_served(now):
            self._trusted = True
            log.info("the system clock is right again")
        return self._trusted

    def _is_served(self, now: int) -> bool:
        return now >= EARLIEST_MS and self._synchronised()


def is_synchronised() -> bool:
    """Whether a time server disciplines the system clock, as the kernel knows it."""
    return kernel_offset_ms() is not None


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
