"""A database that was set aside: what of it can still be read."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from plant.flow.json_text import stored_json
from plant.flow.port import Changes, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from twin.historian.database import DamagedBlob, connect, leave_the_log, text_of
from twin.historian.hot import decode_hot
from twin.historian.label import series_of

_PAGE = 5_000
DONE = ".adopted"
"""End of the name of a database all of which was brought back."""


class OldDatabase:
    """Opened for reading, closed again with every question; ``errors`` says what it could not."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.errors: list[str] = []

    def _rows(self, table: str, columns: str, key: str) -> list[tuple[Any, ...]]:
        """All rows of a table from both ends up to what cannot be read."""
        found: dict[tuple[Any, ...], None] = {}
        if not self.file.stat().st_size:
            return []
        for order in ("ASC", "DESC"):
            by = ", ".join(f"{column} {order}" for column in key.split(", "))
            query = f"SELECT {columns} FROM {table} ORDER BY {by}"  # noqa: S608 - names are ours
            try:
                with contextlib.closing(connect(self.file)) as db:
                    leave_the_log(db, True)
                    for row in db.execute(query):
                        found[row] = None
            except (apsw.SQLError, apsw.NotADBError):
                self._fails("it is no historian of Kaikou, or nothing of it can be read")
                break
            except apsw.Error as error:
                self._fails(f"not all of {table} can be read: {text_of(error)}")
                continue
            break
        return list(found)

    def _fails(self, why: str) -> None:
        if why not in self.errors:
            self.errors.append(why)

    @cached_property
    def _signals(self) -> Mapping[int, Series]:
        columns = "id, path, kind, unit, modulus, hold_ms, place"
        found = {}
        for row in self._rows("signal", columns, "id"):
            try:
                id_, series = series_of(row)
            except ValueError:
                continue
            found[id_] = series
        return found

    def signals(self) -> Mapping[int, Series]:
        """Every signal by its id in it."""
        return self._signals

    @cached_property
    def _sums(self) -> Mapping[str, int | None]:
        return dict(self._rows("segment", "file, crc", "id")) | dict(
            self._rows("tier", "file, crc", "id")
        )

    def sums(self) -> Mapping[str, int | None]:
        """The files that it named, and their check-sums."""
        return self._sums

    def pages(self, index: Mapping[int, int]) -> Iterator[Changes]:
        """What it holds itself; ``index`` gives the number of a signal's id in what comes."""
        hot = []
        for received, data in self._rows("hot", "received, data", "id"):
            try:
                rows = decode_hot(data, received)
            except DamagedBlob as error:
                self.errors.append(str(error))
                continue
            hot.append(_numbered(rows, index))
        yield Changes((), SampleBatch.concat(hot))
        yield from self._records(index)

    def _records(self, index: Mapping[int, int]) -> Iterator[Changes]:
        texts = [
            (received, Text(index[signal], time, text, status))
            for signal, time, received, text, status in self._rows(
                "text", "signal, time, received, text, status", "signal, time, received"
            )
            if signal in index
        ]
        waves = [
            (received, Waveform(index[signal], start, rate, np.frombuffer(block, "<f4"), status))
            for signal, start, received, rate, status, block in self._rows(
                "waveform", "signal, start, received, rate_hz, status, block", "id"
            )
            if signal in index
        ]
        events = [
            (received, Event(time, asset, kind, stored_json(data)))
            for time, received, asset, kind, data in self._rows(
                "event", "time, received, asset, kind, data", "id"
            )
        ]
        gaps = [
            (received, Gap(edge, first, last, samples, reason, tuple(json.loads(signals))))
            for edge, first, last, samples, reason, signals, received in self._rows(
                "gap", "edge, first, last, samples, reason, signals, received", "id"
            )
        ]
        none = SampleBatch.empty()
        most = max(len(texts), len(waves), len(events), len(gaps))
        for at in range(0, most, _PAGE):
            part = slice(at, at + _PAGE)
            yield Changes((), none, texts[part], waves[part], events[part], gaps[part])

    def horizon(self) -> int | None:
        """Raw rows before this (ms UTC) were gone in it."""
        found = [at for name, at in self._rows("horizon", "name, at", "name") if name == "raw"]
        return found[0] if found else None

    def keep_as_done(self) -> None:
        """Name it so that it is not read again."""
        for end in ("-wal", "-shm", ""):
            file = self.file.with_name(f"{self.file.name}{end}")
            if file.exists():
                file.rename(file.with_name(f"{file.name}{DONE}"))


def _numbered(rows: SampleBatch, index: Mapping[int, int]) -> SampleBatch:
    known = np.array(list(index), np.int32)
    rows = rows.take(np.isin(rows.signal, known))
    number = np.zeros(int(known.max(initial=0)) + 1, np.int32)
    number[known] = list(index.values())
    return SampleBatch(
        number[rows.signal], rows.source_time, rows.value, rows.status, rows.received_time
    )
