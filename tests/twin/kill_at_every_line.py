"""SIGKILL at every line of the embedded historian: commit, seal, adopt, merge, cells, retention.

Run as a script: ``kill_at_every_line.py FOLDER START STEP`` (which of the lines). It forks one
child per distinct line (this process never opens DuckDB), kills the child there, lets another
child open the historian and compare, and prints one JSON object.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

import duckdb  # noqa: F401 - imported, never opened here
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text
from tests.twin.tier_check import check_files, check_tiers
from twin.historian import adopt, build, reader, retain, seal, shelf, writer  # noqa: F401 - imported before lines count
from twin.historian.embedded import Embedded
from twin.historian.signal import add  # noqa: F401

CONFIG = Embedded(kind="embedded", merge=2, retention_days=4, timezone="Asia/Shanghai")
SERIES = [Series(f"a/s{i}", hold_ms=60_000 * (i % 2)) for i in range(4)]
DAY = 86_400_000
T0 = 20_000 * DAY
NOW = T0 + 7 * DAY
WATCHED = str(Path(sys.modules["twin.historian"].__file__).parent)


def first_commits():
    """What is durable before anything is killed, part sealed and in tiers, part hot."""
    for k in range(8):
        times = [T0 + k * DAY // 2 + n * 7_000 for n in range(3) for _ in range(3)]
        values = [k, k + 0.5, -k] * 3
        yield Commit(SampleBatch.of([0, 1, 2] * 3, times, values), marks=[Mark("g/e", "r", k + 1)])


def the_commit():
    """What is under way when the kill comes: new rows, a correction, a duplicate, the rest."""
    return Commit(
        SampleBatch.of(
            [0, 1, 3, 2, 3, 0],
            [T0 + 6 * DAY, T0 + 3 * DAY, NOW - 5, T0 + 3 * DAY, NOW - 5, T0 + 2 * DAY + 30_000],
            [9.0, 77.0, 1.0, -6.0, 2.0, 5.5],
        ),
        texts=[Text(0, T0, "x")],
        events=[Event(T0, "a", "k")],
        gaps=[Gap("g/e", 1, 2, 3, "why")],
        marks=[Mark("g/e", "r", 9)],
    )


def the_page():
    """Another historian's rows, some of a time whose raw rows may be gone."""
    times = [T0 + DAY, T0 + 5 * DAY, T0 + 5 * DAY + 1000, T0 + 4 * DAY]
    rows = SampleBatch.of(
        [0, 0, 1, 0], times, [1.0, 2.0, 3.0, 4.0], 0, [T0 + 20, T0 + 20, T0 + 21, T0 + 22]
    )
    series = [Series("b/x"), Series("b/y")]
    return Changes(series, rows, texts=[(T0 + 20, Text(0, T0 + DAY, "y"))], upto=T0 + 22)


def prepare(folder):
    w = opened(folder)
    for k, commit in enumerate(first_commits()):
        w.write(commit, T0 + k)
        if k in (1, 3, 5):
            w.retain(T0 + 3 * DAY, force=True)
    w.close()


def opened(folder):
    w = CONFIG.writer(folder)
    w.declare(SERIES)
    return w


STEPS = (
    lambda w: w.write(the_commit(), T0 + 100) if w.marks().get(("g/e", "r"), 0) < 9 else None,
    lambda w: w.adopt(the_page(), Mark("copy", "x", 22)),
    lambda w: w.retain(NOW, force=True),
)


def work(w):
    for step in STEPS:
        step(w)


def content(folder):
    """Everything that can be read, as comparable values."""
    r = CONFIG.reader(folder)
    paths = [*(s.path for s in SERIES), "b/x", "b/y"]
    out = []
    for known in (None, T0 + 5, T0 + 101):
        rows = r.read(paths, 0, T0 * 2, known)
        columns = (rows.signal, rows.source_time, rows.value, rows.status, rows.received_time)
        out.append([c.tolist() for c in columns])
    out.append(
        [
            list(map(str, x))
            for x in (r.texts(paths, 0, T0 * 2), r.events(0, T0 * 2), r.gaps(0, T0 * 2))
        ]
    )
    r.close()
    return out


def state(folder):
    """What is there when it is opened again; every file and every cell is checked."""
    w = CONFIG.writer(folder)
    marks = {f"{e} {r}": o for (e, r), o in w.marks().items()}
    check_files(w)
    cells = check_tiers(w)
    w.close()
    return {"content": content(folder), "marks": marks, "cells": cells > 0}


def again(folder):
    """After the crash the edge and the copy send what was not acknowledged."""
    w = opened(folder)
    work(w)
    w.close()


def child(run):
    """Run in a child; what it returns, None when it was killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.write(write, json.dumps(run()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - the child ends here
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    data = b""
    while chunk := os.read(read, 1 << 16):
        data += chunk
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    if status != 0:
        raise SystemExit("a child failed")
    return json.loads(data)


def traced(folder, on_line):
    w = opened(folder)

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        if event == "line":
            on_line((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        work(w)
    finally:
        sys.settrace(None)


def lines_of(folder):
    seen = {}
    traced(folder, lambda where: seen.setdefault(where, len(seen)))
    return [list(w) for w in seen]


def killed_at(folder, where):
    def on_line(here):
        if list(here) == where:
            os.kill(os.getpid(), signal.SIGKILL)

    traced(folder, on_line)


def step_by_step(folder):
    """The states that a crash may leave, between transactions that change what can be read."""
    states = [state(folder)]
    for step in STEPS:
        w = opened(folder)
        step(w)
        w.close()
        states.append(state(folder))
    return states


def main(base):
    child(lambda: prepare(base / "start"))
    shutil.copytree(base / "start", base / "whole")
    shutil.copytree(base / "start", base / "steps")
    states = child(lambda: step_by_step(base / "steps"))
    lines = child(lambda: lines_of(base / "whole"))
    last = child(lambda: state(base / "whole"))
    done = [0] * len(states)
    wrong = [] if last["content"] == states[-1]["content"] else ["steps"]
    for n, where in enumerate(lines[int(sys.argv[2]) :: int(sys.argv[3])]):
        folder = base / "try"
        shutil.copytree(base / "start", folder)
        assert child(lambda f=folder, w=where: killed_at(f, w)) is None, where
        found, healed = child(lambda f=folder: (state(f), again(f), state(f))[::2])
        match = [k for k, s in enumerate(states) if s["content"] == found["content"]]
        if match and found["marks"] == states[match[-1]]["marks"]:
            done[match[-1]] += 1
        else:
            wrong.append([n, *where])
        if healed["content"] != last["content"] or healed["marks"] != last["marks"]:
            wrong.append([n, *where, "again"])
        shutil.rmtree(folder)
    print(json.dumps({"lines": len(lines), "killed": sum(done), "states": done, "wrong": wrong}))


if __name__ == "__main__":  # not where doctests are only looked for
    np.seterr(all="raise")
    shelf._JOIN = 3
    adopt._BIG_PAGE = 3
    retain.RETIRED_KEEP_S = 10**9  # what another moment would remove makes no difference here
    main(Path(sys.argv[1]))
