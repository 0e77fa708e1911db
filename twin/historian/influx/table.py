"""Flux's CSV as numpy columns: 0.5 µs a value, where the library's records cost 20.

A result is a sequence of blocks, parted by an empty line, each with its own header. Within a
block the rows of one table (one series, one field) are together.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.sample import Float64, Int32, Int64, SampleBatch, UInt32
from twin.historian.influx.flux import Tags

DAY_MS = 86_400_000
FIELDS = ("f", "i", "b", "n", "q", "rt")
"""Fields of a sample: see ``twin.historian.influx.line``."""


@dataclass(frozen=True, slots=True)
class Block:
    """Columns as they came: lists of bytes."""

    columns: Mapping[str, Sequence[bytes]]
    rows: int

    def text(self, name: str, row: int) -> str:
        """One cell of a tag column, "" where this block has no such column."""
        column = self.columns.get(name)
        return "" if column is None else column[row].decode("utf-8")


def blocks(data: bytes) -> Iterator[Block]:
    """Every block of a result."""
    for part in data.split(b"\r\n\r\n") if b'"' not in data else _quoted(data):
        head, _, body = part.strip(b"\r\n").partition(b"\r\n")
        if not body:
            continue
        names = head.decode("utf-8").split(",")
        flat = _cells(body)
        width = len(names)
        columns = {name: flat[i::width] for i, name in enumerate(names) if name}
        yield Block(columns, len(flat) // width)


def _cells(body: bytes) -> list[bytes]:
    if b'"' not in body:
        return body.replace(b"\r\n", b",").split(b",")
    text = io.StringIO(body.decode("utf-8"), newline="")
    return [cell.encode("utf-8") for row in csv.reader(text) for cell in row]


def _quoted(data: bytes) -> Iterator[bytes]:
    """Blocks where a quoted text may hold an empty line."""
    held = b""
    for part in data.split(b"\r\n\r\n"):
        held = held + b"\r\n\r\n" + part if held else part
        if held.count(b'"') % 2 == 0:
            yield held
            held = b""


def times(column: Sequence[bytes]) -> Int64:
    """RFC 3339 in UTC, with up to three digits of a second's fraction, as ms.

    >>> times([b"1970-01-01T00:00:01.5Z", b"2000-02-29T00:00:00Z"]).tolist()
    [1500, 951782400000]
    """
    if not len(column):
        return np.empty(0, np.int64)
    signs = np.array(column, "S24").view(np.uint8).reshape(len(column), 24)
    digit = signs.astype(np.int64) - 48

    def number(first: int, count: int) -> Int64:
        found = digit[:, first]
        for i in range(first + 1, first + count):
            found = found * 10 + digit[:, i]
        return found

    fraction = np.where((digit[:, 20:23] >= 0) & (digit[:, 20:23] <= 9), digit[:, 20:23], 0)
    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    days = _days(year, month, day)
    seconds = days * 86_400 + number(11, 2) * 3600 + number(14, 2) * 60 + number(17, 2)
    found: Int64 = seconds * 1000 + fraction @ np.array([100, 10, 1])
    return found


def _days(year: Int64, month: Int64, day: Int64) -> Int64:
    """Days since 1970 of dates in the Gregorian calendar (Hinnant's days_from_civil)."""
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Int64 = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days


def numbers(column: Sequence[bytes]) -> Float64:
    """Floats and whole numbers (exact to 2^53)."""
    if not len(column):
        return np.empty(0)
    return np.array(column).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Versions:
    """Every version of every row, sorted by signal, source time and revision."""

    signal: Int32
    time: Int64
    rev: Int32
    value: Float64
    status: UInt32
    received: Int64

    def batch(self) -> SampleBatch:
        """The rows as samples."""
        return SampleBatch(self.signal, self.time, self.value, self.status, self.received)


def versions(data: bytes, index: Mapping[Tags, int]) -> Versions:
    """Samples of a result of ``flux.samples``; series that ``index`` does not name are left out."""
    series: dict[tuple[int, int], int] = {}
    parts: list[tuple[Int32, Int64, Int32, Float64]] = []
    for block in blocks(data):
        part = _block(block, index, series)
        if part is not None:
            parts.append(part)
    if not parts:
        none = SampleBatch.empty()
        return Versions(
            none.signal, none.source_time, none.signal, none.value, none.status, none.received_time
        )
    group, time, field, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    keys = np.array(list(series), np.int64)
    signal, rev = keys[group, 0], keys[group, 1]
    order = np.lexsort((rev, time, signal))
    signal, time, rev = signal[order], time[order], rev[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (signal[1:] != signal[:-1]) | (time[1:] != time[:-1]) | (rev[1:] != rev[:-1])
    row = np.cumsum(new) - 1
    columns = np.full((len(FIELDS), int(row[-1]) + 1), np.nan)
    columns[field[order], row] = value[order]
    return _assembled(signal[new], time[new], rev[new], columns)


def samples_of(data: bytes, index: Mapping[Tags, int]) -> tuple[Int32, Int64]:
    """Only series and time of a result of ``flux.samples`` with one field."""
    signals, when = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for block in blocks(data):
        part = _block(block, index, {})
        if part is not None:
            keys = signals_of(block, index)
            signals.append(keys[keys >= 0])
            when.append(part[1])
    return np.concatenate(signals), np.concatenate(when)


def signals_of(block: Block, index: Mapping[Tags, int]) -> Int32:
    """The number of each row's series, -1 for those that ``index`` does not name."""
    table = np.array(block.columns["table"])
    begin = np.flatnonzero(np.append(True, table[1:] != table[:-1]))
    many = np.diff(begin, append=block.rows)
    tags = ((block.text("machine", i), block.text("signal", i)) for i in begin.tolist())
    return np.repeat(np.array([index.get(t, -1) for t in tags], np.int32), many)


def _block(
    block: Block, index: Mapping[Tags, int], series: dict[tuple[int, int], int]
) -> tuple[Int32, Int64, Int32, Float64] | None:
    """(series, time, field, value) of every cell of a block that somebody asked for."""
    table = np.array(block.columns["table"])
    begin = np.flatnonzero(np.append(True, table[1:] != table[:-1]))
    group, field = [], []
    for at in begin.tolist():
        name = block.text("_field", at)
        signal = index.get((block.text("machine", at), block.text("signal", at)), -1)
        rev = int(block.text("rev", at) or 0)
        known = signal >= 0 and name in FIELDS
        group.append(series.setdefault((signal, rev), len(series)) if known else -1)
        field.append(FIELDS.index(name) if known else 0)
    many = np.diff(begin, append=block.rows)
    groups = np.repeat(np.array(group, np.int32), many)
    fields = np.repeat(np.array(field, np.int32), many)
    time, value = times(block.columns["_time"]), numbers(block.columns["_value"])
    if min(group) < 0:
        wanted = groups >= 0
        groups, time, fields, value = groups[wanted], time[wanted], fields[wanted], value[wanted]
    return (groups, time, fields, value) if len(groups) else None


def _assembled(signal: Int64, time: Int64, rev: Int64, columns: Float64) -> Versions:
    """One value of the fields that hold one; what has no status is no row of ours."""
    f, i, b, n, q, rt = columns
    value = np.where(np.isnan(f), i, f)
    value = np.where(np.isnan(value), b, value)
    value = np.where(np.isnan(n), value, np.where(n < 0, -np.inf, np.inf))
    ours = ~np.isnan(q)
    found = Versions(
        signal.astype(np.int32),
        time,
        rev.astype(np.int32),
        value,
        np.nan_to_num(q).astype(np.int64).astype(np.uint32),
        np.nan_to_num(rt).astype(np.int64),
    )
    if ours.all():
        return found
    return Versions(*(getattr(found, c)[ours] for c in Versions.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Record:
    """One point of whatever measurement: its tags and fields as texts."""

    measurement: str
    time: int
    tags: Mapping[str, str]
    fields: Mapping[str, str]

    def integer(self, field: str, none: int = 0) -> int:
        """A field as a whole number."""
        return int(self.fields.get(field, none))


_OWN = {"result", "table", "_time", "_value", "_field", "_measurement", ""}


def records(data: bytes) -> list[Record]:
    """Points of a result of ``flux.records``, in time order; for what is few."""
    found: dict[tuple[object, ...], Record] = {}
    fields: dict[tuple[object, ...], dict[str, str]] = {}
    for block in blocks(data):
        names = [n for n in block.columns if n not in _OWN]
        time = times(block.columns["_time"]).tolist()
        for row in range(block.rows):
            tags = {n: block.text(n, row) for n in names}
            tags = {n: v for n, v in tags.items() if v}
            measurement = block.text("_measurement", row)
            key = (measurement, time[row], *sorted(tags.items()))
            if key not in found:
                fields[key] = {}
                found[key] = Record(measurement, time[row], tags, fields[key])
            fields[key][block.text("_field", row)] = block.text("_value", row)
    return sorted(found.values(), key=lambda r: r.time)
