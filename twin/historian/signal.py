"""Table ``signal``: ids of paths, how they are treated, what becomes of them when that changes."""

import json
from dataclasses import dataclass
from typing import Any

import apsw

from plant.flow.port import Series


@dataclass(frozen=True, slots=True)
class Settled:
    """What a declared series is in the database.

    id            -1: it has no rows yet
    treated_anew  its values hold another time, or it rolls over elsewhere: its cells are wrong
    """

    id: int
    treated_anew: bool = False


def settle(db: apsw.Connection, series: Series) -> Settled:
    """Find a series; renames what it must, in a transaction."""
    row = _find(db, series.path)
    for old in series.was if row is None else ():
        if _find(db, old) is not None:
            db.execute("UPDATE signal SET path = ? WHERE path = ?", (series.path, old))
            row = _find(db, series.path)
            break
    if row is None:
        return Settled(-1)
    id_, kind, unit, modulus, hold_ms, place = row
    if (kind, unit) != (series.kind.value, series.unit):
        n = 1
        while _find(db, f"{series.path}~{n}") is not None:
            n += 1
        db.execute("UPDATE signal SET path = ? WHERE id = ?", (f"{series.path}~{n}", id_))
        return Settled(-1)
    anew = (modulus, hold_ms) != (series.modulus, series.hold_ms)
    if anew or (series.place and place != _place(series)):
        db.execute(
            "UPDATE signal SET modulus = ?, hold_ms = ?, place = ? WHERE id = ?",
            (series.modulus, series.hold_ms, _place(series) if series.place else place, id_),
        )
    return Settled(id_, anew)


def add(db: apsw.Connection, series: Series) -> int:
    """The id of a series that gets its first row."""
    db.execute(
        "INSERT INTO signal (path, kind, unit, modulus, hold_ms, place) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            series.path,
            series.kind.value,
            series.unit,
            series.modulus,
            series.hold_ms,
            _place(series),
        ),
    )
    row = _find(db, series.path)
    if row is None:
        raise AssertionError(series.path)
    return int(row[0])


def _place(series: Series) -> str:
    return json.dumps(list(series.place), ensure_ascii=False)


def _find(db: apsw.Connection, path: str) -> Any:
    query = "SELECT id, kind, unit, modulus, hold_ms, place FROM signal WHERE path = ?"
    return db.execute(query, (path,)).fetchone()
