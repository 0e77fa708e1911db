"""One file of an export: samples as Parquet or CSV, everything else as JSON lines."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plant.errors import ConfigError, Unavailable
from plant.flow.port import Changes
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from twin.transfer.tally import record_lines

_COPY = (
    "COPY (SELECT path, epoch_ms(source_time) AS time, source_time, received_time,"
    " CASE WHEN isnan(value) THEN NULL ELSE value END AS value, status"
    " FROM columns JOIN names USING (signal) ORDER BY row) TO '{}' ({})"
)
_OPTIONS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER true"}
_TYPES = {
    "path": "VARCHAR",
    "time": "TIMESTAMP",
    "source_time": "BIGINT",
    "received_time": "BIGINT",
    "value": "DOUBLE",
    "status": "UINTEGER",
}


def write_samples(file: Path, format: str, page: Changes) -> None:
    """The samples of a page; ``Unavailable`` where the disk does not take them."""
    import duckdb

    rows = page.samples
    names = np.empty(len(page.series), object)
    names[:] = [s.path for s in page.series]
    columns = {
        "row": np.arange(len(rows)),
        "signal": np.ascontiguousarray(rows.signal),
        "source_time": np.ascontiguousarray(rows.source_time),
        "received_time": np.ascontiguousarray(rows.received_time),
        "value": np.ascontiguousarray(rows.value),
        "status": np.ascontiguousarray(rows.status),
    }
    table = {"signal": np.arange(len(names), dtype=np.int32), "path": names}
    with duckdb.connect() as database:
        database.register("columns", columns)
        database.register("names", table)
        try:
            target = str(file).replace("'", "''")
            database.execute(_COPY.format(target, _OPTIONS[format]))
        except duckdb.IOException as error:
            raise Unavailable(f"{file}: {error}") from error


def read_samples(files: Sequence[Path], format: str, index: Mapping[str, int]) -> SampleBatch:
    """The samples of a part, by received time; ``signal`` by the index of paths."""
    if not files:
        return SampleBatch.empty()
    import duckdb

    source = "read_parquet(?)"
    if format == "csv":
        types = ", ".join(f"'{name}': '{type_}'" for name, type_ in _TYPES.items())
        source = f"read_csv(?, header = true, auto_detect = false, columns = {{{types}}})"
    names = np.empty(len(index), object)
    names[:] = list(index)
    table = {"signal": np.array(list(index.values()), np.int32), "path": names}
    query = (
        f"SELECT signal, path, source_time, received_time, value, status FROM {source}"  # noqa: S608
        " LEFT JOIN names USING (path)"
    )
    with duckdb.connect() as database:
        database.register("names", table)
        try:
            found = database.execute(query, [[str(f) for f in files]]).fetchnumpy()
        except duckdb.Error as error:
            raise ConfigError(f"{files[0]}: {error}") from error
    if np.ma.is_masked(found["signal"]):
        unknown = found["path"][np.ma.getmaskarray(found["signal"])][0]
        raise ConfigError(f"{files[0]}: the manifest knows no signal {unknown!r}")
    value = np.ma.filled(found["value"].astype(np.float64), np.nan)
    rows = SampleBatch.of(
        np.ma.getdata(found["signal"]),
        np.ma.getdata(found["source_time"]),
        value,
        np.ma.getdata(found["status"]),
        np.ma.getdata(found["received_time"]),
    )
    return rows.take(np.lexsort((rows.source_time, rows.signal, rows.received_time)))


def write_records(file: Path, page: Changes) -> None:
    """The texts, waveforms, events and gaps of a page, one JSON array a line."""
    try:
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in record_lines(page))
    except OSError as error:
        raise Unavailable(f"{file}: {error.strerror}") from error


def read_records(file: Path, page: Changes, index: Mapping[str, int]) -> Changes:
    """The page with the records of a file."""
    found: dict[str, list[tuple[int, Any]]] = {kind: [] for kind in _RECORDS}
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                kind, received, *rest = json.loads(line)
                found[kind].append((received, _RECORDS[kind](index, *rest)))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{file}:{number}: not a record: {error}") from error
    return replace(
        page,
        texts=found["text"],
        waveforms=found["waveform"],
        events=found["event"],
        gaps=found["gap"],
    )


def _text(index: Mapping[str, int], path: str, time: int, text: str, status: int) -> Text:
    return Text(index[path], time, text, status)


def _waveform(
    index: Mapping[str, int], path: str, start: int, rate_hz: float, *rest: Any
) -> Waveform:
    block, status = rest
    return Waveform(index[path], start, rate_hz, np.frombuffer(b64decode(block), "<f4"), status)


def _event(_: Mapping[str, int], time: int, asset: str, kind: str, data: dict[str, Any]) -> Event:
    return Event(time, asset, kind, data)


def _gap(_: Mapping[str, int], edge: str, *rest: Any) -> Gap:
    first, last, samples, reason, signals = rest
    return Gap(edge, first, last, samples, reason, tuple(signals))


_RECORDS: Mapping[str, Callable[..., Any]] = {
    "text": _text,
    "waveform": _waveform,
    "event": _event,
    "gap": _gap,
}
