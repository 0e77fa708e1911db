"""Texts, waveforms, events and gap records as points, by the duplicate rule.

A further version of one has tag ``rev``; so has a second event of one asset, kind and moment.

    text      machine, signal: s (or j: as JSON), q, rt               in the raw bucket
    waveform  machine, signal: block (base64 of float32), rate, q, rt  in the raw bucket
    event     machine, kind: data (JSON), rt                           in the event bucket
    gap       edge: gap (JSON), samples, last, reason, rt              in the event bucket
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from plant.flow.json_text import stored_json
from plant.flow.sample import Event, Gap, Text, Waveform
from twin.historian.influx import flux
from twin.historian.influx.journal import merged
from twin.historian.influx.line import field_text, joined, pieces, string, tags, text_field, unlabel
from twin.historian.influx.series import Entry
from twin.historian.influx.server import Server
from twin.historian.influx.table import Record, records
from twin.historian.record import as_json

BUCKET = {"text": "raw", "waveform": "raw", "event": "event", "gap": "event"}


@dataclass(frozen=True, slots=True)
class Point:
    """A record on its way: where it stands, what it says, when it became known.

    tags    as in a line, without ``rev``
    about   the path (or edge) that a gap record names when the server does not take it
    once    an equal one at any time makes it nothing new (events, gaps); else only the newest does
    """

    measurement: str
    tags: str
    time: int
    fields: str
    received: int
    about: str
    once: bool = False

    def line(self, rev: int) -> str:
        """As it is sent."""
        number = f",rev={rev}" if rev else ""
        fields = f"{self.fields},rt={self.received}i"
        return f"{self.measurement}{self.tags}{number} {fields} {self.time}"


def text_point(text: Text, entry: Entry, received: int) -> Point:
    """A text."""
    fields = f"{text_field(text.text)},q={text.status}i"
    place = entry.head_of("").partition(" ")[0]
    return Point("text", place, text.time, fields, received, entry.series.path)


def waveform_point(wave: Waveform, entry: Entry, received: int) -> Point:
    """A waveform."""
    block = base64.b64encode(np.ascontiguousarray(wave.block, "<f4").tobytes()).decode("ascii")
    fields = f"{pieces('block', block)},q={wave.status}i,rate={float(wave.rate_hz)!r}"
    return Point("waveform", entry.head_of(""), wave.start, fields, received, entry.series.path)


def event_point(event: Event, received: int) -> Point:
    """An event."""
    at = tags(kind=event.kind, machine=event.asset)
    return Point(
        "event", at, event.time, pieces("data", as_json(event.data)), received, event.asset, True
    )


def gap_point(gap: Gap, received: int) -> Point:
    """A gap record."""
    told = as_json([gap.first, gap.last, gap.samples, gap.reason, list(gap.signals)])
    fields = _gap_fields(told)
    return Point(
        "gap",
        tags(edge=gap.edge),
        min(flux.within(gap.first), flux.LAST_MS - 1),
        fields,
        received,
        gap.edge,
        True,
    )


@dataclass(frozen=True, slots=True)
class _Version:
    """What is stored, or about to be, of one set of tags and time."""

    received: int
    rev: int
    fields: str


def new_lines(
    server: Server, points: Sequence[Point], same_known: bool = False
) -> list[tuple[Point, str]]:
    """Points that are new, with their lines; one query a measurement for what is stored.

    Of two texts of one signal, time and commit the later stands. ``same_known``: what is stored
    with the same received time is the same (for ``adopt``).
    """
    found: dict[tuple[str, str, int, int], tuple[Point, str]] = {}
    for measurement in dict.fromkeys(p.measurement for p in points):
        some = [p for p in points if p.measurement == measurement]
        stored = _stored(server, measurement, some)
        for point in some:
            versions = stored.setdefault((point.tags, point.time), [])
            if _known(point, versions, same_known):
                continue
            rev = max((v.rev for v in versions), default=-1) + 1
            if versions and versions[-1].received == point.received and not point.once:
                rev = versions.pop().rev
            found[measurement, point.tags, point.time, rev] = point, point.line(rev)
            versions.append(_Version(point.received, rev, point.fields))
    return list(found.values())


def _known(point: Point, versions: Sequence[_Version], same_known: bool) -> bool:
    if point.once and any(v.fields == point.fields for v in versions):
        return True
    if same_known:
        return any(v.received == point.received for v in versions) and not point.once
    return bool(versions) and not point.once and versions[-1].fields == point.fields


def _stored(
    server: Server, measurement: str, points: Sequence[Point]
) -> dict[tuple[str, int], list[_Version]]:
    """(tags, time) -> versions of it, newest last."""
    wanted = {(p.tags, p.time) for p in points}
    found: dict[tuple[str, int], list[_Version]] = {}
    bucket = server.settings.bucket(BUCKET[measurement])
    hour = 3_600_000
    near = merged([(p.time // hour, p.time // hour) for p in points])
    for first, last in near:
        query = flux.records(bucket, first * hour, (last + 1) * hour, _measurement=measurement)
        for record in records(server.query(query)):
            shown = {n: unlabel(v) for n, v in record.tags.items() if n != "rev"}
            key = tags(**dict(sorted(shown.items()))), record.time
            if key in wanted:
                rev = int(record.tags.get("rev", 0))
                version = _Version(record.integer("rt"), rev, _fields(record))
                found.setdefault(key, []).append(version)
    for versions in found.values():
        versions.sort(key=lambda v: (v.received, v.rev))
    return found


def _fields(record: Record) -> str:
    """Fields as ``Point`` has them."""
    f = record.fields
    match record.measurement:
        case "text":
            return f"{text_field(field_text(f))},q={f['q']}i"
        case "waveform":
            return f"{pieces('block', joined('block', f))},q={f['q']}i,rate={float(f['rate'])!r}"
        case "event":
            return pieces("data", joined("data", f))
        case _:
            return _gap_fields(joined("gap", f))


def _gap_fields(told: str) -> str:
    """All of a gap record in one field, and beside it what people read."""
    _, last, samples, reason, _ = json.loads(told)
    shown = string(" ".join(reason.split()))
    return f"{pieces('gap', told)},last={last}i,samples={samples}i,reason={shown}"


def as_text(record: Record, signal: int) -> Text:
    """The text that a point holds."""
    return Text(signal, record.time, field_text(record.fields), record.integer("q"))


def as_waveform(record: Record, signal: int) -> Waveform:
    """The waveform that a point holds."""
    block = np.frombuffer(base64.b64decode(joined("block", record.fields)), "<f4")
    rate = float(record.fields["rate"])
    return Waveform(signal, record.time, rate, block, record.integer("q"))


def as_event(record: Record) -> Event:
    """The event that a point holds."""
    asset, kind = (unlabel(record.tags.get(t, "")) for t in ("machine", "kind"))
    return Event(record.time, asset, kind, stored_json(joined("data", record.fields)))


def as_gap(record: Record) -> Gap:
    """The gap record that a point holds."""
    first, last, samples, reason, signals = json.loads(joined("gap", record.fields))
    return Gap(unlabel(record.tags.get("edge", "")), first, last, samples, reason, tuple(signals))


def newest_of(found: Iterable[Record]) -> list[Record]:
    """The newest version of each (tags, time), in order of time and knowing."""
    best: dict[tuple[object, ...], Record] = {}
    for record in sorted(found, key=lambda r: (r.integer("rt"), int(r.tags.get("rev", 0)))):
        key = (record.time, *sorted((n, v) for n, v in record.tags.items() if n != "rev"))
        best.pop(key, None)
        best[key] = record
    return sorted(best.values(), key=lambda r: (r.time, r.integer("rt")))
