"""What files hold, told without the code under test: to know whether damage changed any of it."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import apsw

_BASES = (".sqlite", ".db")
_BESIDE = ("-wal", "-shm", "-journal")
_TRANSIENT = (
    ".lock",
    ".part",
    ".log",
    ".new",
    "-wal",
    "-shm",
    "-journal",
    ".condemned",
    ".port",
    ".open",
)


class Content:
    """The content of a file as text that two equal contents share; damage alone does not count."""

    @staticmethod
    def of_folder(data: Path) -> dict[Path, str]:
        """Of every file, by its path in the folder."""
        paths = sorted(p.relative_to(data) for p in data.rglob("*") if p.is_file())
        return {path: Content.of_file(data, path) for path in paths if path.parts[0] != "log"}

    @staticmethod
    def of_file(data: Path, path: Path) -> str:
        """Of one; "" where it is not there, "?" where it cannot be read."""
        file = data / path
        for end in _BESIDE:
            if file.name.endswith(end):
                return Content.of_file(data, path.with_name(file.name.removesuffix(end)))
        if not file.is_file():
            return ""
        if file.suffix in _BASES or file.read_bytes()[:6] == b"SQLite":
            return _tables(file)
        if file.suffix == ".json":
            try:
                return json.dumps(json.loads(file.read_bytes()), sort_keys=True)
            except ValueError:
                return "?"
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _tables(file: Path) -> str:
    """All rows of all tables, with what the write-ahead log holds."""
    with tempfile.TemporaryDirectory() as place:
        for end in ("", "-wal"):
            if file.with_name(file.name + end).is_file():
                shutil.copy(file.with_name(file.name + end), Path(place) / f"x{end}")
        try:
            with contextlib.closing(apsw.Connection(f"{place}/x", vfs="unix")) as db:
                schema = db.execute("SELECT type, name FROM sqlite_schema ORDER BY 1, 2").fetchall()
                names = [name for kind, name in schema if kind == "table"]
                tables = {
                    name: sorted(map(repr, db.execute(f'SELECT * FROM "{name}"'))) for name in names
                }
        except (apsw.Error, UnicodeDecodeError):
            return "?"
    return hashlib.sha256(repr((schema, sorted(tables.items()))).encode()).hexdigest()


def transient(path: Path) -> bool:
    """Files that come and go by themselves."""
    return path.name.endswith(_TRANSIENT) or path.name.startswith(".")


def kept_elsewhere(data: Path, path: Path, content: str) -> bool:
    """Whether a file is where it was, or its content under another name in the folder."""
    if (data / path).is_file():
        return True
    return any(
        Content.of_file(data, p.relative_to(data)) == content
        for p in data.rglob(f"*{path.suffix}*")
        if p.is_file()
    )
