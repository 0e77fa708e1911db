"""A disk that takes no more: nothing that was acknowledged is lost, what was not comes again.

A real limit of the kernel (RLIMIT_FSIZE: writing beyond it fails with EFBIG) in a process of its
own, lifted again as if somebody had made room.
"""

import json
import subprocess
import sys

CHILD = """
import json, resource, sys
from pathlib import Path
import numpy as np
from plant.errors import Unavailable
from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import SampleBatch
from twin.historian.embedded import Embedded

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
T0 = 20_000 * 86_400_000
writer = Embedded(seal_rows=3000, merge=4).writer(folder)
writer.declare([Series(f"a/{i}") for i in range(100)])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
dice = np.random.default_rng(1)
refused = {"write": 0, "retain": 0, "adopt": 0}


def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def persistently(name, do):
    for attempt in range(3):
        try:
            return do()
        except Unavailable:
            refused[name] += 1
            room(hard)
    raise SystemExit(f"{name} is refused for ever")


written = []
for k in range(60):
    room(limit if k % 3 else hard)
    rows = SampleBatch.of(np.arange(100), np.full(100, T0 + k * 1000), dice.normal(0, 1, 100))
    commit = Commit(rows, marks=[Mark("g/e", "r", k + 1)])
    persistently("write", lambda: writer.write(commit, T0 + k))
    written.append(rows)
    room(limit if k % 2 else hard)
    persistently("retain", lambda: writer.retain(T0 + 3 * 86_400_000, force=k % 5 == 4))
room(limit)
noise = dice.normal(0, 1, 30_000)
page = SampleBatch.of(np.zeros(30_000), T0 + np.arange(30_000), noise, 0, T0 + 10**6)
persistently("adopt", lambda: writer.adopt(Changes([Series("b/x")], page), Mark("copy", "x", 1)))
room(hard)
writer.retain(T0 + 3 * 86_400_000, force=True)
from tests.twin.tier_check import check_files, check_tiers
check_files(writer)
cells = check_tiers(writer)
marks = {run: offset for (_, run), offset in writer.marks().items()}
writer.close()
reader = Embedded().reader(folder)
found = reader.read([f"a/{i}" for i in range(100)], 0, 2 * T0)
same = found.same_as(SampleBatch.concat(written).sorted())
copied = len(reader.read(["b/x"], 0, 2 * T0))
reader.close()
told = {"same": same, "copied": copied, "marks": marks, "cells": cells, "refused": refused}
print(json.dumps(told))
"""


def test_a_full_disk_refuses_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "historian"), "20000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"]
    assert (told["copied"], told["marks"]) == (30_000, {"r": 60, "x": 1})
    assert told["cells"] > 0
    assert min(told["refused"].values()) > 0
