"""The SQLite file of the embedded historian: schema, version, names, and its transactions.

Only apsw opens it. The file holds the manifest of sealed segments, the marks, the hot batches
and what does not fit a float64 column; it is the one place that says what exists.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from plant.errors import Condemned, Unavailable
from twin.historian.database import (
    is_damage,
    text_of,
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

CHECKPOINT_PAGES = 256
"""Of 4 KiB: the log stays about a megabyte."""
APPLICATION = 0x4B61696B
CONDEMNED = f"{FILE}.condemned"
"""Beside a file in which damage was found while it was in use."""
GENERATION = "generation"
"""Name of the fact: a random number that this database gives every file it writes."""
RECEIVED = "received"
"""The newest received time when a record of it was taken back."""
NAMED = "named"
"""How often files were named: a file says how often that was before it was written."""

TIERS_SCHEMA = """
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

SUMS_SCHEMA = """
ALTER TABLE segment ADD COLUMN crc INTEGER;
ALTER TABLE tier ADD COLUMN crc INTEGER;
CREATE TABLE aside (
    file TEXT PRIMARY KEY, tier TEXT NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL,
    day INTEGER NOT NULL, line TEXT NOT NULL, signals BLOB NOT NULL
) STRICT;
"""

SCHEMA = """
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
    except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError):
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
