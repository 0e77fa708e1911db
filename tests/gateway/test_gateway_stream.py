"""The stream: encoded once a view, latest only for who does not read."""

import json

import numpy as np

from gateway.stream import Stream, Viewer
from plant.flow.clock import ManualClock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch


def _stream() -> tuple[Stream, LiveTable]:
    live = LiveTable(SignalTable([f"a/s{i}" for i in range(10)]))
    return Stream(live, ManualClock(5_000), lambda: [{"edge": "e", "state": "up"}], lambda: 0), live


async def _drain(viewer: Viewer, stream: Stream, view: object, count: int) -> list[dict]:
    got = []
    for _ in range(count):
        got.append(json.loads(await viewer.next(lambda: stream.snapshot(view))))  # type: ignore[arg-type]
    return got


async def test_a_viewer_gets_a_snapshot_links_and_then_only_what_changed() -> None:
    stream, live = _stream()
    live.update(SampleBatch.of([3], [1000], [7.0]))
    viewer = Viewer()
    view = stream.join(viewer, ["a/s3", "a/s4"], 10)
    snapshot, links = await _drain(viewer, stream, view, 2)
    live.update(SampleBatch.of([4, 5], [2000, 2000], [1.5, np.nan]))
    stream.tick(0.0)
    (frame,) = await _drain(viewer, stream, view, 1)
    assert (snapshot["type"], snapshot["paths"]) == ("snapshot", ["a/s3", "a/s4"])
    assert snapshot["value"] == [7.0, None], "never seen is null, not zero"
    assert links["links"][0]["state"] == "up"
    assert (frame["i"], frame["value"], frame["source_time"]) == ([1], [1.5], [2000])


async def test_two_viewers_of_one_view_share_one_encoding() -> None:
    stream, live = _stream()
    first, second, other = Viewer(), Viewer(), Viewer()
    view = stream.join(first, ["a/s1"], 10)
    assert stream.join(second, ["a/s1"], 10) is view
    stream.join(other, ["a/s2"], 10)
    live.update(SampleBatch.of([1], [1], [1.0]))
    stream.tick(0.0)
    assert stream.frames == 1
    stream.leave(first, view)
    stream.leave(second, view)
    assert stream.viewers == 1


async def test_a_slow_viewer_misses_frames_and_gets_one_snapshot_of_now() -> None:
    stream, live = _stream()
    slow, quick = Viewer(), Viewer()
    view = stream.join(slow, ["a/s1"], 10)
    stream.join(quick, ["a/s1"], 10)
    await _drain(quick, stream, view, 2)
    for i in range(50):
        live.update(SampleBatch.of([1], [i], [float(i)]))
        stream.tick(float(i))
        (frame,) = await _drain(quick, stream, view, 1)
        assert frame["value"] == [float(i)]
    assert slow.dropped == 50
    messages = await _drain(slow, stream, view, 3)
    assert messages[-1]["type"] == "snapshot"
    assert messages[-1]["value"] == [49.0]
    live.update(SampleBatch.of([1], [99], [99.0]))
    stream.tick(99.0)
    (frame,) = await _drain(slow, stream, view, 1)
    assert (frame["type"], frame["value"]) == ("frame", [99.0])


async def test_the_rate_of_a_view_is_kept() -> None:
    stream, live = _stream()
    viewer = Viewer()
    stream.join(viewer, ["a/s1"], 2)
    for tenth in range(20):
        live.update(SampleBatch.of([1], [tenth], [float(tenth)]))
        stream.tick(tenth / 10)
    assert stream.frames == 4
