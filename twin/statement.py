"""What people may state of a machine, and the event that records it: pure checks.

Reasons of stops, products, modes. A statement is never changed: a further event corrects it, and
where two overlap the one said last wins. An empty code, product or mode takes one back.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from plant.errors import Rejected
from plant.flow.sample import Event
from plant.model.mode import MODE_NAMES
from plant.model.plant import Plant
from plant.model.reason import LONGEST_REASON_MS
from plant.wire.request import Request

DAY_MS = 86_400_000
EARLIEST_MS = 400 * DAY_MS
"""Nobody remembers what was longer ago than this."""
AHEAD_MS = 1000
"""Clocks of two machines differ by this much; nothing is stated of what is still to come."""
NOTE = 500
PERSON = 64
"""Greatest lengths, in characters."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may be spoken of: ids of machines and lines, codes of reasons, ids of products."""

    machines: Collection[str]
    lines: Collection[str]
    reasons: Collection[str]
    products: Collection[str]

    @classmethod
    def of(cls, plant: Plant) -> "Vocabulary":
        """What a plant knows; machines are what has a state."""
        machines = [a.id for a in plant.assets.values() if a.signal("state")]
        return cls(
            frozenset(machines) - frozenset(plant.lines),
            frozenset(plant.lines),
            frozenset(plant.reasons),
            frozenset(plant.products),
        )


def statement(request: Request, known: Vocabulary, now: int, said: int) -> Event:
    """The event that records a request, said at ``said``; ``Rejected`` says what is wrong with it.

    ``now`` is the plant's time, ms UTC.
    """
    if request.deadline < now:
        late_s = (now - request.deadline) / 1000
        raise Rejected(f"it came {late_s:.1f} s after its deadline; is this machine's clock right?")
    read = _KINDS.get(request.kind)
    if read is None:
        raise Rejected(f"a request is one of {', '.join(_KINDS)}, not {request.kind[:40]!r}")
    given = _Given(request, known, now)
    person = given.person()
    data = {**read(given), "person": person, "said": said}
    return Event(given.time("start"), request.asset, request.kind, data)


class _Given:
    """The parts of a request, checked as they are read."""

    def __init__(self, request: Request, known: Vocabulary, now: int) -> None:
        self.known = known
        self._request = request
        self._now = now

    def person(self) -> str:
        """Who says it."""
        person = self._request.person
        if not 0 < len(person) <= PERSON or not person.isprintable():
            raise Rejected(f"a person's name has 1 to {PERSON} printable characters")
        return person

    def machine(self) -> None:
        """It is about a machine."""
        asset = self._request.asset
        if asset in self.known.lines:
            raise Rejected(f"{asset!r} is a line; say it of one of its machines")
        if asset not in self.known.machines:
            raise Rejected(f"no machine {asset[:64]!r} in this plant")

    def machine_or_line(self) -> None:
        """It is about a machine or a line."""
        asset = self._request.asset
        if asset not in self.known.lines and asset not in self.known.machines:
            raise Rejected(f"no machine or line {asset[:64]!r} in this plant")

    def word(self, name: str, among: Collection[str], what: str) -> str:
        """One of the known words, or "" to take back."""
        word = self._request.data.get(name)
        if not isinstance(word, str):
            raise Rejected(f"{name} is missing")
        if word and word not in among:
            raise Rejected(f"no {what} {word[:64]!r} in this plant")
        return word

    def note(self) -> str:
        """Free text."""
        note = self._request.data.get("note", "")
        if not isinstance(note, str) or len(note) > NOTE:
            raise Rejected(f"a note has at most {NOTE} characters")
        if not all(c.isprintable() or c == "\n" for c in note):
            raise Rejected("a note holds no control characters")
        return note.strip()

    def time(self, name: str) -> int:
        """A moment, ms UTC, neither to come nor too long ago."""
        time = self._request.data.get(name)
        if type(time) is not int:
            raise Rejected(f"{name} is a whole number of ms UTC")
        if time > self._now + AHEAD_MS:
            raise Rejected(f"{name} is in the future")
        if time < self._now - EARLIEST_MS:
            raise Rejected(f"{name} is more than {EARLIEST_MS // DAY_MS} days ago")
        return time

    def lasting(self) -> bool:
        """Whether it has no end yet."""
        return self._request.data.get("end") is None

    def interval(self) -> tuple[int, int]:
        """A time from start to end."""
        start, end = self.time("start"), self.time("end")
        if start >= end:
            raise Rejected("start is not before end")
        if end - start > LONGEST_REASON_MS:
            days = LONGEST_REASON_MS // DAY_MS
            raise Rejected(f"it lasts more than {days} days; say it in parts")
        return start, end


def _reason(given: _Given) -> Mapping[str, object]:
    given.machine()
    code = given.word("code", given.known.reasons, "reason")
    note = given.note()
    if given.lasting():  # until the stop ends, whenever that is (twin.kpi.lasting)
        return {"start": given.time("start"), "end": None, "code": code, "note": note}
    start, end = given.interval()
    return {"start": start, "end": end, "code": code, "note": note}


def _product(given: _Given) -> Mapping[str, object]:
    given.machine_or_line()
    product = given.word("product", given.known.products, "product")
    return {"start": given.time("start"), "product": product}


def _mode(given: _Given) -> Mapping[str, object]:
    given.machine()
    mode = given.word("mode", MODE_NAMES.values(), "mode")
    if given.lasting():
        return {"start": given.time("start"), "end": None, "mode": mode}
    start, end = given.interval()
    return {"start": start, "end": end, "mode": mode}


_KINDS: Mapping[str, Callable[[_Given], Mapping[str, object]]] = {
    "reason": _reason,
    "product": _product,
    "mode": _mode,
}
