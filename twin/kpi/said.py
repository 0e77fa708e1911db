"""What people said of times: reasons, modes and products, as the newest word has it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plant.flow.port import HistorianReader
from plant.flow.sample import Event
from plant.model.mode import MODE_NAMES
from plant.model.plant import Plant
from plant.model.reason import LONGEST_REASON_MS

LOOK_BACK_MS = 400 * 86_400_000
"""A product holds until the next; nobody states what was longer ago (twin.statement)."""
MODES = {name: int(mode) for mode, name in MODE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Said:
    """One statement of [start, end), ms UTC: a reason, mode or product; "" takes one back.

    said  when the twin accepted it: of two that overlap the one said later holds
    """

    start: int
    end: int
    word: str
    said: int
    note: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which the same statement holds; ``former`` held before it, newest first."""

    start: int
    end: int
    current: Said | None
    former: tuple[Said, ...]


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
    start: int,
    end: int,
    *,
    known_at: int | None = None,
) -> Statements:
    """What was said of a machine (of its line: the product) that bears on [start, end)."""
    line = plant.assets[asset].line
    near = start - LONGEST_REASON_MS
    events = reader.events(near, end, known_at)
    products = _read(events, {asset, line}, "product", "product")
    if plant.products and not any(p.start <= start for p in products):
        earlier = reader.events(start - LOOK_BACK_MS, near, known_at)
        products = [*_read(earlier, {asset, line}, "product", "product"), *products]
    return Statements(
        reasons=[s for s in _read(events, {asset}, "reason", "code") if s.end > start],
        modes=[s for s in _read(events, {asset}, "mode", "mode") if s.end > start],
        products=products,
    )


def _read(
    events: Iterable[Event], assets: Collection[str | None], kind: str, word: str
) -> list[Said]:
    """Statements of one kind; one without an end holds for ``LONGEST_REASON_MS``."""
    found = []
    for event in events:
        if event.kind != kind or event.asset not in assets:
            continue
        data = event.data
        begin, finish = data.get("start", event.time), data.get("end")
        said, text = data.get("said", 0), data.get(word)
        if type(begin) is int and type(said) is int and isinstance(text, str):
            last = finish if type(finish) is int else begin + LONGEST_REASON_MS
            note, person = str(data.get("note", "")), str(data.get("person", ""))
            found.append(Said(begin, last, text, said, note, person))
    return found


def resolve(said: Sequence[Said], start: int, end: int) -> Sequence[Held]:
    """[start, end) cut where what holds changes; the newest said wins, "" takes back.

    >>> a, b = Said(0, 60, "jam", said=100), Said(30, 90, "repair", said=200)
    >>> [(h.start, h.current.word if h.current else "") for h in resolve([a, b], 0, 100)]
    [(0, 'jam'), (30, 'repair'), (60, 'repair'), (90, '')]
    """
    touching = sorted(
        (s for s in said if s.start < end and s.end > start and s.start < s.end),
        key=lambda s: s.start,
    )
    edges = {start, end}
    for s in touching:
        edges |= {max(s.start, start), min(s.end, end)}
    found: list[Held] = []
    over: list[Said] = []
    at = 0
    for begin, finish in pairwise(sorted(edges)):
        while at < len(touching) and touching[at].start <= begin:
            over.append(touching[at])
            at += 1
        over = sorted((s for s in over if s.end > begin), key=lambda s: s.said, reverse=True)
        current = over[0] if over and over[0].word else None
        former = tuple(s for s in over[1:] if s.word)
        if found and (found[-1].current, found[-1].former) == (current, former):
            found[-1] = Held(found[-1].start, finish, current, former)
        else:
            found.append(Held(begin, finish, current, former))
    return found


def timeline(said: Sequence[Said], start: int, end: int) -> Sequence[tuple[int, str]]:
    """(from when on, product): each holds until the next; of one moment the newest said.

    The first is at ``start``; "" where none was told.

    >>> timeline([Said(5, 6, "a", 10), Said(20, 21, "b", 11)], 8, 30)
    [(8, 'a'), (20, 'b')]
    """
    at = {s.start: s for s in sorted(said, key=lambda s: s.said)}
    before = [time for time in at if time <= start]
    found = [(start, at[max(before)].word if before else "")]
    for time in sorted(t for t in at if start < t < end):
        if at[time].word != found[-1][1]:
            found.append((time, at[time].word))
    return found
