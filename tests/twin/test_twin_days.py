"""Rows of endlessly many days: each day is a file of the historian."""

import numpy as np

from plant.flow.sample import SampleBatch
from plant.wire.host_event import Data
from plant.wire.message import Row
from plant.wire.topic import NodeId
from twin import days
from twin.days import Days

DAY = 86_400_000
NOW = 20_000 * DAY
EDGE, STRANGER = NodeId("g", "edge1"), NodeId("far", "n")


def house(clock: list[float]) -> Days:
    return Days(lambda node: node.group == "g", lambda: NOW, lambda: clock[0])


def rows(node: NodeId, *of: int) -> Data:
    times = [NOW + day * DAY for day in of]
    batch = SampleBatch.of([0] * len(of), times, np.arange(len(of), dtype=float))
    row = Row("r", 1) if node == EDGE else None
    return Data(node, None, batch, (), row, True, True)


def test_rows_of_endlessly_many_days_are_left_out_under_one_gap_record() -> None:
    clock = [0.0]
    taken = house(clock)
    gaps, kept = [], 0
    for start in range(2, 20_000, 500):
        event, gap = taken.take(rows(STRANGER, *range(start, start + 500)))
        gaps += [gap] if gap else []
        kept += len(event.samples)
    assert kept == days.STRANGE_DAYS
    assert [(g.edge, g.samples, g.reason) for g in gaps] == [("far/n", -1, days.REASON)]
    assert len(taken.take(rows(STRANGER, -1, 0, 1, 9000))[0].samples) == 3, "today is always taken"
    assert len(taken.take(rows(STRANGER, 2, 401))[0].samples) == 2, "and a day that it has"
    event, gap = taken.take(rows(EDGE, *range(-999, 1)))
    assert (len(event.samples), gap) == (1000, None), "ours have days of their own"
    event, gap = taken.take(rows(EDGE, *range(2, 50)))
    assert gap is not None
    assert event.row == Row("r", 1), "what is left out of a row is acknowledged: a record stays"
    clock[0] = days.FORGET_S
    assert len(taken.take(rows(STRANGER, 5000))[0].samples) == 1


def test_rows_of_now_pass_as_they_are() -> None:
    event = rows(EDGE, 0, 0, -1, 1)
    taken, gap = house([0.0]).take(event)
    assert taken is event
    assert gap is None
