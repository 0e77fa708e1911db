"""History on the move, for people: export, import, migrate, each resumable, shown and checked."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.folder import claim
from deploy.need import User, require
from deploy.room import HISTORIAN, read_plant
from plant.errors import ConfigError, Unavailable
from plant.flow.port import Commit, HistorianReader, HistorianWriter, Mark
from plant.flow.sample import SampleBatch
from plant.model.plant import Plant
from twin.birth import series_of
from twin.historian.embedded import Embedded
from twin.historian.salvage import require_embedded, salvage
from twin.historian.verify import verify as verify_files
from twin.service import claimed
from twin.transfer.bundle import Bundle, Choice, Format
from twin.transfer.follow import COPY, follow, identity, pages, verify
from twin.transfer.tally import Tally

IMPORT = "kaikou/import"
"""The ``edge`` of the mark that tells how far an export has come in; ``run`` is its id."""
_TOLD_S = 5.0


@dataclass(slots=True)
class Shown:
    """Progress on stderr: one line that is rewritten on a terminal, else one every 5 s."""

    what: str
    begun: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def __call__(self, moved: Tally, upto: int) -> None:
        """See ``twin.transfer.follow.Progress``."""
        now = time.monotonic()
        if not sys.stderr.isatty() and now - self.told < _TOLD_S:
            return
        self.told = now
        rate = moved.samples / max(now - self.begun, 1e-9)
        line = f"{self.what}: {moved.samples} samples, {rate:.0f}/s, up to {_moment(upto)}"
        sys.stderr.write(f"\r{line}\x1b[K" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self.told and sys.stderr.isatty():
            sys.stderr.write("\n")


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(" ", "seconds")


def moment(text: str) -> int:
    """A time as people write it, in ms UTC: ISO 8601 with its offset, or a number of ms.

    >>> moment("2026-11-22T00:00:00+08:00"), moment("1700000000000")
    (1795276800000, 1700000000000)
    """
    if text.isdigit():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time; e.g. 2026-11-22T08:00:00+08:00") from error
    if at.tzinfo is None:
        raise ConfigError(f"{text!r} has no offset from UTC; e.g. {text}+08:00 or {text}Z")
    return int(at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Store:
    """The historian of a plant in a data folder."""

    plant: Plant
    place: Path

    @classmethod
    def of(cls, file: Path, data: Path) -> "Store":
        """Read the plant; the folder must not hold another's values."""
        plant = require(read_plant(file, data if data.is_dir() else None), User("history"))
        claim(plant, data)
        return cls(plant, data / HISTORIAN)

    def reader(self) -> "closing[HistorianReader]":
        """For reading; the twin may run."""
        kind: Any = self.plant.historian
        return closing(kind.reader(self.place))

    def writer(self) -> "closing[HistorianWriter]":
        """For writing; the twin must not run."""
        kind: Any = self.plant.historian
        self.place.mkdir(parents=True, exist_ok=True)
        return closing(claimed(lambda: kind.writer(self.place), self.plant))


def export(store: Store, folder: Path, format: Format, choice: Choice) -> str:
    """Write what the historian knows into a folder; says what is there now."""
    bundle = Bundle.create(folder, format, store.plant.group, choice)
    with store.reader() as reader:
        _shown("export", lambda shown: bundle.export(reader, shown))
    return str(bundle)


def bring(folder: Path, store: Store) -> str:
    """Take an export into the historian and look for every row of it there."""
    bundle = Bundle.open(folder)
    if not bundle.done:
        raise ConfigError(f"{folder} is an export that was not finished: run it again first")
    with store.writer() as writer:

        def run(shown: Shown) -> None:
            moved = Tally()
            for page in bundle.pages(writer.marks().get((IMPORT, bundle.id), 0)):
                writer.adopt(page, Mark(IMPORT, bundle.id, page.upto))
                moved += Tally.of(page)
                shown(moved, page.upto)

        _shown("import", run)
        writer.retain(int(time.time() * 1000), force=True)
    return _checked(store, bundle.pages(), bundle.tally)


def migrate(old: Store, new: Store) -> str:
    """Bring everything of one historian into another, the edges' marks last."""
    if (old.place, old.plant.historian) == (new.place, new.plant.historian):
        raise ConfigError("both plants name the same historian: nothing to migrate")
    with old.writer() as source, old.reader() as reader, new.writer() as target:
        name = identity(source)
        _shown("migrate", lambda shown: follow(reader, target, name, shown))
        marks = [Mark(*key, offset) for key, offset in source.marks().items() if key[0] != COPY]
        if marks:  # an edge that was acknowledged must not be told of a loss
            target.write(Commit(SampleBatch.empty(), marks=marks), int(time.time() * 1000))
        target.retain(int(time.time() * 1000), force=True)
    with old.reader() as reader:
        return _checked(new, pages(reader, 0))


@dataclass(slots=True)
class Looked:
    """Progress over files on stderr: one line that is rewritten on a terminal, else every 5 s."""

    told: float = 0.0

    def __call__(self, file: str, number: int, many: int) -> None:
        """``file`` is the next of ``many``."""
        now = time.monotonic()
        if now - self.told < (0.1 if sys.stderr.isatty() else _TOLD_S):
            return
        self.told = now
        line = f"{number + 1} of {many}: {file}"
        sys.stderr.write(f"\r{line}\x1b[K" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()


def adopt(store: Store) -> str:
    """Bring back what was set aside; the twin must not run."""
    _require_files(store)
    now = {s.path: s for s in series_of(store.plant)}
    rename = {old: s for s in now.values() for old in s.was if old not in now}
    with store.writer() as writer:
        now_ms = int(time.time() * 1000)
        return str(salvage(require_embedded(writer), rename, Looked(), now_ms))


def check(store: Store) -> str:
    """Compare every file with what was written; ``Unavailable`` where one is not."""
    _require_files(store)
    verdict = verify_files(store.place, Looked())
    if not verdict.whole:
        raise Unavailable(str(verdict))
    return str(verdict)


def _require_files(store: Store) -> None:
    if not isinstance(store.plant.historian, Embedded):
        raise ConfigError("only the embedded historian keeps files of its own")
    if not store.place.is_dir():
        raise ConfigError(f"no historian in {store.place}; name the data folder with --data")


def _shown(what: str, run: Callable[[Shown], object]) -> None:
    shown = Shown(what)
    try:
        run(shown)
    finally:
        shown.end()


def _checked(store: Store, source: Iterator[Any], expected: Tally | None = None) -> str:
    with store.reader() as reader:
        verdict = verify(source, reader)
    if expected is not None and verdict.tally != expected:
        raise ConfigError(f"the files hold {verdict.tally}, their manifest says {expected}")
    if not verdict.whole:
        raise Unavailable(f"{verdict.missing} rows are missing in the historian: run it again")
    return f"{verdict.tally}: every row is there"
