"""Rows of another historian, taken with the received times they have there."""

import json
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.port import Changes, Mark
from plant.flow.sample import Int32, Int64, SampleBatch
from twin.historian.influx import flux
from twin.historian.influx.journal import (
    GRANULE_MS,
    Span,
    granule,
    merged,
    spans_of,
)
from twin.historian.influx.line import sample_lines, string
from twin.historian.influx.quarantine import send
from twin.historian.influx.record import (
    Point,
    event_point,
    gap_point,
    new_lines,
    text_point,
    waveform_point,
)
from twin.historian.influx.table import records

if TYPE_CHECKING:
    from twin.historian.influx.writer import InfluxWriter


def adopt(writer: "InfluxWriter", changes: Changes, mark: Mark | None) -> None:
    """See ``HistorianWriter.adopt``; the writer holds its lock."""
    number = writer.take_up(changes)
    samples = changes.samples
    rows = SampleBatch(
        number[samples.signal] if len(samples) else samples.signal,
        samples.source_time,
        samples.value,
        samples.status,
        samples.received_time,
    )
    rows = rows.take(np.argsort(rows.received_time, kind="stable"))
    points = _points(writer, changes, number)
    times = [*rows.received_time[-1:].tolist(), *(p.received for p in points)]
    top = max([writer.received, changes.upto, *times])
    writer.lend(top)
    lines = _lines(writer, rows)
    refused = list(send(writer.server, "raw", lines))
    for which, kinds in (("raw", {"text", "waveform"}), ("event", {"event", "gap"})):
        some = [p for p in points if p.measurement in kinds]
        new = new_lines(writer.server, some, same_known=True) if some else []
        refused += send(writer.server, which, [line for _, line in new])
    writer.adopted(rows, _granules(writer, rows, points, top), mark, top, refused)


def _points(writer: "InfluxWriter", changes: Changes, number: Int32) -> list[Point]:
    entry = writer.registry
    points = [text_point(t, entry[int(number[t.signal])], r) for r, t in changes.texts]
    points += [waveform_point(w, entry[int(number[w.signal])], r) for r, w in changes.waveforms]
    points += [event_point(e, r) for r, e in changes.events]
    return points + [gap_point(g, r) for r, g in changes.gaps]


def _lines(writer: "InfluxWriter", rows: SampleBatch) -> list[str]:
    """Lines of what is not here yet, commit by commit."""
    keep, rev = _numbered(writer, rows)
    lines: list[str] = []
    cut = np.flatnonzero(np.diff(rows.received_time, prepend=-1, append=-1))
    for first, end in zip(cut[:-1].tolist(), cut[1:].tolist(), strict=True):
        at = np.arange(first, end)[keep[first:end]]
        if len(at):
            own = {i: rev[place] for i, place in enumerate(at.tolist()) if place in rev}
            part = rows.take(at)
            received = int(rows.received_time[first])
            lines += sample_lines(part, writer.roster.heads, writer.roster.states, received, own)
    return lines


def _numbered(
    writer: "InfluxWriter", rows: SampleBatch
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], dict[int, int]]:
    """(which rows are new, the number of those that are further versions)."""
    keep = np.ones(len(rows), np.bool_)
    rev: dict[int, int] = {}
    suspect = rows.source_time <= writer.recent.top[rows.signal]
    suspect |= _repeated(rows)
    places = np.flatnonzero(suspect)
    if not len(places):
        return keep, rev
    known = writer.recent.top[rows.signal[places]] >= rows.source_time[places]
    found = writer.late.ask(rows.take(places[known]))
    stored: dict[tuple[int, int], set[int]] = {}
    columns = zip(found.signal.tolist(), found.time.tolist(), found.received.tolist(), strict=True)
    for signal, time, received in columns:
        stored.setdefault((signal, time), set()).add(received)
    for place in places.tolist():
        key = int(rows.signal[place]), int(rows.source_time[place])
        own = stored.setdefault(key, set())
        received = int(rows.received_time[place])
        if received in own:
            keep[place] = False
        elif own:
            rev[place] = len(own)
        own.add(received)
    return keep, rev


def _repeated(rows: SampleBatch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows whose signal and time stand more than once in the page."""
    order = np.lexsort((rows.source_time, rows.signal))
    signal, time = rows.signal[order], rows.source_time[order]
    same = np.zeros(len(rows), np.bool_)
    pair = (signal[1:] == signal[:-1]) & (time[1:] == time[:-1])
    same[1:] |= pair
    same[:-1] |= pair
    found = np.empty(len(rows), np.bool_)
    found[order] = same
    return found


def _granules(
    writer: "InfluxWriter", rows: SampleBatch, points: list[Point], top: int
) -> list[str]:
    """Lines for the ten seconds in which these rows became known, beside what is there."""
    spans: dict[int, list[Span]] = {}
    count: dict[int, int] = {}
    upto: dict[int, int] = {}
    of: Int64 = rows.received_time // GRANULE_MS * GRANULE_MS
    for at in np.unique(of).tolist():
        some = rows.take(of == at)
        spans[at] = spans_of(some.source_time)
        count[at], upto[at] = len(some), int(some.received_time.max())
    for p in points:
        at = granule(p.received)
        spans[at] = merged([*spans.get(at, []), (p.time, p.time)])
        count[at] = count.get(at, 0) + 1
        upto[at] = max(upto.get(at, 0), p.received)
    if not count:
        return []
    bucket = writer.settings.bucket("mark")
    query = flux.records(bucket, min(count), max(count) + 1, _measurement="commit")
    for record in records(writer.server.query(query)):
        at = record.time
        if at in count:
            spans[at] = merged([*spans.get(at, []), *_stored_spans(record.fields["spans"])])
            count[at] += record.integer("rows")
            upto[at] = max(upto[at], record.integer("upto"))
    lines = []
    for at, many in count.items():
        if at == granule(top):
            writer.journal.take_granule(at, many, spans.get(at, []))
        else:
            text = string(json.dumps(spans.get(at, []), separators=(",", ":")))
            head = f"commit upto={upto[at]}i,lease={upto[at]}i,rows={many}i,spans={text}"
            lines.append(f"{head} {at}")
    return lines


def _stored_spans(text: str) -> list[Span]:
    return [(a, b) for a, b in json.loads(text)]
