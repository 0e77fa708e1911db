"""Check-sums of sealed files: taken when a file is written, compared before its rows are believed.

CRC-32 of the whole file, beside its length in the manifest: it finds every flipped bit and every
burst of up to 32, at 1 to 7 GB/s a core; nobody forges a file here, so no slower hash is needed.
A process compares a file when it first opens it, again when the file was touched, and once an
hour: what it read since then was in memory. Who replaces a file by another compares it every time.
"""

import threading
import time
import zlib
from collections import OrderedDict
from pathlib import Path

AGAIN_S = 3600.0
"""A file that a process goes on using is compared again after so long."""

_CHUNK = 1 << 20
_KEEP = 65_536

_Seen = tuple[int, int, int, int]


def checksum(path: Path) -> int:
    """CRC-32 of a file, block by block."""
    found = 0
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(_CHUNK):
            found = zlib.crc32(block, found)
    return found


class Checked:
    """What a process has compared: one for all its readers and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._good: OrderedDict[str, tuple[_Seen, int, float]] = OrderedDict()

    def wrong(self, path: Path, size: int, crc: int | None, *, fresh: bool = False) -> str:
        """Why a file is not as it was sealed, "" where it is; ``fresh`` asks the disk anew.

        ``crc`` is None where no check-sum was taken yet: then only the length is compared.
        """
        try:
            seen = _seen(path)
            if seen[1] != size:
                return f"has {seen[1]} bytes, {size} were written"
            if crc is None or (not fresh and self._knows(path.name, seen, crc)):
                return ""
            if checksum(path) != crc:
                return "is not as it was written (check-sum)"
        except FileNotFoundError:
            return MISSING
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        self._remember(path.name, seen, crc)
        return ""

    def _knows(self, file: str, seen: _Seen, crc: int) -> bool:
        with self._lock:
            held = self._good.get(file)
        return held is not None and held[:2] == (seen, crc) and time.monotonic() - held[2] < AGAIN_S

    def _remember(self, file: str, seen: _Seen, crc: int) -> None:
        with self._lock:
            self._good[file] = (seen, crc, time.monotonic())
            self._good.move_to_end(file)
            while len(self._good) > _KEEP:
                self._good.popitem(last=False)


MISSING = "is missing"
CHECKED = Checked()


def _seen(path: Path) -> _Seen:
    """What changes when anybody writes to a file."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
