"""A source whose session breaks: it alone is lost, told once, counted and begun anew."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from edge.acquisition import Acquisition
from edge.clock import EdgeClock
from edge.pace import Pace
from edge.quality import QualityLog
from edge.runner import Read, Runner
from edge.scaling import Scaling
from edge.source import Answer
from plant.flow.clock import Clock, UtcClock
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.model.signal import Label, Reading, Signal, SignalKind
from tests.edge.loop_support import in_virtual_time


class Breaking:
    """A source that answers what it is told to; an error is raised."""

    Point: ClassVar[type[BaseModel]] = BaseModel

    def __init__(self, answer: Callable[[], Answer], poll_ms: int = 20) -> None:
        self.answer = answer
        self.poll_ms = poll_ms
        self.opened = 0

    def check(self, points: Mapping[str, Any]) -> list[tuple[str, str]]:
        return []

    @asynccontextmanager
    async def open(
        self, points: Sequence[Any], clock: Clock, folder: Path
    ) -> AsyncIterator["Breaking"]:
        self.opened += 1
        yield self

    async def read(self) -> Answer:
        await asyncio.sleep(0)
        return self.answer()


def good() -> Answer:
    return Answer(SampleBatch.of([0, 1], 1_700_000_000_000, [1.0, 2.0]))


async def grouped() -> Answer:
    async with asyncio.TaskGroup() as group:
        group.create_task(_short())
    raise AssertionError


async def _short() -> None:
    bytes(1)[5]


def runner_of(source: Breaking, folder: Path) -> Runner:
    signals = [
        Signal(
            f"a/{n}",
            "a",
            n,
            Label(n, n),
            SignalKind.MEASUREMENT,
            reading=Reading("s", None),
        )
        for n in ("x", "y")
    ]
    return Runner(
        "s",
        source,
        ["x", "y"],
        Scaling(signals, [0, 1]),
        clock=EdgeClock(UtcClock()),
        folder=folder,
        names=["a/x at 1", "a/y at 2"],
    )


async def until(runner: Runner, wanted: Callable[[Read], bool]) -> Read:
    async with asyncio.timeout(30):
        while True:
            read = await runner.answers.get()
            if wanted(read):
                return read


@in_virtual_time
async def test_an_error_nobody_expected_is_the_loss_of_that_source(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Breaking(lambda: good() if broken.opened == 4 else _raise(IndexError("8 bytes")))
    sound = Breaking(good)
    async with asyncio.TaskGroup() as group:
        runners = [runner_of(source, tmp_path) for source in (broken, sound)]
        tasks = [group.create_task(r.run()) for r in runners]
        lost = await until(runners[0], lambda read: not read.good)
        assert lost.batch.status.tolist() == [StatusCode.BadNoCommunication] * 2
        await until(runners[0], lambda read: read.good)
        began = asyncio.get_running_loop().time()
        assert (runners[0].count.unexpected, runners[0].count.lost) == (3, 1)
        assert began > 1.0, "the pauses grow"
        assert (runners[1].count.failed, runners[1].count.skipped) == (0, 0)
        for task in tasks:
            task.cancel()
    told = [r for r in caplog.records if r.exc_info]
    assert len(told) == 1, "once with its traceback"
    assert "source s" in told[0].message


@in_virtual_time
async def test_an_error_in_a_task_group_of_a_session_is_no_stop(tmp_path: Path) -> None:
    source = Breaking(good)
    real = source.read

    async def read() -> Answer:
        return await (grouped() if source.opened == 1 else real())

    source.read = read  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        runner = runner_of(source, tmp_path)
        task = group.create_task(runner.run())
        for _ in range(5):
            await until(runner, lambda read: read.good)
        assert runner.count.unexpected == 1
        task.cancel()


def _raise(error: Exception) -> Answer:
    raise error


@pytest.mark.parametrize(
    "answer",
    [
        Answer(SampleBatch.of([0], 1, [1.0])),
        Answer(SampleBatch.of([0, 1, 1], 1, [1.0, 2.0, 3.0])),
        Answer(SampleBatch.of([0, 2], 1, [1.0, 2.0])),
        Answer(SampleBatch.of([-1, 0], 1, [1.0, 2.0])),
    ],
    ids=["one is missing", "one twice", "past the end", "before the beginning"],
)
@in_virtual_time
async def test_an_answer_that_does_not_fit_its_points_is_not_taken(
    answer: Answer, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        runner = runner_of(Breaking(lambda: answer), tmp_path)
        task = group.create_task(runner.run())
        await until(runner, lambda read: not read.good)
        assert runner.count.polls == 0
        task.cancel()


# --------------------------------------------------------------------------- what is told of points


def test_bad_points_are_told_by_name_and_reason_when_they_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    log = QualityLog("io", [f"a/s{i} at input:{i}" for i in range(40)], monotonic=lambda: now[0])

    def see(bad: dict[int, str]) -> str:
        caplog.clear()
        batch = SampleBatch.of(range(40), 1, 1.0)
        status = batch.status.copy()
        status[list(bad)] = StatusCode.BadConfigurationError
        log.see(batch.signal, status, bad)
        return " | ".join(r.message for r in caplog.records)

    assert see({}) == ""
    told = see({3: "exception 2", 4: "exception 2"})
    assert told.startswith("source io: a/s3 at input:3 is BadConfigurationError (exception 2); ")
    assert see({3: "exception 2", 4: "exception 2"}) == "", "not again"
    assert see({}) == "", "not at once"
    now[0] = 60.0
    assert see({4: "exception 2"}) == "source io: good again: a/s3 at input:3"
    now[0] = 120.0
    assert see(dict.fromkeys(range(40), "exception 2")).endswith("; and 27 more")
    lines = 0
    for second in range(121, 3721):  # a point that comes and goes every second
        now[0] = float(second)
        lines += bool(see({0: "x"} if second % 2 else {}))
    assert lines < 30


@in_virtual_time
async def test_a_poll_that_never_meets_its_interval_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    pace = Pace("io", 100)
    pace.begin()
    for take_s in [0.25, 0.0] * 10 + [0.25] * 30 + [0.01] * 30:
        await asyncio.sleep(take_s)
        await pace.turn()
    told = [r.message for r in caplog.records]
    assert told == [
        (
            "source io: a poll takes up to 250 ms, poll_ms is 100, so turns are left out; "
            "raise poll_ms or read less"
        ),
        "source io: polls meet their 100 ms again",
    ]


# ------------------------------------------------------------------------------- behind the runner


async def test_an_answer_that_breaks_conditioning_is_lost_and_counted_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Uplink:
        dropped_before_accept = 0

    acquisition = Acquisition.__new__(Acquisition)
    acquisition._uplink = Uplink()  # type: ignore[assignment]
    taken: list[float] = []

    def take(source: str, read: Read, pace_s: float) -> None:
        if not taken:
            taken.append(-1.0)
            raise KeyError("no such lamp")
        taken.append(float(read.batch.value[0]))

    monkeypatch.setattr(acquisition, "take", take)
    runner = runner_of(Breaking(good), tmp_path)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(acquisition.deliver(runner)), group.create_task(runner.run())]
        async with asyncio.timeout(30):
            while len(taken) < 4:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
    assert taken[:4] == [-1.0, 1.0, 1.0, 1.0]
    assert acquisition._uplink.dropped_before_accept == 2
    assert sum(bool(r.exc_info) for r in caplog.records) == 1
