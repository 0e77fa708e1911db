"""What the final states go on from after a restart: a file of snapshots beside the twin's outbox.

Rows are in the historian; what rows of long ago left behind in a fold (levels of buffers, parts
that were counted) is not. So a snapshot of each line, some hours old, is kept. One of another
plant, or a damaged one, is not used: then the states begin anew from the rows of the last hours,
and what was told before stays.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plant.errors import Unavailable
from plant.file import Damaged, read_object, set_aside, write_object
from twin.final import Snapshot

log = logging.getLogger("kaikou.twin")

FILE = "states.json"
VERSION = 1
"""Of what snapshots hold; one of another version is not used."""


def fingerprint(*parts: object) -> str:
    """Of all that decides how rows are folded; it is the same in every process."""
    return hashlib.sha256(repr((VERSION, parts)).encode()).hexdigest()


class Resume:
    """The file in ``folder``; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder is not None else None

    def read(self, wanted: Mapping[str, str]) -> Mapping[str, Snapshot]:
        """Snapshots by the names of their groups; ``wanted``: name -> fingerprint.

        ``ConfigError`` where the file cannot be read; a damaged one is set aside.
        """
        if self._path is None:
            return {}
        try:
            content = read_object(self._path, "it is set aside")
            kept = _snapshots(content or {}, wanted)
        except Damaged as error:
            log.warning("%s", error)
            set_aside(self._path)
            kept = {}
        return kept

    def write(self, snapshots: Iterable[tuple[str, str, Snapshot]]) -> None:
        """Keep name, fingerprint and snapshot of every group; ``Unavailable`` where it cannot."""
        if self._path is None:
            return
        groups = {name: {"of": of, **shot.json()} for name, of, shot in snapshots}
        try:
            write_object(self._path, {"groups": groups})
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error


def _snapshots(content: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, Snapshot]:
    groups = content.get("groups", {})
    try:
        return {
            name: Snapshot.of(groups[name])
            for name, of in wanted.items()
            if name in groups and groups[name]["of"] == of
        }
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Damaged(f"{FILE} is damaged ({type(error).__name__}: {error})") from error
