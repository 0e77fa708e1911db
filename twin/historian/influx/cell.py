"""Cells of the tiers as points: figures for people and Grafana, and the whole cell in one field.

Measurement ``tier`` in the buckets ``_minute``, ``_hour`` and ``_day``; time is the cell's start.
Fields first, last, low, high (of rows that are not Bad), mean, known_s, good_s, increase (of
counters), count say what is *inside* the cell: no value is carried in. Field ``cell`` holds all
columns of ``twin.historian.cell.Cells``, exactly, so that a year is read in one column.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.historian.cell import COLUMNS, Cells
from twin.historian.influx.flux import Tags
from twin.historian.influx.table import blocks, signals_of, times

if TYPE_CHECKING:
    from plant.flow.sample import Int32, Int64

_TIMES = ("head_time", "tail_time", "first_time", "last_time", "low_time", "high_time")
_PACKED = [
    (name, "<i4" if name in _TIMES or name in {"end", "count", "known_ms", "good_ms"}
     else f"<{kind}")
    for name, kind in COLUMNS.items()
    if name not in {"signal", "start"}
]  # fmt: skip
_CELL = np.dtype(_PACKED)
"""Times of a cell are ms after its start; 0 for those that stand at nothing is kept as -1."""

_SHOWN = ("first", "last", "low", "high")


def tier_lines(cells: Cells, heads: Mapping[int, str], counters: frozenset[int]) -> list[str]:
    """A line a cell; ``heads`` are measurement and tags by the cell's ``signal``."""
    packed = np.empty(len(cells), _CELL)
    for name in _CELL.names or ():
        column = getattr(cells, name)
        if name in _TIMES or name == "end":
            none = column == 0 if name in _TIMES else np.zeros(len(cells), np.bool_)
            if name in {"head_time", "tail_time"}:
                none = np.zeros(len(cells), np.bool_)
            elif name in _TIMES:
                none = np.isnan(getattr(cells, name.removesuffix("_time")))
            column = np.where(none, -1, column - cells.start)
        packed[name] = column
    size, raw = _CELL.itemsize, packed.tobytes()
    known = cells.known_ms / 1000.0
    mean = np.full(len(cells), np.nan)
    np.divide(cells.integral, known, out=mean, where=known > 0)
    shown = [(name, getattr(cells, name).tolist()) for name in _SHOWN]
    rest = zip(
        cells.signal.tolist(), cells.start.tolist(), mean.tolist(), known.tolist(),
        (cells.good_ms / 1000.0).tolist(), cells.increase.tolist(), cells.count.tolist(),
        strict=True,
    )  # fmt: skip
    lines = []
    for i, (signal, start, mean_, known_s, good_s, increase, count) in enumerate(rest):
        fields = [f"{name}={column[i]!r}" for name, column in shown if _finite(column[i])]
        if _finite(mean_):
            fields.append(f"mean={mean_!r}")
        if signal in counters and _finite(increase):
            fields.append(f"increase={increase!r}")
        cell = base64.b64encode(raw[i * size : (i + 1) * size]).decode("ascii")
        lines.append(
            f"{heads[signal]} {','.join(fields)}{',' if fields else ''}known_s={known_s!r},"
            f'good_s={good_s!r},count={count}i,cell="{cell}" {start}'
        )
    return lines


def _finite(value: float) -> bool:
    return value - value == 0.0


def cells_of_result(data: bytes, index: Mapping[Tags, int]) -> Cells:
    """Cells of a result that holds field ``cell``, by signal and start; others are left out."""
    raw: list[bytes] = []
    starts: list[Int64] = []
    signals: list[Int32] = []
    for block in blocks(data):
        alone = "signal" not in block.columns
        signals.append(np.zeros(block.rows, np.int32) if alone else signals_of(block, index))
        starts.append(times(block.columns["_time"]))
        raw += block.columns["_value"]
    if not raw:
        return Cells.empty()
    width = len(base64.b64encode(bytes(_CELL.itemsize)))
    if any(len(cell) != width for cell in raw):
        raise ValueError("a cell of another version")
    packed = np.frombuffer(_decoded(raw), _CELL)
    start = np.concatenate(starts)
    columns: dict[str, Any] = {"signal": np.concatenate(signals), "start": start}
    for name, kind in COLUMNS.items():
        if name in columns:
            continue
        column = packed[name].astype(kind)
        if name in _TIMES:
            column = np.where(column < 0, 0, column + start)
        elif name == "end":
            column = column + start
        columns[name] = column
    found = Cells(**columns)
    return found.take(found.signal >= 0).sorted()


def _decoded(raw: Sequence[bytes]) -> bytes:
    """Base64 of many cells; whole groups of three bytes are decoded at once."""
    if _CELL.itemsize % 3 == 0:
        return base64.b64decode(b"".join(raw))
    return b"".join(map(base64.b64decode, raw))
