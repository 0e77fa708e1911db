"""Readers in processes of their own while another writes, seals, merges and builds tiers."""

import json
import subprocess
import sys

import pytest

from twin.historian.embedded import Embedded

COMMITS = 160

WRITER = """
import sys
from pathlib import Path
from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from twin.historian.embedded import Embedded

T0, STEP = 1_751_328_000_000, 900_000
w = Embedded(kind="embedded", merge=3).writer(Path(sys.argv[1]))
w.declare([Series("a/x"), Series("a/y")])
for k in range(int(sys.argv[2])):
    now = T0 + k * STEP
    if k % 10 == 9:  # hours late: both signals corrected in one commit
        w.write(Commit(SampleBatch.of([0, 1], [now - 5 * STEP] * 2, [-k, -k])), now)
    else:
        w.write(Commit(SampleBatch.of([0, 1], [now, now], [k, k])), now)
    if k % 4 == 3:
        w.retain(now, force=True)
w.close()
"""

READER = """
import json
import sys
from pathlib import Path
import numpy as np
from twin.historian.embedded import Embedded

T0, STEP = 1_751_328_000_000, 900_000
commits = int(sys.argv[2])
start, end = T0 - STEP, T0 + commits * STEP
reader = Embedded(kind="embedded").reader(Path(sys.argv[1]))
wrong, tiers, rounds, after, log, before = [], set(), 0, 0, [], {}

def rise(name, count):  # nothing that was told is taken back
    if count < before.get(name, -1):
        wrong.append((name, count, before[name]))
    before[name] = count

def expected(last):  # every commit up to one, and none after it
    values = {}
    for k in range(last + 1):
        values[T0 + (k - 5 if k % 10 == 9 else k) * STEP] = -k if k % 10 == 9 else k
    return [values[t] for t in sorted(values)]

while True:
    log += reader.changes(after, 9).samples.received_time.tolist()
    after = max([after, *log[-1:]])
    rows = reader.read(["a/x", "a/y"], start, end)
    x, y = (rows.value[rows.signal == i].tolist() for i in (0, 1))
    last = int((rows.received_time.max() - T0) // STEP) if len(rows) else -1
    if x != y or x != expected(last):
        wrong.append(("read", last, x, y))
    rise("read", last)
    line = reader.as_of(["a/x", "a/y"], end)
    if len(line) and (len(line) != 2 or len(set(line.value.tolist())) != 1):
        wrong.append(("as_of", line.value.tolist()))
    total = reader.aggregate("a/x", T0, end, 12 * STEP)
    rise("aggregate", int(total.count.sum()))
    drawn = reader.trend("a/x", start, end, 4)
    tiers.add(drawn.tier)
    rise("trend", drawn.raw_count)
    if drawn.raw_count > 16 and np.nanmin(drawn.value) > 0:
        wrong.append(("trend", drawn.value.tolist()))
    rounds += 1
    if last == commits - 1:
        break
while len(log) < 2 * commits:
    log += reader.changes(after, 9).samples.received_time.tolist()
    after = log[-1]
told = {"wrong": wrong, "rounds": rounds, "tiers": sorted(tiers)}
print(json.dumps({**told, "log": [(t - T0) // STEP for t in log], **before}))
"""


@pytest.mark.timeout(180)
def test_readers_in_other_processes_see_every_commit_whole_and_none_taken_back(tmp_path):
    folder = tmp_path / "historian"
    Embedded(kind="embedded").writer(folder).close()
    given = [str(folder), str(COMMITS)]
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, *given], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        subprocess.run([sys.executable, "-c", WRITER, *given], check=True)
        told = [json.loads(reader.communicate()[0]) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
            reader.stdout.close()
    for one in told:
        assert one["wrong"] == []
        assert one["log"] == [k for k in range(COMMITS) for _ in range(2)]
        assert one["trend"] == one["aggregate"] == COMMITS - COMMITS // 10
        assert one["rounds"] > 1
        assert "hour" in one["tiers"]
