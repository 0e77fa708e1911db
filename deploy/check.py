"""What ``kaikou check`` says of a plant in which nothing is wrong."""

from collections import Counter
from collections.abc import Iterator, Mapping

from deploy.need import need_lines
from plant.model.plant import Asset, Edge, Plant
from plant.model.signal import Origin, Signal
from plant.outbox.row import OVERHEAD_BYTES

SAMPLE_BYTES = 21.0
"""A metric with alias, time and value, as plant.wire writes it."""
PUSHED_HZ = 1.0
"""Assumed of a source that pushes."""


def summary(plant: Plant) -> str:
    """The plant in short, for people."""
    return "\n".join(_lines(plant))


def _lines(plant: Plant) -> Iterator[str]:
    simulated = ", simulated" if plant.simulated else ""
    name = " / ".join(dict.fromkeys((plant.name.zh, plant.name.en)))
    yield f"{name}: {plant.group} ({plant.timezone}{simulated})"
    broker = plant.broker
    kind = "embedded" if broker.embedded else f"{broker.username or 'anonymous'}, "
    kind += "" if broker.embedded else "TLS" if broker.tls else "plain"
    yield f"broker     {broker.host}:{broker.port} ({kind})"
    for name, store in (("historian", plant.historian), ("copy", plant.copy)):
        if store is not None:
            yield f"{name:<9}  {_store(store)}"
            if problem := retention_problem(store, plant):
                yield f"           TOO SHORT: {problem}"
    yield f"gateway    {plant.gateway.host}:{plant.gateway.port}"
    yield from _calendar(plant)
    for line in plant.lines.values():
        flow = " > ".join(s.asset for s in line.flow)
        yield f"line       {line.id}: {flow}; constraint: {line.constraint or 'none named'}"
    for edge in plant.edges.values():
        yield from _edge(plant, edge)
    yield from need_lines(plant)
    total = sum(1 for s in plant.signals if not s.hidden)
    yield f"{len(plant.assets)} assets, {total} signals; hash {plant.hash}"
    for asset in plant.assets.values():
        yield _asset(asset)
    unset = len({n.name for n in plant.needs if n.secret and n.missing is not None})
    yield f"nothing is wrong{f'; secrets that are not set here: {unset}' if unset else ''}"


def _store(store: object) -> str:
    """Kind of a historian, and how long it keeps raw samples."""
    text = str(getattr(store, "kind", "?"))
    url = getattr(store, "url", None)
    if url is not None:
        text += f" at {url}, buckets {getattr(store, 'prefix', '')}_*"
    days = getattr(store, "retention_days", None)
    return f"{text}; raw samples are kept {f'{days:g} days' if days else 'for ever'}"


def _calendar(plant: Plant) -> Iterator[str]:
    calendar = plant.calendar
    if calendar is None:
        yield "calendar   none: planned to work at all times"
        return
    shifts = ", ".join(f"{s.id} {_clock(s.start)}-{_clock(s.end)}" for s in calendar.shifts)
    crews = f"; {len(calendar.rotation.crews)} crews" if calendar.rotation else ""
    yield f"calendar   {shifts}; {len(calendar.weekdays)} days a week{crews}"
    holidays = calendar.holidays
    if holidays is not None and holidays.years is not None:
        years = ", ".join(map(str, sorted(holidays.years)))
        yield f"           public holidays of {years}; of other years none are known"


def _clock(minute: int) -> str:
    """Of a minute of the day, which may be the next.

    >>> _clock(1800)
    '06:00'
    """
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"


def _edge(plant: Plant, edge: Edge) -> Iterator[str]:
    signals = plant.published(Origin.EDGE, edge.id)
    kinds = Counter(getattr(s, "kind", "?") for s in edge.sources.values())
    sources = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none"
    yield f"edge       {edge.id}: {len(signals)} signals; sources: {sources}"
    if signals:
        hours = outage_hours(plant, edge)
        then = {"drop_oldest": "the oldest rows go"}.get(edge.outbox.when_full, "new rows wait")
        yield (
            f"           its outbox of {edge.outbox.max_mb} MiB bridges {hours:.0f} h or more "
            f"without broker or twin, then {then}"
        )
    if edge.opcua:
        users = ", ".join(u.name for u in edge.opcua.users)
        yield f"           OPC UA on {edge.opcua.host}:{edge.opcua.port} for {users}"


def outage_hours(plant: Plant, edge: Edge) -> float:
    """Hours that the outbox holds when every signal changes at every poll: the worst case."""
    by_path = {s.path: s for s in plant.signals}
    rows: dict[str, float] = {}
    samples = 0.0
    for signal in plant.published(Origin.EDGE, edge.id):
        rate = _rate(signal, by_path, edge.sources)
        samples += rate
        rows[signal.asset] = max(rows.get(signal.asset, 0.0), rate)
    per_commit = 1000.0 / edge.outbox.commit_ms  # a commit writes one row for an asset at most
    row_rate = sum(min(rate, per_commit) for rate in rows.values())
    rate_bytes = samples * SAMPLE_BYTES + row_rate * OVERHEAD_BYTES
    return edge.outbox.max_mb * 2**20 / rate_bytes / 3600.0


def retention_problem(store: object, plant: Plant) -> str | None:
    """Why raw rows are kept too short: what waited in an outbox would be too old on arrival."""
    days = getattr(store, "retention_days", None)
    if days is None:
        return None
    for edge in plant.edges.values():
        if not plant.published(Origin.EDGE, edge.id):
            continue
        hours = outage_hours(plant, edge)
        if days * 24 < hours:
            return (
                f"retention_days {days:g} is less than the {hours / 24:.1f} days that the outbox"
                f" of {edge.id} holds; what waited longer would not be stored"
            )
    return None


def _rate(signal: Signal, by_path: Mapping[str, Signal], sources: Mapping[str, object]) -> float:
    """The most samples a second that a signal can give."""
    if signal.reading is not None:
        poll_ms = getattr(sources.get(signal.reading.source), "poll_ms", 0)
        return 1000.0 / poll_ms if poll_ms else PUSHED_HZ
    inputs = [by_path[path] for path in signal.inputs if path in by_path]
    rates = [_rate(s, by_path, sources) for s in inputs if s is not signal]
    return max(rates, default=1.0 / signal.max_interval)


def _asset(asset: Asset) -> str:
    shown = [s for s in asset.signals if not s.hidden]
    estimated = sum(s.estimated for s in shown)
    notes = f" ({estimated} estimated)" if estimated else ""
    where = f", read by {asset.edge}" if asset.edge else ""
    return f"  {asset.id:<12} {asset.type}: {len(shown)} signals{notes}{where}"
