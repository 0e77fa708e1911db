"""The embedded historian of ``python -m bench historian``: bar 1 of issue 4.

Written through the port in batches of 1,000 by one thread while another calls ``retain``, as the
twin does; the rows are made by another process. The plant's clock starts at 18:00, so that a
day ends, and is made final, in the run. CPU is user and system time of all threads of this
process, until everything is sealed, synced and in the tiers. Bytes are those of the files that
the manifest names, and of the SQLite file after its log was emptied; files that were replaced,
and live ten minutes longer for readers, are told beside them.
"""

import argparse
import csv
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np

from bench.seeded import BLOCK_S, T0, Seeded, batches
from plant.flow.port import Commit, HistorianWriter, Mark, Series
from plant.flow.sample import SampleBatch

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

BATCH = 1000
RECORD = "sme-retrofit-power/company_A_labelled_subset_first70.csv"
_FIELDS = ("items", "status", "status_time", "power_avg", "cycle_time", "alarm", "product")
_EVENING = T0 + 18 * 3_600_000
_COLUMNS = ("signal", "source_time", "value", "status")
_SQLITE_ROWS = 300_000
_RETAIN_S = 0.25


def measure(given: argparse.Namespace) -> dict[str, object]:
    """Every figure of the embedded historian."""
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        if given.only != "read":
            told |= ingest(folder / "seeded", given.seconds)
            told |= sme(folder / "sme")
            told |= sqlite(folder / "plain.sqlite", min(given.seconds / 60, 1.0))
        if given.only != "write":
            from bench.historian_read import measure as read
            from twin.historian.embedded import Embedded

            told |= read(Embedded(), folder / "read", given.days)
    told.pop("windows", None)
    return told


# ------------------------------------------------------------------------------------ writing


def ingest(folder: Path, seconds: float) -> dict[str, object]:
    """Write for so long, seal, read every row back."""
    from twin.historian.embedded import Embedded

    settings = Embedded()
    writer = settings.writer(folder)
    data = Seeded(start=_EVENING)
    writer.declare(data.series())
    blocks, rows, cpu_s, wall_s = _write(writer, data, seconds)
    writer.close()
    size = stored_bytes(folder)
    wrong = _compare(settings, folder, data, blocks)
    if wrong:
        raise RuntimeError(f"{wrong} rows did not come back as they were written")
    return {
        "ingest_per_cpu_s": round(rows / cpu_s),
        "ingest_per_s": round(rows / wall_s),
        "rows": rows,
        "plant_hours": round(blocks * BLOCK_S / 3600, 2),
        "cpu_us_per_sample": round(cpu_s / rows * 1e6, 4),
        "bytes_per_sample": round(size["bytes"] / rows, 3),
        **{f"bytes_per_sample_{k}": round(v / rows, 3) for k, v in size.items() if k != "bytes"},
        "load": [round(x, 2) for x in os.getloadavg()],
    }


def _write(writer: HistorianWriter, data: Seeded, seconds: float) -> tuple[int, int, float, float]:
    """(Minutes written, rows, CPU s, s)."""
    context = get_context("spawn")
    feed: Queue[Any] = context.Queue(8)
    stop = context.Event()
    maker = context.Process(target=_make, args=(data, feed, stop), daemon=True)
    maker.start()
    ended = threading.Event()
    clock = [data.start]
    failed: list[BaseException] = []

    def retain() -> None:
        try:
            while not ended.wait(_RETAIN_S):
                writer.retain(clock[0])
        except BaseException as error:
            failed.append(error)
            raise

    sealer = threading.Thread(target=retain, name="sealer")
    source = _fed(feed, stop, seconds)
    first = next(source)  # the other process is running
    cpu, wall = _cpu(), time.perf_counter()
    sealer.start()
    rows = 0
    for offset, batch in enumerate(batches(_chain(first, source), BATCH), 1):
        clock[0] = int(batch.source_time[-1]) + 1000
        writer.write(Commit(batch, marks=[Mark("g/edge", "run", offset)]), clock[0])
        rows += len(batch)
        if failed:
            raise RuntimeError("retain failed") from failed[0]
    ended.set()
    sealer.join()
    writer.retain(clock[0] + 120_000, force=True)
    taken = _cpu() - cpu, time.perf_counter() - wall
    maker.join()
    return feed_blocks(rows, data), rows, *taken


def feed_blocks(rows: int, data: Seeded) -> int:
    """How many minutes so many rows are."""
    blocks, rest = divmod(rows, BLOCK_S * data.signals)
    if rest:
        raise RuntimeError("a minute was not written to its end")
    return blocks


def _make(data: Seeded, feed: "Queue[Any]", stop: Any) -> None:
    """In the other process: minutes of arrivals until it is told to stop, then what is late."""

    def blocks() -> Iterator[int]:
        k = 0
        while not stop.is_set():
            yield k
            k += 1

    for rows in data.arrivals(blocks()):
        feed.put(tuple(getattr(rows, name) for name in _COLUMNS))
    feed.put(None)


def _fed(feed: "Queue[Any]", stop: Any, seconds: float) -> Iterator[SampleBatch]:
    until: float | None = None
    while (columns := feed.get()) is not None:
        until = until or time.perf_counter() + seconds
        if time.perf_counter() >= until:
            stop.set()
        yield SampleBatch.of(*columns)


def _chain(first: SampleBatch, rest: Iterator[SampleBatch]) -> Iterator[SampleBatch]:
    yield first
    yield from rest


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _compare(settings: Any, folder: Path, data: Seeded, blocks: int) -> int:
    """Rows that are not what was written, missing or too many; ten minutes at a time."""
    reader = settings.reader(folder)
    paths = [series.path for series in data.series()]
    wrong = read = 0
    hold = 10
    start = data.start - 500
    try:
        for k in range(0, blocks, hold):
            some = [data.block(b)[0] for b in range(k, min(k + hold, blocks))]
            wanted = SampleBatch.concat(some).sorted()
            until = data.start + min(k + hold, blocks) * BLOCK_S * 1000 - 500
            found = reader.read(paths, start, until)
            start = until
            read += len(found)
            if not found.same_as(wanted):
                wrong += max(abs(len(found) - len(wanted)), 1)
    finally:
        reader.close()
    if read != blocks * BLOCK_S * data.signals:
        wrong += 1
    return wrong


# ------------------------------------------------------------------------------------ bytes


def stored_bytes(folder: Path) -> dict[str, int]:
    """Of the manifest's files and the SQLite file; ``retired`` is what goes ten minutes later."""
    from twin.historian.store import FILE

    database = folder / FILE
    for name in (f"{FILE}-wal",):
        log = folder / name
        if log.exists() and log.stat().st_size:
            raise RuntimeError("the log of SQLite was not emptied")
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        named = dict(connection.execute("SELECT file, 'samples' FROM segment"))
        named |= dict(connection.execute("SELECT file, 'tiers' FROM tier"))
    finally:
        connection.close()
    size = {"samples": 0, "tiers": 0, "sqlite": database.stat().st_size, "retired": 0}
    for kind in ("samples", "tiers"):
        for file in (folder / kind).iterdir():
            size[named.get(file.name, "retired")] += file.stat().st_size
    return {"bytes": sum(v for k, v in size.items() if k != "retired"), **size}


# ------------------------------------------------------------------------------------ references


def sme(folder: Path) -> dict[str, object]:
    """The recorded rows of three retrofitted machines, each number of a row one signal."""
    record = Path(os.environ.get("KAIKOU_DATA", "")) / RECORD
    if not record.is_file():
        print(f"no {RECORD} under KAIKOU_DATA: left out", file=sys.stderr)
        return {}
    from twin.historian.embedded import Embedded

    rows = _recorded(record)
    settings = Embedded()
    writer = settings.writer(folder)
    paths = [f"machine{m}/{f}" for m in range(3) for f in _FIELDS]
    writer.declare([Series(path, hold_ms=900_000) for path in paths])
    for at in range(0, len(rows), BATCH):
        some = rows.take(np.arange(at, min(at + BATCH, len(rows))))
        writer.write(Commit(some), int(some.source_time[-1]) + 1000)
    writer.retain(int(rows.source_time[-1]) + 86_400_000 * 2, force=True)
    writer.close()
    reader = settings.reader(folder)
    back = reader.read(paths, 0, 1 << 42)
    reader.close()
    if not back.same_as(rows.sorted()):
        raise RuntimeError("the recorded rows did not come back as they were written")
    size = stored_bytes(folder)
    return {
        "bytes_per_sample_sme": round(size["bytes"] / len(rows), 3),
        "samples_sme": len(rows),
        "bytes_sme": {k: v for k, v in size.items() if k != "bytes"},
    }


def _recorded(file: Path) -> SampleBatch:
    signal, time_, value = [], [], []
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            at = int(datetime.fromisoformat(row["ts"]).timestamp() * 1000)
            for n, name in enumerate(_FIELDS):
                signal.append(int(row["asset"]) * len(_FIELDS) + n)
                time_.append(at)
                value.append(float(row[name] or "nan"))
    rows = SampleBatch.of(signal, time_, value)
    _, one = np.unique(rows.signal.astype(np.int64) << 44 | rows.source_time, return_index=True)
    return rows.take(np.sort(one))


def sqlite(file: Path, share: float) -> dict[str, object]:
    """The same rows in a plain SQLite table with one index, the same batches, as durable."""
    data = Seeded(start=_EVENING)
    blocks = max(1, round(_SQLITE_ROWS * share / (BLOCK_S * data.signals)))
    some = list(batches(data.arrivals(iter(range(blocks))), BATCH))
    connection = apsw.Connection(str(file))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute(
        "CREATE TABLE sample (signal INTEGER, source_time INTEGER, received_time INTEGER,"
        " value REAL, status INTEGER, PRIMARY KEY (signal, source_time, received_time))"
        " WITHOUT ROWID"
    )
    cpu, rows = _cpu(), 0
    for batch in some:
        known = int(batch.source_time[-1]) + 1000
        columns = (batch.signal, batch.source_time, batch.value, batch.status)
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO sample VALUES (?1, ?2, ?5, ?3, ?4)",
                zip(*(c.tolist() for c in columns), [known] * len(batch), strict=True),
            )
        rows += len(batch)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    cpu_s = _cpu() - cpu
    connection.close()
    return {
        "sqlite_ingest_per_cpu_s": round(rows / cpu_s),
        "sqlite_bytes_per_sample": round(file.stat().st_size / rows, 2),
        "sqlite_rows": rows,
    }
