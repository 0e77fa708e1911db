"""Outbox files with one wrong bit, opened, read to the end, written to and opened again.

The file has rows of two runs, an event, a gap record, aliases and numbers. Two of three wrong bits
lie in its rows, the third anywhere in the file; one of ten files is also damaged while it is open.

wrongly_taken  a row delivered that is not, byte for byte, one that was accepted; a number kept
               with the rows, or a time, that never was; a row that is missing without a record
never_healed   after one more start something is still damaged, or new rows do not get through
process_ended  any error but ``ConfigError`` and ``Unavailable`` with words for people
"""

import logging
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import numpy as np

from bench.fuzz import Figures
from plant.errors import KaikouError
from plant.flow.sample import Event, SampleBatch
from plant.outbox.admission import Admission
from plant.outbox.file import OutboxFile
from plant.outbox.row import Change, KeptRow, Loss, NewRow, RowClass
from plant.outbox.schema import SUSPECT, is_damage
from plant.wire.codec import TextSample, encode_metrics, encode_texts
from plant.wire.record import encode_event, encode_gap

ROWS = 24
DEVICES = ("lathe", "mill")
STATE = {"lathe/parts": {"total": 1234.0, "raw": 7.0}}
TRUSTED = 1_750_000_000_000
KEYS = {("", "Kaikou/Record", 12): "{}"} | {
    (device, name, 10): '{"engUnit": "kW"}' for device in DEVICES for name in ("power", "current")
}
BEGAN = 1_750_000_000_000


@dataclass(slots=True)
class Tally:
    """What came of all cases."""

    cases: int = 0
    ended: int = 0
    wrong: int = 0
    never: int = 0
    refused: int = 0
    renewed: int = 0
    parted: int = 0
    said: set[str] = field(default_factory=set)


def run(count: int, seed: int) -> Figures:
    """Spoil ``count`` files."""
    logging.getLogger("kaikou.outbox").setLevel(logging.CRITICAL)
    chance = random.Random(seed)
    tally = Tally()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Path(folder)
        sound = place / "sound.db"
        truth = _make(sound)
        bits = _row_bits(sound)
        size = sound.stat().st_size * 8
        for number in range(count):
            bit = chance.randrange(size) if number % 3 == 2 else chance.choice(bits)
            _case(place, sound, truth, bit, tally, in_use=number % 10 == 9)
    more: dict[str, float | int | str] = {
        "refused_in_words": tally.refused,
        "file_renewed": tally.renewed,
        "row_set_aside": tally.parted,
        "said": "; ".join(sorted(tally.said)[:5]),
    }
    return Figures(tally.cases, tally.ended, tally.wrong, tally.never, more)


# ------------------------------------------------------------------------------------- the file


def _gap_row(loss: Loss) -> NewRow:
    text = encode_gap(loss.gap("group/edge1", ()))
    return NewRow("", RowClass.GAP, BEGAN, BEGAN, 0, encode_texts([TextSample(128, BEGAN, text)]))


def _row(number: int, aliases: Mapping[tuple[str, str, int], int]) -> NewRow:
    device = DEVICES[number % 2]
    times = BEGAN + number * 1000 + np.arange(8)
    values = number + np.arange(8) / 8
    pair = [aliases[device, "power", 10], aliases[device, "current", 10]]
    batch = SampleBatch.of(np.zeros(8, np.int32), times, values)
    metrics = encode_metrics(np.array(pair * 4), batch)
    return NewRow(device, RowClass.SAMPLE, int(times[0]), int(times[-1]), 8, metrics)


def _open(path: Path, run: str) -> OutboxFile:
    return OutboxFile(path, run, _gap_row, synchronous="OFF", vfs="unix")


def _make(path: Path) -> dict[bytes, NewRow]:
    """A file of two runs; the rows that were accepted, by their metrics."""
    file = _open(path, "first")
    aliases = file.aliases.give(KEYS)
    truth = []
    for number in range(ROWS):
        truth.append(_row(number, aliases))
        losses = [Loss(BEGAN, BEGAN + 5, 3, "outbox full", frozenset(("mill",)))] * (number == 9)
        state = STATE if number % 5 == 0 else {}
        kept = file.write(Change([truth[-1]], state=state, trusted_ms=TRUSTED), losses).kept
        truth += [found.row for found in kept[1:]]
        if number == ROWS // 2:
            file.write(Change(acked={"first": 4}))
            file.close()
            file = _open(path, "second")
    text = encode_event(Event(BEGAN, "lathe", "jam"))
    event = encode_texts([TextSample(128, BEGAN, text)])
    truth.append(NewRow("", RowClass.EVENT, BEGAN, BEGAN, 1, event))
    file.write(Change([truth[-1]]))
    file.close()
    return {row.metrics: row for row in truth[4:]}


def _row_bits(path: Path) -> list[int]:
    """Bits of the pages that hold rows: everything a row says of itself, and where it lies."""
    database = apsw.Connection(str(path))
    size = database.pragma("page_size")
    pages = [
        (page - 1) * size
        for (page,) in database.execute(
            "SELECT pageno FROM dbstat WHERE name = 'row' AND pagetype = 'leaf'"
        )
    ]
    database.close()
    content = path.read_bytes()
    bits: list[int] = []
    for at in pages:
        cells = int.from_bytes(content[at + 3 : at + 5], "big")
        first = int.from_bytes(content[at + 5 : at + 7], "big")
        used = [*range(at, at + 8 + 2 * cells), *range(at + first, at + size)]
        bits += [byte * 8 + bit for byte in used for bit in range(8)]
    return bits


# --------------------------------------------------------------------------------------- a case


def _case(
    place: Path, sound: Path, truth: Mapping[bytes, NewRow], bit: int, tally: Tally, *, in_use: bool
) -> None:
    tally.cases += 1
    folder = place / "case"
    folder.mkdir()
    path = folder / "outbox.db"
    shutil.copy(sound, path)
    try:
        with _told(tally):
            if in_use:
                _damage_in_use(path, bit, truth, tally)
            else:
                _flip(path, bit)
                _deliver(_open(path, "third"), truth, tally)
        with _told(tally):
            if path.exists() and [_open_again(path) for _ in range(2)][-1]:
                tally.never += 1
                tally.said.add(f"never healed: bit {bit}")
    finally:
        shutil.rmtree(folder)


@contextmanager
def _told(tally: Tally) -> Iterator[None]:
    try:
        yield
    except KaikouError as error:
        tally.refused += 1
        tally.said.add(f"refused: {str(error)[:60]}")
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        tally.ended += 1
        tally.said.add(f"ended: {type(error).__name__}: {error}"[:100])


def _flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def _damage_in_use(path: Path, bit: int, truth: Mapping[bytes, NewRow], tally: Tally) -> None:
    """As ``store`` does it: a file that is found damaged gives way to a new one."""
    file = _open(path, "third")
    if bit % 2:
        _flip(path, bit)
    else:
        with path.open("r+b") as cut:
            cut.truncate(max(4096, bit // 8))
    _deliver(file, truth, tally)


def _deliver(file: OutboxFile, truth: Mapping[bytes, NewRow], tally: Tally) -> None:
    """All rows out, as the sender would, until the file is empty; each must be a true one."""
    for state in file.state.values():
        tally.wrong += state not in STATE.values()
    tally.wrong += file.trusted_ms not in {0, TRUSTED}
    for attempt in range(3):
        try:
            got, records = _drain(file)
            break
        except SUSPECT as error:
            if not is_damage(error) or attempt == 2:
                raise
            file.renew(error)
            tally.renewed += 1
    tally.renewed += file.renewed
    tally.parted += bool(records) and not file.renewed
    false = [kept for kept in got if truth.get(kept.row.metrics) != kept.row]
    false = [kept for kept in false if kept.row.row_class is not RowClass.GAP]
    missing = len(truth) - len({kept.row.metrics for kept in got if kept.row.metrics in truth})
    tally.wrong += len(false) + bool(missing and not records)
    if false or (missing and not records):
        tally.said.add(f"false {len(false)}, missing {missing}, records {len(records)}")
    file.close()


def _drain(file: OutboxFile) -> tuple[list[KeptRow], list[KeptRow]]:
    """Every row, and the gap records that were written meanwhile."""
    admission = Admission(file, keep_free=0)
    known = file.give_aliases(KEYS)
    got: list[KeptRow] = []
    records: list[KeptRow] = []
    new = _row(ROWS + 1, known)
    for change in (Change(), Change([new])):
        records += [
            kept for kept in admission.commit(change).kept if kept.row.metrics != new.metrics
        ]
        for name, run in list(file.runs.items()):
            cursor = run.acked
            while rows := file.read(name, cursor, 700):
                got += rows
                cursor = rows[-1].offset
        records += admission.commit(Change()).kept if file.owes else ()
    for name, run in list(file.runs.items()):
        records += admission.commit(Change(acked={name: run.kept})).kept
    return [kept for kept in got if kept.row.metrics != new.metrics], records


def _open_again(path: Path) -> bool:
    """Whether, at the next start, anything is still wrong."""
    file = _open(path, "fourth")
    try:
        renewed = file.renewed
        got, _ = _drain(file)
        lost = any(kept.row.row_class is not RowClass.GAP for kept in got)
        return bool(renewed) or lost or file.owes
    finally:
        file.close()
