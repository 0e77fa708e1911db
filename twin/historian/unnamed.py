"""Files that no manifest names: what a crash left behind goes, all else is set aside.

Nothing is deleted that is not proven to be replaced. A file goes only where its name says that this
database wrote it, in a past that the database still knows, and every file that it names is there:
then the rows are where they were taken from. A file of another historian, of one whose database was
lost, of a later past than an older copy of the database knows, or of somebody else is kept in
``set-aside`` for ``kaikou history adopt``.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from twin.historian.aside import move_aside
from twin.historian.label import Origin
from twin.historian.store import ASIDE, NAMED, SAMPLES, TIERS, fact, select, writing

if TYPE_CHECKING:
    from twin.historian.writer import EmbeddedWriter

log = logging.getLogger("kaikou.historian")


def clear_unnamed(writer: "EmbeddedWriter", *, known: bool) -> None:
    """At a start: ``known`` says whether the database knows all of its past."""
    if not known:  # what was replaced is perhaps all that is left
        with writing(writer.database) as db:
            db.execute("DELETE FROM retired")
    aside = [f for f in _unnamed(writer) if not (known and _ours(writer, f))]
    if aside:
        log.warning(
            "%s: %d files that no manifest names are set aside in %s: "
            "`kaikou history adopt` brings them back",
            writer.folder,
            len(aside),
            ASIDE,
        )
    for file in aside:
        move_aside(writer.folder, file.parent.name, file.name)
    remove_unfinished(writer) if known else None


def remove_unfinished(writer: "EmbeddedWriter") -> None:
    """What was written and found no place in the manifest: its rows are where they were."""
    for file in _unnamed(writer):
        if _ours(writer, file):
            file.unlink(missing_ok=True)


def _unnamed(writer: "EmbeddedWriter") -> list[Path]:
    named = {
        row[0]
        for table in ("segment", "tier", "retired")
        for row in select(writer.database, f"SELECT file FROM {table}")  # noqa: S608
    }
    return [
        file
        for kind in (SAMPLES, TIERS)
        for file in sorted((writer.folder / kind).iterdir())
        if file.name not in named and file.is_file()
    ]


def _ours(writer: "EmbeddedWriter", file: Path) -> bool:
    origin = Origin.of(file.name)
    if origin is None or origin.generation != writer.generation:
        return False
    aside = select(writer.database, "SELECT 1 FROM aside WHERE file = ?", (file.name,))
    return not aside and origin.named <= int(fact(writer.database, NAMED))
