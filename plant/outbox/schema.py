"""The outbox's SQLite file: its tables, how it is opened, and what is refused."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import apsw

from plant.errors import ConfigError, Unavailable
from plant.file import make_private
from plant.outbox.journal import log_problem

APPLICATION_ID = 0x4B61696B  # "Kaik"
VERSION = 3
"""There is no 2: a newer file (4 and on) then differs from ours by more than one wrong bit."""
PAGE_BYTES = 4096
RESERVE_BYTES = 64 * PAGE_BYTES
LOG_PAGES = 1000
"""The write-ahead log is taken into the file when it has this many pages."""
WAL_BYTES = 6 * 2**20
"""The write-ahead log is given this much disk at once, half as much again as it needs."""

_TABLES = """
CREATE TABLE run(name TEXT PRIMARY KEY, base INTEGER NOT NULL, last INTEGER NOT NULL,
    acked INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, devices TEXT NOT NULL,
    trusted INTEGER NOT NULL, sum INTEGER) STRICT;
CREATE TABLE row(id INTEGER PRIMARY KEY, class INTEGER NOT NULL, device TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, samples INTEGER NOT NULL,
    historical INTEGER NOT NULL, metrics BLOB NOT NULL, head INTEGER, body INTEGER) STRICT;
CREATE INDEX row_class ON row(class) WHERE class > 0;
CREATE TABLE loss(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, reason TEXT NOT NULL, devices TEXT NOT NULL, sum INTEGER) STRICT;
CREATE TABLE alias(alias INTEGER PRIMARY KEY, device TEXT NOT NULL, metric TEXT NOT NULL,
    type INTEGER NOT NULL, properties TEXT NOT NULL, sum INTEGER,
    UNIQUE(device, metric, type)) STRICT;
CREATE TABLE state(key TEXT PRIMARY KEY, numbers TEXT NOT NULL, sum INTEGER) STRICT;
CREATE TABLE number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE reserve(id INTEGER PRIMARY KEY, blank BLOB NOT NULL) STRICT;
CREATE TABLE set_aside(time INTEGER NOT NULL, id, class, device, first, last, samples, historical,
    metrics, head, body);
"""
SMALL_TABLES = {
    "run": "$name base last acked rows bytes $devices trusted",
    "loss": "id first last samples $reason $devices",
    "alias": "alias $device $metric type $properties",
    "state": "$key $numbers",
}
"""The columns that a row's ``sum`` is of, texts marked with $."""
_TO_VERSION_3 = """
ALTER TABLE run ADD COLUMN sum INTEGER;
ALTER TABLE row ADD COLUMN head INTEGER;
ALTER TABLE row ADD COLUMN body INTEGER;
ALTER TABLE loss ADD COLUMN sum INTEGER;
ALTER TABLE alias ADD COLUMN sum INTEGER;
ALTER TABLE state ADD COLUMN sum INTEGER;
CREATE TABLE set_aside(time INTEGER NOT NULL, id, class, device, first, last, samples, historical,
    metrics, head, body);
"""
"""
run      every start of the process that still has rows, and the current one; base and last are
         row ids, acked is an offset (id - base); devices counts the rows of each; trusted is the
         newest time known to be right, ms UTC
row      what waits for its acknowledgement; first and last are ms UTC
loss     what the gap records among the rows say, so that they can be merged
alias    (device, metric, Sparkplug datatype) -> alias, never used again for another
state    numbers committed with the rows
number   bdSeq, and the version once more
reserve  pages kept for the gap record of a full disk
set_aside  rows that were found damaged, as they were found; time is of the system clock, ns

sum is the CRC-32 of a row, head and body those of a queued row and its metrics; NULL: written by
version 1.
"""

_READ_FAILED = frozenset(
    (
        *(apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_DATA),
        *(apsw.SQLITE_IOERR_CORRUPTFS,),
    )
)
CHECKED_BYTES = 32 * 2**20
"""A file up to this size is looked through when it is opened; a larger one takes too long."""


class FileDamaged(Exception):
    """The file is an outbox, and is damaged; as SQLite's own errors of that kind."""


class FileGone(FileDamaged):
    """The file was removed while it is in use."""


class LogDamaged(FileDamaged):
    """Of the write-ahead log something is lost that was accepted, and nobody knows what."""


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged; others speak of the disk or of us."""
    if isinstance(error, apsw.IOError):
        return getattr(error, "extendedresult", 0) in _READ_FAILED
    return isinstance(error, DAMAGE)


DAMAGE = (
    *(FileDamaged, apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.MismatchError),
    *(apsw.ConstraintError, apsw.SQLError, UnicodeDecodeError),
)
SUSPECT = (apsw.Error, FileDamaged, UnicodeDecodeError)
"""What to ask ``is_damage`` about. A missing table is damage too: a wrong bit made it so."""


def open_file(
    path: Path, *, synchronous: str = "FULL", vfs: str | None = None, page_limit: int = 0
) -> apsw.Connection:
    """Open or create; this connection is then the only one that can.

    Raises ``ConfigError`` for a newer version or another program's file, ``Unavailable`` for one
    that cannot be written or that another process holds; what ``is_damage`` passes through.
    """
    try:
        if vfs is None:
            if lost := log_problem(path):
                raise LogDamaged(lost)
            make_private(path)
        connection = apsw.Connection(str(path), vfs=vfs)
    except (apsw.CantOpenError, OSError) as error:
        raise Unavailable(f"{path}: cannot be opened: {error}") from error
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
    except (apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError) as error:
        connection.close()
        raise Unavailable(f"{path}: cannot be written: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: apsw.Connection, path: Path, synchronous: str, page_limit: int) -> None:
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("page_size", PAGE_BYTES)
    connection.pragma("cell_size_check", True)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    version = _version(connection, path, names)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.pragma("cache_size", -1024)
    connection.pragma("temp_store", "memory")
    if version < VERSION:
        with transaction(connection):
            connection.execute(_TO_VERSION_3 if names else _TABLES)
            if names:
                _add_sums(connection)
            connection.execute("INSERT OR REPLACE INTO number VALUES('version', ?)", (VERSION,))
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
    if page_limit:
        connection.pragma("max_page_count", page_limit)
    if names and connection.pragma("page_count") * PAGE_BYTES <= CHECKED_BYTES:
        found = connection.execute("PRAGMA integrity_check(1)").get
        if found != "ok":
            raise FileDamaged(str(found))


def _version(connection: apsw.Connection, path: Path, names: set[str]) -> int:
    """The version of a file that is ours; 0 for one that is new.

    What the head of the file says has no check-sum, so it is compared with what the tables say.
    """
    version = _number(connection, "user_version")
    owner = _number(connection, "application_id")
    if not names and owner in {0, APPLICATION_ID}:
        return 0
    if not names >= {"run", "row", "alias", "reserve"}:
        if owner == APPLICATION_ID:
            raise FileDamaged("tables are missing")
        raise ConfigError(f"{path} is not an outbox of Kaikou")
    said = connection.execute("SELECT value FROM number WHERE key = 'version'").get
    one_bit = said == VERSION and (version ^ VERSION).bit_count() == 1
    if owner != APPLICATION_ID or one_bit or version < 1:
        raise FileDamaged(f"its head says version {version} of program {owner:#x}")
    if version > VERSION:
        raise ConfigError(
            f"{path} was written by a newer Kaikou (outbox version {version}, this one reads "
            f"{VERSION}); install that version again or use another data folder"
        )
    return version


def record_sum(*columns: int | bytes) -> int:
    """The check-sum of a row of a small table; texts as bytes."""
    return crc32(repr(columns).encode())


def _number(connection: apsw.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").get
    return value


def _add_sums(connection: apsw.Connection) -> None:
    """Check-sums of what an older version wrote in the small tables; rows of samples have none."""
    for table, columns in SMALL_TABLES.items():
        for number, *found in list(
            connection.execute(f"SELECT rowid, {_as_bytes(columns)} FROM {table}")  # noqa: S608
        ):
            connection.execute(
                f"UPDATE {table} SET sum = ? WHERE rowid = ?",  # noqa: S608
                (record_sum(*found), number),
            )


def select_small(table: str) -> str:
    """Asks for the rows of a small table with their sums; texts as bytes."""
    return f"SELECT {_as_bytes(SMALL_TABLES[table])}, sum FROM {table}"  # noqa: S608


def _as_bytes(columns: str) -> str:
    return ", ".join(
        f"CAST({name[1:]} AS BLOB)" if name[0] == "$" else name for name in columns.split()
    )


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
        try:
            found = os.statvfs(folder)
        except FileNotFoundError as error:
            raise FileGone("its folder was taken away") from error
        return found.f_bavail * found.f_frsize

    return free
