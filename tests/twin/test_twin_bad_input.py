"""Bad input as docs/operations.md defines it: over a real broker, from strangers and our edges."""

import asyncio
import math
from contextlib import asynccontextmanager

import numpy as np

from plant.flow.clock import UtcClock
from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad
from plant.model.signal import SignalKind
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.birth import DataType
from plant.wire.client import MqttClient
from plant.wire.edge_session import parse_state
from plant.wire.message import Outgoing
from plant.wire.topic import state_topic
from twin.historian.embedded import Embedded

CLOCK = UtcClock()
LONG = 10**14
HOUR = 3_600_000
UNCERTAIN = int(StatusCode.Uncertain)


class Stranger:
    """A Sparkplug edge that nobody here wrote: protobuf by the specification, one device."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self._seq = 0

    async def birth(self, datatype: DataType, unit: str = "", value: float = 0.0) -> None:
        """NBIRTH and DBIRTH with one metric, its type and unit."""
        self._seq = 0
        node = pb.Payload(timestamp=CLOCK.now())
        node.metrics.add(name="bdSeq", datatype=int(DataType.Int64), long_value=0)
        await self._send("NBIRTH", node, device=False)
        device = pb.Payload(timestamp=CLOCK.now())
        metric = device.metrics.add(
            name="x", timestamp=CLOCK.now(), datatype=int(datatype), double_value=value
        )
        if unit:
            metric.properties.keys.append("engUnit")
            metric.properties.values.add(type=int(DataType.String), string_value=unit)
        await self._send("DBIRTH", device)

    async def say(self, *rows: tuple[int, float]) -> None:
        """One message of (source time, value)."""
        payload = pb.Payload(timestamp=CLOCK.now())
        for time, value in rows:
            payload.metrics.add(name="x", timestamp=time, double_value=value)
        await self._send("DDATA", payload)

    async def _send(self, kind: str, payload: pb.Payload, device: bool = True) -> None:
        payload.seq = self._seq
        self._seq = (self._seq + 1) % 256
        topic = f"spBv1.0/others/{kind}/press9" + ("/ram" if device else "")
        await self._client.publish(Outgoing(topic, payload.SerializeToString()))


PATH = "others/press9/ram/x"


@asynccontextmanager
async def stranger(kit):
    async with MqttClient(kit.plant.broker, "stranger") as client:
        await client.subscribe([(state_topic(kit.plant.host_id), 1)])
        async with asyncio.timeout(15):  # what was said before the twin listens is lost
            while not any(parse_state(m.payload)[0] for m in await client.receive()):
                pass
        yield Stranger(client)


def stored(twin, path=PATH, known_at=None):
    rows = twin.reader.read([path], 0, LONG, known_at)
    return list(
        zip(rows.source_time.tolist(), rows.value.tolist(), rows.status.tolist(), strict=True)
    )


async def test_out_of_order_late_again_and_corrected(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now() - 500
        await edge.birth(DataType.Double)
        await edge.say((now, 3.0), (now - 2000, 1.0), (now - 1000, 2.0))
        await edge.say((now - 7 * HOUR, 0.5))
        await edge.say((now, 3.0))
        await kit.until(lambda: len(stored(twin)) >= 5)
        mine = [(t, v) for t, v, _ in stored(twin)]
        assert mine[:4] == [
            (now - 7 * HOUR, 0.5), (now - 2000, 1.0), (now - 1000, 2.0), (now, 3.0),
        ]  # fmt: skip
        before = CLOCK.now()
        await edge.say((now, 4.0))
        await kit.until(lambda: (now, 4.0, 0) in stored(twin))
        assert (now, 3.0, 0) in stored(twin, known_at=before)
        assert len(stored(twin)) == 5


async def test_the_future_is_uncertain_and_does_not_stand_before_now(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now()
        await edge.birth(DataType.Double)
        await edge.say((now + HOUR, 9.0), (now + 5000, 8.0))
        await edge.say((now + 100, 7.0))
        await kit.until(lambda: len(stored(twin)) >= 4)
        rows = {t: (v, s) for t, v, s in stored(twin)}
        assert rows[now + HOUR] == (9.0, UNCERTAIN)
        assert rows[now + 5000] == (8.0, 0)
        assert twin.reader.as_of([PATH], now + 200).value.tolist() == [7.0]


async def test_nan_is_no_value(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now() - 500
        await edge.birth(DataType.Double)
        await edge.say((now - 2, 1.0), (now - 1, math.nan), (now, math.inf))
        await kit.until(lambda: len(stored(twin)) >= 3)
        rows = twin.reader.read([PATH], now - 2, now + 1)
        assert np.isnan(rows.value).tolist() == [False, True, True]
        assert is_bad(rows.status).tolist() == [False, True, True]


async def test_a_changed_unit_begins_a_new_signal_while_it_runs(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now()
        await edge.birth(DataType.Double, "bar", 1.0)
        await edge.say((now, 6.0))
        await kit.until(lambda: (now, 6.0, 0) in stored(twin))
        await edge.birth(DataType.Double, "kPa", 600.0)
        await edge.say((now + 1, 601.0))
        await kit.until(lambda: (now + 1, 601.0, 0) in stored(twin))
        assert (now, 6.0, 0) in stored(twin, f"{PATH}~1")
        assert (now, 6.0, 0) not in stored(twin)
        units = {s.path: s.unit for s in twin.reader.series() if s.path.startswith(PATH)}
        assert units == {PATH: "kPa", f"{PATH}~1": "bar"}


async def test_a_changed_type_begins_a_new_signal_while_it_runs(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now()
        await edge.birth(DataType.Double)
        await edge.say((now, 6.0))
        await kit.until(lambda: (now, 6.0, 0) in stored(twin))
        await edge.birth(DataType.Boolean)
        await edge.say((now + 1, 1.0))
        await kit.until(lambda: (now + 1, 1.0, 0) in stored(twin))
        kinds = {s.path: s.kind for s in twin.reader.series() if s.path.startswith(PATH)}
        assert kinds == {PATH: SignalKind.STATE, f"{PATH}~1": SignalKind.MEASUREMENT}


async def test_a_dead_clock_stays_in_its_own_past(kit, tmp_path):
    async with kit.twin(kit.plant, tmp_path) as twin, stranger(kit) as edge:
        now = CLOCK.now()
        await edge.birth(DataType.Double)
        await edge.say((0, 5.0))
        await edge.say((0, 6.0))
        await edge.say((now, 7.0))
        await kit.until(lambda: (now, 7.0, 0) in stored(twin))
        assert (0, 6.0, 0) in stored(twin)
        assert twin.reader.as_of([PATH], now).value.tolist() == [7.0]


def test_a_twin_whose_clock_was_set_back_still_knows_later(tmp_path):
    kind = Embedded()
    writer = kind.writer(tmp_path)
    writer.declare([Series("a/x")])
    first = writer.write(Commit(SampleBatch.of([0], [1000], [1.0])), 50_000)
    second = writer.write(Commit(SampleBatch.of([0], [1000], [2.0])), 20_000)
    writer.close()
    again = kind.writer(tmp_path)
    again.declare([Series("a/x")])
    third = again.write(Commit(SampleBatch.of([0], [1000], [3.0])), 10_000)
    assert (first, second, third) == (50_000, 50_001, 50_002)
    reader = kind.reader(tmp_path)
    known = [reader.read(["a/x"], 0, 2000, at).value.tolist() for at in (first, second, third)]
    assert known == [[1.0], [2.0], [3.0]]
    reader.close()
    again.close()


def test_a_renamed_signal_takes_its_history_along(tmp_path):
    kind = Embedded()
    writer = kind.writer(tmp_path)
    writer.declare([Series("old/x")])
    writer.write(Commit(SampleBatch.of([0], [1000], [1.0])), 2000)
    writer.close()
    writer = kind.writer(tmp_path)
    writer.declare([Series("new/x", was=("old/x",))])
    writer.write(Commit(SampleBatch.of([0], [2000], [2.0])), 3000)
    reader = kind.reader(tmp_path)
    assert reader.read(["new/x"], 0, 3000).value.tolist() == [1.0, 2.0]
    assert not len(reader.read(["old/x"], 0, 3000))
    reader.close()
    writer.close()
