"""Hot batches: what was committed and is not sealed yet, as one blob a commit, and in memory.

A row per sample would cost 2 to 14 µs; a blob costs 0.1 to 0.2 µs. The writer holds the same
columns in memory for its look-ups, bounded by the sealing threshold.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from plant.flow.sample import Float64, Int32, Int64, SampleBatch, UInt32
from twin.historian.database import DamagedBlob
from twin.historian.presence import Presence

_HEAD = struct.Struct("<BBHIq")  # format, flags, reserved, rows, least source time
_FORMAT = 2
_UNSUMMED = 1
"""Format of an earlier Kaikou: the same without a check-sum."""
_SUM = struct.Struct("<I")
_LONG_TIME = 1
_STATUS = 2

_Columns = tuple[Int32, Int64, Float64, UInt32]


def encode_hot(batch: SampleBatch) -> bytes:
    """The columns of a commit as one blob, 16 bytes a sample when all are Good.

    >>> b = SampleBatch.of([3, 4], [1000, 1001], [1.5, 2.5], [0, 0], 2000)
    >>> blob = encode_hot(b)
    >>> len(blob), decode_hot(blob, 2000).same_as(b)
    (52, True)
    """
    time = batch.source_time
    least = int(time.min()) if len(time) else 0
    long = len(time) > 0 and int(time.max()) - least > 0xFFFF_FFFF
    status = bool(batch.status.any())
    parts = [
        _HEAD.pack(_FORMAT, _LONG_TIME * long | _STATUS * status, 0, len(batch), least),
        batch.value.astype("<f8", copy=False).tobytes(),
        time.astype("<i8").tobytes() if long else (time - least).astype("<u4").tobytes(),
        batch.signal.astype("<i4", copy=False).tobytes(),
    ]
    if status:
        parts.append(batch.status.astype("<u4", copy=False).tobytes())
    body = b"".join(parts)
    return body + _SUM.pack(zlib.crc32(body))


def decode_hot(blob: bytes | None, received: int) -> SampleBatch:
    """The columns of a blob; ``signal`` is the database's id. ``DamagedBlob``."""
    if blob is None or len(blob) < _HEAD.size:
        raise DamagedBlob("a hot batch is cut short")
    kind, flags, _, n, least = _HEAD.unpack_from(blob)
    if kind == _FORMAT:
        body = memoryview(blob)[: -_SUM.size]
        if _SUM.pack(zlib.crc32(body)) != blob[-_SUM.size :]:
            raise DamagedBlob("a hot batch has a wrong check-sum")
    elif kind != _UNSUMMED:
        raise DamagedBlob(f"a hot batch is of unknown format {kind}")
    at = _HEAD.size
    value = np.frombuffer(blob, "<f8", n, at)
    at += 8 * n
    if flags & _LONG_TIME:
        time = np.frombuffer(blob, "<i8", n, at)
        at += 8 * n
    else:
        time = np.frombuffer(blob, "<u4", n, at).astype(np.int64) + least
        at += 4 * n
    signal = np.frombuffer(blob, "<i4", n, at)
    at += 4 * n
    status = np.frombuffer(blob, "<u4", n, at) if flags & _STATUS else np.zeros(n, np.uint32)
    return SampleBatch.of(signal, time, value, status, received)


def hot_key(signal: Int32, time: Int64) -> Int64:
    """A number that two rows share when they share signal and source time (and hardly ever else).

    It only proposes; who uses it compares signal and time themselves.
    """
    with np.errstate(over="ignore"):
        return time * np.int64(1 << 22) + signal.astype(np.int64)


class HotLog:
    """Everything hot, in order of commit, with a lazy index by signal and source time.

    A commit's columns are kept as they came and joined when somebody wants to see them all. Who
    looks rows up asks for ``seek``: a Bloom filter then tells new rows from those to be looked
    for, and a handful of sorted runs, made when first needed, finds these.
    """

    _RUNS = 12

    def __init__(self, *, seek: bool = False) -> None:
        self.rows = 0
        self._joined = _Growing()
        self._fresh: list[SampleBatch] = []
        self._presence = Presence() if seek else None
        self._indexed = 0
        self._runs: list[tuple[Int64, Int64]] = []

    def append(self, batch: SampleBatch) -> None:
        """Add a commit's rows; ``received_time`` is set and nobody writes to them again."""
        self._fresh.append(batch)
        self.rows += len(batch)
        if self._presence is not None:
            if self._presence.full(len(batch)):
                self._presence.grow(self.rows)
                everything = self.view()
                self._presence.add(everything.signal, everything.source_time)
            else:
                self._presence.add(batch.signal, batch.source_time)

    def view(self, start: int = 0) -> SampleBatch:
        """The rows from ``start`` on; they are never written to again."""
        if self._fresh:
            self._joined.extend(self._fresh)
            self._fresh = []
        return self._joined.view(start, self.rows)

    def after(self, rows: int) -> "HotLog":
        """A log of what came after so many rows; this one is left as it is."""
        log = HotLog(seek=self._presence is not None)
        rest = self.view(rows)
        if len(rest):
            log.append(rest)
        return log

    def newest(self, signal: Int32, time: Int64) -> Int64:
        """Position of the newest row of each (signal, time), -1 where there is none."""
        found = np.full(len(signal), -1, np.int64)
        if not self.rows:
            return found
        if self._presence is None:
            some = np.arange(len(signal))
        else:
            some = np.flatnonzero(self._presence.maybe(signal, time))
            if not len(some):
                return found
        rows = self._index()
        key = hot_key(signal[some], time[some])
        for keys, places in self._runs:
            low = np.searchsorted(keys, key, "left")
            high = np.searchsorted(keys, key, "right")
            for i in np.flatnonzero(high > low):
                place = places[low[i] : high[i]]
                at = some[i]
                same = (rows.signal[place] == signal[at]) & (rows.source_time[place] == time[at])
                if same.any():
                    found[at] = max(found[at], int(place[same].max()))
        return found

    def _index(self) -> SampleBatch:
        rows = self.view()
        if self._indexed < self.rows:
            fresh = _slice(rows, self._indexed, self.rows)
            self._runs.append(
                _sorted_run(
                    hot_key(fresh.signal, fresh.source_time),
                    np.arange(self._indexed, self.rows, dtype=np.int64),
                )
            )
            self._indexed = self.rows
            while len(self._runs) > self._RUNS:
                self._runs = _merge_smallest(self._runs)
        return rows


class _Growing:
    """Columns that grow at their end."""

    def __init__(self) -> None:
        self._rows = 0
        self._batch = SampleBatch.empty()

    def extend(self, batches: Sequence[SampleBatch]) -> None:
        more = SampleBatch.concat(batches)
        if not len(more):
            return
        need = self._rows + len(more)
        if not self._rows:
            self._batch = more
        elif need > len(self._batch):
            size = max(need, 2 * self._rows)
            columns = []
            for name in _NAMES:
                column = getattr(self._batch, name)
                new = np.empty(size, column.dtype)
                new[: self._rows] = column[: self._rows]
                new[self._rows : need] = getattr(more, name)
                columns.append(new)
            self._batch = SampleBatch(*columns)
        else:
            for name in _NAMES:
                getattr(self._batch, name)[self._rows : need] = getattr(more, name)
        self._rows = need

    def view(self, start: int, end: int) -> SampleBatch:
        return _slice(self._batch, start, end)


_NAMES = ("signal", "source_time", "value", "status", "received_time")


def _slice(batch: SampleBatch, start: int, end: int) -> SampleBatch:
    return SampleBatch(*(getattr(batch, name)[start:end] for name in _NAMES))


def _sorted_run(keys: Int64, places: Int64) -> tuple[Int64, Int64]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]


def _merge_smallest(runs: list[tuple[Int64, Int64]]) -> list[tuple[Int64, Int64]]:
    by_size = sorted(runs, key=lambda run: len(run[0]))
    small, rest = by_size[:8], by_size[8:]
    merged = _sorted_run(
        np.concatenate([keys for keys, _ in small]), np.concatenate([at for _, at in small])
    )
    return [*rest, merged]
