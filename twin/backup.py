"""Backup and restore of the embedded historian: one file, whole while the twin runs.

The archive is a plain tar: ``historian.sqlite`` as of one moment, the Parquet files that it names,
and last ``manifest.json`` with the length and SHA-256 of each. Nothing in it is compressed again.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import apsw

from plant.errors import ConfigError
from plant.flow.port import Commit
from plant.flow.sample import Gap, SampleBatch
from twin.historian.checksum import CHECKED
from twin.historian.database import begin_with_checks, connect, has_checks, unreadable
from twin.historian.embedded import Embedded
from twin.historian.opening import open_readable
from twin.historian.segment import sync
from twin.historian.store import FILE, SAMPLES, TIERS, VERSION, select

MANIFEST = "manifest.json"
_FORMAT = 1
_CHUNK = 1 << 20
_KILLED_S = 60.0

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup holds: sealed rows, hot ones among them; ``up_to`` is ms UTC.

    ``wrong`` files are damaged or missing: where it is restored, gap records say so.
    """

    rows: int
    files: int
    bytes: int
    up_to: int
    wrong: int = 0

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.up_to / 1000, UTC).isoformat(" ", "seconds")
        text = (
            f"{self.rows} samples in {self.files} files, {self.bytes / 1e6:.1f} MB, up to {until}"
        )
        if self.wrong:
            text += f"; {self.wrong} files are damaged or missing: see `kaikou history verify`"
        return text


def _quiet(_done: int, _all: int) -> None:
    """No progress is told."""


def backup(folder: Path, target: Path, progress: Progress = _quiet) -> Kept:
    """Copy the historian in ``folder`` into the file ``target``; the twin may go on writing.

    ``ConfigError`` when the target exists, ``Unavailable`` when there is no historian.
    """
    if target.exists():
        raise ConfigError(f"{target} is there already; a backup is never overwritten")
    _clear_killed(folder)
    work = folder / f".backup-{secrets.token_hex(4)}"
    work.mkdir()
    held = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        names, wrong = _freeze(folder, work)
        part = target.with_name(f".{target.name}.part")
        try:
            kept = _pack(work, names, wrong, part, progress)
            sync(part)
            part.rename(target)
            sync(target.parent)
        finally:
            part.unlink(missing_ok=True)
    finally:
        os.close(held)
        shutil.rmtree(work, ignore_errors=True)
    return kept


def _clear_killed(folder: Path) -> None:
    """Remove copies and links that a killed backup left; one that runs holds its folder's lock."""
    for left in folder.glob(".backup-*"):
        held = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
        if time.time() - left.stat().st_mtime > _KILLED_S:  # else it may be about to take its lock
            shutil.rmtree(left, ignore_errors=True)


def _freeze(folder: Path, work: Path) -> tuple[list[str], int]:
    """The SQLite file as of one moment, and links to the files it names, which cannot vanish.

    A file that is missing already is left out; it and those that are damaged are counted.
    """
    try:
        with (
            contextlib.closing(open_readable(folder)) as source,
            contextlib.closing(connect(work / FILE)) as copy,
        ):
            if has_checks(source):
                begin_with_checks(copy)
            with copy.backup("main", source, "main") as copying:
                copying.step(-1)  # in one read transaction, which stops nobody
            copy.pragma("journal_mode", "delete")
            query = "SELECT file, bytes, crc FROM"
            files = [(SAMPLES, *row) for row in select(copy, f"{query} segment")]
            files += [(TIERS, *row) for row in select(copy, f"{query} tier")]
            with copy:
                copy.execute("DELETE FROM retired")
    except apsw.Error as error:
        raise unreadable(folder / FILE, error) from error
    for kind in (SAMPLES, TIERS):
        (work / kind).mkdir()
    names, wrong = [FILE], 0
    for kind, file, size, crc in files:
        wrong += bool(CHECKED.wrong(folder / kind / file, size, crc, fresh=True))
        if (folder / kind / file).exists():
            os.link(folder / kind / file, work / kind / file)
            names.append(f"{kind}/{file}")
    return names, wrong


def _pack(work: Path, names: list[str], wrong: int, part: Path, progress: Progress) -> Kept:
    total = sum((work / name).stat().st_size for name in names)
    done = 0
    files: dict[str, dict[str, object]] = {}
    with tarfile.open(part, "w") as archive:
        for name in names:
            with (work / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                hashing = _Hashing(file, lambda n, base=done: progress(base + n, total))  # type: ignore[misc]
                head = tarfile.TarInfo(name)
                head.size, head.mtime = size, int(time.time())
                archive.addfile(head, hashing)
                files[name] = {"bytes": size, "sha256": hashing.digest()}
                done += size
        kept = replace(_measure(work / FILE, len(names), total), wrong=wrong)
        body = json.dumps(
            {"kaikou_backup": _FORMAT, "version": VERSION, "kept": asdict(kept), "files": files},
            indent=1,
        ).encode()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mtime = len(body), int(time.time())
        archive.addfile(head, io.BytesIO(body))
    return kept


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._read = 0
        self._told = told

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self._read += len(data)
        self._told(self._read)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def _measure(file: Path, files: int, size: int) -> Kept:
    with contextlib.closing(connect(file, apsw.SQLITE_OPEN_READONLY)) as db:
        tables = (
            "(SELECT rows, last_received r FROM segment UNION ALL SELECT rows, received FROM hot)"
        )
        rows, up_to = select(db, f"SELECT sum(rows), max(r) FROM {tables}")[0]  # noqa: S608
    return Kept(rows or 0, files, size, up_to or 0)


def restore(archive: Path, folder: Path, progress: Progress = _quiet) -> Kept:
    """Bring a backup into ``folder``, which must hold no historian, and say what is missing.

    What was stored after the backup is covered by one gap record for every edge that had been
    heard by then. ``ConfigError`` when the archive is not whole or the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; a backup is never restored over a history")
    work = folder.with_name(f".{folder.name}.restore-{secrets.token_hex(4)}")
    work.mkdir(parents=True)
    try:
        kept = _unpack(archive, work, progress)
        _tell_what_is_missing(work, kept)
        if folder.exists():
            folder.rmdir()
        work.rename(folder)
        sync(folder.parent)
    finally:
        if work.exists():
            shutil.rmtree(work)
    return kept


def _unpack(archive: Path, work: Path, progress: Progress) -> Kept:
    for kind in (SAMPLES, TIERS):
        (work / kind).mkdir()
    found: dict[str, tuple[int, str]] = {}
    manifest: Mapping[str, object] | None = None
    total = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as source:
            for head in source:
                data = source.extractfile(head)
                if data is None or not _safe(head.name):
                    raise ConfigError(f"{archive}: {head.name!r} has no place in a backup")
                if head.name == MANIFEST:
                    manifest = json.loads(data.read())
                    continue
                found[head.name] = _write(work / head.name, _chunks(data))
                progress(source.offset, total)
    except (tarfile.TarError, ValueError) as error:
        raise ConfigError(f"{archive} is not a whole backup: {error}") from error
    return _check(archive, manifest, found)


def _safe(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return name in (MANIFEST, FILE) or (folder in {SAMPLES, TIERS} and file.endswith(".parquet"))


def _chunks(data: IO[bytes]) -> Iterator[bytes]:
    while chunk := data.read(_CHUNK):
        yield chunk


def _write(target: Path, chunks: Iterator[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _check(
    archive: Path, manifest: Mapping[str, object] | None, found: Mapping[str, tuple[int, str]]
) -> Kept:
    if manifest is None:
        raise ConfigError(f"{archive} is cut short: its manifest is missing")
    try:
        version, files, kept = manifest["version"], manifest["files"], manifest["kept"]
        expected = {n: (f["bytes"], f["sha256"]) for n, f in files.items()}  # type: ignore[attr-defined]
        held = Kept(**kept)  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{archive}: its manifest makes no sense") from error
    if not isinstance(version, int) or version > VERSION:
        raise ConfigError(f"{archive} was made by a newer Kaikou (version {version})")
    if expected != found:
        wrong = sorted(n for n in {**expected, **found} if expected.get(n) != found.get(n))
        raise ConfigError(f"{archive} is damaged: {', '.join(wrong[:5])}")
    return held


def _tell_what_is_missing(folder: Path, kept: Kept) -> None:
    writer = Embedded(kind="embedded").writer(folder)
    try:
        now = int(time.time() * 1000)
        edges = sorted({edge for edge, _ in writer.marks()}) or [""]
        reason = f"restored from a backup: {kept}"
        gaps = [Gap(edge, kept.up_to, max(now, kept.up_to), -1, reason) for edge in edges]
        writer.write(Commit(SampleBatch.empty(), gaps=gaps), now)
    finally:
        writer.close()
