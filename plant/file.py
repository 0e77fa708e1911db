"""Small files that are whole or as they were, and for their owner's eyes alone.

A power cut between two writes leaves the old file or the new one, never an empty one; what is
damaged all the same is said in plain words, or set aside under a name that tells what it is.
"""

import json
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plant.errors import ConfigError

OWNER_ONLY = 0o600
FOLDER = 0o700
CHECK = "crc32"
"""Key of a small file's check-sum."""
UMASK = 0o077
"""What a process of Kaikou lets nobody else have, from the moment a file is made."""


class Damaged(ConfigError):
    """A file is there and can be read, but what it says makes no sense."""


def write_whole(path: Path, content: bytes | str, mode: int = OWNER_ONLY) -> None:
    """Write a file durably: beside it, synced, renamed over it, and the folder synced.

    It has ``mode`` from its first moment, whatever the umask. ``OSError`` passes through; then
    the old file is as it was.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its check-sum, as ``write_whole`` does."""
    body = json.dumps({**content, CHECK: _checksum(content)}, ensure_ascii=False, indent=1)
    write_whole(path, body + "\n")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, or take from others what they may.

    For files that a library opens by name: its own mode would let others read for a moment.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY)
    try:
        found = os.fstat(descriptor)
        if found.st_mode & UMASK and found.st_uid == os.geteuid():
            os.fchmod(descriptor, found.st_mode & ~UMASK & 0o7777)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and the ones above it; one there stays."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=FOLDER, exist_ok=True)


def read_object(path: Path, how_to_fix: str) -> Mapping[str, Any] | None:
    """The JSON object in a file, None where there is no file; one without check-sum is believed.

    Raises
    ------
    ConfigError
        It cannot be read.
    Damaged
        It is no JSON object, or its check-sum does not fit; ``how_to_fix`` ends the sentence.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged ({_short(error)}); {how_to_fix}") from error
    if not isinstance(content, dict):
        raise Damaged(f"{path} is damaged (it is no JSON object); {how_to_fix}")
    written = content.pop(CHECK, None)
    if written is not None and written != _checksum(content):
        raise Damaged(
            f"{path} is damaged or was changed by hand (its check-sum {CHECK} does not fit; who "
            f"changed it on purpose removes that line); {how_to_fix}"
        )
    return content


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, separators=(",", ":")).encode())


def set_aside(path: Path, what: str = "damaged") -> Path:
    """Give a file a name that tells what it is and since when; it is never deleted."""
    aside = path.with_name(f"{path.name}.{what}-{time.time_ns()}")
    path.rename(aside)
    return aside


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
