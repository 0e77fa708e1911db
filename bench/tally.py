"""What was accepted against what is stored, for ``bench chaos``."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.files import Files
from bench.ledger import ledger_paths, read_ledger
from bench.moment import hurry
from bench.rig import Device, answer_number
from bench.stored import NO_VALUE, Row, Store, Stored
from deploy.room import open_ports
from plant.flow.port import HistorianWriter
from plant.model.plant import Plant

_ROW = np.dtype([("signal", "<i4"), ("time", "<i8"), ("value", "<f8"), ("status", "<u4")])


def count(
    plant: Plant, place: Path, stores: Mapping[str, Store], devices: Sequence[Device]
) -> dict[str, object]:
    """The figures; edge and twin have ended, influxd runs.

    ``cells_left`` are those that the killed twins left and that no mark calls dirty; ``cells``
    all, once what was dirty is built.
    """
    paths = ledger_paths(plant, "edge1")
    lines = of_devices(read_ledger(place / "ledger"), paths)
    accepted = _rows(lines)
    index = {path: i for i, path in enumerate(paths) if _served(path)}
    ports = open_ports("twin", plant, place / "data", {})
    opened = {"historian": ports.writer, "copy": ports.copy}
    found: dict[str, object] = {"accepted": len(lines)}
    hurry()
    held: dict[str, Stored] = {}
    for name, store in stores.items():
        prefix = "" if name == "historian" else f"{name}_"
        if isinstance(store, Files):
            left, left_wrong = store.cells()
            found |= {f"{prefix}cells_left": left, f"{prefix}cells_left_wrong": left_wrong}
        _settle(opened[name])
        held[name] = store.rows(index)
        found |= {f"{prefix}{k}": v for k, v in _compared(accepted, held[name]).items()}
        if held[name].gaps:
            found[f"{prefix}gap_reasons"] = dict(held[name].gaps)
        cells, wrong = store.cells()
        found |= {f"{prefix}cells": cells, f"{prefix}cells_wrong": wrong}
    if "copy" in held:
        found["copy_differs"] = len(held["historian"].known ^ held["copy"].known)
    beyond = np.array(sorted(held["historian"].rows - accepted), _ROW)
    return {
        **found,
        "not_in_ledger": len(beyond),
        "not_served": _unserved(lines, paths, devices) + _unserved(beyond, paths, devices),
    }


def _served(path: str) -> bool:
    return path.partition("/")[2].startswith("v")


def of_devices(lines: NDArray[np.void], paths: Sequence[str]) -> NDArray[np.void]:
    """The lines of what devices served, without what the edge says of itself."""
    served = np.array([_served(path) for path in paths])
    chosen: NDArray[np.void] = lines[served[lines["signal"]]]
    return chosen


def _rows(lines: NDArray[np.void]) -> set[Row]:
    values = np.where(np.isnan(lines["value"]), NO_VALUE, lines["value"])
    columns = (lines["signal"], lines["time"], values, lines["status"])
    return set(zip(*(c.tolist() for c in columns), strict=True))


def _compared(accepted: set[Row], stored: Stored) -> dict[str, int]:
    """Accepted rows that are not stored; rows stored more often than they were accepted."""
    declared = Counter(row[:2] for row in accepted)
    return {
        "missing": len(accepted - stored.rows),
        "doubled": sum(n > max(1, declared[pair]) for pair, n in stored.many.items()),
        "declared_gaps": stored.gaps.total(),
        "stray_files": stored.strays,
    }


def _settle(writer: Callable[[], HistorianWriter] | None) -> None:
    """All of it into files and tiers, as a twin would for which today is over."""
    if writer is not None:
        opened = writer()
        opened.retain(time.time_ns() // 1_000_000, force=True)
        opened.close()


def _unserved(lines: np.ndarray, paths: Sequence[str], devices: Sequence[Device]) -> int:
    """Good lines whose value no answer of their device held at that time."""
    wrong = 0
    by_name = {d.name: d for d in devices}
    for index in np.unique(lines["signal"]).tolist():
        name, _, id_ = paths[index].partition("/")
        device, position = by_name[name], int(id_[1:])
        mine = lines[(lines["signal"] == index) & (lines["status"] == 0)]
        served = np.array(device.utc)
        near = np.searchsorted(served, mine["time"], side="right")
        for value, time_ms, close in zip(
            mine["value"].tolist(), mine["time"].tolist(), near.tolist(), strict=True
        ):
            number = answer_number(int(value), position, close)
            late = time_ms - int(served[number - 1]) if 1 <= number <= len(served) else None
            # stamped at the end of the transaction: after it was served, within the time-out
            wrong += late is None or not -5 <= late <= 5000
    return wrong
