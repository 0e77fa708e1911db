"""The SQLite file of the embedded historian: schema, version, and how connections are opened.

Only apsw opens it. The file holds the manifest of sealed segments, the marks, the hot batches
and what does not fit a float64 column; it is the one place that says what exists.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from plant.errors import Condemned, ConfigError, Unavailable
from twin.historian import last_commit
from twin.historian.database import (
    QUICK_BYTES,
    WHOLE_BYTES,
    add_checks,
    connect,
    damage_of,
    has_checks,
    is_damage,
    leave_the_log,
    reserve,
    sum_anew,
    text_of,
    unreadable,
)

log = logging.getLogger("kaikou.historian")

VERSION = 3
"""Of the whole data folder, in ``PRAGMA user_version``; a newer one is refused."""

FILE = "historian.sqlite"
SAMPLES = "samples"
TIERS = "tiers"
"""The folders of the Parquet files of samples and of cells, beside the SQLite file."""
ASIDE = "set-aside"
"""What was damaged, or is not known to this historian: kept for ``kaikou history adopt``."""

RETIRED_KEEP_S = 600
"""Replaced Parquet files live this long, for readers that took their names."""

_CHECKPOINT_PAGES = 256
"""Of 4 KiB: the log stays about a megabyte."""
_APPLICATION = 0x4B61696B
CONDEMNED = f"{FILE}.condemned"
"""Beside a file in which damage was found while it was in use."""
GENERATION = "generation"
"""Name of the fact: a random number that this database gives every file it writes."""
RECEIVED = "received"
"""The newest received time when a record of it was taken back."""
NAMED = "named"
"""How often files were named: a file says how often that was before it was written."""

_TIERS_SCHEMA = """
CREATE TABLE tier (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL UNIQUE, tier TEXT NOT NULL,
    first INTEGER NOT NULL, upto INTEGER NOT NULL, cells INTEGER NOT NULL, bytes INTEGER NOT NULL,
    signals BLOB NOT NULL
) STRICT;
CREATE INDEX tier_time ON tier (tier, upto, first);
CREATE TABLE dirty (
    id INTEGER PRIMARY KEY AUTOINCREMENT, signal INTEGER NOT NULL, first INTEGER NOT NULL,
    upto INTEGER NOT NULL, UNIQUE (signal, first, upto)
) STRICT;
CREATE TABLE built (day INTEGER PRIMARY KEY, upto INTEGER NOT NULL) STRICT;
CREATE TABLE horizon (name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
ALTER TABLE signal ADD COLUMN place TEXT NOT NULL DEFAULT '[]';
CREATE INDEX text_known ON text (received);
CREATE INDEX waveform_known ON waveform (received);
CREATE INDEX event_known ON event (received);
CREATE INDEX gap_known ON gap (received);
"""

_SUMS_SCHEMA = """
ALTER TABLE segment ADD COLUMN crc INTEGER;
ALTER TABLE tier ADD COLUMN crc INTEGER;
CREATE TABLE aside (
    file TEXT PRIMARY KEY, tier TEXT NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL,
    day INTEGER NOT NULL, line TEXT NOT NULL, signals BLOB NOT NULL
) STRICT;
"""

_SCHEMA = """
CREATE TABLE signal (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, unit TEXT NOT NULL,
    modulus REAL, hold_ms INTEGER NOT NULL,
    first INTEGER, last INTEGER
) STRICT;
CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL UNIQUE, level INTEGER NOT NULL,
    day INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    first_received INTEGER NOT NULL, last_received INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, signals BLOB NOT NULL
) STRICT;
CREATE INDEX segment_time ON segment (last, first);
CREATE TABLE retired (file TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE hot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE mark (
    edge TEXT NOT NULL, run TEXT NOT NULL, offset INTEGER NOT NULL, written INTEGER NOT NULL,
    PRIMARY KEY (edge, run)
) STRICT, WITHOUT ROWID;
CREATE TABLE text (
    signal INTEGER NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
    text TEXT NOT NULL, status INTEGER NOT NULL,
    PRIMARY KEY (signal, time, received)
) STRICT, WITHOUT ROWID;
CREATE TABLE waveform (
    id INTEGER PRIMARY KEY, signal INTEGER NOT NULL, start INTEGER NOT NULL,
    received INTEGER NOT NULL, rate_hz REAL NOT NULL, status INTEGER NOT NULL, block BLOB NOT NULL,
    UNIQUE (signal, start, received)
) STRICT;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, received INTEGER NOT NULL,
    asset TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    UNIQUE (time, asset, kind, data)
) STRICT;
CREATE TABLE gap (
    id INTEGER PRIMARY KEY, edge TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, reason TEXT NOT NULL, signals TEXT NOT NULL,
    received INTEGER NOT NULL,
    UNIQUE (edge, first, last, samples, reason, signals)
) STRICT;
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """A database that was set aside: why, and its new name."""

    why: str
    name: str


class _Unusable(Exception):
    """A file that cannot be a historian of ours; it is set aside."""


def check_version(connection: apsw.Connection, folder: Path) -> int:
    """The version of an open file, 0 when it is new; ConfigError for one of a newer Kaikou."""
    version = int(connection.pragma("user_version"))
    application = int(connection.pragma("application_id"))
    known = version or connection.execute("SELECT count(*) FROM sqlite_schema").get
    if known and application != _APPLICATION:
        raise _Unusable("it is not a historian of Kaikou")
    if version > VERSION:
        raise ConfigError(
            f"{folder} was written by a newer Kaikou (version {version}, this one knows {VERSION});"
            " install that version again, or restore a backup that was made before"
        )
    return version


def open_writable(folder: Path) -> tuple[apsw.Connection, Lost | None]:
    """The writer's connection: WAL, every commit synced; creates what is not there.

    A database that is damaged, missing though there was one, or not ours is set aside by name and
    a new one begins; the second value says so.
    """
    try:
        for name in (SAMPLES, TIERS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        why = _unusable(folder)
        if not why:
            try:
                return _opened(folder), None
            except _Unusable as error:
                why = str(error)
        lost = Lost(why, set_database_aside(folder))
        return _opened(folder), lost
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}") from error
    except _Unusable as error:
        raise Unavailable(f"{folder / FILE}: {error}") from error


def _unusable(folder: Path) -> str:
    """Why the file should not even be opened, "" where it may be or nothing was there before."""
    file = folder / FILE
    if (folder / CONDEMNED).exists():
        return "it was found damaged while it was in use"
    if file.exists() and file.stat().st_size:
        return ""
    beside = [folder / f"{FILE}-wal", folder / last_commit.NAME]
    sealed = any(any((folder / name).glob("*.parquet")) for name in (SAMPLES, TIERS))
    if not sealed and not any(f.exists() and f.stat().st_size for f in beside):
        return ""
    return "it is empty" if file.exists() else "it is missing"


def set_database_aside(folder: Path) -> str:
    """Rename the database with its log; its new name in the folder, "" where there was none."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"historian-{stamp}-{secrets.token_hex(2)}.sqlite"
    (folder / ASIDE).mkdir(exist_ok=True)
    found = ""
    for end in ("-wal", "", "-shm"):
        file = folder / f"{FILE}{end}"
        if file.exists():
            file.rename(folder / ASIDE / f"{name}{end}")
            found = f"{ASIDE}/{name}"
    (folder / CONDEMNED).unlink(missing_ok=True)
    return found


def _opened(folder: Path) -> apsw.Connection:
    file = folder / FILE
    by_others = last_commit.taken_in_by_others(folder, file)
    try:
        return _opened_as_it_is(folder)
    except _Unusable:
        if not (by_others and sum_anew(file)):
            raise
    log.warning("%s: another program took its log in; its pages are summed anew", file)
    return _opened_as_it_is(folder)


def _opened_as_it_is(folder: Path) -> apsw.Connection:
    file = folder / FILE
    connection = None
    try:
        connection = connect(file)
        leave_the_log(connection, True)  # what is set aside stays as it was found
        connection.set_busy_timeout(10_000)
        version = check_version(connection, folder)
        if version:
            _require_sound(connection, QUICK_BYTES)
        _prepare(connection, version, file)
        leave_the_log(connection, False)
    except apsw.Error as error:
        if connection is not None:
            connection.close()
        if is_damage(error) or isinstance(error, apsw.SQLError):  # half a schema is no schema
            raise _Unusable(f"it is damaged: {text_of(error)}") from error
        raise Unavailable(f"{file}: {error}") from error
    except BaseException:  # a connection left open would lock out the next try
        if connection is not None:
            connection.close()
        raise
    return connection


def _require_sound(connection: apsw.Connection, most: int) -> None:
    damage = damage_of(connection, most=most)
    if damage:
        raise _Unusable(f"it is damaged: {damage}")


def _prepare(connection: apsw.Connection, version: int, file: Path) -> None:
    if version == 0:
        reserve(connection)
        connection.pragma("auto_vacuum", "incremental")  # sealed batches give their pages back
    if version < VERSION:
        with connection:
            if version == 0:
                connection.execute(_SCHEMA)
            if version <= 1:
                connection.execute(_TIERS_SCHEMA)  # version 1 had none: ``retain`` builds them
            connection.execute(_SUMS_SCHEMA)  # sums of older files: ``check`` takes them
            connection.execute(
                "INSERT OR REPLACE INTO fact VALUES (?, ?), (?, '0')",
                (GENERATION, secrets.token_hex(4), NAMED),
            )
            connection.pragma("application_id", _APPLICATION)
            connection.pragma("user_version", VERSION)
    if not has_checks(connection):
        add_checks(connection, file)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)


def open_readable(folder: Path) -> apsw.Connection:
    """A connection that can only read; Unavailable when there is nothing yet."""
    file = folder / FILE
    if (folder / CONDEMNED).exists():
        raise Unavailable(f"{file} is damaged; the twin sets it aside when it starts next")
    try:
        connection = connect(file, apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError as error:
        raise Unavailable(f"no historian in {folder} yet") from error
    except apsw.Error as error:
        raise unreadable(file, error) from error
    try:
        connection.set_busy_timeout(10_000)
        leave_the_log(connection, True)
        connection.pragma("query_only", True)
        version = check_version(connection, folder)
        _require_sound(connection, WHOLE_BYTES)
    except apsw.Error as error:
        connection.close()
        raise unreadable(file, error) from error
    except _Unusable as error:
        connection.close()
        raise Unavailable(f"{file}: {error}; the twin sets it aside when it starts next") from error
    except BaseException:
        connection.close()
        raise
    if version == 0:
        connection.close()
        raise Unavailable(f"no historian in {folder} yet")
    if version < VERSION:
        connection.close()
        raise Unavailable(f"{folder} is of an earlier Kaikou: the twin brings it up to date first")
    return connection


def select(connection: apsw.Connection, query: str, parameters: Sequence[object] = ()) -> list[Any]:
    """All rows of a query, as tuples."""
    return connection.execute(query, parameters).fetchall()


def retire(connection: apsw.Connection, files: Iterable[str]) -> None:
    """Files that were replaced: they go in ten minutes of real time."""
    at = int(time.time())
    connection.executemany("INSERT INTO retired VALUES (?, ?)", [(file, at) for file in files])


def shrink(connection: apsw.Connection) -> bool:
    """Give pages of sealed batches back to the disk, and empty the log when no reader needs it.

    Whether everything is in the file itself now.
    """
    try:
        connection.pragma("incremental_vacuum")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.FullError, apsw.IOError):
        return False  # the next time
    return True


def newest_received(connection: apsw.Connection) -> int:
    """The greatest received time of anything stored, 0 where nothing is."""
    tops = " UNION ALL ".join(
        f"SELECT max({column}) m FROM {table}"  # noqa: S608 - names are ours
        for table, column in (
            ("segment", "last_received"),
            ("hot", "received"),
            ("text", "received"),
            ("waveform", "received"),
            ("event", "received"),
            ("gap", "received"),
            ("mark", "written"),
        )
    )
    found: int | None = connection.execute(f"SELECT max(m) FROM ({tops})").get  # noqa: S608
    return max(found or 0, int(fact(connection, RECEIVED) or 0))


def fact(connection: apsw.Connection, name: str) -> str:
    """What table ``fact`` says under a name, "" where it says nothing."""
    found: str | None = connection.execute("SELECT value FROM fact WHERE name = ?", (name,)).get
    return found or ""


@contextmanager
def writing(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    """One write transaction: durable when it is left, undone when it raises.

    ``Condemned`` where a page of the file is: then the next start sets the file aside.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except apsw.Error as error:
        _undo(connection)
        if is_damage(error):
            raise condemned(connection, error) from error
        if isinstance(error, _AWAY):
            raise Unavailable(f"historian: {error}") from error
        raise
    except BaseException:
        _undo(connection)
        raise


_AWAY = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.IOError,
    apsw.FullError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
)


def condemned(connection: apsw.Connection, error: apsw.Error) -> Condemned:
    """Write down that the file is damaged: the next start sets it aside."""
    file = Path(connection.filename)
    try:
        file.with_name(CONDEMNED).touch()
    except OSError:
        return Condemned(f"{file} is damaged: {text_of(error)}")
    return Condemned(f"{file} is damaged: {text_of(error)}; it is set aside at the next start")


def _undo(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:
            return  # SQLite has done so itself


@contextmanager
def naming(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    """The same for a transaction that names files: ``NAMED`` counts these."""
    with writing(connection) as db:
        yield db
        db.execute("UPDATE fact SET value = CAST(value AS INTEGER) + 1 WHERE name = ?", (NAMED,))
