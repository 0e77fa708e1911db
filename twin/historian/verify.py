"""Every file of the embedded historian compared with what was written: ``kaikou history verify``.

It may run beside the twin. A file that is wrong is named to the twin, which sets it aside under a
gap record; what cannot be compared is said, too.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from plant.errors import Unavailable
from twin.historian.checksum import CHECKED
from twin.historian.database import damage_of, has_checks, is_damage, text_of
from twin.historian.hot import decode_hot
from twin.historian.named import named_file, suspect
from twin.historian.opening import open_readable
from twin.historian.segment import SEGMENT_COLUMNS, Segment
from twin.historian.store import ASIDE, FILE, SAMPLES, TIERS, select
from twin.historian.tier import TIER_COLUMNS, TierFile

Progress = Callable[[str, int, int], None]
"""Called with what is looked at, its number and how many there are."""


@dataclass(slots=True)
class Verdict:
    """What was found.

    files, bytes  of sealed files that were compared
    wrong         what is not as it was written
    aside         what was set aside before, and why
    unsummed      files that have no check-sum yet
    pages         whether the pages of the database carry check-sums
    """

    files: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    unsummed: int = 0
    pages: bool = True

    @property
    def whole(self) -> bool:
        """Whether everything is as it was written."""
        return not self.wrong

    def __str__(self) -> str:
        good = "all as they were written" if self.whole else f"{len(self.wrong)} wrong"
        lines = [f"{self.files} files, {self.bytes / 1e6:.1f} MB, and {FILE}: {good}"]
        lines += [f"wrong: {line}" for line in self.wrong]
        if self.unsummed:
            lines.append(f"{self.unsummed} files have no check-sum yet: the twin takes them")
        if not self.pages:
            lines.append(f"the pages of {FILE} carry no check-sums (SQLite's own check passed)")
        lines += [f"set aside: {line}" for line in self.aside]
        if self.aside:
            lines.append(
                "stop the plant and run `kaikou history adopt` to bring back what is whole"
            )
        return "\n".join(lines)


def verify(folder: Path, progress: Progress) -> Verdict:
    """Compare all; ``Unavailable`` where the database cannot even be opened."""
    found = Verdict()
    with contextlib.closing(open_readable(folder)) as db:
        try:
            _database(db, found)
            _files(db, folder, progress, found)
            rows = select(db, "SELECT file, why FROM aside ORDER BY file")
        except apsw.Error as error:
            if not is_damage(error):
                raise Unavailable(f"{folder / FILE}: {error}") from error
            found.wrong.append(f"{FILE}: {text_of(error)}")
            return found
    why = dict(rows)
    place = folder / ASIDE
    there = [f for f in sorted(place.rglob("*")) if f.is_file() and not _beside(f)]
    for file in there:
        reason = why.pop(file.name, "no manifest names it")
        found.aside.append(f"{file.relative_to(folder)}: {reason}")
    found.aside += [f"{file}: {reason}" for file, reason in why.items()]
    return found


def _beside(file: Path) -> bool:
    return file.name.endswith(("-wal", "-shm", ".adopted"))


def _database(db: apsw.Connection, found: Verdict) -> None:
    found.pages = has_checks(db)
    damage = damage_of(db, whole=True)
    if damage:
        found.wrong.append(f"{FILE}: {damage}")
        return
    for received, data in db.execute("SELECT received, data FROM hot"):
        decode_hot(data, received)


def _files(db: apsw.Connection, folder: Path, progress: Progress, found: Verdict) -> None:
    files: list[Segment | TierFile] = [
        Segment(*row)
        for row in select(db, f"SELECT {SEGMENT_COLUMNS} FROM segment")  # noqa: S608
    ]
    files += [TierFile(*row) for row in select(db, f"SELECT {TIER_COLUMNS} FROM tier")]  # noqa: S608
    for number, file in enumerate(files):
        progress(file.file, number, len(files))
        kind = SAMPLES if isinstance(file, Segment) else TIERS
        why = CHECKED.wrong(folder / kind / file.file, file.bytes, file.crc, fresh=True)
        if why and named_file(db, file.file) is None:
            continue  # it was merged away meanwhile
        if why:
            found.wrong.append(f"{kind}/{file.file} {why}")
            suspect(folder, file.file)
        found.files += 1
        found.bytes += file.bytes
        found.unsummed += file.crc is None
