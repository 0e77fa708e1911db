"""The SQLite file of the embedded historian: schema, version, and how connections are opened.

Only apsw opens it. The file holds the manifest of sealed segments, the marks, the hot batches
and what does not fit a float64 column; it is the one place that says what exists.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from plant.errors import ConfigError, Unavailable

VERSION = 2
"""Of the whole data folder, in ``PRAGMA user_version``; a newer one is refused."""

FILE = "historian.sqlite"
SAMPLES = "samples"
TIERS = "tiers"
"""The folders of the Parquet files of samples and of cells, beside the SQLite file."""

RETIRED_KEEP_S = 600
"""Replaced Parquet files live this long, for readers that took their names."""

_CHECKPOINT_PAGES = 256
"""Of 4 KiB: the log stays about a megabyte."""
_APPLICATION = 0x4B61696B

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


def check_version(connection: apsw.Connection, folder: Path) -> int:
    """The version of an open file, 0 when it is new; ConfigError when we cannot read it."""
    version = int(connection.pragma("user_version"))
    application = int(connection.pragma("application_id"))
    if version and application != _APPLICATION:
        raise ConfigError(f"{folder / FILE} is not a historian of Kaikou")
    if version > VERSION:
        raise ConfigError(
            f"{folder} was written by a newer Kaikou (version {version}, this one knows {VERSION});"
            " install that version again, or restore a backup that was made before"
        )
    return version


def open_writable(folder: Path) -> apsw.Connection:
    """The writer's connection: WAL, every commit synced; creates what is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        connection = apsw.Connection(str(folder / FILE))
    except apsw.CantOpenError as error:
        raise Unavailable(f"{folder / FILE}: {error}") from error
    try:
        connection.set_busy_timeout(10_000)
        _prepare(connection, check_version(connection, folder))
        (folder / SAMPLES).mkdir(exist_ok=True)
        (folder / TIERS).mkdir(exist_ok=True)
    except BaseException:  # a connection left open would lock out the next try
        connection.close()
        raise
    return connection


def _prepare(connection: apsw.Connection, version: int) -> None:
    if version == 0:
        connection.pragma("auto_vacuum", "incremental")  # sealed batches give their pages back
    if version < VERSION:
        with connection:
            if version == 0:
                connection.execute(_SCHEMA)
            connection.execute(_TIERS_SCHEMA)  # version 1 had none: ``retain`` builds them
            connection.pragma("application_id", _APPLICATION)
            connection.pragma("user_version", VERSION)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)


def open_readable(folder: Path) -> apsw.Connection:
    """A connection that can only read; Unavailable when there is nothing yet."""
    file = folder / FILE
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError as error:
        raise Unavailable(f"no historian in {folder} yet") from error
    try:
        connection.set_busy_timeout(10_000)
        connection.pragma("query_only", True)
        version = check_version(connection, folder)
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


def shrink(connection: apsw.Connection) -> None:
    """Give pages of sealed batches back to the disk, and empty the log when no reader needs it."""
    try:
        connection.pragma("incremental_vacuum")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.FullError, apsw.IOError):
        return  # the next time


@contextmanager
def writing(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    """One write transaction: durable when it is left, undone when it raises."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except (apsw.BusyError, apsw.CantOpenError, apsw.IOError, apsw.FullError) as error:
        raise Unavailable(f"historian: {error}") from error
    try:
        yield connection
        connection.execute("COMMIT")
    except (apsw.BusyError, apsw.IOError, apsw.FullError) as error:
        _undo(connection)
        raise Unavailable(f"historian: {error}") from error
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
