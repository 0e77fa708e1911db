"""The log of a historian as a plain list; every answer is a search through all of it.

Nothing of a historian's own arithmetic is used here.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.testing import assert_allclose

from plant.flow.port import HistorianReader, Series
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind

LONG = 10**15
STEPS = (SignalKind.STATE, SignalKind.SETPOINT)
MINUTE, HOUR = 60_000, 3_600_000

Row = tuple[int, int, float, int]
"""Signal, source time, value, status."""


def same(a: Row, b: Row) -> bool:
    return a[3] == b[3] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))


def usable(row: Row) -> bool:
    return row[3] < 2**31 and not math.isnan(row[2])


class Replay:
    """(received, row) in the order of knowing."""

    def __init__(self, *series: Series) -> None:
        self.series = series
        self.paths = [s.path for s in series]
        self.log: list[tuple[int, Row]] = []
        self.texts: list[tuple[int, int, str]] = []
        self.last = 0
        self._newest: dict[tuple[int, int], Row] = {}
        self._believed: dict[tuple[int | None, int], list[tuple[int, Row]]] = {}

    def write(self, commit: Sequence[Row], now: int) -> int:
        """What ``HistorianWriter.write`` promises."""
        base = max(now, self.last + 1)
        turns: dict[tuple[int, int], int] = {}
        newest: dict[tuple[int, int], Row] = {}
        fresh = []
        for row in commit:
            key = row[:2]
            if key in newest and same(newest[key], row):
                continue
            turn = turns[key] = turns.get(key, -1) + 1
            newest[key] = row
            if turn or key not in self._newest or not same(self._newest[key], row):
                fresh.append((turn, row))
        used = sorted({turn for turn, _ in fresh})
        fresh.sort(key=lambda x: x[0])
        for turn, row in fresh:
            self.log.append((base + used.index(turn), row))
            self._newest[row[:2]] = row
        self.last = base + max(0, len(used) - 1)
        return self.last

    def say(self, time: int, text: str) -> None:
        """A text of the commit written last."""
        former = [t for _, at, t in self.texts if at == time]
        if not former or former[-1] != text:
            self.texts.append((self.last, time, text))

    # ------------------------------------------------------------------------------ answers

    def believed(self, known: int | None) -> list[tuple[int, Row]]:
        """The newest known of each (signal, time), by signal and time."""
        moment = (known, len(self.log))
        if moment not in self._believed:
            found = {}
            for received, row in self.log:
                if known is None or received <= known:
                    found[row[:2]] = (received, row)
            self._believed[moment] = sorted(found.values(), key=lambda x: x[1][:2])
        return self._believed[moment]

    def read(self, start: int, end: int, known: int | None) -> list[tuple[int, Row]]:
        return [x for x in self.believed(known) if start <= x[1][1] < end]

    def as_of(self, at: int, known: int | None) -> list[tuple[int, Row]]:
        last = {}
        for received, row in self.read(-LONG, at + 1, known):
            last[row[0]] = (received, row)
        return [last[s] for s in sorted(last)]

    def mine(self, signal: int, known: int | None) -> list[Row]:
        return [row for _, row in self.believed(known) if row[0] == signal]


# ------------------------------------------------------------------------------------ compared


def listed(batch: SampleBatch) -> list[tuple[int, Row]]:
    columns = (batch.signal, batch.source_time, batch.value, batch.status)
    table = zip(*(c.tolist() for c in columns), strict=True)
    return list(zip(batch.received_time.tolist(), table, strict=True))


def check_rows(got: list[tuple[int, Row]], expected: list[tuple[int, Row]]) -> None:
    assert [(r, *x[:2], x[3]) for r, x in got] == [(r, *x[:2], x[3]) for r, x in expected]
    assert_allclose([x[2] for _, x in got], [x[2] for _, x in expected], rtol=0)


def check_read(
    reader: HistorianReader, replay: Replay, start: int, end: int, known: int | None
) -> None:
    """Raw rows of the range and the line as of its end."""
    got = reader.read(replay.paths, start, end, known)
    check_rows(listed(got), replay.read(start, end, known))
    got = reader.as_of(replay.paths, end, known)
    check_rows(listed(got), replay.as_of(end, known))


def check_aggregate(
    reader: HistorianReader,
    replay: Replay,
    signal: int,
    span: tuple[int, int],
    width: int,
    known: int | None = None,
) -> None:
    """Counts, times, extremes and durations exactly, integrals within 1e-9."""
    start, end = span
    series = replay.series[signal]
    got = reader.aggregate(series.path, start, end, width, known)
    rows = replay.mine(signal, known)
    hold = series.hold_ms or LONG
    edges = range(start, end, width)
    assert got.start.tolist() == list(edges)
    held: list[dict[float, int]] = [{} for _ in edges]
    good = [0 for _ in edges]
    for i, row in enumerate(rows):
        until = min(rows[i + 1][1] if i + 1 < len(rows) else LONG, row[1] + hold, end)
        begin = max(row[1], start)
        if not usable(row) or until <= begin:
            continue
        for k in range((begin - start) // width, (until - 1 - start) // width + 1):
            ms = min(until, start + (k + 1) * width) - max(begin, start + k * width)
            held[k][row[2]] = held[k].get(row[2], 0) + ms
            good[k] += ms if row[3] < 2**30 else 0
    for k, begin in enumerate(edges):
        inside = [r for r in rows if begin <= r[1] < min(begin + width, end)]
        some = [r for r in inside if usable(r)]
        total = sum(held[k].values())
        assert got.count[k] == len(inside)
        assert got.known_s[k] == total / 1000
        assert got.good_s[k] == good[k] / 1000
        mean = sum(v * n for v, n in held[k].items()) / total if total else math.nan
        assert_allclose(got.mean[k], mean, rtol=1e-9)
        expected = _corners(some)
        found = [(getattr(got, f"{n}_time")[k], getattr(got, n)[k]) for n in _CORNERS]
        assert [t for t, _ in found] == [t for t, _ in expected]
        assert_allclose([v for _, v in found], [v for _, v in expected], rtol=0)
        if series.kind is SignalKind.STATE:
            told = {s: d[k] for s, d in got.durations.items() if d[k]}
            assert told == {int(v): n / 1000 for v, n in held[k].items()}
        if series.kind is SignalKind.COUNTER and rows:
            assert_allclose(got.increase[k], _rise(rows, begin, min(begin + width, end), series))
        elif series.kind is not SignalKind.COUNTER:
            assert math.isnan(got.increase[k])


_CORNERS = ("first", "last", "low", "high")


def _corners(some: Sequence[Row]) -> list[tuple[int, float]]:
    """Time and value of first, last, low and high."""
    if not some:
        return [(0, math.nan)] * 4
    low = min(some, key=lambda r: (r[2], r[1]))
    high = min(some, key=lambda r: (-r[2], r[1]))
    return [(r[1], r[2]) for r in (some[0], some[-1], low, high)]


def _rise(rows: Sequence[Row], start: int, end: int, series: Series) -> float:
    rise = 0.0
    for a, b in pairwise([r for r in rows if usable(r)]):
        if start <= b[1] < end:
            step = b[2] - a[2]
            if step < 0:
                modulus = series.modulus
                rolled = modulus and a[2] >= 0.9 * modulus and b[2] <= 0.1 * modulus
                step = step + modulus if modulus and rolled else b[2]
            rise += step
    return rise


def check_trend(
    reader: HistorianReader,
    replay: Replay,
    signal: int,
    span: tuple[int, int],
    px: int,
    known: int | None = None,
) -> str:
    """Equal to M4 by brute force over all raw rows; the tier it came from."""
    start, end = span
    series = replay.series[signal]
    got = reader.trend(series.path, start, end, px, known)
    rows = replay.mine(signal, known)
    held = [r for r in rows if r[1] < start][-1:]
    inside = [r for r in rows if start <= r[1] < end]
    assert got.raw_count == len(inside)
    shown = inside
    if series.kind in STEPS:
        shown = inside[:1] + [b for a, b in pairwise(inside) if not same(a, b)]
    if len(shown) <= 4 * px:
        assert (got.tier, got.bucket_ms) == ("raw", 0)
    else:
        ideal = (end - start) / px
        cell = 1
        if known is None:
            cell = HOUR if ideal >= HOUR else MINUTE if ideal >= MINUTE else 1
        width = got.bucket_ms
        assert width % cell == 0
        assert got.tier in {"raw", {1: "raw", MINUTE: "minute", HOUR: "hour"}[cell]}
        assert (end - 1) // width - start // width + 1 <= px
        assert width <= (end - start) / (px - 1) + cell
        shown = _m4(inside, width)
    expected = [*held, *shown]
    assert got.time.tolist() == [r[1] for r in expected]
    assert got.status.tolist() == [r[3] for r in expected]
    values = [r[2] if usable(r) else math.nan for r in expected]
    assert np.array_equal(got.value, values, equal_nan=True)
    return got.tier


def _m4(rows: Sequence[Row], width: int) -> list[Row]:
    buckets: dict[int, list[Row]] = {}
    for row in rows:
        buckets.setdefault(row[1] // width, []).append(row)
    kept: dict[int, Row] = {}
    for bucket in buckets.values():
        some = [r for r in bucket if usable(r)]
        times = {t for t, _ in _corners(some)} if some else set()
        if not usable(bucket[-1]):
            times.add(bucket[-1][1])
        kept |= {r[1]: r for r in bucket if r[1] in times}
    return [kept[t] for t in sorted(kept)]
