"""Health over a restart: the baseline is kept, the window is filled from what is stored."""

import numpy as np

from analytics.health import LEARN, WINDOW, Health
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import Asset
from plant.model.signal import Label

LATHE = Asset("m", "lathe", Label("车床", "Lathe"), "machine", "edge1", None, ())
SECOND = 1000


def _readings(first_s: int, count: int) -> SampleBatch:
    """A second apart: vibration 1 mm/s or a little more, 10 A, working."""
    times = (np.arange(first_s, first_s + count) + 1) * SECOND
    noise = np.random.default_rng(first_s).normal(1.0, 0.03, count)
    columns = [noise, np.full(count, 10.0), np.full(count, 2.0)]
    batch = SampleBatch.of(np.repeat([0, 1, 2], count), np.tile(times, 3), np.concatenate(columns))
    return batch.take(np.argsort(batch.source_time, kind="stable"))


def test_the_index_is_known_at_once_after_a_restart() -> None:
    count = LEARN + 2 * WINDOW
    first = Health(LATHE)
    first.update(_readings(0, count), count * SECOND)
    first.update(_readings(count, WINDOW), (count + WINDOW) * SECOND)
    stood = first.update(_readings(count + WINDOW, 5), (count + WINDOW + 5) * SECOND)
    assert stood.status[0] == StatusCode.Good

    until = count + WINDOW + 5
    cold, warm = Health(LATHE), Health(LATHE)
    for one in (cold, warm):
        one.restore(first.saved())
    warm.warm(_readings(until - WINDOW, WINDOW), until * SECOND)
    rows, now = _readings(until, 5), (until + 5) * SECOND
    assert cold.update(rows, now).status[0] == StatusCode.BadWaitingForInitialData
    found = warm.update(rows, now)
    assert found.status[0] == StatusCode.Good
    assert abs(found.value[0] - stood.value[0]) < 5.0
    assert not warm.events()
