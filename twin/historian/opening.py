"""How the SQLite file of the embedded historian is opened, brought up to date, or set aside."""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from plant.errors import ConfigError, Unavailable
from twin.historian import last_commit
from twin.historian.database import (
    QUICK_BYTES,
    WHOLE_BYTES,
    add_checks,
    checks_pages,
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
from twin.historian.store import (
    APPLICATION,
    ASIDE,
    CHECKPOINT_PAGES,
    CONDEMNED,
    FILE,
    GENERATION,
    NAMED,
    SAMPLES,
    SCHEMA,
    SUMS_SCHEMA,
    TIERS,
    TIERS_SCHEMA,
    VERSION,
)

log = logging.getLogger("kaikou.historian")


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
    if known and application != APPLICATION:
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
        connection = _connected(file)
        version = check_version(connection, folder)
        if version:
            _require_sound(connection, QUICK_BYTES)
        _prepare(connection, version)
        if checks_pages() and not has_checks(connection):
            add_checks(connection, file)
            connection.close()
            connection = _connected(file)
        _use_log(connection)
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


def _connected(file: Path) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = connect(file, flags)
    leave_the_log(connection, True)  # what is set aside stays as it was found
    connection.set_busy_timeout(10_000)
    return connection


def _require_sound(connection: apsw.Connection, most: int) -> None:
    damage = damage_of(connection, most=most)
    if damage:
        raise _Unusable(f"it is damaged: {damage}")


def _prepare(connection: apsw.Connection, version: int) -> None:
    if version == 0:
        reserve(connection)
        connection.pragma("auto_vacuum", "incremental")  # sealed batches give their pages back
    if version < VERSION:
        with connection:
            if version == 0:
                connection.execute(SCHEMA)
            if version <= 1:
                connection.execute(TIERS_SCHEMA)  # version 1 had none: ``retain`` builds them
            connection.execute(SUMS_SCHEMA)  # sums of older files: ``check`` takes them
            connection.execute(
                "INSERT OR REPLACE INTO fact VALUES (?, ?), (?, '0')",
                (GENERATION, secrets.token_hex(4), NAMED),
            )
            connection.pragma("application_id", APPLICATION)
            connection.pragma("user_version", VERSION)


def _use_log(connection: apsw.Connection) -> None:
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)


def _require_same(file: Path, inode: int) -> None:
    """Refuse a file whose place another has taken while it was opened."""
    if file.stat().st_ino != inode:
        raise Unavailable(f"{file.parent} is being brought up to date")


def open_readable(folder: Path) -> apsw.Connection:
    """A connection that can only read; Unavailable when there is nothing yet."""
    file = folder / FILE
    if (folder / CONDEMNED).exists():
        raise Unavailable(f"{file} is damaged; the twin sets it aside when it starts next")
    try:
        before = file.stat().st_ino
        connection = connect(file, apsw.SQLITE_OPEN_READWRITE)
    except (apsw.CantOpenError, FileNotFoundError) as error:
        raise Unavailable(f"no historian in {folder} yet") from error
    except apsw.Error as error:
        raise unreadable(file, error) from error
    try:
        connection.set_busy_timeout(10_000)
        leave_the_log(connection, True)
        connection.pragma("query_only", True)
        version = check_version(connection, folder)
        _require_same(file, before)
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
