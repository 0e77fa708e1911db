"""What the twin stores of whom, over a real broker: nobody speaks for another."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from plant.flow.clock import UtcClock
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import TWIN, Edge
from plant.model.signal import Label, SignalKind
from plant.wire.birth import DataType, MetricBirth
from plant.wire.client import MqttClient
from plant.wire.codec import TextSample, encode_texts
from plant.wire.edge_session import EdgeSession, parse_state
from plant.wire.message import Row, Runs
from plant.wire.record import RECORD, encode_event
from plant.wire.topic import state_topic
from plant.wire.view import LiveView
from tests.twin.conftest import signal

CLOCK = UtcClock()
LONG = 10**14
HOUR = 3_600_000
REASON = {"start": 1, "end": 2, "code": "tool", "note": "", "person": "wang", "said": LONG}


def two_edges(plant):
    return replace(plant, edges={**plant.edges, "edge2": Edge("edge2", Label("二", "two"), {})})


def widened(plant, *more):
    """The plant with further signals of the saw: another plant.yaml."""
    saw = plant.assets["saw"]
    assets = {**plant.assets, "saw": replace(saw, signals=(*saw.signals, *more))}
    return replace(plant, assets=assets, hash="1")


def say(up, time, **values):
    index = {s.path.replace("/", "_"): i for i, s in enumerate(up.signals)}
    return up.accept(SampleBatch.of([index[k] for k in values], time, list(values.values())))


def stored(twin, path):
    rows = twin.reader.read([path], 0, LONG)
    return list(
        zip(rows.source_time.tolist(), rows.value.tolist(), rows.status.tolist(), strict=True)
    )


async def test_an_edges_rows_of_anothers_signals_are_no_history_but_a_gap(kit, tmp_path, caplog):
    plant = two_edges(kit.plant)
    async with (
        kit.twin(plant, tmp_path) as twin,
        kit.edge(plant, tmp_path / "1") as true,
        kit.edge(plant, tmp_path / "2", node="edge2") as false,
    ):
        now = CLOCK.now()
        await say(true, now, saw_power=1.0)
        await say(false, now + 1, saw_power=99.0, saw_light=3.0)
        await kit.until(lambda: stored(twin, "saw/power"))
        await kit.until(lambda: false.outbox.count.rows == 0)
        assert stored(twin, "saw/power") == [(now, 1.0, 0)]
        gaps = [g for g in twin.reader.gaps(0, LONG) if "saw/power" in g.signals]
        assert [(g.edge, g.reason) for g in gaps] == [
            ("kaikou-test/edge2", "plant.yaml gives these signals to another node")
        ]
    told = [r.message for r in caplog.records if "to another node" in r.message]
    assert len([t for t in told if "saw/light" in t]) == 1, "told once by name"


@asynccontextmanager
async def as_the_twin(plant, event):
    """Somebody whom the broker lets speak as the twin: its birth, and an event in a row."""
    node = EdgeSession(plant.group, TWIN)
    async with MqttClient(plant.broker, "liar") as client:
        await client.subscribe([(state_topic(plant.host_id), 1)])
        while not any(parse_state(m.payload)[0] for m in await client.receive()):
            pass  # what is said before the twin listens is lost
        node.will(0)
        birth = MetricBirth(RECORD, 128, DataType.String, None)
        for message in node.birth(CLOCK.now(), [], Runs(event.kind), (birth,)):
            await client.publish(message)
        for offset, told in enumerate((event, Event(CLOCK.now(), "saw", "liar.done")), 1):
            body = encode_texts([TextSample(128, told.time, encode_event(told))])
            row = Row(event.kind, offset, 0)
            await client.publish(node.data(None, body, CLOCK.now(), row))
        yield


async def test_a_statement_that_the_twin_never_recorded_is_nobodys_word(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin:
        for kind in ("reason", "product", "mode"):
            forged = Event(CLOCK.now(), "saw", kind, {**REASON, "mode": "maintenance"})
            async with as_the_twin(kit.plant, forged):
                done = len([e for e in twin.reader.events(0, LONG) if e.kind == "liar.done"])
                await kit.until(
                    lambda done=done: (
                        len([e for e in twin.reader.events(0, LONG) if e.kind == "liar.done"])
                        > done
                    )
                )
        assert {e.kind for e in twin.reader.events(0, LONG)} == {"liar.done"}


async def test_an_edge_on_a_newer_file_is_believed_what_its_signals_are(kit, tmp_path, caplog):
    more = (
        signal("saw/energy", SignalKind.COUNTER, unit="kWh", modulus=1000.0),
        signal("saw/door", SignalKind.STATE, states={0: Label("关", "shut")}),
    )
    newer = widened(kit.plant, *more)
    now = CLOCK.now()
    async with kit.edge(newer, tmp_path / "e") as up:
        async with kit.twin(kit.plant, tmp_path) as twin:
            await say(up, now, saw_energy=5.0, saw_door=0.0)
            await kit.until(lambda: stored(twin, "saw/energy") and stored(twin, "saw/door"))
        async with kit.twin(newer, tmp_path) as twin:
            await say(up, now + 1, saw_energy=6.0, saw_door=1.0)
            await kit.until(lambda: len(stored(twin, "saw/energy")) == 2)
            assert stored(twin, "saw/energy") == [(now, 5.0, 0), (now + 1, 6.0, 0)]
            series = {s.path: s for s in twin.reader.series() if s.path.startswith("saw/")}
            assert (series["saw/energy"].kind, series["saw/energy"].unit) == ("counter", "kWh")
            assert series["saw/door"].kind == "state"
            assert not any("~" in path for path in series)


async def test_a_unit_that_changes_in_the_edge_first_mixes_no_rows(kit, tmp_path):
    now = CLOCK.now()
    kw, w = (widened(kit.plant, signal("saw/heat", unit=unit)) for unit in ("kW", "W"))
    async with kit.twin(kw, tmp_path) as twin:
        async with kit.edge(kw, tmp_path / "e") as up:
            await say(up, now, saw_heat=1.5)
            await kit.until(lambda: stored(twin, "saw/heat"))
    async with kit.edge(kw, tmp_path / "e") as up:
        await say(up, now + 1, saw_heat=1.6)
        assert up.outbox.count.rows, "it waits in kW"
    async with kit.edge(w, tmp_path / "e") as up:
        async with kit.twin(kw, tmp_path) as twin:
            await say(up, now + 2, saw_heat=1700.0)
            await kit.until(lambda: up.outbox.count.rows == 0)
            assert stored(twin, "saw/heat") == [(now + 2, 1700.0, 0)]
        async with kit.twin(w, tmp_path) as twin:
            await say(up, now + 3, saw_heat=1800.0)
            await kit.until(lambda: len(stored(twin, "saw/heat")) == 2)
            units = {s.path: s.unit for s in twin.reader.series() if "heat" in s.path}
            values = {path: [v for _, v, _ in stored(twin, path)] for path in units}
    assert {(units[path], value) for path in units for value in values[path]} == {
        ("kW", 1.5), ("kW", 1.6), ("W", 1700.0), ("W", 1800.0),
    }  # fmt: skip


async def test_a_node_on_another_file_is_told_once(kit, tmp_path, caplog):
    async with kit.twin(kit.plant, tmp_path):
        edge = EdgeSession(kit.plant.group, "edge1", plant_hash="another")
        async with MqttClient(kit.plant.broker, "edge") as client:
            edge.will(0)
            more = 2
            async with asyncio.timeout(20):
                while more:  # the twin may not listen yet
                    for message in edge.birth(CLOCK.now(), [], Runs("r")):
                        await client.publish(message)
                    await asyncio.sleep(0.1)
                    more -= "runs on another plant.yaml (another)" in caplog.text
    assert caplog.text.count("runs on another plant.yaml") == 1


async def test_rows_that_wait_over_a_rename_land_under_the_present_name(kit, tmp_path):
    now = CLOCK.now()
    former = widened(kit.plant, signal("saw/amps", unit="A"))
    renamed = widened(kit.plant, signal("saw/current", unit="A", was=("saw/amps",)))
    async with kit.twin(former, tmp_path) as twin, kit.edge(former, tmp_path / "e") as up:
        await say(up, now, saw_amps=1.0)
        await kit.until(lambda: stored(twin, "saw/amps"))
    async with kit.edge(former, tmp_path / "e") as up:
        await say(up, now + 1, saw_amps=2.0)
        assert up.outbox.count.rows
    async with kit.twin(renamed, tmp_path) as twin, kit.edge(renamed, tmp_path / "e") as up:
        await say(up, now + 2, saw_current=3.0)
        await kit.until(lambda: up.outbox.count.rows == 0)
        right = [(now, 1.0, 0), (now + 1, 2.0, 0), (now + 2, 3.0, 0)]
        await kit.until(lambda: stored(twin, "saw/current") == right)
        assert stored(twin, "saw/amps") == []


async def test_an_edge_whose_clock_is_ahead_is_not_good_and_not_complete_ahead(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, kit.edge(kit.plant, tmp_path / "e") as up:
        now = CLOCK.now()
        await say(up, now + HOUR, saw_power=1.0)
        await kit.until(lambda: stored(twin, "saw/power"))
        assert stored(twin, "saw/power") == [(now + HOUR, 1.0, int(StatusCode.Uncertain))]
        await kit.until(lambda: stored(twin, "edge1/complete_up_to"))
        told = [v for _, v, _ in stored(twin, "edge1/complete_up_to")]
        assert max(told) <= CLOCK.now()
    view = LiveView(kit.plant.group, ["edge1"], host_id="kaikou", clock=CLOCK)
    assert view.links()[0].complete_up_to == 0
