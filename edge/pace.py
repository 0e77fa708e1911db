"""When a source is polled: every ``poll_ms``, without drift, never two polls at once."""

import asyncio
import logging

log = logging.getLogger("kaikou.edge")

_TELL_AFTER = 5
"""Polls in a row that took too long, or did not, until that is told."""


class Pace:
    """The turns of one source. A poll that takes longer skips those it missed.

    A poll that never meets its interval is told once, and once more when it does again.
    """

    def __init__(self, source: str, poll_ms: int) -> None:
        self._source = source
        self._period_s = poll_ms / 1000
        self._due = 0.0
        self._began = 0.0
        self._streak = 0
        """Polls in a row that were not as told."""
        self._longest_s = 0.0
        self._late = False

    def begin(self) -> None:
        """The first poll of a session begins now."""
        self._due = self._began = asyncio.get_running_loop().time()

    async def turn(self) -> int:
        """Wait for the next turn; returns how many were missed."""
        now = asyncio.get_running_loop().time()
        self._due += self._period_s
        missed = 0
        if self._due < now:
            missed = int((now - self._due) / self._period_s) + 1
            self._due += missed * self._period_s
        self._tell(missed > 0, now - self._began)
        await asyncio.sleep(self._due - now)
        self._began = self._due
        return missed

    def _tell(self, late: bool, took_s: float) -> None:
        if late == self._late:
            self._streak, self._longest_s = 0, 0.0
            return
        self._streak += 1
        self._longest_s = max(self._longest_s, took_s)
        if self._streak < _TELL_AFTER:
            return
        self._late, self._streak = late, 0
        poll_ms = round(self._period_s * 1000)
        if late:
            log.warning(
                "source %s: a poll takes up to %.0f ms, poll_ms is %d, so turns are left out; "
                "raise poll_ms or read less",
                self._source,
                self._longest_s * 1000,
                poll_ms,
            )
        else:
            log.info("source %s: polls meet their %d ms again", self._source, poll_ms)
