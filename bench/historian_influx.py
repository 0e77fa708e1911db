"""The InfluxDB historian: what our side costs, beside the same lines by plain HTTP.

``ingest_per_s``: rows a second through the port (duplicate rule, lines, marks), commits of
``COMMIT`` rows of the seeded plant. ``raw_server_per_s``: the very same bodies, in the same order,
over the same number of connections, by plain HTTP, into an emptied server. ``ratio`` of the two.
``client_cpu_us_per_sample``: user and system time of all threads of this process. Every row is
read back. ``tier_us_per_sample``: our CPU for minute, hour and day of them.
"""

import argparse
import http.client
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np

from bench.historian_read import moments, trends
from bench.influx import Influx, fresh_prefix, named_influx
from bench.influxd import Influxd
from bench.seeded import Seeded, batches
from plant.flow.port import Commit, Mark
from plant.flow.sample import SampleBatch
from twin.historian.influx.bucket import prepare
from twin.historian.influx.config import Influx as Settings
from twin.historian.influx.reader import InfluxReader
from twin.historian.influx.server import Server
from twin.historian.influx.writer import InfluxWriter
from twin.historian.segment import newest

COMMIT = 50_000
"""Rows of a commit under load, as the twin takes them from its queue at most."""
YEAR_DAYS = 30
"""Of the year unless more is asked for: a whole one takes half an hour to build."""


class Bodies:
    """Bodies of lines in a file, in the order in which they were sent."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w+b")
        self._ends = [0]
        self._fresh: list[bytes] = []
        self._lock = threading.Lock()

    def take(self, server: Server) -> None:
        """Keep what the server is sent for the raw bucket."""
        write = server.write

        def kept(which: str, body: bytes) -> None:
            if which == "raw":
                with self._lock:
                    self._fresh.append(body)
            write(which, body)

        server.write = kept  # type: ignore[method-assign]

    def put(self) -> None:
        """Into the file, while nothing is timed."""
        for body in self._fresh:
            self._file.write(body)
            self._ends.append(self._ends[-1] + len(body))
        self._fresh = []

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        for first, end in zip(self._ends, self._ends[1:], strict=False):
            yield self._file.read(end - first)

    @property
    def bytes(self) -> int:
        """All of them."""
        return self._ends[-1]


def write(settings: Settings, folder: Path, seconds: float, bodies: Bodies) -> dict[str, Any]:
    """Write for so many seconds of writing, then read every row back."""
    data = Seeded()
    writer = InfluxWriter(folder / "writer", settings)
    writer.declare(data.series())
    bodies.take(writer.server)
    took = cpu = 0.0
    rows = commits = 0
    everything = int(seconds * 1_000_000 // 60_000) + 1
    parts: list[SampleBatch] = []
    for batch in batches(data.arrivals(range(everything)), COMMIT):
        commit = Commit(batch, marks=[Mark("bench/edge", "run", commits)])
        now = int(batch.source_time[-1])
        begun, used = time.perf_counter(), time.process_time()
        writer.write(commit, now)
        took += time.perf_counter() - begun
        cpu += time.process_time() - used
        bodies.put()
        rows, commits = rows + len(batch), commits + 1
        parts.append(batch)
        if took >= seconds:
            break
    used = time.process_time()
    writer.retain(int(parts[-1].source_time.max()) + 3_600_000, force=True)
    tiers = time.process_time() - used
    writer.close()
    missing = _missing(settings, SampleBatch.concat(parts), [s.path for s in data.series()])
    return {
        "ingest_per_s": round(rows / took),
        "client_cpu_us_per_sample": round(1e6 * cpu / rows, 2),
        "rows": rows,
        "rows_missing_or_wrong": missing,
        "commit_rows": COMMIT,
        "connections": settings.connections,
        "gzip": settings.gzip,
        "bytes_per_line": round(bodies.bytes / rows, 1),
        "commit_ms": round(1000 * took / commits, 1),
        "tier_us_per_sample": round(1e6 * tiers / rows, 2),
    }


def _missing(settings: Settings, expected: SampleBatch, paths: list[str]) -> int:
    """Rows that are not as they were written, a minute at a time."""
    reader = InfluxReader(settings)
    order = np.lexsort((np.arange(len(expected)), expected.source_time, expected.signal))
    # of equal signal and time the later is the newest
    known = SampleBatch.of(
        expected.signal, expected.source_time, expected.value, expected.status, 0
    ).take(order)
    last = np.append(
        (known.signal[1:] != known.signal[:-1]) | (known.source_time[1:] != known.source_time[:-1]),
        True,
    )
    known = known.take(last)
    wrong = 0
    first, end = int(known.source_time.min()), int(known.source_time.max()) + 1
    for start in range(first, end, 60_000):
        stop = min(start + 60_000, end)
        inside = (known.source_time >= start) & (known.source_time < stop)
        mine, found = known.take(inside), reader.read(paths, start, stop)
        if not found.same_as(newest(mine)):
            wrong += abs(len(mine) - len(found)) or 1
    reader.close()
    return wrong


def raw(influx: Influx, bodies: Bodies, rows: int, connections: int) -> dict[str, Any]:
    """The same bodies by plain HTTP."""
    with fresh_prefix(influx) as prefix:
        bucket = f"{prefix}_raw"
        influx.create_bucket(bucket)
        query = urlencode({"org": influx.org, "bucket": bucket, "precision": "ms"})
        own = threading.local()

        def post(body: bytes) -> None:
            if not hasattr(own, "live"):
                own.live = http.client.HTTPConnection(urlsplit(influx.url).netloc, timeout=60)
            headers = {"Authorization": f"Token {influx.token}"}
            own.live.request("POST", f"/api/v2/write?{query}", body, headers)
            answer = own.live.getresponse()
            text = answer.read()
            if answer.status != 204:
                raise RuntimeError(text.decode())

        took = 0.0
        with ThreadPoolExecutor(connections) as threads:
            some: list[bytes] = []
            for body in bodies:
                some.append(body)
                if len(some) == 200:
                    took += _posted(threads, post, some)
                    some = []
            took += _posted(threads, post, some)
    return {"raw_server_per_s": round(rows / took)}


def _posted(threads: ThreadPoolExecutor, post: Any, some: list[bytes]) -> float:
    begun = time.perf_counter()
    list(threads.map(post, some))
    return time.perf_counter() - begun


@contextmanager
def server(folder: Path) -> Iterator[Influx]:
    """The named one, else our own on an empty folder."""
    named = named_influx(os.environ)
    if named is not None:
        yield named
        return
    own = Influxd(folder)
    own.start()
    try:
        yield own.influx
    finally:
        own.stop()


@contextmanager
def place(influx: Influx, **more: Any) -> Iterator[Settings]:
    """Settings of empty buckets, removed afterwards."""
    with fresh_prefix(influx) as prefix:
        given = {"url": influx.url, "org": influx.org, "token": influx.token, "prefix": prefix}
        settings = Settings.model_validate({**given, **more})
        made = Server(settings)
        prepare(made)
        made.close()
        yield settings


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of bar 2."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.only != "read":
            bodies = Bodies(folder / "bodies")
            with server(folder / "ours") as influx, place(influx) as settings:
                told |= write(settings, folder, options.seconds, bodies)
            with server(folder / "raw") as influx:
                told |= raw(influx, bodies, told["rows"], told["connections"])
            told["ratio"] = round(told["ingest_per_s"] / told["raw_server_per_s"], 3)
        if options.only != "write":
            days = min(options.days, YEAR_DAYS) if options.days == 365 else options.days
            with server(folder / "read") as influx:
                with place(influx) as settings:
                    told |= trends(settings, folder / "year", days, 20)
                with place(influx) as settings:
                    told |= moments(settings, folder / "moment", days)
            told.pop("windows", None)
    return told


if __name__ == "__main__":
    sys.exit("python -m bench historian --kind influxdb")
