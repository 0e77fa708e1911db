"""Which path has which tags: a path may be renamed, the tags of rows never change.

Rows of path "a/b/c" stand under machine "a/b" and signal "c". Where these tags are taken by rows
of another unit or kind, or of a signal that has another path now, new rows stand under "c@2".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from plant.flow.port import Series
from plant.model.signal import SignalKind
from twin.historian.influx.flux import Tags
from twin.historian.influx.line import label, string, tags


@dataclass(frozen=True, slots=True)
class Entry:
    """A series that has rows: ``number`` counts from the oldest, ``tags`` are as shown."""

    number: int
    tags: Tags
    series: Series

    @property
    def head(self) -> str:
        """Measurement and tags of its samples."""
        return self.head_of("telemetry")

    def head_of(self, measurement: str) -> str:
        """Another measurement with the same tags."""
        site, line = (*self.series.place, "", "")[:2]
        machine, signal = _unshown(self.tags)
        return measurement + tags(line=line, machine=machine, signal=signal, site=site)

    def line(self, time: int) -> str:
        """As the mark bucket keeps it."""
        s = self.series
        record = {
            "n": self.number, "path": s.path, "kind": s.kind.value, "unit": s.unit,
            "modulus": s.modulus, "hold_ms": s.hold_ms, "place": list(s.place),
        }  # fmt: skip
        machine, signal = _unshown(self.tags)
        head = "series" + tags(machine=machine, signal=signal)
        return f"{head} record={string(json.dumps(record))} {time}"

    @classmethod
    def of(cls, machine: str, signal: str, record: str) -> "Entry":
        """What ``line`` wrote."""
        r = json.loads(record)
        series = Series(
            r["path"], SignalKind(r["kind"]), r["unit"], r["modulus"], r["hold_ms"],
            place=tuple(r["place"]),
        )  # fmt: skip
        return cls(r["n"], (machine, signal), series)


def _unshown(shown: Tags) -> Tags:
    """``Entry.tags`` hold labels; ``tags`` makes labels of texts."""
    from twin.historian.influx.line import unlabel

    return unlabel(shown[0]), unlabel(shown[1])


class Registry:
    """Every series, by number, by path and by tags."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: list[Entry] = []
        self._by_path: dict[str, int] = {}
        self._taken: dict[Tags, int] = {}
        for entry in sorted(entries, key=lambda e: e.number):
            self._add(replace(entry, number=len(self._entries)))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __getitem__(self, number: int) -> Entry:
        return self._entries[number]

    def find(self, path: str) -> Entry | None:
        """The series that has this path now."""
        number = self._by_path.get(path)
        return None if number is None else self._entries[number]

    def index(self) -> dict[Tags, int]:
        """Tags as shown -> number."""
        return dict(self._taken)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._by_path[entry.series.path] = entry.number
        self._taken[entry.tags] = entry.number

    def add(self, series: Series) -> Entry:
        """A series that gets its first row."""
        machine, _, signal = series.path.rpartition("/")
        free = (label(machine), label(signal))
        era = 1
        while free in self._taken or not free[1]:
            era += 1
            free = (label(machine), label(f"{signal}@{era}"))
        entry = Entry(len(self._entries), free, series)
        self._add(entry)
        return entry

    def change(self, entry: Entry, series: Series) -> Entry:
        """Another path or other properties for the same rows."""
        del self._by_path[entry.series.path]
        changed = replace(entry, series=series)
        self._entries[entry.number] = changed
        self._by_path[series.path] = entry.number
        return changed

    def settle(self, series: Series) -> tuple[int, Sequence[Entry]]:
        """(number of a series that is to be written to, -1: it has no rows yet; what changed)."""
        changed = []
        entry = self.find(series.path)
        if entry is None:
            former = next((e for e in map(self.find, series.was) if e is not None), None)
            if former is not None:
                entry = self.change(former, replace(former.series, path=series.path))
                changed.append(entry)
        if entry is None:
            return -1, changed
        known = entry.series
        if (known.kind, known.unit) != (series.kind, series.unit):
            n = 1
            while f"{series.path}~{n}" in self._by_path:
                n += 1
            changed.append(self.change(entry, replace(known, path=f"{series.path}~{n}")))
            return -1, changed
        now = replace(series, was=())
        if now != known:
            changed.append(self.change(entry, now))
        return entry.number, changed
