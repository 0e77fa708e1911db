"""Sealed segments: Parquet files sorted by (signal, source_time, received_time), never changed.

A segment holds rows of one UTC day of source time, so that a device with a dead clock spoils the
range of no other. The manifest keeps, per segment, first, last and number of rows of each signal.
"""

import errno
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plant.errors import Unavailable
from plant.flow.sample import Int32, Int64, SampleBatch
from twin.historian.checksum import checksum
from twin.historian.database import DamagedBlob
from twin.historian.label import Label

if TYPE_CHECKING:
    import duckdb

DAY_MS = 86_400_000
_WITH_TAIL = 1 << 31

_ROW = "signal, source_time, value, status, received_time"
_COPY = (
    "COPY (SELECT {} FROM columns) TO '{}' (FORMAT parquet, COMPRESSION zstd,"
    " PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT {}, ROW_GROUP_SIZE 32768,"
    " KV_METADATA {{kaikou: '{}'}})"
)


@dataclass(frozen=True, slots=True, eq=False)
class SignalSpans:
    """Which signals a segment holds: sorted ids, source time of first and last row, rows.

    ``tail`` has each signal's last row (the newest where it was corrected), so that "as of" need
    not open the file; None where the spans are not about rows.
    """

    signal: Int32
    first: Int64
    last: Int64
    rows: Int32
    tail: SampleBatch | None = None

    @classmethod
    def of(cls, batch: SampleBatch) -> "SignalSpans":
        """From rows in segment order."""
        start = np.flatnonzero(np.diff(batch.signal, prepend=-1))
        end = np.append(start[1:], len(batch))[: len(start)]
        return cls(
            batch.signal[start],
            batch.source_time[start],
            batch.source_time[end - 1],
            (end - start).astype(np.int32),
            batch.take(end - 1),
        )

    def encode(self) -> bytes:
        """As the manifest keeps them."""
        columns = [self.signal, np.diff(self.first, prepend=0), self.last - self.first, self.rows]
        kinds = ["<i4", "<i8", "<i8", "<i4"]
        if self.tail is not None:
            columns += [self.tail.value, self.tail.status, self.tail.received_time]
            kinds += ["<f8", "<u4", "<i8"]
        raw = b"".join(c.astype(kind).tobytes() for c, kind in zip(columns, kinds, strict=True))
        head = len(self.signal) | (0 if self.tail is None else _WITH_TAIL)
        return head.to_bytes(4, "little") + zlib.compress(raw, 1)

    @classmethod
    def decode(cls, blob: bytes) -> "SignalSpans":
        """What ``encode`` wrote; ``DamagedBlob``."""
        try:
            head, raw = int.from_bytes(blob[:4], "little"), zlib.decompress(blob[4:])
        except (zlib.error, TypeError) as error:
            raise DamagedBlob(f"the signals of a file cannot be read: {error}") from error
        n = head & ~_WITH_TAIL
        signal = np.frombuffer(raw, "<i4", n)
        first = np.frombuffer(raw, "<i8", n, 4 * n).cumsum()
        last = first + np.frombuffer(raw, "<i8", n, 12 * n)
        tail = None
        if head & _WITH_TAIL:
            tail = SampleBatch(
                signal,
                last,
                np.frombuffer(raw, "<f8", n, 24 * n),
                np.frombuffer(raw, "<u4", n, 32 * n),
                np.frombuffer(raw, "<i8", n, 36 * n),
            )
        return cls(signal, first, last, np.frombuffer(raw, "<i4", n, 20 * n), tail)

    def take(self, which: Int64) -> "SignalSpans":
        """Some of them, without their tails."""
        return type(self)(self.signal[which], self.first[which], self.last[which], self.rows[which])

    def find(self, signals: Int32) -> Int64:
        """Where each of some ids stands in these columns, -1 where it is not in the segment."""
        at = np.searchsorted(self.signal, signals)
        at[at == len(self.signal)] = 0
        return np.where(self.signal[at] == signals, at, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One line of the manifest, without the spans."""

    id: int
    file: str
    level: int
    day: int
    first: int
    last: int
    first_received: int
    last_received: int
    rows: int
    bytes: int
    crc: int | None


SEGMENT_COLUMNS = (
    "id, file, level, day, first, last, first_received, last_received, rows, bytes, crc"
)


def connect() -> "duckdb.DuckDBPyConnection":
    """A DuckDB of its own in memory: it sees Parquet files and arrays by name, nothing else."""
    import duckdb

    return duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": "512MB",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )


def by_day(batch: SampleBatch) -> Sequence[tuple[int, SampleBatch]]:
    """Sorted rows parted by the UTC day of their source time."""
    day = batch.source_time // DAY_MS
    days = np.unique(day)
    if len(days) == 1:
        return [(int(days[0]), batch)]
    return [(int(d), batch.take(day == d)) for d in days]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is durable: its name, its length and its check-sum."""

    name: str
    bytes: int
    crc: int


def write_segment(
    folder: Path, day: int, batch: SampleBatch, label: Label, distinct: int = 1
) -> Written:
    """Write sorted rows as a Parquet file, durable before this returns.

    The name is never given twice. ``distinct`` as in ``write_parquet``.
    """
    stamp = np.datetime64(day, "D") if abs(day) < 1_000_000 else day
    columns: dict[str, NDArray[np.generic]] = {
        "signal": batch.signal,
        "source_time": batch.source_time,
        "received_time": batch.received_time,
        "value": batch.value,
        "status": batch.status,
    }
    return write_parquet(folder, str(stamp), columns, label, distinct)


def write_parquet(
    folder: Path,
    stamp: str,
    columns: Mapping[str, NDArray[np.generic]],
    label: Label,
    distinct: int = 1,
) -> Written:
    """Columns as a Parquet file in a folder, durable; its name begins with ``stamp``.

    A column with at most ``distinct`` values in a row group is written as a dictionary: 0.4 bytes
    for a reading in 12-bit steps instead of 3. ``Unavailable`` when the disk does not take it.
    """
    import duckdb

    temporary = folder / label.temporary(stamp)
    given = {column: np.ascontiguousarray(array) for column, array in columns.items()}
    names = ", ".join(f'"{column}"' for column in columns)
    to = str(temporary).replace("'", "''")
    try:
        with connect() as database:
            database.register("columns", given)
            database.execute(_COPY.format(names, to, distinct, label.encode()))
        sync(temporary)
        crc = checksum(temporary)
        written = Written(label.name(stamp, crc), temporary.stat().st_size, crc)
        _give_name(temporary, folder / written.name)
        sync(folder)
    except (duckdb.IOException, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(f"{folder}: {error}") from error
    return written


def _give_name(temporary: Path, final: Path) -> None:
    if final.exists():  # another content with this very check-sum
        raise OSError(errno.EEXIST, f"{final.name} is there already")
    temporary.rename(final)


def sync(path: Path) -> None:
    """Make a file, or the entries of a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def scan(
    database: "duckdb.DuckDBPyConnection",
    files: Sequence[Path],
    where: str = "true",
    parameters: Sequence[object] = (),
) -> SampleBatch:
    """Rows of some files that fulfil a condition, in no promised order."""
    if not files:
        return SampleBatch.empty()
    query = f"SELECT {_ROW} FROM read_parquet(?) WHERE {where}"  # noqa: S608 - conditions are ours
    names = [str(file) for file in files]
    return as_batch(database.execute(query, [names, *parameters]).fetchnumpy())


_LAST = (
    "SELECT signal, m.t AS source_time, m.v AS value, m.s AS status, m.r AS received_time FROM ("
    "SELECT signal, max({'t': source_time, 'r': received_time, 'v': value, 's': status}) AS m"
    " FROM read_parquet(?) WHERE "
)


def last_rows(
    database: "duckdb.DuckDBPyConnection",
    files: Sequence[Path],
    where: str = "true",
    parameters: Sequence[object] = (),
) -> SampleBatch:
    """The last row of each signal in some files, the newest where a time was corrected."""
    names = [str(file) for file in files]
    query = f"{_LAST}{where} GROUP BY signal)"
    return as_batch(database.execute(query, [names, *parameters]).fetchnumpy())


def as_batch(columns: dict[str, Any]) -> SampleBatch:
    """What DuckDB hands back; a NULL value is NaN."""
    value = columns["value"]
    if isinstance(value, np.ma.MaskedArray):
        value = value.filled(np.nan)
    return SampleBatch.of(
        columns["signal"],
        columns["source_time"],
        value,
        columns["status"],
        columns["received_time"],
    )


def newest(batch: SampleBatch) -> SampleBatch:
    """The newest row of each (signal, source_time), by signal and time."""
    return newest_of_sorted(batch.sorted())


def newest_of_sorted(rows: SampleBatch) -> SampleBatch:
    """The same of rows in segment order."""
    if len(rows) < 2:
        return rows
    same_as_next = (rows.source_time[1:] == rows.source_time[:-1]) & (
        rows.signal[1:] == rows.signal[:-1]
    )
    if not same_as_next.any():
        return rows
    return rows.take(np.append(~same_as_next, True))
