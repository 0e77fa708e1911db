"""The outbox's SQLite file: its tables, how it is opened, and what is refused."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from plant.errors import ConfigError, Unavailable

APPLICATION_ID = 0x4B61696B  # "Kaik"
VERSION = 1
PAGE_BYTES = 4096
RESERVE_BYTES = 64 * PAGE_BYTES
LOG_PAGES = 1000
"""The write-ahead log is taken into the file when it has this many pages."""
WAL_BYTES = 6 * 2**20
"""The write-ahead log is given this much disk at once, half as much again as it needs."""

_TABLES = """
CREATE TABLE run(name TEXT PRIMARY KEY, base INTEGER NOT NULL, last INTEGER NOT NULL,
    acked INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, devices TEXT NOT NULL,
    trusted INTEGER NOT NULL) STRICT;
CREATE TABLE row(id INTEGER PRIMARY KEY, class INTEGER NOT NULL, device TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, samples INTEGER NOT NULL,
    historical INTEGER NOT NULL, metrics BLOB NOT NULL) STRICT;
CREATE INDEX row_class ON row(class) WHERE class > 0;
CREATE TABLE loss(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, reason TEXT NOT NULL, devices TEXT NOT NULL) STRICT;
CREATE TABLE alias(alias INTEGER PRIMARY KEY, device TEXT NOT NULL, metric TEXT NOT NULL,
    type INTEGER NOT NULL, properties TEXT NOT NULL, UNIQUE(device, metric, type)) STRICT;
CREATE TABLE state(key TEXT PRIMARY KEY, numbers TEXT NOT NULL) STRICT;
CREATE TABLE number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE reserve(id INTEGER PRIMARY KEY, blank BLOB NOT NULL) STRICT;
"""
"""
run      every start of the process that still has rows, and the current one; base and last are
         row ids, acked is an offset (id - base); devices counts the rows of each; trusted is the
         newest time known to be right, ms UTC
row      what waits for its acknowledgement; first and last are ms UTC
loss     what the gap records among the rows say, so that they can be merged
alias    (device, metric, Sparkplug datatype) -> alias, never used again for another
state    numbers committed with the rows
number   bdSeq
reserve  pages kept for the gap record of a full disk
"""


def open_file(
    path: Path, *, synchronous: str = "FULL", vfs: str | None = None, page_limit: int = 0
) -> apsw.Connection:
    """Open or create; this connection is then the only one that can.

    Raises ``ConfigError`` for a newer version or another program's file, ``Unavailable`` while
    another process holds it; apsw's ``CorruptError`` and ``NotADBError`` pass through.
    """
    try:
        connection = apsw.Connection(str(path), vfs=vfs)
    except apsw.CantOpenError as error:
        raise ConfigError(f"{path}: cannot be opened: {error}") from error
    try:
        connection.set_busy_timeout(500)
        _prepare(connection, path, synchronous, page_limit)
        if vfs is None:
            _give_disk(Path(f"{path}-wal"))
    except apsw.BusyError as error:
        connection.close()
        raise Unavailable(f"{path} is open in another process") from error
    except apsw.FullError as error:
        connection.close()
        raise Unavailable(f"{path}: no room on the disk to begin") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: apsw.Connection, path: Path, synchronous: str, page_limit: int) -> None:
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("page_size", PAGE_BYTES)
    version = _number(connection, "user_version")
    owner = _number(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner not in (0, APPLICATION_ID) or (owner == 0 and tables):
        raise ConfigError(f"{path} is not an outbox of Kaikou")
    if version > VERSION:
        raise ConfigError(
            f"{path} was written by a newer Kaikou (outbox version {version}, this one reads "
            f"{VERSION}); install that version again or use another data folder"
        )
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.pragma("cache_size", -1024)
    connection.pragma("temp_store", "memory")
    if not tables:
        with transaction(connection):
            connection.execute(_TABLES)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
    if page_limit:
        connection.pragma("max_page_count", page_limit)


def _number(connection: apsw.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").get
    return value


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All of the body durably, or nothing of it (SQLite may have rolled back by itself)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _give_disk(wal: Path) -> None:
    """Take the disk that the log needs now, so that a full disk cannot stop a gap record.

    SQLite writes the log over from its beginning and believes only frames whose checksum fits.
    """
    descriptor = os.open(wal, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < WAL_BYTES:
            os.posix_fallocate(descriptor, 0, WAL_BYTES)
    except OSError:
        return  # a file system that cannot, or a disk that is full already: it works without
    finally:
        os.close(descriptor)


def free_disk(path: Path) -> Callable[[], int]:
    """Asks for the bytes free on the disk that holds ``path``."""
    folder = path.parent

    def free() -> int:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    return free
