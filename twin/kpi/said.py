"""What people said of times: reasons, modes and products, as the newest word has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from plant.model.mode import MODE_NAMES

MODES = {name: int(mode) for mode, name in MODE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Said:
    """One statement of [start, end), ms UTC: a reason, mode or product; "" takes one back.

    said     when the twin accepted it: of two that overlap the one said later holds
    lasting  no end was said, and ``end`` is the latest it can be
    """

    start: int
    end: int
    word: str
    said: int
    note: str = ""
    person: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which the same statement holds; ``former`` held before it, newest first."""

    start: int
    end: int
    current: Said | None
    former: tuple[Said, ...]


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
