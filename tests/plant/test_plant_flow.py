"""Channels, supervisor, clocks, live table: what every process is built from."""

import asyncio
import logging
import time

import numpy as np
import pytest

from plant.errors import ConfigError, DecodeError, Unavailable
from plant.flow.channel import Channel, Closed, WhenFull
from plant.flow.clock import ManualClock, PlantClock, UtcClock, plant_clock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.resolver import Kinds
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.flow.supervisor import Fault, Supervisor, Transition, Unexpected


async def test_a_full_channel_blocks_or_drops_the_oldest_and_counts() -> None:
    dropping: Channel[int] = Channel(2, WhenFull.DROP_OLDEST)
    for i in range(5):
        await dropping.put(i)
    assert dropping.drain() == [3, 4]
    assert (dropping.count.accepted, dropping.count.dropped) == (5, 3)
    assert dropping.count.high_water == 2
    blocking: Channel[int] = Channel(1, WhenFull.BLOCK)
    await blocking.put(1)
    waiting = asyncio.create_task(blocking.put(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await blocking.get() == 1
    await waiting
    assert await blocking.get() == 2


async def test_closing_travels_downstream_after_what_was_accepted() -> None:
    channel: Channel[int] = Channel(8, WhenFull.BLOCK)
    got: list[int] = []

    async def consume() -> None:
        async for item in channel:
            got.append(item)

    async with Supervisor() as supervisor:

        async def produce() -> None:
            try:
                for i in range(3):
                    await channel.put(i)
                await asyncio.Event().wait()
            finally:
                channel.close()

        supervisor.source("produce", produce)
        supervisor.start("consume", consume)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        supervisor.stop()
    assert got == [0, 1, 2]
    with pytest.raises(Closed):
        await channel.put(9)


async def test_what_is_unavailable_is_tried_again_and_told_once_each_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    tries = 0

    async def flaky() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("nobody there")
        await asyncio.Event().wait()

    async with Supervisor(settled_s=0.01) as supervisor:
        supervisor.source("peer", flaky)
        async with asyncio.timeout(10):
            while not any("back after" in r.message for r in caplog.records):
                await asyncio.sleep(0.01)
        supervisor.stop()
    assert tries == 3
    lost = [r.message for r in caplog.records if "lost" in r.message]
    assert lost == ["peer: lost: nobody there"], "one line a transition"


async def test_who_does_not_stop_is_named_and_cancelled() -> None:
    async with Supervisor(deadline_s=0.05) as supervisor:
        supervisor.start("stubborn", asyncio.Event().wait)  # type: ignore[arg-type]
        supervisor.stop()
    assert supervisor.stragglers == ["stubborn"]


async def test_a_bug_ends_the_process_and_is_not_retried() -> None:
    async def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with Supervisor() as supervisor:
            supervisor.source("wrong", wrong)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_bug_in_a_contained_task_is_told_once_and_the_task_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = 0

    async def group() -> None:
        nonlocal tries
        tries += 1
        async with asyncio.TaskGroup() as inner:
            inner.create_task(_divide(tries - 3))
            inner.create_task(asyncio.Event().wait())

    async with Supervisor() as supervisor:
        supervisor.source("wrong", group, contained=True)
        async with asyncio.timeout(20):
            while tries < 3:
                await asyncio.sleep(0.01)
        supervisor.stop()
    told = [r for r in caplog.records if r.exc_info]
    assert len(told) == 1, "the same error a second time is counted only"
    assert "wrong: an error nobody expected" in told[0].message
    assert sum("wrong: lost" in r.message for r in caplog.records) == 1


async def _divide(by: int) -> None:
    if by:
        raise ZeroDivisionError(by)
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        asyncio.CancelledError(),
        MemoryError(),
        ConfigError("no library"),
        ExceptionGroup("two", [Unavailable("gone"), ExceptionGroup("in", [MemoryError()])]),
        ExceptionGroup("two", [ValueError("odd"), ConfigError("no library")]),
    ],
    ids=["keyboard", "exit", "cancel", "memory", "config", "memory in a group", "config in one"],
)
def test_what_ends_a_process_passes_the_supervised_unit(error: BaseException) -> None:
    unexpected = Unexpected("unit")
    ending = (KeyboardInterrupt, SystemExit, asyncio.CancelledError, MemoryError, ConfigError)
    with pytest.raises(ending), unexpected.caught():
        raise error
    assert unexpected.count == 0


def test_a_peer_that_is_away_is_no_bug_also_out_of_a_group() -> None:
    unexpected = Unexpected("unit")
    with pytest.raises(Unavailable, match="gone") as caught, unexpected.caught():
        raise ExceptionGroup("one", [Unavailable("gone")])
    assert not isinstance(caught.value, Fault)
    with pytest.raises(Unavailable, match="nonsense"), unexpected.caught():
        raise DecodeError("nonsense")
    assert unexpected.count == 0


def test_the_utc_clock_follows_a_step_and_no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, mono = [1_000_000_000_000_000_000], [5_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: mono[0])
    clock = UtcClock()
    start = clock.now()
    mono[0] += 1_000_000_000
    wall[0] += 1_200_000_000  # NTP slews: our map keeps its pace
    assert clock.now() - start == 1_000
    assert clock.steps == 0
    mono[0] += 1_000_000_000
    wall[0] += 3_600_000_000_000  # somebody set the clock
    assert clock.now() == wall[0] // 1_000_000
    assert clock.steps == 1


def test_every_process_of_a_fast_plant_agrees() -> None:
    real = ManualClock(1_000_000)
    clocks = [PlantClock(500_000, 20.0, real) for _ in range(2)]
    real.advance(1_000)
    assert clocks[0].now() == clocks[1].now() == 500_000 + 501_000 * 20
    assert plant_clock().factor == 1.0


def test_the_live_table_grows_and_each_cursor_sees_its_own_changes() -> None:
    table = SignalTable(["a/x"])
    live = LiveTable(table)
    early = live.cursor()
    late_signal = table.add("a/y")
    live.update(SampleBatch.of([late_signal], [10], [1.0]))
    live.update(SampleBatch.of([0, 0], [10, 11], [2.0, 3.0]))
    assert early.changed().tolist() == [0, late_signal]
    assert live.value[0] == 3.0, "of one signal twice in a batch the later row wins"
    assert live.cursor().changed().tolist() == []
    live.mark(np.array([0], np.int32), StatusCode.BadNoCommunication)
    assert early.changed().tolist() == [0]
    snapshot = live.snapshot(np.array([0, table.add("a/z")], np.int32))
    assert snapshot.value[0] == 3.0, "the last value stays beside its status"
    assert snapshot.status.tolist() == [
        StatusCode.BadNoCommunication,
        StatusCode.BadWaitingForInitialData,
    ]
    assert np.isnan(snapshot.value[1])


def test_an_unknown_kind_names_the_nearest_one() -> None:
    kinds = Kinds("kaikou.test", {"modbus": "edge.adapters.modbus:Modbus"})
    with pytest.raises(ConfigError, match="did you mean 'modbus'"):
        kinds["modbuss"]
    assert "modbus" in kinds
    assert list(kinds) == ["modbus"]


def test_a_batch_refuses_columns_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        SampleBatch.of([0, 1], [1], [1.0, 2.0])
    with pytest.raises(ValueError, match="one-dimensional"):
        SampleBatch.of([[0]], [1], [1.0])


def test_each_reason_of_an_absence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    transition = Transition("source mill")
    caplog.set_level(logging.INFO, "kaikou.supervisor")
    for reason in ("refused on port 4840", "refused on port 4841", "does not trust us", "refused"):
        transition.down(reason)
        transition.down(reason)
    for number in range(20):
        transition.down("x" * number)
    transition.up()
    transition.down("does not trust us")
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == [
        "source mill: lost: refused on port 4840",
        "source mill: still lost: does not trust us",
    ]
    assert len(told) == Transition.MOST_REASONS + 2
    assert told[-1] == "source mill: lost: does not trust us"
