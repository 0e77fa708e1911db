"""What an outbox refused while its disk takes nothing, kept in memory that outlives the process.

A disk that was made read-only takes no gap record either. So what was refused is noted in the
shared memory of the machine until the outbox can write again, in this process or a later one; only
a restart of the machine before that forgets it.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from plant.errors import ConfigError
from plant.file import read_object, write_object
from plant.outbox.row import Loss

log = logging.getLogger("kaikou.outbox")

_MEMORY = Path("/dev/shm")  # noqa: S108 - the owner and the check-sum are looked at


class LossNote:
    """The note of one outbox file; only this user's, and only a whole one is believed."""

    def __init__(self, path: Path, place: Path | None = None) -> None:
        key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        self.path = (place or memory) / f"kaikou-refused-{os.geteuid()}-{key}.json"
        self._held: list[Loss] = []

    def read(self) -> list[Loss]:
        """What an earlier process noted and could not write into its file."""
        try:
            if self.path.is_symlink() or self.path.stat().st_uid != os.geteuid():
                return []
            found = read_object(self.path, "what it says is lost") or {}
            self._held = [
                Loss(first, last, samples, reason, frozenset(devices))
                for first, last, samples, reason, devices in found["losses"]
            ]
        except FileNotFoundError:
            return []
        except (OSError, ConfigError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: what an earlier process refused cannot be read: %s", self.path, error)
        return self._held

    def keep(self, losses: Iterable[Loss]) -> None:
        """Note them instead of what was noted before."""
        losses = list(losses)
        if losses == self._held:
            return
        rows = [[x.first, x.last, x.samples, x.reason, sorted(x.devices)] for x in losses]
        try:
            write_object(self.path, {"losses": rows})
        except OSError:
            return
        self._held = losses

    def clear(self) -> None:
        """It is all in the file now."""
        if self._held:
            self.path.unlink(missing_ok=True)
            self._held = []
