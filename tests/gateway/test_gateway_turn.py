"""Turns: each in his own queue, the queues in turn, and nothing lost where somebody goes away."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.turn import TooMany, Turns
from plant.errors import Unavailable


async def test_queues_are_served_in_turn() -> None:
    turns, order = Turns(1, 1, 100, 50), []

    async def ask(who: str) -> None:
        async with turns.turn(who):
            order.append(who)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for who in "aaaaaabbc":
            group.create_task(ask(who))
    assert "".join(order) == "aabcabaaa", "the first at once, then each in turn"
    assert (turns.running, turns.waiting) == (0, 0)


async def test_nobody_has_more_than_his_share_at_once_or_in_the_queue() -> None:
    turns, release = Turns(3, 2, 5, 4), asyncio.Event()

    async def hold(who: str) -> None:
        async with turns.turn(who):
            await release.wait()

    tasks = [asyncio.create_task(hold("a")) for _ in range(6)]
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (2, 4)
    with pytest.raises(TooMany):
        await hold("a")
    tasks += [asyncio.create_task(hold(who)) for who in "bb"]
    await asyncio.sleep(0)
    assert (turns.running, turns.waiting) == (3, 5)
    with pytest.raises(Unavailable):
        await hold("c")
    release.set()
    await asyncio.gather(*tasks)
    assert (turns.running, turns.waiting, turns.refused) == (0, 0, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), min_size=1, max_size=25))
def test_no_turn_is_lost_with_those_who_go_away(asked: list[tuple[str, int]]) -> None:
    async def play() -> None:
        turns = Turns(2, 1, 1000, 1000)

        async def hold(who: str) -> None:
            async with turns.turn(who):
                assert turns.running <= 2
                await asyncio.sleep(0)

        tasks = []
        for who, gone in asked:
            tasks.append(asyncio.create_task(hold(who)))
            await asyncio.sleep(0)
            if gone and len(tasks) >= gone:
                tasks[-gone].cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert (turns.running, turns.waiting, turns._queues) == (0, 0, {})

    asyncio.run(play())
