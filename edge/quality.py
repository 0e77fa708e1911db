"""Which points of a source are Bad and why, told by name when that changes."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from plant.flow.sample import Int32, UInt32
from plant.flow.status import is_bad, status_name

log = logging.getLogger("kaikou.edge")

_MOST = 12
"""Points that one line names."""
_FIRST_S, _LAST_S = 5.0, 300.0
"""Pauses between two lines about one source, from the first to the longest."""


class QualityLog:
    """Remembers what was last told of each point, and tells what differs from it.

    A line follows another after 5 s at the earliest, and later and later where points come and go
    all the time; what came and went in between is not told.

    names  of the points, as the installer knows them: signal and address
    """

    def __init__(
        self, source: str, names: Sequence[str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._names = names
        self._monotonic = monotonic
        self._now: UInt32 = np.zeros(len(names), np.uint32)
        self._told: UInt32 = np.zeros(len(names), np.uint32)
        self._why: dict[int, str] = {}
        self._told_at = -_LAST_S
        self._pause_s = _FIRST_S

    def forget(self) -> None:
        """The peer is lost, which is told for all its points at once."""
        self._now[:] = self._told[:] = 0
        self._why.clear()

    def see(self, point: Int32, status: UInt32, why: Mapping[int, str]) -> None:
        """Statuses of some points, and the reasons that are known for them."""
        told = is_bad(status)
        if why:
            told |= np.isin(point, list(why))
        self._now[point] = np.where(told, status, np.uint32(0))
        self._why.update(why)
        changed = np.flatnonzero(self._now != self._told)
        if not len(changed):
            return
        now = self._monotonic()
        quiet_s = now - self._told_at
        if quiet_s < self._pause_s:
            return
        self._pause_s = min(_LAST_S, self._pause_s * 2) if quiet_s < 2 * self._pause_s else _FIRST_S
        self._told_at = now
        ill = changed[self._now[changed] != 0]
        well = changed[self._now[changed] == 0]
        if len(ill):
            log.warning("source %s: %s", self._source, self._listed(ill, self._reason))
        if len(well):
            log.info("source %s: good again: %s", self._source, self._listed(well, lambda _: ""))
        for at in well.tolist():
            self._why.pop(at, None)
        self._told[changed] = self._now[changed]

    def _reason(self, at: int) -> str:
        name = status_name(int(self._now[at]))
        return f" is {name} ({self._why[at]})" if at in self._why else f" is {name}"

    def _listed(self, points: np.ndarray, said: Callable[[int], str]) -> str:
        first = [f"{self._names[at]}{said(at)}" for at in points[:_MOST].tolist()]
        more = len(points) - len(first)
        return "; ".join(first) + (f"; and {more} more" if more else "")
