"""History as a folder of files that any tool reads: Parquet or CSV, and JSON lines.

``manifest.json`` names the parts in the order of knowing, each with its rows and SHA-256, and what
the signals are. It is replaced after every part, so an export that was stopped goes on, and a part
that it does not name was never finished. Columns of the samples::

    path           text    "asset/signal"
    time           UTC     the source time for people (ignored by an import)
    source_time    int64   ms UTC
    received_time  int64   ms UTC of the twin's knowing
    value          double  empty where there is none
    status         uint32  OPC UA StatusCode
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plant.errors import ConfigError
from plant.flow.port import Changes, HistorianReader, Series
from plant.model.signal import SignalKind
from twin.transfer.follow import PAGE_ROWS, Progress, pages, quiet
from twin.transfer.part import read_records, read_samples, write_records, write_samples
from twin.transfer.tally import Tally

MANIFEST = "manifest.json"
_FORMAT = 1
Format = Literal["parquet", "csv"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a history is wanted: source times (ms UTC, half-open) and globs over paths."""

    start: int | None = None
    end: int | None = None
    signals: tuple[str, ...] = ()

    def of(self, page: Changes) -> Changes:
        """The part of a page that is wanted; events and gaps go by time alone."""
        if self == Choice():
            return page
        wanted = np.array([self._path(s.path) for s in page.series], bool)
        rows = page.samples
        keep = wanted[rows.signal]
        if self.start is not None:
            keep &= rows.source_time >= self.start
        if self.end is not None:
            keep &= rows.source_time < self.end
        return replace(
            page,
            samples=rows.take(keep),
            texts=[t for t in page.texts if wanted[t[1].signal] and self._time(t[1].time)],
            waveforms=[w for w in page.waveforms if wanted[w[1].signal] and self._time(w[1].start)],
            events=[e for e in page.events if self._time(e[1].time)],
            gaps=[g for g in page.gaps if self._time(g[1].last)],
        )

    def _path(self, path: str) -> bool:
        return not self.signals or any(fnmatchcase(path, glob) for glob in self.signals)

    def _time(self, time: int) -> bool:
        after = self.start is None or time >= self.start
        return after and (self.end is None or time < self.end)


@dataclass(slots=True)
class Bundle:
    """A folder of history and what its manifest says."""

    folder: Path
    format: Format = "parquet"
    plant: str = ""
    choice: Choice = Choice()
    id: str = ""
    upto: int = 0
    done: bool = False
    tally: Tally = field(default_factory=Tally)
    series: list[Series] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path, format: Format, plant: str, choice: Choice) -> "Bundle":
        """A new one, or the one that is there and was stopped; ``ConfigError`` for another's."""
        if (folder / MANIFEST).is_file():
            there = cls.open(folder)
            if (there.format, there.plant, there.choice) != (format, plant, choice):
                what = f"{there.plant}, {there.format}"
                raise ConfigError(f"{folder} holds another export ({what}): take a new folder")
            return there
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no export: take a new folder")
        bundle = cls(folder, format, plant, choice, secrets.token_hex(8))
        bundle.save()
        return bundle

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read the manifest of an export; ``ConfigError`` where there is none that fits."""
        file = folder / MANIFEST
        try:
            said = json.loads(file.read_text("utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{folder} holds no export: {MANIFEST} is missing") from error
        except ValueError as error:
            raise ConfigError(f"{file}: not JSON: {error}") from error
        if said.get("kaikou_history") != _FORMAT:
            raise ConfigError(f"{file}: of another version of Kaikou; this one reads {_FORMAT}")
        choice = said["choice"]
        return cls(
            folder,
            said["format"],
            said["plant"],
            Choice(choice["start"], choice["end"], tuple(choice["signals"])),
            said["id"],
            said["upto"],
            said["done"],
            Tally(said["samples"], said["records"], int(said["checksum"], 16)),
            [_series(s) for s in said["series"]],
            said["parts"],
        )

    def save(self) -> None:
        """Replace the manifest by what holds now."""
        said = {
            "kaikou_history": _FORMAT,
            "id": self.id,
            "plant": self.plant,
            "format": self.format,
            "choice": asdict(self.choice),
            "samples": self.tally.samples,
            "records": self.tally.records,
            "checksum": f"{self.tally.checksum:016x}",
            "upto": self.upto,
            "done": self.done,
            "series": [{**asdict(s), "kind": s.kind.value} for s in self.series],
            "parts": self.parts,
        }
        new = self.folder / f".{MANIFEST}.part"
        new.write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")
        new.replace(self.folder / MANIFEST)

    def export(self, reader: HistorianReader, progress: Progress = quiet) -> Tally:
        """Write what the historian knows and the folder does not hold yet."""
        for page in pages(reader, self.upto, PAGE_ROWS):
            part = self.choice.of(page)
            self._write(part)
            self.upto = page.upto
            self.tally += Tally.of(part)
            self.save()
            progress(self.tally, page.upto)
        self.done = True
        self.save()
        return self.tally

    def _write(self, page: Changes) -> None:
        known = {s.path for s in self.series}
        self.series += [s for s in page.series if s.path not in known]
        entry: dict[str, Any] = {"upto": page.upto, "files": {}}
        name = f"{len(self.parts):06d}"
        if len(page.samples):
            file = self.folder / f"samples-{name}.{self.format}"
            write_samples(file, self.format, page)
            entry["files"][file.name] = _sha256(file)
        if page.texts or page.waveforms or page.events or page.gaps:
            file = self.folder / f"records-{name}.jsonl"
            write_records(file, page)
            entry["files"][file.name] = _sha256(file)
        if entry["files"]:
            self.parts.append(entry)

    def pages(self, after: int = 0) -> Iterator[Changes]:
        """What the folder holds after a ``received_time``; every file is checked first."""
        index = {s.path: i for i, s in enumerate(self.series)}
        for part in self.parts:
            if part["upto"] > after:
                yield self._read(part["upto"], part["files"], index)

    def _read(self, upto: int, files: Mapping[str, str], index: Mapping[str, int]) -> Changes:
        page = Changes(self.series, read_samples([], self.format, index), upto=upto)
        for name, sha256 in files.items():
            file = self.folder / name
            if not file.is_file():
                raise ConfigError(f"{file} is missing: the export is not whole")
            if _sha256(file) != sha256:
                raise ConfigError(f"{file} is not as it was written (SHA-256): export again")
            if name.startswith("samples-"):
                page = replace(page, samples=read_samples([file], self.format, index))
            else:
                page = read_records(file, page, index)
        return page

    def __str__(self) -> str:
        state = "" if self.done else " (not finished)"
        return f"{self.folder}: {self.tally}{state}"


def _series(said: Mapping[str, Any]) -> Series:
    kind, was, place = SignalKind(said["kind"]), tuple(said["was"]), tuple(said["place"])
    return Series(**{**said, "kind": kind, "was": was, "place": place})


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
