"""The runner with a source that does as it is told: schedule, silence, second try, counters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel

from edge.clock import EdgeClock
from edge.presence import Presence
from edge.push import Restatement
from edge.runner import Read, Runner
from edge.scaling import Scaling
from edge.source import Answer
from plant.errors import Unavailable
from plant.flow.clock import Clock, ManualClock, UtcClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.signal import Label, Reading, Signal, SignalKind
from tests.edge.loop_support import in_virtual_time

BAD = StatusCode.BadNoCommunication


def signal(path: str, source: str = "s") -> Signal:
    asset, _, id = path.partition("/")
    at = Reading(source, None)
    return Signal(path, asset, id, Label(id, id), SignalKind.MEASUREMENT, reading=at)


class Script:
    """A source that counts, and fails or dawdles on demand."""

    Point: ClassVar[type[BaseModel]] = BaseModel

    def __init__(self, poll_ms: int = 20) -> None:
        self.poll_ms = poll_ms
        self.opened = self.reads = 0
        self.began: list[float] = []
        self.refuse = False
        self.fail_reads: set[int] = set()
        self.take_s: Callable[[int], float] = lambda _: 0.0
        self.alive = True

    def check(self, points: Mapping[str, Any]) -> list[tuple[str, str]]:
        return []

    @asynccontextmanager
    async def open(
        self, points: Sequence[Any], clock: Clock, folder: Path
    ) -> AsyncIterator["Script"]:
        self.opened += 1
        if self.refuse:
            raise Unavailable("refused")
        yield self

    async def read(self) -> Answer:
        self.reads += 1
        self.began.append(asyncio.get_running_loop().time())
        number = self.reads
        await asyncio.sleep(self.take_s(number) or 0.0)
        if number in self.fail_reads or self.refuse:
            raise Unavailable("gone")
        return Answer(SampleBatch.of([0, 1], number, [1.0, 2.0]), alive=self.alive)


@asynccontextmanager
async def running(script: Script, folder: Path) -> AsyncIterator[Runner]:
    scaling = Scaling([signal("a/x"), signal("a/y")], [0, 1])
    clock = EdgeClock(UtcClock())
    runner = Runner("s", script, ["x", "y"], scaling, clock=clock, folder=folder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        yield runner
        task.cancel()


async def until(runner: Runner, wanted: Callable[[Read], bool]) -> Read:
    async with asyncio.timeout(10):
        while True:
            read = await runner.answers.get()
            if wanted(read):
                return read


@in_virtual_time
async def test_polls_do_not_drift(tmp_path: Path) -> None:
    script = Script(20)
    script.take_s = lambda number: 0.012 if number % 2 else 0.0
    async with running(script, tmp_path) as runner:
        await until(runner, lambda _: script.reads >= 30)
        assert runner.count.skipped == 0
    assert script.began == pytest.approx([0.02 * n for n in range(len(script.began))])


@in_virtual_time
async def test_turns_that_were_missed_are_counted_and_not_made_up(tmp_path: Path) -> None:
    script = Script(20)
    script.take_s = lambda number: 0.13 if number == 3 else 0.0
    async with running(script, tmp_path) as runner:
        await until(runner, lambda _: script.reads >= 8)
        assert runner.count.skipped == 6
    assert script.began[:5] == pytest.approx([0.0, 0.02, 0.04, 0.18, 0.2])


async def test_one_failed_read_is_mended_by_a_second_try(tmp_path: Path) -> None:
    script = Script()
    script.fail_reads = {3}
    async with running(script, tmp_path) as runner:
        seen = [await until(runner, lambda _: True) for _ in range(6)]
        assert all(read.good for read in seen)
        assert (runner.count.failed, runner.count.lost, script.opened) == (1, 0, 2)


async def test_a_second_failure_is_bad_once(tmp_path: Path) -> None:
    script = Script()
    script.fail_reads = {3, 4}
    async with running(script, tmp_path) as runner:
        lost = await until(runner, lambda read: not read.good)
        assert lost.batch.status.tolist() == [BAD, BAD]
        assert np.isnan(lost.batch.value).all()
        assert script.reads == 4
        back = await until(runner, lambda read: read.good)
        assert back.batch.value.tolist() == [1.0, 2.0]
        assert (runner.count.failed, runner.count.lost) == (2, 1)


@in_virtual_time
async def test_a_second_try_that_hangs_is_given_up_after_a_poll(tmp_path: Path) -> None:
    script = Script(50)
    script.fail_reads = {2}
    script.take_s = lambda number: 30.0 if number == 3 else 0.0
    async with running(script, tmp_path) as runner:
        await until(runner, lambda read: not read.good)
        assert script.began[1:3] == pytest.approx([0.05, 0.05])
        assert asyncio.get_running_loop().time() == pytest.approx(0.1)


async def test_a_session_that_mends_itself_is_lost_meanwhile(tmp_path: Path) -> None:
    script = Script(0)
    script.take_s = lambda _: 0.01
    async with running(script, tmp_path) as runner:
        await until(runner, lambda read: read.good)
        script.alive = False
        await until(runner, lambda read: not read.good)
        assert runner.lost
        script.alive = True
        back = await until(runner, lambda read: read.good)
        assert script.opened == 1
        assert set(back.batch.signal.tolist()) == {0, 1}


async def test_nobody_takes_the_answers(tmp_path: Path) -> None:
    script = Script(0)
    script.take_s = lambda _: 0.0
    async with running(script, tmp_path) as runner:
        async with asyncio.timeout(10):
            while runner.count.dropped < 100:
                await asyncio.sleep(0.001)
        assert len(runner.answers) == 64
        assert runner.count.dropped >= 2 * runner.answers.count.dropped > 0, "samples, not answers"


async def test_the_channel_closes_when_the_runner_ends(tmp_path: Path) -> None:
    async with running(Script(), tmp_path) as runner:
        await until(runner, lambda _: True)
    assert [read.good async for read in runner.answers] in ([], [True], [True, True])


# ----------------------------------------------------------------------------------------- pushed


NOW = 1_795_000_000_000


def test_silence_of_a_living_peer_states_the_value_again() -> None:
    clock = [0.0]
    push = Restatement(2, monotonic=lambda: clock[0])
    push.opened()
    push.add(SampleBatch.of([0, 1], [1_000, 500], [7.0, 8.0]), 1_000)
    push.add(SampleBatch.of([0], [2_000], [7.5]), 2_300)  # the peer's clock is 0.3 s behind
    stated = {}
    for second in range(1, 6):
        clock[0] = float(second)
        stated[second] = push.add(SampleBatch.empty(), 2_300 + 1_000 * second)
    assert [s for s, batch in stated.items() if len(batch)] == [1, 2, 3, 4, 5]
    assert stated[5].signal.tolist() == [0, 1]
    assert stated[5].source_time.tolist() == [7_000, 7_000]
    assert stated[5].value.tolist() == [7.5, 8.0]


def test_after_a_stall_what_waits_comes_before_what_is_stated_again() -> None:
    clock = [0.0]
    push = Restatement(1, monotonic=lambda: clock[0])
    push.opened()
    push.add(SampleBatch.of([0], [1_000], [7.0]), 1_000)
    push.add(SampleBatch.of([0], [2_000], [7.5]), 2_000)
    clock[0] = 10.0  # nobody asked for ten seconds
    changed = push.add(SampleBatch.of([0], [3_000], [8.0]), 12_000)
    assert (changed.source_time.tolist(), changed.value.tolist()) == ([3_000], [8.0])
    clock[0] = 11.0
    assert push.add(SampleBatch.of([0], [12_000], [9.0]), 13_000).value.tolist() == [9.0]
    stated = []
    for second in (12, 13):
        clock[0] = float(second)
        stated.append(push.add(SampleBatch.empty(), 2_000 + 1_000 * second))
    assert [s.value.tolist() for s in stated] == [[], [9.0]]


def test_a_recording_is_never_stated_again() -> None:
    clock = [0.0]
    push = Restatement(1, monotonic=lambda: clock[0])
    push.opened()
    push.add(SampleBatch.of([0], [1_000], [7.0]), 900_000)
    push.add(SampleBatch.of([0], [2_000], [7.5]), 901_000)
    clock[0] = 60.0
    assert not len(push.add(SampleBatch.empty(), 960_000))


def test_what_was_not_told_again_after_a_mended_connection() -> None:
    clock = [0.0]
    push = Restatement(2, monotonic=lambda: clock[0])
    push.opened()
    push.add(SampleBatch.of([0, 1], [1_000, 1_000], [7.0, 8.0]), 1_000)
    push.lose(5_000)
    clock[0] = 10.0
    queued = push.add(SampleBatch.of([0], [5_500], [7.5]), 10_000)
    assert queued.source_time.tolist() == [5_500]  # what the server had kept for us
    clock[0] = 13.0
    again = push.add(SampleBatch.empty(), 13_000)
    assert 1 in again.signal.tolist()
    assert again.value[again.signal == 1].tolist() == [8.0]


def _pushed(points: int = 1) -> tuple[Restatement, list[float]]:
    clock = [0.0]
    push = Restatement(points, monotonic=lambda: clock[0])
    push.opened()
    return push, clock


def test_a_quiet_source_is_stated_again_though_none_of_its_nodes_changes() -> None:
    push, clock = _pushed(2)
    push.add(SampleBatch.of([0, 1], [NOW - 3_600_000, NOW], [12.5, 1.0]), NOW)
    clock[0] = 2.0
    again = push.add(SampleBatch.empty(), NOW + 2_000)
    assert again.value.tolist() == [12.5, 1.0]
    assert again.source_time.tolist() == [NOW + 2_000] * 2


def test_what_the_peer_does_not_vouch_for_is_not_stated() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.of([0], [NOW], [12.5]), NOW, NOW)
    clock[0] = 2.0
    assert not len(push.add(SampleBatch.empty(), NOW + 2_000, None))
    clock[0] = 3.0  # its last sign of life, not now
    assert push.add(SampleBatch.empty(), NOW + 3_000, NOW + 1_500).source_time == NOW + 1_500


def test_nothing_of_an_earlier_session_is_stated() -> None:
    push, clock = _pushed(2)
    push.add(SampleBatch.of([0, 1], [NOW, NOW], [10.0, 11.0]), NOW)
    push.texts([Text(1, NOW, "O1234")])
    push.lose(NOW + 1_000)
    push.opened()
    push.add(SampleBatch.of([1], [NOW], [11.0]), NOW + 2_000)  # the node of point 0 is gone
    for second in range(2, 10):
        clock[0] = float(second)
        again = push.add(SampleBatch.empty(), NOW + 1_000 * second)
        assert 0 not in again.signal.tolist()
        assert push.texts(()) == []


def test_what_was_queued_over_a_short_loss_is_not_taken_for_current() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.of([0], [NOW], [1.0]), NOW)
    push.lose(NOW + 5_000)
    clock[0] = 6.0
    queued = push.add(SampleBatch.of([0], [NOW + 4_000], [2.0]), NOW + 12_000, None)
    assert queued.source_time.tolist() == [NOW + 4_000]  # more follows
    clock[0] = 6.5
    assert push.add(SampleBatch.of([0], [NOW + 11_000], [3.0]), NOW + 12_500).value == [3.0]


def test_what_was_heard_before_a_loss_is_not_stated_after_it() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.empty(), NOW, NOW)
    push.lose(NOW + 5_000)
    clock[0] = 6.0
    first = push.add(SampleBatch.of([0], [NOW], [1.0]), NOW + 6_000, NOW + 2_000)
    assert first.source_time.tolist() == [NOW]
    clock[0] = 8.5
    back = push.add(SampleBatch.empty(), NOW + 8_500, NOW + 8_400)
    assert (back.source_time.tolist(), back.value.tolist()) == ([NOW + 8_400], [1.0])


def test_a_quiet_value_told_from_the_queue_is_good_again_after_the_loss() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.of([0], [NOW], [1.0]), NOW)
    push.lose(NOW + 5_000)
    clock[0] = 6.0
    push.add(SampleBatch.of([0], [NOW + 4_000], [2.0]), NOW + 12_000)
    clock[0] = 8.5
    again = push.add(SampleBatch.empty(), NOW + 14_500, NOW + 14_000)
    assert (again.source_time.tolist(), again.value.tolist()) == ([NOW + 14_000], [2.0])


def test_a_dead_clock_does_not_turn_good_when_stated_again() -> None:
    push, clock = _pushed(2)
    scaling = Scaling([signal("a/x"), signal("a/y")], [0, 1])
    ahead = NOW + 3_600_000
    push.add(SampleBatch.of([0, 1], [0, ahead], [1.0, 2.0]), NOW)
    clock[0] = 2.0
    again = push.add(SampleBatch.empty(), NOW + 2_000)
    out = scaling.apply(again, ManualClock(NOW + 2_000))
    assert out.source_time.tolist() == [NOW + 2_000] * 2
    assert out.status.tolist() == [StatusCode.Uncertain] * 2


def test_what_is_stated_by_a_clock_that_is_not_trusted_is_uncertain() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.of([0], [NOW], [1.0]), NOW, NOW, trusted=False)
    clock[0] = 2.0
    again = push.add(SampleBatch.empty(), NOW + 2_000, NOW + 2_000, trusted=False)
    assert again.status.tolist() == [StatusCode.Uncertain]
    clock[0] = 4.0
    assert push.add(SampleBatch.empty(), NOW + 4_000).status.tolist() == [0]


def test_a_clock_hours_behind_that_runs_is_followed() -> None:
    push, clock = _pushed()
    behind = 3 * 3_600_000
    for second in range(21):
        clock[0] = float(second)
        at = NOW + 1_000 * second
        push.add(SampleBatch.of([0], [at - behind], [float(second)]), at)
    clock[0] = 22.0
    again = push.add(SampleBatch.empty(), NOW + 22_000)
    assert again.source_time.tolist() == [NOW + 22_000 - behind]
    assert again.value.tolist() == [20.0]


def test_a_string_is_vouched_for_and_comes_back_after_a_loss() -> None:
    push, clock = _pushed()
    push.add(SampleBatch.empty(), NOW)
    push.texts([Text(0, NOW, "O1234")])
    clock[0] = 2.0
    push.add(SampleBatch.empty(), NOW + 2_000)
    assert [t.time for t in push.texts(())] == [NOW + 2_000]
    push.lose(NOW + 3_000)
    clock[0] = 4.0
    push.add(SampleBatch.empty(), NOW + 4_000)
    push.texts(())
    clock[0] = 7.0
    push.add(SampleBatch.empty(), NOW + 7_000)
    assert [(t.text, t.time) for t in push.texts(())] == [("O1234", NOW + 7_000)]


# --------------------------------------------------------------------------------------- presence


def test_an_asset_is_lost_when_no_source_reaches_it() -> None:
    told: list[str] = []
    signals = [signal("a/x", "s"), signal("a/y", "t"), signal("b/x", "t")]
    presence = Presence(signals, lambda a: told.append(f"-{a}"), lambda a: told.append(f"+{a}"))
    s = SampleBatch.of([0], [1], [1.0])
    t = SampleBatch.of([1, 2], [1, 1], [1.0, 1.0])

    def see(source: str, batch: SampleBatch, good: bool = True) -> list[str]:
        usable = presence.see(source, batch, good=good)
        presence.settle()
        return usable

    assert see("s", s) == ["a"]
    assert see("t", t) == ["a", "b"]
    assert see("t", t, good=False) == []
    assert told == ["-b"]
    see("s", s, good=False)
    assert told == ["-b", "-a"]
    see("t", t)
    assert told == ["-b", "-a", "+a", "+b"]
    half = SampleBatch.of([1, 2], [1, 1], [np.nan, 1.0], [BAD, 0])
    assert see("t", half) == ["b"]  # one meter of the line is silent, and s does not reach a
    assert told[4:] == ["-a"]


# ------------------------------------------------------------------------------------------ clock


def test_a_clock_behind_the_newest_trusted_time_goes_on_from_there() -> None:
    system, real = ManualClock(1_000), [0.0]
    clock = EdgeClock(system, monotonic=lambda: real[0])
    assert clock.trusted
    clock.not_before(1_000_000)
    assert not clock.trusted
    first = clock.now()
    real[0] += 2.5
    assert first > 1_000_000
    assert clock.now() == first + 2_500
    system.advance(5_000_000)  # the time server was heard
    assert clock.trusted
    assert clock.now() == 5_001_000


def test_a_small_step_back_is_no_fault() -> None:
    clock = EdgeClock(ManualClock(997_000))
    clock.not_before(1_000_000)
    assert clock.trusted


@pytest.mark.parametrize("stagger", [0.0, 0.25, 0.99])
@in_virtual_time
async def test_sources_start_one_after_the_other(stagger: float, tmp_path: Path) -> None:
    script = Script(200)
    scaling = Scaling([signal("a/x"), signal("a/y")], [0, 1])
    runner = Runner(
        "s",
        script,
        ["x", "y"],
        scaling,
        clock=EdgeClock(UtcClock()),
        folder=tmp_path,
        stagger=stagger,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await until(runner, lambda _: True)
        task.cancel()
    assert script.began[0] == pytest.approx(0.2 * stagger)


def test_a_point_that_says_nothing_keeps_no_other_from_being_stated_again() -> None:
    push, clock = _pushed(2)
    push.lose(NOW - 60_000)
    push.add(SampleBatch.of([0], [NOW], [12.5]), NOW)
    stated = []
    for second in range(1, 5):
        clock[0] = float(second)
        stated += push.add(SampleBatch.empty(), NOW + 1_000 * second).signal.tolist()
    assert stated == [0] * 4


@in_virtual_time
async def test_what_holds_since_before_the_start_is_stated_at_the_start(tmp_path: Path) -> None:
    """The row of its own old time says nothing of now; nobody waits for max_interval."""

    class Pushing(Script):
        async def read(self) -> Answer:
            self.reads += 1
            if self.reads > 1:
                await asyncio.sleep(1.0)
                return Answer(SampleBatch.empty())
            began = UtcClock().now() - 600_000
            return Answer(SampleBatch.of([0, 1], began, [1.0, 2.0]))

    async with running(Pushing(poll_ms=0), tmp_path) as runner:
        read = await until(runner, lambda r: len(r.batch) > 0)
        old, now = read.batch.source_time[:2], read.batch.source_time[2:]
        assert read.batch.value.tolist() == [1.0, 2.0, 1.0, 2.0]
        assert (now - old > 590_000).all()
