"""The mark bucket: what the store knows of itself, durable after the data it speaks of.

It has no retention. Points of one commit stand at the start of the ten seconds in which it became
known, so they lie in one shard, are stored together or not at all, and the next commit of these
ten seconds overwrites them. Measurements:

    commit   upto, lease, rows, spans: what became known in these ten seconds
    mark     edge, run: offset, written
    series   machine, signal: record (path, kind, unit, …)
    fact     name: value
    built    hour, dirty: how far the tiers are made
    dirty    cells: hours that late rows touched (at its own received time)
    quarantine  line, reason (at its own received time)
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from plant.flow.sample import Int64
from twin.historian.influx import flux
from twin.historian.influx.line import joined, pieces, string, tags, unlabel
from twin.historian.influx.series import Entry, Registry
from twin.historian.influx.server import Server
from twin.historian.influx.table import Record, records

GRANULE_MS = 10_000
LEASE_MS = 2_000
"""Received times are given out so far ahead; after a crash they go on behind that."""
LEASE_MAX_MS = 30_000
"""At most, where commits come seldom."""

HOUR_MS = 3_600_000
_SPANS = 16
_LATEST = ("series", "fact", "mark", "commit", "built")

Span = tuple[int, int]
Hours = Mapping[int, int]
"""Hour's number -> received time of the last row that touched it."""


def granule(received: int) -> int:
    """Where the points of a commit stand."""
    return received // GRANULE_MS * GRANULE_MS


@dataclass(slots=True)
class Journal:
    """What the mark bucket holds, as of the last commit that was acknowledged."""

    registry: Registry = field(default_factory=Registry)
    facts: dict[str, str] = field(default_factory=dict)
    marks: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    received: int = 0
    lease: int = 0
    at: int = 0
    rows: int = 0
    spans: list[Span] = field(default_factory=list)
    built: int | None = None
    cleaned: int = 0
    dirty: dict[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def load(cls, server: Server) -> "Journal":
        """As the server has it."""
        bucket = server.settings.bucket("mark")
        wanted = flux.rows(bucket, flux.FIRST_MS, flux.LAST_MS)
        wanted += flux.where(flux.one_of("_measurement", _LATEST))
        wanted += ' |> last() |> drop(columns: ["_start", "_stop"])'
        journal = cls()
        entries: list[Entry] = []
        for record in records(server.query(wanted)):
            journal._take(record, entries)
        journal.registry = Registry(entries)
        journal._take_dirty(server)
        return journal

    def _take(self, record: Record, entries: list[Entry]) -> None:
        """One of the latest points."""
        if record.measurement == "series":
            at = record.tags.get("machine", ""), record.tags["signal"]
            entries.append(Entry.of(*at, record.fields["record"]))
        elif record.measurement == "fact":
            self.facts[unlabel(record.tags.get("name", ""))] = json.loads(record.fields["value"])
        elif record.measurement == "mark":
            key = unlabel(record.tags.get("edge", "")), unlabel(record.tags.get("run", ""))
            self.marks[key] = record.integer("offset"), record.integer("written")
        elif record.measurement == "commit":
            self.received, self.lease = record.integer("upto"), record.integer("lease")
            self.at, self.rows = record.time, record.integer("rows")
            self.spans = [(a, b) for a, b in json.loads(record.fields["spans"])]
        elif record.measurement == "built":
            self.built, self.cleaned = record.integer("hour"), record.integer("dirty")

    def _take_dirty(self, server: Server) -> None:
        for record in dirty_records(server, self.cleaned):
            for number, hours in json.loads(joined("cells", record.fields)).items():
                for hour in hours:
                    self.dirty[int(number), hour] = record.time

    @property
    def clean(self) -> bool:
        """Whether the last writer closed: nothing can have been written beyond what is known."""
        return self.lease <= self.received

    # ------------------------------------------------------------------------------ lines

    def commit_line(self, received: int, lease: int, rows: int, spans: Sequence[Span]) -> str:
        """What became known; also takes it into this object's ten seconds."""
        at = granule(received)
        if at != self.at:
            self.at, self.rows, self.spans = at, 0, []
        self.rows += rows
        self.spans = merged([*self.spans, *spans])
        text = json.dumps(self.spans, separators=(",", ":"))
        return f"commit upto={received}i,lease={lease}i,rows={self.rows}i,spans={string(text)} {at}"

    def take_granule(self, at: int, rows: int, spans: Sequence[Span]) -> None:
        """These ten seconds as somebody else knows them."""
        self.at, self.rows, self.spans = at, rows, list(spans)

    def built_line(self, hour: int, dirty: int, received: int) -> str:
        """Tiers are made of all that is before ``hour`` (ms), and of what was dirty by then."""
        return f"built hour={hour}i,dirty={dirty}i {granule(received)}"


def mark_line(edge: str, run: str, offset: int, received: int) -> str:
    """An offset that is durable; -1 forgets the run."""
    head = f"mark{tags(edge=edge, run=run)}"
    return f"{head} offset={offset}i,written={received}i {granule(received)}"


def fact_line(name: str, value: str, received: int) -> str:
    """A fact that is kept."""
    return f"fact{tags(name=name)} value={string(json.dumps(value))} {granule(received)}"


def dirty_line(cells: Iterable[tuple[int, int]], received: int) -> str:
    """Hours (number of the series, number of the hour) that late rows touched."""
    found: dict[int, list[int]] = {}
    for number, hour in cells:
        found.setdefault(number, []).append(hour)
    return f"dirty {pieces('cells', json.dumps(found, separators=(',', ':')))} {received}"


def quarantine_line(place: int, line: str, reason: str, received: int) -> str:
    """A line that the server does not take."""
    fields = f"line={string(json.dumps(line)[: 1 << 19])},reason={string(json.dumps(reason))}"
    return f"quarantine,n={place} {fields} {received}"


def dirty_records(server: Server, cleaned: int) -> Sequence[Record]:
    """Hours that late rows touched and that are not built yet."""
    bucket = server.settings.bucket("mark")
    query = flux.records(bucket, cleaned + 1, flux.LAST_MS, _measurement="dirty")
    return records(server.query(query))


def spans_of(time: Int64) -> list[Span]:
    """Stretches of source time, parted where there is nothing for an hour.

    >>> spans_of(np.array([5, 10, 90_000_000, 7]))
    [(5, 10), (90000000, 90000000)]
    """
    if not len(time):
        return []
    first, last = int(time.min()), int(time.max())
    if last - first < HOUR_MS:
        return [(first, last)]
    time = np.sort(time)
    cut = np.flatnonzero(np.diff(time) > HOUR_MS)
    first_of, last_of = np.append(0, cut + 1), np.append(cut, len(time) - 1)
    pairs = zip(time[first_of].tolist(), time[last_of].tolist(), strict=True)
    return merged(list(pairs))


def merged(spans: Sequence[Span]) -> list[Span]:
    """Overlapping ones joined, and the nearest where there are many."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    while len(found) > _SPANS:
        gaps = [b[0] - a[1] for a, b in pairwise(found)]
        i = gaps.index(min(gaps))
        found[i : i + 2] = [(found[i][0], found[i + 1][1])]
    return found
