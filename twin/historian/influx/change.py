"""What became known after a moment, in that order: for copies and exports.

The mark bucket says for every ten seconds of knowing in which stretches of source time the rows
lie. The received times of these are asked for first, filtered by the server; then the rows, only
of the series and hours that they stand in.
"""

import json
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Changes
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from twin.historian.influx import flux
from twin.historian.influx.journal import HOUR_MS, Span, granule, merged
from twin.historian.influx.record import BUCKET, as_event, as_gap, as_text, as_waveform
from twin.historian.influx.series import Registry
from twin.historian.influx.table import FIELDS, Record, records, samples_of, versions

if TYPE_CHECKING:
    from twin.historian.influx.reader import InfluxReader

_CLUSTERS = 16
_GRANULES = 500
"""Asked for at a time: ten seconds each."""


def changes(reader: "InfluxReader", after: int, rows: int) -> Changes:
    """See ``HistorianReader.changes``."""
    spans, upto, known = _page(reader, after, rows)
    registry = reader.registry(fresh=True)
    samples = _samples(reader, registry, spans, after, upto)
    found = {
        measurement: _records(reader, measurement, spans, after, upto) for measurement in BUCKET
    }
    times = [samples.received_time, *(
        np.array([r.integer("rt") for r in some], np.int64) for some in found.values()
    )]  # fmt: skip
    every = np.sort(np.concatenate(times))
    if len(every) > rows:  # a page ends with a commit
        upto = int(every[rows - 1])
        samples = samples.take(samples.received_time <= upto)
    index = registry.index()

    def known_by(measurement: str) -> list[tuple[int, Record]]:
        some = [(r.integer("rt"), r) for r in found[measurement]]
        return sorted((p for p in some if p[0] <= upto), key=lambda p: (p[0], p[1].time))

    def number(record: Record) -> int:
        return index[record.tags.get("machine", ""), record.tags.get("signal", "")]

    texts: list[tuple[int, Text]] = [(t, as_text(r, number(r))) for t, r in known_by("text")]
    waves: list[tuple[int, Waveform]] = [
        (t, as_waveform(r, number(r))) for t, r in known_by("waveform")
    ]
    events: list[tuple[int, Event]] = [(t, as_event(r)) for t, r in known_by("event")]
    gaps: list[tuple[int, Gap]] = [(t, as_gap(r)) for t, r in known_by("gap")]
    series = [e.series for e in registry]
    return Changes(series, samples, texts, waves, events, gaps, upto, last=upto >= known)


def _page(reader: "InfluxReader", after: int, rows: int) -> tuple[list[Span], int, int]:
    """(where the rows lie, known by when, known by when at all)."""
    bucket = reader.settings.bucket("mark")
    query = flux.records(bucket, flux.FIRST_MS, flux.LAST_MS, last=True, _measurement="commit")
    latest = [r.integer("upto") for r in records(reader.server.query(query))]
    known = max([after, *latest])
    spans: list[Span] = []
    upto, count, start = after, 0, granule(after)
    while count < rows and upto < known:
        query = flux.records(bucket, start, flux.LAST_MS, _measurement="commit")
        some = records(reader.server.query(f"{query} |> limit(n: {_GRANULES})"))
        for record in some:
            until = record.integer("upto")
            if until > after and count < rows:
                spans += [(a, b) for a, b in json.loads(record.fields["spans"])]
                count += record.integer("rows")
                upto = until
        if len(some) < _GRANULES:
            break
        start = some[-1].time + 1
    return merged(spans), upto, known


def _samples(
    reader: "InfluxReader", registry: Registry, spans: list[Span], after: int, upto: int
) -> SampleBatch:
    """Rows known in (after, upto], by received time."""
    index = registry.index()
    bucket = reader.settings.bucket("raw")
    wanted: dict[tuple[int, int], set[int]] = {}
    for first, last in spans:
        query = flux.samples(bucket, first, last + 1, "", ("rt",), above=after, upto=upto)
        signal, time = samples_of(reader.server.query(query), index)
        hours = time // HOUR_MS
        for number in np.unique(signal).tolist():
            mine = hours[signal == number]
            stretch = int(mine.min()), int(mine.max())
            wanted.setdefault(stretch, set()).add(number)
    parts = []
    for (first, last), numbers in _clustered(wanted).items():
        asked = [registry[n].tags for n in sorted(numbers)]
        series = flux.among(asked, len(registry))
        start, end = first * HOUR_MS, (last + 1) * HOUR_MS
        for low, high in _within(spans, start, end):
            query = flux.samples(bucket, low, high, series, FIELDS)
            chosen = {tags: n for tags, n in index.items() if n in numbers}
            found = versions(reader.server.query(query), chosen).batch()
            known = (found.received_time > after) & (found.received_time <= upto)
            parts.append(found.take(known))
    found = SampleBatch.concat(parts)
    order = np.lexsort((found.source_time, found.signal, found.received_time))
    found = found.take(order)
    return _once(found)


def _once(rows: SampleBatch) -> SampleBatch:
    """Stretches may overlap."""
    if len(rows) < 2:
        return rows
    same = (
        (rows.signal[1:] == rows.signal[:-1])
        & (rows.source_time[1:] == rows.source_time[:-1])
        & (rows.received_time[1:] == rows.received_time[:-1])
    )
    return rows.take(np.append(True, ~same)) if same.any() else rows


def _clustered(wanted: dict[tuple[int, int], set[int]]) -> dict[tuple[int, int], set[int]]:
    """Few questions: stretches joined with the one before while there are too many."""
    some = sorted(wanted.items())
    while len(some) > _CLUSTERS:
        joined = []
        for i in range(0, len(some), 2):
            pair = some[i : i + 2]
            stretch = min(s[0] for s, _ in pair), max(s[1] for s, _ in pair)
            joined.append((stretch, set().union(*(n for _, n in pair))))
        some = joined
    return dict(_by_stretch(some))


def _by_stretch(some: list[tuple[tuple[int, int], set[int]]]) -> dict[tuple[int, int], set[int]]:
    found: dict[tuple[int, int], set[int]] = {}
    for stretch, numbers in some:
        found.setdefault(stretch, set()).update(numbers)
    return found


def _within(spans: list[Span], start: int, end: int) -> list[Span]:
    """Half-open parts of the spans inside a range."""
    parts = [(max(a, start), min(b + 1, end)) for a, b in spans]
    return [(a, b) for a, b in parts if a < b]


def _records(
    reader: "InfluxReader", measurement: str, spans: list[Span], after: int, upto: int
) -> list[Record]:
    bucket = reader.settings.bucket(BUCKET[measurement])
    found: dict[tuple[object, ...], Record] = {}
    for first, last in spans:
        query = flux.records(bucket, first, last + 1, _measurement=measurement)
        for record in records(reader.server.query(query)):
            if after < record.integer("rt") <= upto:
                found[record.time, *sorted(record.tags.items())] = record
    return list(found.values())
