"""What strangers say that cannot be believed: times ahead of now, numbers that are none."""

from dataclasses import replace

import numpy as np

from plant.flow.clock import FUTURE_MS
from plant.flow.status import StatusCode, is_bad, is_good
from plant.wire.host_event import Data


def doubted(event: Data, now: int) -> Data:
    """The event with Good samples of more than 10 s ahead made Uncertain, NaN and infinity Bad.

    Rows of our own edges stay as they were accepted: the edge itself has judged them.
    """
    rows = event.samples
    if event.row is not None or not len(rows):
        return event
    value, status = rows.value, rows.status
    none = ~np.isfinite(value)
    if none.any():
        value = np.where(none, np.nan, value)
        status = np.where(none & ~is_bad(status), np.uint32(StatusCode.BadNoData), status)
    ahead = (rows.source_time > now + FUTURE_MS) & is_good(status)
    if ahead.any():
        status = np.where(ahead, np.uint32(StatusCode.Uncertain), status)
    if status is rows.status:
        return event
    return replace(event, samples=replace(rows, value=value, status=status))
