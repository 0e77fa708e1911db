"""The lock of the one process that writes to a historian, held as long as it lives."""

import fcntl
from pathlib import Path

from plant.errors import Unavailable


class Guard:
    """Holds ``writer.lock`` in a folder; the kernel lets it go with the process, however it ends.

    Raises
    ------
    Unavailable
        Another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "writer.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Unavailable(
                f"another process writes to the historian in {folder}; stop the plant first"
            ) from error

    def close(self) -> None:
        """Let another process write."""
        self._file.close()
