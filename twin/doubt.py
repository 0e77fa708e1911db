"""Times of strangers that cannot be believed: nothing was true later than now."""

from dataclasses import replace

import numpy as np

from plant.flow.clock import FUTURE_MS
from plant.flow.status import StatusCode, is_good
from plant.wire.host_event import Data


def doubted(event: Data, now: int) -> Data:
    """The event with Good samples of more than 10 s ahead made Uncertain.

    Rows of our own edges stay as they were accepted: the edge itself has judged them.
    """
    rows = event.samples
    if event.row is not None or not len(rows) or rows.source_time.max() <= now + FUTURE_MS:
        return event
    ahead = (rows.source_time > now + FUTURE_MS) & is_good(rows.status)
    status = np.where(ahead, np.uint32(StatusCode.Uncertain), rows.status)
    return replace(event, samples=replace(rows, status=status))
