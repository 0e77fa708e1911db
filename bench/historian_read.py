"""Reading of a historian: a trend over a year of seconds, and the line as it was at any moment.

``year_trend_ms``: median of windows of random length on a year of one signal a second beside 99 a
minute, each drawn to 2,000 px in a new process, timed from the call after imports and opening,
page cache warm, and equal to M4 by brute force. ``asof_ms``: median over random moments of a year
of 900 signals every ten minutes and 100 once a month, each equal to what was written.

Called by ``python -m bench historian``; alone: ``python -m bench historian_read --json``.
"""

import argparse
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import machine
from plant.flow.port import Commit, HistorianReader, HistorianWriter, Series
from plant.flow.sample import Float64, Int64, SampleBatch, UInt32
from plant.flow.status import StatusCode

DAY = 86_400_000
MONTH = 30 * DAY
T0 = 1_735_689_600_000  # 2025-01-01
PX = 2000
MOMENTS = 50
BAD = int(StatusCode.BadSensorFailure)
FAST = "plant/fast"
_SEED = 20_260_101
_COLUMNS = ("time", "value", "status")


# ------------------------------------------------------------------------------------ a year


def fast_day(day: int) -> tuple[Int64, Float64, UInt32]:
    """One day of the signal that comes every second: level, noise, half a percent Bad."""
    dice = np.random.default_rng([_SEED, day])
    n = DAY // 1000
    time_ = T0 + day * DAY + np.arange(n) * 1000 + 500
    time_ = time_ + np.rint(dice.normal(0, 1, n)).astype(np.int64)
    value = 50 + 30 * np.sin((np.arange(n) + day * n) / 20_000) + dice.normal(0, 0.2, n)
    bad = dice.random(n) < 0.005
    return time_, np.where(bad, np.nan, value), np.where(bad, BAD, 0).astype(np.uint32)


def year_days(days: int) -> Iterator[SampleBatch]:
    """Day by day: signal 0 every second, 1 to 99 every minute."""
    for day in range(days):
        time_, value, status = fast_day(day)
        dice = np.random.default_rng([_SEED, day, 1])
        minute = T0 + day * DAY + np.arange(DAY // 60_000) * 60_000
        slow = np.repeat(np.arange(1, 100, dtype=np.int32), len(minute))
        yield SampleBatch.of(
            np.r_[np.zeros(len(time_), np.int32), slow],
            np.r_[time_, np.tile(minute, 99)],
            np.r_[value, dice.normal(20, 0.2, len(slow))],
            np.r_[status, np.zeros(len(slow), np.uint32)],
        )


def moment_days(days: int) -> Iterator[SampleBatch]:
    """Day by day: 900 signals every ten minutes, 100 once in 30 days, each at a time of its own."""
    dice = np.random.default_rng([_SEED, 2])
    phase, rare = dice.integers(0, 600_000, 900), dice.integers(0, MONTH, 100)
    signal = np.repeat(np.arange(900, dtype=np.int32), 144)
    offset = np.repeat(phase, 144) + np.tile(np.arange(144) * 600_000, 900)
    for day in range(days):
        begin = day * DAY
        due = rare + -(-(begin - rare) // MONTH) * MONTH
        now = np.flatnonzero((due >= begin) & (due < begin + DAY))
        yield SampleBatch.of(
            np.r_[signal, (900 + now).astype(np.int32)],
            T0 + np.r_[begin + offset, due[now]],
            np.r_[dice.normal(50, 5, len(signal)), dice.normal(1, 1, len(now))],
        )


def fill(
    writer: HistorianWriter, series: list[Series], days: Iterator[SampleBatch], seal_days: int = 8
) -> int:
    """Write through the port, an hour a commit, seal and bring tiers up to date; rows."""
    writer.declare(series)
    rows, end = 0, T0
    for number, day in enumerate(days):
        ordered = day.take(np.argsort(day.source_time, kind="stable"))
        edges = np.searchsorted(ordered.source_time, T0 + number * DAY + np.arange(25) * 3_600_000)
        edges[-1] = len(ordered)
        for low, high in pairwise(edges.tolist()):
            if high > low:
                part = ordered.take(np.arange(low, high))
                writer.write(Commit(part), int(part.source_time[-1]))
        rows += len(day)
        end = T0 + (number + 1) * DAY
        if number % seal_days == seal_days - 1:
            writer.retain(end, force=True)
    writer.retain(end + 2 * 3_600_000, force=True)  # the last day is over, too
    return rows


# ------------------------------------------------------------------------------------ trends


def brute_m4(
    time_: Int64, value: Float64, status: UInt32, start: int, end: int, bucket_ms: int
) -> tuple[Int64, Float64, UInt32]:
    """M4 from all rows, without anything of the historian; the row before the range comes first."""
    held = int(np.searchsorted(time_, start)) - 1
    low, high = held + 1, int(np.searchsorted(time_, end))
    t, v = time_[low:high], value[low:high]
    bucket = t // bucket_ms
    edges = np.r_[0, np.flatnonzero(np.diff(bucket)) + 1, len(t)]
    keep: set[int] = set()
    for a, b in pairwise(edges.tolist()):
        part = v[a:b]
        some = np.flatnonzero(~np.isnan(part))
        if len(some):
            keep |= {a + int(some[0]), a + int(some[-1])}
            keep |= {a + int(np.nanargmin(part)), a + int(np.nanargmax(part))}
        if np.isnan(part[-1]):
            keep.add(b - 1)
    at = np.array(([held] if held >= 0 else []) + [low + i for i in sorted(keep)])
    return time_[at], value[at], status[at]


def _child() -> None:
    """One window in a process of its own: settings, folder and window by standard input."""
    import duckdb  # noqa: F401 - imports are not timed

    settings, folder, start, end, place = pickle.load(sys.stdin.buffer)
    reader: HistorianReader = settings.reader(folder)
    reader.series()  # opens it
    begun = time.perf_counter()
    found = reader.trend(FAST, start, end, PX)
    took = time.perf_counter() - begun
    np.savez(place, time=found.time, value=found.value, status=found.status)
    told = {"ms": 1000 * took, "tier": found.tier, "bucket_ms": found.bucket_ms}
    print(json.dumps({**told, "raw_count": found.raw_count}))
    reader.close()


def _windows(days: int, count: int) -> Iterator[tuple[int, int]]:
    """Of random length, days to all of it; the first is all of it."""
    dice = np.random.default_rng([_SEED, 3])
    yield T0, T0 + days * DAY
    for _ in range(count - 1):
        length = int(DAY * dice.uniform(min(2, days / 2), days))
        start = T0 + int(dice.integers(0, days * DAY - length + 1))
        yield start, start + length


def trends(settings: Any, folder: Path, days: int, windows: int) -> dict[str, Any]:
    """The windows, each in a new process and compared with brute force."""
    writer: HistorianWriter = settings.writer(folder)
    series = [Series(FAST, hold_ms=180_000), *(Series(f"plant/slow{i}") for i in range(1, 100))]
    begun = time.perf_counter()
    rows = fill(writer, series, year_days(days))
    built = time.perf_counter() - begun
    writer.close()
    parts = [fast_day(d) for d in range(days)]
    time_, value, status = (np.concatenate([p[i] for p in parts]) for i in range(3))
    told, wrong = [], 0
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "found.npz"
        _warm(folder)
        for start, end in _windows(days, windows):
            given = pickle.dumps((settings, folder, start, end, out))
            command = [sys.executable, "-m", "bench.historian_read", "--child"]
            done = subprocess.run(command, input=given, capture_output=True, check=True)
            one = json.loads(done.stdout.splitlines()[-1])
            found = np.load(out)
            expected = brute_m4(time_, value, status, start, end, one["bucket_ms"])
            low, high = np.searchsorted(time_, [start, end])
            columns: list[tuple[str, Any]] = list(zip(_COLUMNS, expected, strict=True))
            same = one["raw_count"] == int(high - low) and all(
                np.array_equal(found[name], column, equal_nan=name == "value")
                for name, column in columns
            )
            wrong += not same
            told.append({"days": round((end - start) / DAY, 2), **one, "equal": same})
            _say(told[-1])
    return {
        "year_trend_ms": round(statistics.median(w["ms"] for w in told), 1),
        "year_trend_max_ms": round(max(w["ms"] for w in told), 1),
        "year_wrong": wrong,
        "year_rows": rows,
        "year_build_s": round(built, 1),
        "year_days": days,
        "windows": told,
    }


def _warm(folder: Path) -> None:
    """Into the page cache, what there is of a folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as data:
                while data.read(1 << 24):
                    pass


# ------------------------------------------------------------------------------------ moments


def moments(settings: Any, folder: Path, days: int) -> dict[str, Any]:
    """As of random moments, compared with what was written."""
    writer: HistorianWriter = settings.writer(folder)
    series = [Series(f"plant/s{i}") for i in range(1000)]
    begun = time.perf_counter()
    rows = fill(writer, series, moment_days(days))
    built = time.perf_counter() - begun
    writer.close()
    reader: HistorianReader = settings.reader(folder)
    paths = [s.path for s in series]
    dice = np.random.default_rng([_SEED, 4])
    times = sorted(int(t) for t in dice.integers(T0 + DAY, T0 + days * DAY, MOMENTS))
    expected = _replayed(times, days)
    took, wrong = [], 0
    reader.as_of(paths[:1], T0)
    for at in dice.permutation(times).tolist():
        begun = time.perf_counter()
        found = reader.as_of(paths, at)
        took.append(1000 * (time.perf_counter() - begun))
        wrong += not found.same_as(expected[at])
    reader.close()
    _say({"asof_each_ms": [round(ms, 1) for ms in took]})
    return {
        "asof_ms": round(statistics.median(took), 1),
        "asof_max_ms": round(max(took), 1),
        "asof_wrong": wrong,
        "asof_rows": rows,
        "asof_build_s": round(built, 1),
    }


def _replayed(times: list[int], days: int) -> dict[int, SampleBatch]:
    """What held at each of some moments, from the rows themselves."""
    held = [np.full(1000, -1, np.int64), np.zeros(1000)]
    found, waiting = {}, list(times)
    for number, day in enumerate(moment_days(days)):
        while waiting and waiting[0] < T0 + (number + 1) * DAY:
            at = waiting.pop(0)
            found[at] = _held(_after(held, day.take(day.source_time <= at)))
        held = _after(held, day)
    return found


def _after(held: list[Any], rows: SampleBatch) -> list[Any]:
    rows = rows.sorted()
    last = np.flatnonzero(np.append(rows.signal[1:] != rows.signal[:-1], len(rows) > 0))
    time_, value = held[0].copy(), held[1].copy()
    time_[rows.signal[last]] = rows.source_time[last]
    value[rows.signal[last]] = rows.value[last]
    return [time_, value]


def _held(held: list[Any]) -> SampleBatch:
    some = np.flatnonzero(held[0] >= 0)
    return SampleBatch.of(some, held[0][some], held[1][some])


# ------------------------------------------------------------------------------------ all of it


def _say(told: object) -> None:
    print(json.dumps(told), file=sys.stderr, flush=True)


def measure(settings: Any, folder: Path, days: int = 365, windows: int = 20) -> dict[str, Any]:
    """Both figures of one kind of historian; ``settings`` is the kind's configuration.

    ``folder`` is made; a kind that keeps its data elsewhere has to be empty before.
    """
    parts: list[tuple[str, Callable[[Path], dict[str, Any]]]] = [
        ("year", lambda place: trends(settings, place, days, windows)),
        ("moment", lambda place: moments(settings, place, days)),
    ]
    told: dict[str, Any] = {}
    for name, part in parts:
        told |= part(folder / name)
    return told


def main(argv: list[str]) -> int:
    """Run it for the embedded historian and print."""
    if argv == ["--child"]:
        _child()
        return 0
    parser = argparse.ArgumentParser(prog="python -m bench historian_read", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--only", choices=["trend", "moment"])
    given = parser.parse_args(argv)
    from twin.historian.embedded import Embedded

    settings = Embedded()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.only == "trend":
            told = trends(settings, folder, given.days, given.windows)
        elif given.only == "moment":
            told = moments(settings, folder, given.days)
        else:
            told = measure(settings, folder, given.days, given.windows)
    windows = told.pop("windows", [])
    print(json.dumps({**told, "windows": len(windows), "machine": machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
