"""The twin over a real broker: what an edge accepted is stored, acknowledged and gone from it."""

import asyncio

import pytest

from plant.errors import ConfigError
from plant.flow.clock import UtcClock
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from plant.model.packml import PackML
from plant.model.signal import Origin
from plant.wire.client import MqttClient
from plant.wire.edge_session import parse_state
from plant.wire.host_state import HostState
from plant.wire.topic import state_topic

CLOCK = UtcClock()
LONG = 10**14


def say(up, time=None, status=0, **values):
    """``say(up, saw_activity=2)``: accept current values, all of one time."""
    index = {s.path.replace("/", "_"): i for i, s in enumerate(up.signals)}
    now = CLOCK.now() if time is None else time
    batch = SampleBatch.of(
        [index[k] for k in values], now, list(map(float, values.values())), status
    )
    return up.accept(batch)


def stored(twin, path):
    rows = twin.reader.read([path], 0, LONG)
    return list(
        zip(rows.source_time.tolist(), rows.value.tolist(), rows.status.tolist(), strict=True)
    )


async def test_accepted_rows_are_stored_acknowledged_and_gone(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, kit.edge(kit.plant, tmp_path / "e") as up:
        start = CLOCK.now()
        for n in range(20):
            assert await say(up, start + n, saw_power=n)
        up.accept(events=[Event(start, "saw", "jam", {"n": 1})])
        await kit.until(lambda: up.outbox.count.rows == 0)
        assert stored(twin, "saw/power") == [(start + n, float(n), 0) for n in range(20)]
        assert list(twin.reader.events(start - 1, start + 1)) == [
            Event(start, "saw", "jam", {"n": 1})
        ]


async def test_states_counts_links_and_completeness_are_stored_like_anything(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, kit.edge(kit.plant, tmp_path / "e") as up:
        start = CLOCK.now()
        await say(up, start, saw_light=0, saw_activity=2, saw_part_count=10)
        await say(
            up, start, gauge_light=0, gauge_activity=1, gauge_good_count=7, gauge_reject_count=1
        )
        await kit.until(lambda: stored(twin, "saw/state"))
        assert stored(twin, "saw/state") == [(start, float(PackML.Execute), 0)]
        await kit.until(lambda: stored(twin, "hall/good_count") and stored(twin, "edge1/link"))
        assert stored(twin, "hall/good_count") == [(start, 7.0, 0)]
        assert [v for _, v, _ in stored(twin, "edge1/link")] == [1.0]
        await kit.until(lambda: stored(twin, "hall/state"))
        assert stored(twin, "hall/state")[-1][1] == PackML.Execute
        later = CLOCK.now()
        await say(up, later, saw_light=3)
        await kit.until(lambda: len(stored(twin, "saw/state")) == 2)
        assert stored(twin, "saw/state")[1] == (later, float(PackML.Aborted), 0)
        await kit.until(lambda: stored(twin, "edge1/complete_up_to"))
        await kit.until(lambda: stored(twin, "edge1/complete_up_to")[-1][1] >= later)
        await kit.until(lambda: stored(twin, "hall/buffer_saw"))


async def test_a_killed_edge_is_lost_and_its_machines_unknown(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin:
        async with kit.edge(kit.plant, tmp_path / "e") as up:
            await say(up, saw_light=0, saw_activity=2)
            await kit.until(lambda: stored(twin, "saw/state"))
        await kit.until(lambda: [v for _, v, _ in stored(twin, "edge1/link")] == [1.0, 0.0])
        await kit.until(lambda: len(stored(twin, "saw/state")) == 2)
        assert stored(twin, "saw/state")[-1][1:] == (0.0, StatusCode.UncertainSubNormal)


async def test_a_twin_that_was_away_gets_what_waited_once_with_states(kit, tmp_path):
    async with kit.edge(kit.plant, tmp_path / "e") as up:
        async with kit.twin(kit.plant, tmp_path) as twin:
            before = CLOCK.now() - 20_000
            await say(up, before, saw_power=0, saw_light=0, saw_activity=1)
            await kit.until(lambda: up.outbox.count.rows == 0)
        start = before + 5_000
        for n in range(5):
            await say(up, start + n * 1000, saw_power=n + 1, saw_light=0, saw_activity=n % 2 + 1)
        assert up.outbox.count.rows == 5
        async with kit.twin(kit.plant, tmp_path) as twin:
            await kit.until(lambda: up.outbox.count.rows == 0)
            values = [v for _, v, _ in stored(twin, "saw/power")]
            assert values == [0, 1, 2, 3, 4, 5]
            past = {start + n * 1000: float(n % 2 * 2 + 4) for n in range(1, 5)}
            await kit.until(
                lambda: past.items() <= {t: v for t, v, _ in stored(twin, "saw/state")}.items()
            )


async def test_a_fresh_historian_says_what_an_earlier_one_had(kit, tmp_path):
    async with kit.edge(kit.plant, tmp_path / "e") as up:
        async with kit.twin(kit.plant, tmp_path / "first"):
            await say(up, saw_power=1)
            await kit.until(lambda: up.outbox.count.rows == 0)
        await say(up, saw_power=2)
        async with kit.twin(kit.plant, tmp_path / "second") as twin:
            await kit.until(lambda: up.outbox.count.rows == 0)
            assert [v for _, v, _ in stored(twin, "saw/power")] == [2.0]
            gaps = [g for g in twin.reader.gaps(0, LONG) if g.edge == "kaikou-test/edge1"]
            assert [g.samples for g in gaps] == [-1]
            assert gaps[0].reason.startswith("acknowledged to an earlier historian")


async def test_foreign_edges_are_stored_under_their_own_paths(kit, tmp_path):
    async with (
        kit.twin(kit.plant, tmp_path) as twin,
        kit.edge(kit.plant, tmp_path / "e", node="press9", group="others") as up,
    ):
        now = CLOCK.now()
        await say(up, now, saw_power=5)
        await kit.until(lambda: stored(twin, "others/press9/saw/power"))
        assert stored(twin, "others/press9/saw/power") == [(now, 5.0, 0)]


async def test_state_is_published_and_defended(kit, tmp_path):
    """tck: operational-behavior-host-application-termination"""
    said = []

    async def listen(client):
        while True:
            said.extend(parse_state(m.payload) for m in await client.receive())

    topic = state_topic("kaikou")
    async with MqttClient(kit.plant.broker, "spy") as spy:
        await spy.subscribe([(topic, 1)])
        listening = asyncio.create_task(listen(spy))
        async with kit.twin(kit.plant, tmp_path):
            await kit.until(lambda: said and said[-1][0])
            await spy.publish(HostState("kaikou").will(CLOCK.now()))
            await kit.until(lambda: [online for online, _ in said] == [True, False, True])
        await kit.until(lambda: not said[-1][0])
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_simulated_and_real_values_never_meet(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path):
        pass
    from dataclasses import replace

    with pytest.raises(ConfigError, match="holds real values"):
        async with kit.twin(replace(kit.plant, simulated=True), tmp_path):
            pass


def test_published_signals_have_a_place_to_come_from(kit):
    """The twin's own signals of the demo are exactly what its derivation can tell."""
    assert {s.id for s in kit.plant.published(Origin.TWIN)} == {
        "state", "good_count", "reject_count", "buffer_saw", "link", "complete_up_to",
    }  # fmt: skip
