"""The runs of a state signal, for drawing it as a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.port import HistorianReader
from plant.flow.sample import SampleBatch
from plant.flow.status import is_bad
from twin.historian.trend import step_changes


@dataclass(frozen=True, slots=True)
class StateRun:
    """A time in one state; ``state`` None where nothing good is known. ms UTC, half-open."""

    start: int
    end: int
    state: int | None
    status: int


def read_states(
    reader: HistorianReader, path: str, start: int, end: int, known_at: int | None = None
) -> Sequence[StateRun]:
    """The runs of a state that touch the range, the first and last clipped to it.

    A state that began before the range is there from its start, the last one lasts to its end.
    """
    rows = SampleBatch.concat(
        [reader.as_of([path], start - 1, known_at), reader.read([path], start, end, known_at)]
    )
    rows = step_changes(rows)
    if not len(rows):
        return []
    begins = np.maximum(rows.source_time, start)
    ends = np.r_[rows.source_time[1:], end]
    unknown = is_bad(rows.status) | np.isnan(rows.value)
    return [
        StateRun(int(b), int(e), None if u else int(v), int(s))
        for b, e, v, s, u in zip(begins, ends, rows.value, rows.status, unknown, strict=True)
        if e > b
    ]
