"""The state band: runs without gaps, clipped, unknown where nothing good is known."""

from types import SimpleNamespace

import numpy as np

from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.packml import PackML
from plant.model.signal import SignalKind
from twin.historian.embedded import Embedded
from twin.run import state_runs

IDS = ("state", "waiting", "mode")
EXECUTE, SUSPENDED = int(PackML.Execute), int(PackML.Suspended)


def a_reader(tmp_path, commits):
    """A historian of these commits: each a list of (id, time, value, status)."""
    config = Embedded(kind="embedded")
    writer = config.writer(tmp_path)
    writer.declare([Series(f"saw/{id}", SignalKind.STATE, hold_ms=1000) for id in IDS])
    for at, rows in enumerate(commits):
        columns = zip(*((IDS.index(id), t, v, s) for id, t, v, s in rows), strict=True)
        writer.write(Commit(SampleBatch.of(*columns)), 10_000 + at)
    return SimpleNamespace(reader=config.reader(tmp_path), writer=writer)


def band(reader, start, end, known_at=None):
    runs = state_runs(reader, "saw", start, end, known_at)
    assert [r.start for r in runs[1:]] == [r.end for r in runs[:-1]]
    assert (runs[0].start, runs[-1].end) == (start, end)
    return [(r.start, r.state, r.waiting, r.mode) for r in runs]


def test_runs_are_joined_clipped_and_unknown_where_nothing_is_known(tmp_path):
    bad = int(StatusCode.BadNoCommunication)
    rows = [
        *(("state", t, EXECUTE, 0) for t in (1000, 1800)),
        ("mode", 1000, 1, 0), ("mode", 2000, 1, 0),
        ("waiting", 1000, 0, 0), ("state", 2400, SUSPENDED, 0), ("waiting", 2400, 1, 0),
        ("waiting", 2600, 2, 0), ("state", 2800, np.nan, bad), ("state", 2900, 0, 0),
        ("state", 3000, EXECUTE, 0),
    ]  # fmt: skip
    store = a_reader(tmp_path, [rows])
    assert band(store.reader, 500, 5000) == [
        (500, None, 0, 0), (1000, EXECUTE, 0, 1), (2400, SUSPENDED, 1, 1), (2600, SUSPENDED, 2, 1),
        (2800, None, 0, 1), (2900, None, 0, 1), (3000, EXECUTE, 0, 0), (4000, None, 0, 0),
    ]  # fmt: skip
    assert band(store.reader, 1200, 1900) == [(1200, EXECUTE, 0, 1)]
    assert state_runs(store.reader, "saw", 10, 10) == []
    assert band(store.reader, 10, 20) == [(10, None, 0, 0)]
    store.reader.close()
    store.writer.close()


def test_a_correction_shows_in_what_was_known_later(tmp_path):
    first = [("state", 1000, EXECUTE, 0)]
    store = a_reader(tmp_path, [first, [("state", 1000, SUSPENDED, 0), ("waiting", 1000, 1, 0)]])
    assert band(store.reader, 1000, 1500) == [(1000, SUSPENDED, 1, 0)]
    assert band(store.reader, 1000, 1500, known_at=10_000) == [(1000, EXECUTE, 0, 0)]
    store.reader.close()
    store.writer.close()
