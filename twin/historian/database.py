"""SQLite connections that check every page they read, and whether a file is sound.

The extension ``cksumvfs`` of SQLite, which comes with apsw, keeps a check-sum in the last eight
bytes of each page and compares it when the page is read: a flipped bit is an error, never another
value. Where a build of apsw comes without it, pages are not checked; ``kaikou history verify``
says so.
"""

import contextlib
import shutil
from functools import cache
from pathlib import Path
from urllib.parse import quote

import apsw

from plant.errors import Unavailable
from plant.file import make_private, sync_folder

DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
WRONG_SUM = "the check-sum of a page is wrong"
_RESERVED = 8
WHOLE_BYTES = 64 << 20
"""A file of so many bytes is looked through by everybody who opens it: 10 ms each 8 MB."""
QUICK_BYTES = 1 << 30
"""Larger files are not read through at the start: their pages are checked as they are used."""


@cache
def checks_pages() -> bool:
    """Whether pages are checked: loads the extension once in this process."""
    try:
        from apsw import sqlite_extra

        with contextlib.closing(apsw.Connection(":memory:")) as any_:
            sqlite_extra.load(any_, "cksumvfs")
    except (ImportError, LookupError, apsw.Error, sqlite_extra.NotAvailable):
        return False
    return "cksmvfs" in apsw.vfs_names()


def connect(path: Path, flags: int | None = None) -> apsw.Connection:
    """Open a file, pages checked where they can be."""
    vfs = "cksmvfs" if checks_pages() else None
    if flags is None:
        return apsw.Connection(str(path), vfs=vfs)
    return apsw.Connection(str(path), flags=flags, vfs=vfs)


def leave_the_log(connection: apsw.Connection, leave: bool) -> None:
    """Whether the write-ahead log stays where it is when the last connection is closed."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(leave))


def reserve(connection: apsw.Connection) -> None:
    """Of a new file: leave room for the check-sums."""
    if checks_pages():
        connection.reserve_bytes("main", _RESERVED)


def begin_with_checks(connection: apsw.Connection) -> None:
    """Make an empty file one whose pages carry sums, before another is copied over it.

    The extension learns it from the first page, which a copy of some size writes last.
    """
    reserve(connection)
    connection.execute("CREATE TABLE first(page)")
    connection.execute("DROP TABLE first")


def has_checks(connection: apsw.Connection) -> bool:
    """Whether the pages of a file carry check-sums, and this process compares them."""
    return checks_pages() and connection.reserve_bytes("main", -1) == _RESERVED


def add_checks(connection: apsw.Connection, file: Path) -> bool:
    """Put a copy whose pages carry sums in an older file's place; the caller opens it anew.

    False, and nothing has changed, where it must wait for another start: it needs twice the room,
    and nobody else who reads. Until the copy is whole and on disk the older file stays; a copy that
    was not finished is made again.
    """
    if not checks_pages() or shutil.disk_usage(file.parent).free < 3 * file.stat().st_size:
        return False
    copy = file.with_name(f"{file.name}.summed")
    try:
        connection.pragma("locking_mode", "exclusive")
        if connection.pragma("journal_mode", "delete") != "delete":
            return False
        with connection:  # keeps everybody out from here on
            connection.pragma("user_version", int(connection.pragma("user_version")))
        _unlink(copy)
        make_private(copy)
        connection.execute(
            "VACUUM INTO ?", (f"file:{quote(str(copy.absolute()))}?reserve={_RESERVED}",)
        )
        with contextlib.closing(connect(copy)) as summed:
            summed.pragma("user_version")  # it learns from the first page that there are sums
            verify_pages(summed, False)
            summed.pragma("synchronous", "full")
            summed.execute("VACUUM")  # writes every page with its sum
        with contextlib.closing(connect(copy)) as summed:
            if damage_of(summed, whole=True):
                return False
        copy.replace(file)
        sync_folder(file.parent)
    except (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.IOError, OSError):
        return False
    finally:
        _unlink(copy)
    return True


def _unlink(copy: Path) -> None:
    with contextlib.suppress(OSError):
        for end in ("", "-journal"):
            copy.with_name(f"{copy.name}{end}").unlink(missing_ok=True)


def verify_pages(connection: apsw.Connection, on: bool) -> None:
    """Whether the sums of pages are compared when they are read."""
    if checks_pages():
        connection.pragma("checksum_verification", on)


def sum_anew(file: Path) -> bool:
    """Give every page its sum where a file is sound but for that; whether it was."""
    try:
        with contextlib.closing(connect(file)) as connection:
            verify_pages(connection, False)
            if damage_of(connection, whole=True):
                return False
            connection.pragma("journal_mode", "delete")
            connection.execute("VACUUM")
    except apsw.Error:
        return False
    return True


class DamagedBlob(apsw.CorruptError):
    """What we packed into a column is not as it was written: damage of the file, like SQLite's."""


def damage_of(connection: apsw.Connection, *, whole: bool = False, most: int = QUICK_BYTES) -> str:
    """What is wrong with an open file, "" where nothing is; ``whole``: however large it is."""
    name = connection.filename
    size = Path(name).stat().st_size if name else 0
    if size > most and not whole:
        return ""
    check = "integrity_check" if whole or size <= WHOLE_BYTES else "quick_check"
    try:
        found = str(connection.pragma(check, 1))
    except apsw.Error as error:
        return text_of(error)
    if found == "ok":
        return ""
    if str(apsw.SQLITE_IOERR_DATA) in found:
        return WRONG_SUM
    return found.replace("\n", " ")[:200]


def is_damage(error: apsw.Error) -> bool:
    """Whether the file itself is wrong, and not its disk, its lock or our question."""
    extended = getattr(error, "extendedresult", 0)
    return isinstance(error, DAMAGE) or extended in {
        apsw.SQLITE_IOERR_DATA,
        apsw.SQLITE_IOERR_CORRUPTFS,
        apsw.SQLITE_IOERR_SHORT_READ,
    }


def text_of(error: apsw.Error) -> str:
    """In words."""
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
        return WRONG_SUM
    return str(error) or type(error).__name__


def unreadable(path: Path, error: apsw.Error) -> Unavailable:
    """What a reader says of a file that it cannot read."""
    if is_damage(error):
        text = f"{path} is damaged ({text_of(error)}); the twin sets it aside when it starts next"
        return Unavailable(text)
    return Unavailable(f"{path}: {text_of(error)}")
