"""SIGKILL of a real publisher under load: every row it called durable reaches the twin, once."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.outbox.outbox_support import Twin
from tests.wire.broker_support import until

CHILD = """
import asyncio, os, sys
from pathlib import Path
import numpy as np
from plant.flow.clock import UtcClock
from plant.flow.sample import SampleBatch
from plant.model.plant import Broker, Outbox
from plant.model.signal import Label, Signal, SignalKind
from plant.outbox.uplink import Uplink

port, folder, feeding = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "feed"
signals = [
    Signal(f"{d}/s{i}", d, f"s{i}", Label("", ""), SignalKind.MEASUREMENT)
    for d in ("lathe", "mill") for i in range(5)
]
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def write_down(rows):
    lines = []
    for kept in rows:
        b = kept.row.batch
        if b is None:
            continue
        for s, t, v in zip(b.signal.tolist(), b.source_time.tolist(), b.value.tolist()):
            lines.append(f"{signals[s].path} {t} {v}\\n")
    os.write(ledger, "".join(lines).encode())

async def main():
    clock = UtcClock()
    up = Uplink("kaikou-test", "edge1", Broker("127.0.0.1", port), folder, signals, clock,
                "kaikou", options=Outbox(commit_ms=20))
    up.outbox.on_commit = write_down
    total = up.saved.get("total", {"n": 0})["n"]
    running = asyncio.create_task(up.run())
    last = 0
    while feeding:
        now = last = max(clock.now(), last + 1)
        total += 1
        batch = SampleBatch.of(np.arange(10), now, np.full(10, total))
        up.accept(batch, state={"total": {"n": total}})
        await asyncio.sleep(0.002)
    while up.outbox.count.rows or not up._state.online:
        await asyncio.sleep(0.02)
    up.close()
    await running

asyncio.run(main())
"""


class Publisher:
    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.script = folder / "child.py"
        self.script.write_text(CHILD)

    async def start(self, mode):
        root = Path(__file__).parents[2]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(self.script),
            str(self.port),
            str(self.folder),
            mode,
            cwd=root,
            env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        )

    def lines(self):
        ledger = self.folder / "ledger"
        return ledger.read_text().splitlines() if ledger.exists() else []

    async def reached(self, count):
        await until(lambda: len(self.lines()) >= count, f"row {count}", 30)


@pytest.mark.slow
async def test_every_durable_row_arrives_once(mosquitto, tmp_path):
    chance = random.Random(5)
    publisher = Publisher(tmp_path, mosquitto.port)
    async with Twin(mosquitto.broker).running() as twin:
        for _ in range(8):
            before = len(publisher.lines())
            child = await publisher.start("feed")
            want = before + chance.randrange(10, 3000)
            await publisher.reached(want)
            child.send_signal(signal.SIGKILL)
            await child.wait()
        child = await publisher.start("drain")
        async with asyncio.timeout(30):
            assert await child.wait() == 0
        told = publisher.lines()
        assert len(told) > 3000
        for line in told:
            path, time, value = line.split()
            assert twin.stored.get((path, int(time))) == [(float(value), 0)], line
        doubled = [key for key, values in twin.stored.items() if len(values) > 1]
        assert not doubled
        totals = sorted({values[0][0] for values in twin.stored.values()})
        assert totals == [float(n) for n in range(1, len(totals) + 1)], "the saved total never lags"


@pytest.mark.slow
async def test_a_broker_that_is_killed_under_load_loses_nothing(mosquitto, tmp_path):
    publisher = Publisher(tmp_path, mosquitto.port)
    child = await publisher.start("feed")
    marks, stored = None, {}
    for _ in range(3):
        twin = Twin(mosquitto.broker)
        twin.marks = marks or twin.marks
        async with twin.running():
            want = len(publisher.lines()) + 500
            await publisher.reached(want)
            await twin.holds(200)
            mosquitto.kill()
        marks = twin.marks
        stored.update({key: [*stored.get(key, []), *v] for key, v in twin.stored.items()})
        await mosquitto.start()
    child.kill()
    await child.wait()
    twin = Twin(mosquitto.broker)
    twin.marks = marks
    async with twin.running():
        child = await publisher.start("drain")
        async with asyncio.timeout(30):
            assert await child.wait() == 0
    stored.update({key: [*stored.get(key, []), *v] for key, v in twin.stored.items()})
    for line in publisher.lines():
        path, time, value = line.split()
        assert stored.get((path, int(time))) == [(float(value), 0)], line
