"""SIGKILL at every line of the embedded historian that a commit, a seal and a merge go through.

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

from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text
from twin.historian import reader, seal, writer  # noqa: F401 - imported before lines count
from twin.historian.embedded import Embedded
from twin.historian.store import SAMPLES

CONFIG = Embedded(kind="embedded", merge=2)
SERIES = [Series(f"a/s{i}") for i in range(4)]
T0 = 1_760_000_000_000
WATCHED = str(Path(sys.modules["twin.historian"].__file__).parent)


def first_commits():
    """What is durable before anything is killed, part sealed, part hot."""
    for k in range(6):
        b = SampleBatch.of([0, 1, 2], [T0 + k * 1000] * 3, [k, k + 0.5, -k])
        yield Commit(b, marks=[Mark("g/e", "r", k + 1)])


def the_commit():
    """What is under way when the kill comes: new rows, a correction, a duplicate, the rest."""
    return Commit(
        SampleBatch.of(
            [0, 1, 3, 2, 3],
            [T0 + 9000, T0 + 1000, T0 - 10**9, T0 + 2000, T0 - 10**9],
            [9.0, 77.0, 1.0, -2.0, 2.0],
        ),
        texts=[Text(0, T0, "x")],
        events=[Event(T0, "a", "k")],
        gaps=[Gap("g/e", 1, 2, 3, "why")],
        marks=[Mark("g/e", "r", 7)],
    )


def prepare(folder):
    w = CONFIG.writer(folder)
    w.declare(SERIES)
    for k, commit in enumerate(first_commits()):
        w.write(commit, T0 + k)
        if k in (1, 3):
            w.retain(T0, force=True)
    w.close()


def opened(folder):
    w = CONFIG.writer(folder)
    w.declare(SERIES)
    return w


def work(w):
    w.write(the_commit(), T0 + 100)
    w.retain(T0, force=True)


def content(folder):
    """Everything that can be read, as comparable values."""
    r = CONFIG.reader(folder)
    paths = [s.path for s in SERIES]
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
    w = CONFIG.writer(folder)
    marks = {f"{e} {r}": o for (e, r), o in w.marks().items()}
    named = [
        row[0]
        for t in ("segment", "retired")
        for row in w.database.execute(f"SELECT file FROM {t}")
    ]
    files = sorted(f.name for f in (folder / SAMPLES).iterdir())
    rows = sum(
        row[0]
        for row in w.database.execute("SELECT rows FROM segment UNION ALL SELECT rows FROM hot")
    )
    w.close()
    return {
        "content": content(folder),
        "marks": marks,
        "orphans": sorted(set(files) ^ set(named)),
        "rows": rows,
    }


def again(folder):
    """After the crash the edge sends the unacknowledged row again, as the twin would store it."""
    w = CONFIG.writer(folder)
    w.declare(SERIES)
    if w.marks()[("g/e", "r")] < 7:
        w.write(the_commit(), T0 + 100)
    w.retain(T0, force=True)
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


def main(base):
    child(lambda: prepare(base / "start"))
    before = child(lambda: state(base / "start"))
    shutil.copytree(base / "start", base / "whole")
    lines = child(lambda: lines_of(base / "whole"))
    after = child(lambda: state(base / "whole"))
    done = {"before": 0, "after": 0}
    wrong = []
    for n, where in enumerate(lines[int(sys.argv[2]) :: int(sys.argv[3])]):
        folder = base / "try"
        shutil.copytree(base / "start", folder)
        assert child(lambda f=folder, w=where: killed_at(f, w)) is None, where
        found, healed = child(lambda f=folder: (state(f), again(f), state(f))[::2])
        match = [name for name, s in (("before", before), ("after", after)) if s == found]
        if match:
            done[match[0]] += 1
        else:
            wrong.append([n, *where])
        if healed["content"] != after["content"]:
            wrong.append([n, *where, "again"])
        shutil.rmtree(folder)
    print(json.dumps({"lines": len(lines), "killed": sum(done.values()), **done, "wrong": wrong}))


if __name__ == "__main__":
    np.seterr(all="raise")
    main(Path(sys.argv[1]))
