"""The duplicate rule against a server: which rows are new, and which number a correction gets.

Only rows at or before their series' latest are looked up, in memory first. What a crash or a lost
answer left behind is stored but was never known: it equals what comes again, in its own order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import SampleBatch
from twin.historian.duplicate import new_rounds
from twin.historian.influx import flux
from twin.historian.influx.journal import spans_of
from twin.historian.influx.recent import Recent
from twin.historian.influx.series import Registry
from twin.historian.influx.server import Server
from twin.historian.influx.table import FIELDS, Versions, versions

Key = tuple[int, int]
"""Series number and source time."""


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Rows of one received time; ``rev`` numbers those that are corrections, by their place."""

    rows: SampleBatch
    rev: Mapping[int, int]

    def parts(self, size: int) -> Iterator[tuple[SampleBatch, Mapping[int, int]]]:
        """The same in pieces."""
        for at in range(0, len(self.rows), size):
            rows = self.rows.take(np.arange(at, min(at + size, len(self.rows))))
            rev = {i - at: n for i, n in self.rev.items() if at <= i < at + size}
            yield rows, rev


@dataclass(slots=True)
class Late:
    """Look-ups of one writer. ``doubtful``: received times between which nothing was known."""

    server: Server
    registry: Registry
    recent: Recent
    doubtful: list[tuple[int, int]] = field(default_factory=list)
    _pending: dict[Key, list[tuple[float, int]]] = field(default_factory=dict)
    _noted: set[Key] = field(default_factory=set)
    _many: dict[Key, int] = field(default_factory=dict)
    _exists: set[Key] = field(default_factory=set)

    def rounds(self, rows: SampleBatch) -> Sequence[Round]:
        """What of a commit is new, in rounds of one received time each."""
        self._many, self._exists = {}, set()
        found = new_rounds(rows, self.recent.top, self._stored)
        if not self._exists and not self._pending and len(found) < 2:
            return [Round(r, {}) for r in found]
        return list(self._numbered(found))

    def _numbered(self, found: Sequence[SampleBatch]) -> list[Round]:
        numbered: list[Round] = []
        for batch in found:
            rows = self._without_pending(batch) if self._pending else batch
            keys = list(zip(rows.signal.tolist(), rows.source_time.tolist(), strict=True))
            self._count([i for i, key in enumerate(keys) if key in self._exists], keys, rows)
            rev = {}
            for i, key in enumerate(keys):
                if self._many.get(key):
                    rev[i] = self._many[key]
                self._many[key] = self._many.get(key, 0) + 1
                self._pending.pop(key, None)
            if len(rows):
                numbered.append(Round(rows, rev))
        return numbered

    def _count(self, places: Sequence[int], keys: Sequence[Key], rows: SampleBatch) -> None:
        """Ask how many versions there are of what only memory told of."""
        places = [i for i in places if keys[i] not in self._many]
        if places:
            self._told(self.ask(rows.take(places)))

    def _told(self, found: Versions) -> None:
        for number, time, rev in zip(
            found.signal.tolist(), found.time.tolist(), found.rev.tolist(), strict=True
        ):
            self._many[number, time] = max(self._many.get((number, time), 0), rev + 1)

    def _stored(self, late: SampleBatch) -> tuple[NDArray[np.bool_], SampleBatch]:
        """The newest stored row of each late one, if any."""
        there, stored = self.recent.newest(late)
        unsure = np.flatnonzero(~there & (late.source_time < self.recent.cover[late.signal]))
        if len(unsure):
            self._fill(late, unsure, there, stored)
        hit = late.take(there)
        self._exists = set(zip(hit.signal.tolist(), hit.source_time.tolist(), strict=True))
        return there, stored

    def _fill(
        self, late: SampleBatch, unsure: NDArray[np.int64], there: NDArray[np.bool_],
        stored: SampleBatch,
    ) -> None:  # fmt: skip
        found = self.ask(late.take(unsure))
        self._told(found)
        self._note_doubtful(found)
        order = np.lexsort((found.rev, found.received))
        newest = {
            (n, t): (v, q)
            for n, t, v, q in zip(
                found.signal[order].tolist(), found.time[order].tolist(),
                found.value[order].tolist(), found.status[order].tolist(), strict=True,
            )
        }  # fmt: skip
        for i in unsure.tolist():
            key = int(late.signal[i]), int(late.source_time[i])
            if key not in newest:
                continue
            there[i] = True
            own = float(late.value[i]), int(late.status[i])
            stored.value[i], stored.status[i] = own if self._again(key, own) else newest[key]

    def _note_doubtful(self, found: Versions) -> None:
        """Rows that a failed write left: kept until they come again, or something newer did."""
        if not self.doubtful:
            return
        order = np.argsort(found.received, kind="stable")
        doubtful = np.zeros(len(order), np.bool_)
        for low, high in self.doubtful:
            doubtful |= (found.received > low) & (found.received < high)
        for i in order.tolist():
            key = int(found.signal[i]), int(found.time[i])
            if key in self._noted:
                continue
            if not doubtful[i]:
                self._pending.pop(key, None)
            else:
                row = float(found.value[i]), int(found.status[i])
                self._pending.setdefault(key, []).append(row)
        keys = zip(found.signal[doubtful].tolist(), found.time[doubtful].tolist(), strict=True)
        self._noted.update(keys)

    def _again(self, key: Key, own: tuple[float, int]) -> bool:
        """Whether a row is the next of those that a failed write left; it is taken from them."""
        left = self._pending.get(key, [])
        for i, (value, status) in enumerate(left):
            if status == own[1] and (value == own[0] or (value != value and own[0] != own[0])):  # noqa: PLR0124
                del left[: i + 1]
                if not left:
                    del self._pending[key]
                return True
        return False

    def _without_pending(self, rows: SampleBatch) -> SampleBatch:
        columns = zip(
            rows.signal.tolist(), rows.source_time.tolist(), rows.value.tolist(),
            rows.status.tolist(), strict=True,
        )  # fmt: skip
        new = [not self._again((n, t), (v, q)) for n, t, v, q in columns]
        return rows.take(np.array(new, np.bool_))

    def ask(self, rows: SampleBatch) -> Versions:
        """Every stored version of these series and times."""
        wanted = np.unique(rows.signal)
        asked = [self.registry[n].tags for n in wanted.tolist()]
        index = dict(zip(asked, wanted.tolist(), strict=True))
        series = flux.among(asked, len(self.registry))
        bucket = self.server.settings.bucket("raw")
        parts = []
        for first, last in spans_of(rows.source_time):
            query = flux.samples(bucket, first, last + 1, series, FIELDS)
            parts.append(versions(self.server.query(query), index))
        if not parts:
            return versions(b"", index)
        found = Versions(
            *(np.concatenate([getattr(p, c) for p in parts]) for c in Versions.__dataclass_fields__)
        )
        return _those(found, rows)


def _those(found: Versions, rows: SampleBatch) -> Versions:
    """Only versions of rows that were asked for."""
    pair = np.dtype([("signal", "i8"), ("time", "i8")])

    def pairs(signal: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.void]:
        keys = np.empty(len(signal), pair)
        keys["signal"], keys["time"] = signal, time
        return keys

    mask = np.isin(pairs(found.signal, found.time), pairs(rows.signal, rows.source_time))
    return Versions(*(getattr(found, c)[mask] for c in Versions.__dataclass_fields__))
