"""On how many days the rows of a node may lie: each day has files of its own in the historian.

Who dates every row on another day, by mistake or on purpose, would fill the disk with files.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from plant.flow.sample import Gap
from plant.wire.host_event import Data
from plant.wire.topic import NodeId

DAYS = 1000
"""So many days of a node of ours: what waits in its outbox is not older than that."""
STRANGE_DAYS = 400
"""The same of all strangers together."""
FORGET_S = 86_400.0
REASON = "rows of so many days are not taken from one node"
_DAY_MS = 86_400_000


class Days:
    """Lets rows pass whose days a node may have; today, yesterday and tomorrow are free.

    ours  whether a node stands in plant.yaml
    now   the plant's time, ms UTC
    """

    def __init__(
        self,
        ours: Callable[[NodeId], bool],
        now: Callable[[], int],
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ours = ours
        self._now = now
        self._mono_s = mono_s
        self._days: dict[NodeId | None, set[int]] = {}
        self._told: set[NodeId | None] = set()
        self._forget_at = mono_s() + FORGET_S

    def take(self, event: Data) -> tuple[Data, Gap | None]:
        """The event with the rows that are taken; once a day of each node a record of the others.

        Strangers have one record together.
        """
        times = event.samples.source_time
        if not len(times):
            return event, None
        today = self._now() // _DAY_MS
        first, last = int(times.min()) // _DAY_MS, int(times.max()) // _DAY_MS
        if today - 1 <= first and last <= today + 1:
            return event, None
        if self._mono_s() >= self._forget_at:
            self._days.clear()
            self._told.clear()
            self._forget_at = self._mono_s() + FORGET_S
        who = event.node if self._ours(event.node) else None
        known = self._days.setdefault(who, set())
        if first == last and first in known:
            return event, None
        return self._some(event, who, today)

    def _some(self, event: Data, who: NodeId | None, today: int) -> tuple[Data, Gap | None]:
        known, most = self._days[who], DAYS if who is not None else STRANGE_DAYS
        of = event.samples.source_time // _DAY_MS
        for day in np.unique(of).tolist():
            if len(known) < most:
                known.add(day)
        free = (today - 1 <= of) & (of <= today + 1)
        kept = free | np.isin(of, np.fromiter(known, np.int64, len(known)))
        if kept.all():
            return event, None
        gap = None
        if who not in self._told:
            self._told.add(who)
            gap = Gap(str(event.node), 0, 0, -1, REASON)
        return replace(event, samples=event.samples.take(kept)), gap
