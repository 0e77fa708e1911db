"""What cannot be believed of what was heard: times ahead of now, numbers that are none."""

from dataclasses import replace

import numpy as np

from plant.flow.clock import FUTURE_MS, Clock
from plant.flow.status import StatusCode, is_bad, is_good
from plant.wire.host_event import Data


def believable(clock: Clock) -> int:
    """The latest time stamp that is believed, ms UTC."""
    return clock.now() + int(FUTURE_MS * max(1.0, clock.factor))


def doubted(event: Data, clock: Clock) -> Data:
    """The event with Good samples of more than 10 s ahead made Uncertain, NaN and infinity Bad.

    It is the listener's clock that counts: an edge whose own clock is ahead cannot know.
    """
    rows = event.samples
    if not len(rows):
        return event
    value, status = rows.value, rows.status
    none = ~np.isfinite(value)
    if none.any():
        value = np.where(none, np.nan, value)
        status = np.where(none & ~is_bad(status), np.uint32(StatusCode.BadNoData), status)
    latest = believable(clock)
    if int(rows.source_time.max()) > latest:
        ahead = (rows.source_time > latest) & is_good(status)
        status = np.where(ahead, np.uint32(StatusCode.Uncertain), status)
    if status is rows.status:
        return event
    return replace(event, samples=replace(rows, value=value, status=status))
