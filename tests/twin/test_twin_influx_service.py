"""The twin with InfluxDB as its system of record, over a real broker and a real server."""

import asyncio
from dataclasses import replace

from plant.flow.clock import UtcClock
from plant.flow.sample import SampleBatch
from plant.model.packml import PackML
from tests.twin.influx_support import made, settings_of
from twin.historian.influx import flux
from twin.historian.influx.server import Server
from twin.historian.influx.table import records

CLOCK = UtcClock()
LONG = 10**13


def say(up, time, **values):
    index = {s.path.replace("/", "_"): i for i, s in enumerate(up.signals)}
    batch = SampleBatch.of([index[k] for k in values], time, list(map(float, values.values())))
    return up.accept(batch)


def stored(twin, path):
    rows = twin.reader.read([path], 0, LONG)
    return list(zip(rows.source_time.tolist(), rows.value.tolist(), strict=True))


async def test_accepted_rows_are_stored_with_their_place_and_acknowledged(
    kit, influx, influx_prefix, tmp_path
):
    settings = made(settings_of(influx, influx_prefix))
    plant = replace(kit.plant, historian=settings)
    async with kit.twin(plant, tmp_path) as twin, kit.edge(plant, tmp_path / "e") as up:
        start = CLOCK.now()
        for n in range(20):
            assert await say(up, start + n, saw_power=n)
        await say(up, start, saw_light=0, saw_activity=2)
        await kit.until(lambda: up.outbox.count.rows == 0)
        assert stored(twin, "saw/power") == [(start + n, float(n)) for n in range(20)]
        await kit.until(lambda: stored(twin, "saw/state") == [(start, float(PackML.Execute))])
        server = Server(settings)
        query = flux.records(settings.bucket("raw"), start, LONG, machine="saw", signal="power")
        assert {tuple(sorted(r.tags.items())) for r in records(server.query(query))} == {
            (("line", "hall"), ("machine", "saw"), ("signal", "power"), ("site", "test"))
        }
        server.close()


async def test_a_server_that_was_away_gets_everything_when_it_is_back(kit, influxd, tmp_path):
    plant = replace(kit.plant, historian=made(settings_of(influxd)))
    async with kit.twin(plant, tmp_path) as twin, kit.edge(plant, tmp_path / "e") as up:
        start = CLOCK.now()
        assert await say(up, start, saw_power=0)
        await kit.until(lambda: up.outbox.count.rows == 0)
        await asyncio.to_thread(influxd.kill)
        for n in range(1, 30):
            assert await say(up, start + n, saw_power=n)
        assert up.outbox.count.rows > 0
        await asyncio.to_thread(influxd.start)
        await kit.until(lambda: up.outbox.count.rows == 0)
        assert stored(twin, "saw/power") == [(start + n, float(n)) for n in range(30)]
