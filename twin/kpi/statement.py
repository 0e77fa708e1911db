"""What people said of a machine, read from a historian."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from plant.flow.port import HistorianReader
from plant.flow.sample import Event
from plant.model.plant import Plant
from plant.model.reason import LONGEST_REASON_MS
from twin.kpi.lasting import end_with_stop, reach_back
from twin.kpi.said import Said, resolve
from twin.run import StateRun

LOOK_BACK_MS = 400 * 86_400_000
"""A product holds until the next; nobody states what was longer ago (twin.statement)."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Everything people said that may bear on a range, of one machine."""

    reasons: Sequence[Said] = ()
    modes: Sequence[Said] = ()
    products: Sequence[Said] = ()


def statements(
    reader: HistorianReader,
    plant: Plant,
    asset: str,
    states: Sequence[StateRun],
    *,
    known_at: int | None = None,
) -> Statements:
    """What was said of a machine (of its line: the product) that bears on the time of ``states``.

    A reason without an end holds until the stop ends (``twin.kpi.lasting``).
    """
    start, end = states[0].start, states[-1].end
    line = plant.assets[asset].line
    near = start - LONGEST_REASON_MS
    events = reader.events(near, end, known_at)
    products = _read(events, {asset, line}, "product", "product")
    if plant.products and not any(p.start <= start for p in products):
        earlier = reader.events(start - LOOK_BACK_MS, near, known_at)
        products = [*_read(earlier, {asset, line}, "product", "product"), *products]
    reasons = _read(events, {asset}, "reason", "code")
    reasons = end_with_stop(reasons, reach_back(reader, asset, reasons, states, known_at))
    return Statements(
        reasons=[s for s in reasons if s.end > start],
        modes=[s for s in _read(events, {asset}, "mode", "mode") if s.end > start],
        products=products,
    )


def made_at(
    reader: HistorianReader, plant: Plant, at: int, known_at: int | None = None
) -> Mapping[str, Said]:
    """What each machine and line makes at a moment, where somebody told."""
    near = at - LONGEST_REASON_MS
    of = {a.id: a.line for a in plant.assets.values() if a.signal("state")}
    of |= dict.fromkeys(plant.lines)
    events = [e for e in reader.events(near, at + 1, known_at) if e.kind == "product"]
    found = {id: _newest(events, {id, line}) for id, line in of.items()}
    if plant.products and not all(found.values()):
        events[:0] = reader.events(at - LOOK_BACK_MS, near, known_at)
        found = {id: _newest(events, {id, line}) for id, line in of.items()}
    return {id: said for id, said in found.items() if said and said.word}


def modes_at(
    reader: HistorianReader, plant: Plant, at: int, known_at: int | None = None
) -> Mapping[str, Said]:
    """The mode that somebody stated of each machine and that holds at a moment."""
    events = reader.events(at - LONGEST_REASON_MS, at + 1, known_at)
    events = [e for e in events if e.kind == "mode"]
    held = {
        a.id: resolve(_read(events, {a.id}, "mode", "mode"), at, at + 1)[0].current
        for a in plant.assets.values()
        if a.signal("state")
    }
    return {id: said for id, said in held.items() if said}


def _newest(events: Iterable[Event], assets: Collection[str | None]) -> Said | None:
    """The product that began last; of one moment the newest said."""
    told = _read(events, assets, "product", "product")
    return max(told, key=lambda s: (s.start, s.said), default=None)


def _read(
    events: Iterable[Event], assets: Collection[str | None], kind: str, word: str
) -> list[Said]:
    """Statements of one kind; one without an end holds for ``LONGEST_REASON_MS`` at most."""
    found = []
    for event in events:
        if event.kind != kind or event.asset not in assets:
            continue
        data = event.data
        begin, finish = data.get("start", event.time), data.get("end")
        said, text = data.get("said", 0), data.get(word)
        if type(begin) is int and type(said) is int and isinstance(text, str):
            lasting = type(finish) is not int
            last = begin + LONGEST_REASON_MS if type(finish) is not int else finish
            note, person = str(data.get("note", "")), str(data.get("person", ""))
            found.append(Said(begin, last, text, said, note, person, lasting))
    return found
