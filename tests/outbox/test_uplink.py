"""The whole way over a real broker: accepted, sent, acknowledged, gone from the outbox."""

import asyncio

import numpy as np
import pytest

from plant.flow.clock import UtcClock
from plant.flow.sample import Event, SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.plant import Outbox as Options
from plant.model.signal import SignalKind
from plant.outbox.uplink import Uplink
from plant.wire.host_session import rebirth_command
from plant.wire.topic import NodeId
from tests.outbox.outbox_support import GROUP, HOST, NODE, Twin, running, signal
from tests.wire.broker_support import until

SIGNALS = [
    signal("lathe/power"),
    signal("lathe/state", SignalKind.STATE),
    signal("mill/power"),
    signal("mill/program", SignalKind.TEXT),
    signal("edge1/outbox_rows"),
    signal("edge1/dropped_before_accept", SignalKind.COUNTER),
]
CLOCK = UtcClock()


def uplink(mosquitto, folder, signals=SIGNALS, **options) -> Uplink:
    return Uplink(
        GROUP,
        NODE,
        mosquitto.broker,
        folder,
        signals,
        CLOCK,
        HOST,
        options=Options(**({"commit_ms": 20} | options)),
    )


def sample(index, value, time=None, status=0):
    return SampleBatch.of([index], [CLOCK.now() if time is None else time], [value], [status])


async def test_accepted_samples_reach_the_twin_once_and_leave(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        now = CLOCK.now()
        batch = SampleBatch.of([0, 1, 2], [now, now, now - 1], [1.5, 2, 3.25])
        assert await up.accept(batch, [Text(3, now, "O1234")], [Event(now, "lathe", "jam")])
        await until(lambda: up.outbox.count.rows == 0 and twin.stored)
        assert twin.stored == {
            ("lathe/power", now): [(1.5, 0)],
            ("lathe/state", now): [(2.0, 0)],
            ("mill/power", now - 1): [(3.25, 0)],
        }
        assert twin.texts == [("mill/program", now, "O1234")]
        assert twin.records == [Event(now, "lathe", "jam", {})]
        assert twin.value("lathe/power") == 1.5
        status = twin.live.status[twin.session.table.index("lathe/power")]
        assert status == 0


async def test_without_a_twin_rows_wait_and_current_values_go(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    twin = Twin(mosquitto.broker)
    twin.answers = False
    async with twin.running(), running(up):
        for n in range(5):
            assert await up.accept(sample(0, n))
        await until(lambda: twin.live.table.get("lathe/power") is not None)
        await until(lambda: twin.value("lathe/power") == 4)
        assert up.outbox.count.rows == 5
        assert not twin.stored
        twin.answers = True
        await until(lambda: up.outbox.count.rows == 0)
        assert len(twin.stored) == 5
        assert twin.historical == 5, "they waited"


async def test_rows_of_earlier_processes_come_first(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    mosquitto.kill()
    times = []
    async with running(up):
        for n in range(3):
            times.append(CLOCK.now() - 1000 + n)
            await up.accept(sample(0, n, times[-1]), state={"saw": {"total": n}})
    await mosquitto.start()
    up = uplink(mosquitto, tmp_path)
    assert up.saved["saw"] == {"total": 2}
    assert up.outbox.trusted_ms > 0
    async with Twin(mosquitto.broker).running() as twin, running(up):
        await up.accept(sample(0, 99, times[0] + 900))
        await until(lambda: up.outbox.count.rows == 0 and len(twin.stored) == 4)
        assert [t for _, t in twin.stored] == [*times, times[0] + 900]
        assert len(twin.announced[-1].runs) == 2
        assert len(up.outbox.runs) == 1, "the ended run is forgotten"


async def test_lost_rows_are_sent_again(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    twin = Twin(mosquitto.broker)
    async with twin.running(), running(up):
        await up.accept(sample(0, 1))
        await until(lambda: up.outbox.count.rows == 0)
        twin.commits = False
        await up.accept(sample(0, 2))
        await until(lambda: twin.log[-1] == ("row", "lathe"))
        twin.commits = True
        await until(lambda: up.outbox.count.rows == 0)
        assert len(twin.stored) == 2
        assert twin.historical == 1
        assert twin.value("lathe/power") == 2


async def test_a_broker_that_goes_and_comes(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with running(up):
        async with Twin(mosquitto.broker).running() as twin:
            await up.accept(sample(0, 1))
            await until(lambda: up.outbox.count.rows == 0)
            mosquitto.kill()
            marks = twin.marks
        await up.accept(sample(0, 2))
        await mosquitto.start()
        again = Twin(mosquitto.broker)
        again.marks = marks
        async with again.running() as twin:
            await up.accept(sample(0, 3))
            await until(lambda: up.outbox.count.rows == 0 and len(twin.stored) == 2, deadline_s=20)
            assert sorted(v[0][0] for v in twin.stored.values()) == [2, 3]


async def test_a_dead_device_is_born_for_its_rows_and_dies_again(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    twin = Twin(mosquitto.broker)
    twin.answers = False
    async with twin.running(), running(up):
        await up.accept(sample(0, 1))
        await until(lambda: ("birth", "lathe") in twin.log)
        up.device_lost("lathe")
        await until(lambda: ("death", "lathe") in twin.log)
        await up.accept(sample(0, np.nan, status=StatusCode.BadNoCommunication))
        twin.log.clear()
        twin.answers = True
        await until(lambda: up.outbox.count.rows == 0)
        await until(lambda: ("death", "lathe") in twin.log)
        steps = [what for what, device in twin.log if device == "lathe"]
        assert steps == ["dead birth", "row", "row", "death"]
        assert len(twin.stored) == 2
        assert np.isnan(twin.value("lathe/power")) or twin.value("lathe/power") == 1
        up.device_back("lathe")
        await up.accept(sample(0, 7))
        await until(lambda: twin.value("lathe/power") == 7)
        assert ("birth", "lathe") in twin.log


async def test_rows_of_a_removed_device_are_delivered(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    mosquitto.kill()
    async with running(up):
        await up.accept(SampleBatch.of([0, 2], 1_700_000_000_000, [1.0, 2.0]))
    await mosquitto.start()
    left = [SIGNALS[1], SIGNALS[4]]  # lathe/state and the edge's own: mill and power are gone
    up = uplink(mosquitto, tmp_path, left)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        await until(lambda: up.outbox.count.rows == 0 and len(twin.stored) == 2)
        assert {path for path, _ in twin.stored} == {"lathe/power", "mill/power"}
        await until(lambda: ("death", "mill") in twin.log)
        assert ("dead birth", "mill") in twin.log
        assert ("birth", "lathe") in twin.log


async def test_an_acknowledgement_that_is_not_earned(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    twin = Twin(mosquitto.broker)
    twin.commits = False
    async with twin.running(), running(up):
        await up.accept(sample(0, 1))
        first = up.outbox.current
        await until(lambda: any(e == ("row", "lathe") for e in twin.log))
        twin.extra = [(first, 1000)]
        await until(lambda: up.outbox.current != first)
        twin.commits = True
        await until(lambda: up.outbox.count.rows == 0 and len(twin.stored) == 1)
        event = next(r for r in twin.records if isinstance(r, Event))
        assert (event.kind, event.data["acknowledged"]) == ("edge.unearned_ack", 1000)


async def test_only_the_configured_host_is_obeyed(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker, "somebody").running() as twin, running(up):
        await up.accept(sample(0, 1))
        await until(lambda: twin.live.table.get("lathe/power") is not None)
        await until(lambda: twin.value("lathe/power") == 1)
        assert up.outbox.count.rows == 1
        assert not twin.stored


async def test_two_values_in_one_millisecond(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        now = CLOCK.now()
        up.accept(SampleBatch.of([0, 0], [now, now], [1.0, 2.0]))
        await up.accept(sample(0, 3.0, now))
        await until(lambda: twin.stored)
        assert await up.accept(sample(0, 3.0, now)), "nothing to keep is no refusal"
        await up.accept(sample(0, 4.0, now))
        await until(lambda: len(twin.stored["lathe/power", now]) == 2)
        assert twin.stored["lathe/power", now] == [(3.0, 0), (4.0, 0)]
        assert up.dropped_before_accept == 3


async def test_dropped_rows_arrive_as_a_gap(mosquitto, tmp_path, monkeypatch):
    up = uplink(mosquitto, tmp_path)
    up.outbox._file._max_bytes = 3000
    mosquitto.kill()
    async with running(up):
        for n in range(60):
            await up.accept(sample(0, n, 1_700_000_000_000 + n))
        await mosquitto.start()
        async with Twin(mosquitto.broker).running() as twin:
            await until(lambda: up.outbox.count.rows == 0, deadline_s=20)
            gaps = twin.records
            assert sum(g.samples for g in gaps) + len(twin.stored) == 60
            assert {g.edge for g in gaps} == {f"{GROUP}/{NODE}"}
            assert {g.signals for g in gaps} == {("lathe/power", "lathe/state")}
            missing = {1_700_000_000_000 + n for n in range(60)} - {t for _, t in twin.stored}
            assert all(any(g.first <= t <= g.last for g in gaps) for t in missing)


async def test_first_rows_of_the_past_never_show_as_current(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        await until(lambda: ("birth", "mill") in twin.log)
        await up.accept(sample(0, 5))
        await until(lambda: twin.stored)
        past = SampleBatch.of(np.zeros(2000), 1_700_000_000_000 + np.arange(2000), 1.0)
        await up.accept(past, live=False)
        await until(lambda: len(twin.stored) == 2001)
        assert twin.value("lathe/power") == 5
        assert twin.historical == 4


async def test_rebirths_without_end_are_answered_at_once_and_then_seldom(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        await until(lambda: ("birth", None) in twin.log)
        before = twin.log.count(("birth", None))
        for _ in range(500):
            await twin.mqtt.publish(rebirth_command(NodeId(GROUP, NODE), 1))
        await until(lambda: twin.log.count(("birth", None)) >= before + 2)
        assert await up.accept(sample(0, 5))
        await until(lambda: up.outbox.count.rows == 0)
        assert twin.log.count(("birth", None)) <= before + 4


async def test_a_rebirth_is_answered(mosquitto, tmp_path):
    up = uplink(mosquitto, tmp_path)
    async with running(up):
        async with Twin(mosquitto.broker).running() as twin:
            await up.accept(sample(0, 5))
            await until(lambda: up.outbox.count.rows == 0)
            marks = twin.marks
        again = Twin(mosquitto.broker)
        again.marks = marks
        async with again.running() as twin:
            await up.accept(sample(0, 6))
            await until(lambda: up.outbox.count.rows == 0 and twin.announced)
            await until(lambda: twin.value("lathe/power") == 6)
            assert [v[0][0] for v in twin.stored.values()] == [6]


async def test_the_hook_sees_what_is_durable(mosquitto, tmp_path):
    seen = []
    up = uplink(mosquitto, tmp_path)
    up.outbox.on_commit = seen.extend
    async with running(up):
        assert await up.accept(SampleBatch.of([0, 2], [5, 5], [1.0, 2.0]))
        batches = [kept.row.batch for kept in seen]
        assert [b.value.tolist() for b in batches] == [[1.0], [2.0]]


async def test_own_signals_are_reported(mosquitto, tmp_path, monkeypatch):
    monkeypatch.setattr("plant.outbox.uplink.REPORT_S", 0.1)
    up = uplink(mosquitto, tmp_path)
    async with Twin(mosquitto.broker).running() as twin, running(up):
        await until(lambda: any(path == "edge1/outbox_rows" for path, _ in twin.stored))


@pytest.mark.parametrize("when_full", ["refuse_new", "drop_oldest"])
async def test_a_full_disk_stops_acceptance_and_live_goes_on(mosquitto, tmp_path, when_full):
    up = uplink(mosquitto, tmp_path, when_full=when_full)
    free = [10**12]
    up.outbox._admission._free = lambda: free[0]
    twin = Twin(mosquitto.broker)
    async with twin.running(), running(up):
        assert await up.accept(sample(0, 1))
        await until(lambda: up.outbox.count.rows == 0)
        free[0] = 0
        for n in range(10, 20):
            assert not await up.accept(sample(0, n))
        await until(lambda: twin.value("lathe/power") == 19)
        free[0] = 10**12
        async with asyncio.timeout(10):
            while not await up.accept(sample(0, 50)):
                await asyncio.sleep(0.05)
        await until(lambda: up.outbox.count.rows == 0)
        gaps = [r for r in twin.records if not isinstance(r, Event)]
        assert sum(g.samples for g in gaps) == up.outbox.count.refused_samples >= 10


async def test_a_socket_far_behind_is_owed_the_newest_values(mosquitto, tmp_path, monkeypatch):
    """With no room for current values they are told later, once, as they are then."""
    monkeypatch.setattr("plant.outbox.uplink.WAITING_TELLS", 0)
    up = uplink(mosquitto, tmp_path)
    twin = Twin(mosquitto.broker)
    twin.answers = False
    async with twin.running(), running(up):
        await until(lambda: ("birth", "mill") in twin.log)
        for n in range(10):
            await up.accept(sample(0, n))
        assert up._pace.tells == 0
        monkeypatch.setattr("plant.outbox.uplink.WAITING_TELLS", 32)
        await until(lambda: twin.value("lathe/power") == 9)


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
async def test_a_file_damaged_in_use_gives_way_and_the_uplink_goes_on(mosquitto, tmp_path, damage):
    up = uplink(mosquitto, tmp_path)
    file = tmp_path / "outbox.db"
    async with Twin(mosquitto.broker).running() as twin, running(up):
        twin.commits = False
        for n in range(200):
            up.accept(sample(n % 3, n + 0.5))
            await asyncio.sleep(0.001)
        assert await up.accept(sample(0, 1000.0))
        await up.outbox._ask(lambda: up.outbox._file._db.execute("PRAGMA wal_checkpoint").get)
        await up.outbox._ask(lambda: up.outbox._file._db.execute("PRAGMA shrink_memory").get)
        for path in (file, tmp_path / "outbox.db-wal"):
            with path.open("r+b") as whole:
                if damage == "cut":
                    whole.truncate(0)
                else:
                    whole.write(b"\xa5" * path.stat().st_size)
        up.outbox._recent.clear()
        twin.commits = True
        await until(
            lambda: up.outbox._file.renewed or up.accept(sample(1, 1.0)) is None, "a new file", 30
        )
        await until(
            lambda: any("damaged" in getattr(r, "reason", "") for r in twin.records), "record", 30
        )
        before = len(twin.stored)
        assert await up.accept(sample(2, 7.25))
        await twin.holds(before)
        await until(lambda: twin.value("mill/power") == 7.25, "the current value")
        await until(lambda: up.outbox.count.rows == 0)
        known = await up.outbox.known_metrics("lathe")
        assert {m.name for m in known} == {"power", "state"}, "aliases are known for later births"
    assert [*tmp_path.glob("outbox.db.damaged-*")]
    up = uplink(mosquitto, tmp_path)
    assert not up.outbox._file.damaged
    async with running(up):
        pass
