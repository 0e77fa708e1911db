"""A damaged outbox heals: rows or the file are set aside under a gap record, and it goes on."""

import asyncio
import json
import shutil
import zlib

import apsw
import numpy as np
import pytest

from plant.errors import ConfigError, Unavailable
from plant.flow.sample import SampleBatch
from plant.outbox.admission import Admission
from plant.outbox.checksum import ROW_DAMAGED
from plant.outbox.file import DAMAGED, OutboxFile
from plant.outbox.row import Change, Loss, NewRow, RowClass
from plant.outbox.schema import VERSION
from plant.outbox.store import Outbox
from plant.outbox.table import NUMBERS_DAMAGED
from plant.wire.codec import encode_metrics

POWER, STATE = ("lathe", "power", 10), ("mill", "state", 10)
KEYS = {POWER: '{"engUnit": "kW"}', STATE: "{}"}


def gap_row(loss: Loss) -> NewRow:
    return NewRow("", RowClass.GAP, loss.first, loss.last, 0, repr(loss).encode())


def row(n: int, device: str = "lathe", alias: int = 128) -> NewRow:
    batch = SampleBatch.of([0, 0], [1000 * n, 1000 * n + 10], [float(n), n + 0.5])
    metrics = encode_metrics(np.array([alias, alias]), batch)
    return NewRow(device, RowClass.SAMPLE, 1000 * n, 1000 * n + 10, 2, metrics)


def opened(path, run="r1", **options) -> OutboxFile:
    return OutboxFile(path / "outbox.db", run, gap_row, **options)


def filled(path, rows=6, **options) -> None:
    """Two runs with rows, aliases and numbers."""
    file = opened(path, **options)
    assert file.aliases.give(KEYS) == {POWER: 128, STATE: 129}
    for n in range(1, rows + 1):
        device, alias = (("lathe", 128), ("mill", 129))[n % 2]
        file.write(Change([row(n, device, alias)], state={"mill/n": {"total": n}}, trusted_ms=99))
    file.close()


def spoil(path, sql, *values) -> None:
    """Change what a row says without its sum."""
    with apsw.Connection(str(path / "outbox.db")) as db:
        db.execute(sql, values)
    db.close()


def flip(path, what: bytes, bit: int = 3) -> None:
    """A wrong bit in the first place where these bytes lie."""
    file = path / "outbox.db"
    content = bytearray(file.read_bytes())
    at = content.index(what)
    content[at + len(what) // 2] ^= 1 << bit
    file.write_bytes(content)


def told(outcome) -> list[str]:
    """What the gap records of a transaction say."""
    return [k.row.metrics.decode() for k in outcome.kept if k.row.row_class is RowClass.GAP]


def offsets(file, run="r1") -> list[int]:
    return [kept.offset for kept in file.read(run, 0, 10**9)]


def held(path) -> list[tuple]:
    db = apsw.Connection(str(path / "outbox.db"))
    found = list(db.execute("SELECT id, class FROM row ORDER BY id"))
    aside = list(db.execute("SELECT id FROM set_aside"))
    db.close()
    return [found, aside]


def test_a_wrong_bit_in_a_rows_metrics_costs_that_row_and_no_other(tmp_path):
    filled(tmp_path)
    flip(tmp_path, row(3, "mill", 129).metrics)
    file = opened(tmp_path, "r2")
    assert not file.damaged, "the file is whole"
    assert file.owes, "told at the start, before anybody asks for it"
    assert offsets(file) == [1, 2, 4, 5, 6]
    outcome = file.write(Change())
    assert outcome.dropped == [("r1", 3)]
    (said,) = told(outcome)
    assert "Loss(first=3000, last=3010, samples=2" in said, "what its head says is still right"
    assert "mill" in said
    assert ROW_DAMAGED in said
    assert (file.runs["r1"].rows, file.runs["r1"].devices) == (5, {"lathe": 3, "mill": 2})
    assert not file.owes
    file.close()
    rows, aside = held(tmp_path)
    assert aside == [(3,)], "set aside, not deleted"
    assert rows == [(1, 0), (2, 0), (4, 0), (5, 0), (6, 0), (7, 2)]


@pytest.mark.parametrize(
    "column",
    ["class = 1", "device = 'late'", "first = 9", "last = 9", "samples = 3", "historical = 1"],
)
def test_a_wrong_head_is_never_believed(tmp_path, column):
    filled(tmp_path)
    spoil(tmp_path, f"UPDATE row SET {column} WHERE id = 2")
    file = opened(tmp_path, "r2")
    assert offsets(file) == [1, 3, 4, 5, 6]
    (said,) = told(file.write(Change()))
    assert "first=2000, last=2010, samples=2" in said, "as the metrics say"
    assert "frozenset()" in said, "whose they were is not known"
    file.close()


def test_nothing_of_a_damaged_row_is_lost_from_sight_while_the_disk_is_full(tmp_path):
    filled(tmp_path)
    flip(tmp_path, row(3, "mill", 129).metrics)
    file = opened(tmp_path, "r2")
    free = [0]
    admission = Admission(file, keep_free=1000, free=lambda: free[0])
    assert offsets(file) == [1, 2, 4, 5, 6]
    admission.commit(Change([row(9)]))
    admission.commit(Change(acked={"r1": 6}))
    rows, _ = held_open(file)
    records = [at for at, row_class in rows if row_class == RowClass.GAP]
    assert records, "the record is there although its row was acknowledged with the others"
    file.close()


def held_open(file):
    found = list(file._db.execute("SELECT id, class FROM row ORDER BY id"))
    return found, list(file._db.execute("SELECT id FROM set_aside"))


def test_a_damaged_gap_record_is_written_again(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1)]), [Loss(5, 6, 7, "outbox full", frozenset(("mill",)))])
    file.close()
    spoil(tmp_path, "UPDATE row SET metrics = x'00' WHERE class = 2")
    file = opened(tmp_path, "r2")
    assert offsets(file) == [1]
    (said,) = told(file.write(Change()))
    assert said == repr(Loss(5, 6, 7, "outbox full", frozenset(("mill",))))
    file.close()


def test_rows_of_a_damaged_run_get_another_run(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, "UPDATE run SET name = 'r7'")
    file = opened(tmp_path, "r2")
    (name,) = set(file.runs) - {"r2"}
    assert name not in {"r1", "r7"}, "an identity that nobody has"
    assert offsets(file, name) == [1, 2, 3, 4, 5, 6]
    assert file.runs[name].devices == {"lathe": 3, "mill": 3}
    assert file.write(Change([row(8)])).kept[0].offset == 1
    file.close()


def test_an_acknowledged_mark_that_is_damaged_hides_no_row(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, "UPDATE run SET acked = 4")
    file = opened(tmp_path, "r2")
    (name,) = set(file.runs) - {"r2"}
    assert len(offsets(file, name)) == 6
    file.close()


def test_a_damaged_alias_takes_its_rows_along_and_is_never_used_again(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, "UPDATE alias SET metric = 'stats' WHERE alias = 129")
    file = opened(tmp_path, "r2")
    assert file.give_aliases(KEYS) == {POWER: 128, STATE: 130}
    assert offsets(file) == [2, 4, 6], "rows under the lost alias would be somebody else's values"
    (said,) = told(file.write(Change()))
    assert "first=1000, last=5010, samples=6" in said
    assert [m.alias for m in file.aliases.of_device("mill")] == [130]
    file.close()


def test_damaged_numbers_are_forgotten_and_said_so_even_after_a_kill(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, "UPDATE state SET numbers = '{\"total\": 4000006}'")
    file = opened(tmp_path, "r2")
    assert file.state == {}
    file.close()
    file = opened(tmp_path, "r3")
    (said,) = told(file.write(Change()))
    assert NUMBERS_DAMAGED in said
    file.close()
    assert not opened(tmp_path, "r4").owes


def test_rows_that_vanished_from_the_file_are_found_missing(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, "DELETE FROM row WHERE id = 3")
    file = opened(tmp_path, "r2")
    assert offsets(file) == [1, 2, 4, 5, 6]
    (said,) = told(file.write(Change(acked={"r1": 6})))
    assert ROW_DAMAGED in said
    assert file.count.rows == 1, "the record"
    file.close()


def test_a_broken_file_gives_way_and_what_is_whole_of_it_goes_on(tmp_path):
    filled(tmp_path)
    content = bytearray((tmp_path / "outbox.db").read_bytes())
    content[24:32] = b"\xff" * 8
    at = content.index(b"run_1")  # an index of a small table: the tables are whole
    content[at] ^= 8
    (tmp_path / "outbox.db").write_bytes(content)
    file = opened(tmp_path, "r2")
    assert file.damaged
    assert len([*tmp_path.glob("outbox.db.damaged-*")]) >= 1
    (old,) = set(file.runs) - {"r2"}
    assert offsets(file, old) == [1, 2, 3, 4, 5, 6]
    assert (old, file.runs[old].acked) == ("r1", 0), "under its own name: the twin's marks fit"
    assert file.aliases.give(KEYS) == {POWER: 128, STATE: 129}
    assert file.state == {"mill/n": {"total": 6}}
    assert file.trusted_ms == 99
    file.close()
    assert not opened(tmp_path, "r3").damaged


@pytest.mark.parametrize("size", [0, 100, 4096, 9000, 30_000])
def test_a_cut_file_gives_way_under_a_gap_record(tmp_path, size):
    filled(tmp_path)
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.truncate(size)
    file = opened(tmp_path, "r2")
    assert file.damaged or size == 0
    said = told(Admission(file, keep_free=0).commit(Change([row(7)])))
    assert size == 0 or DAMAGED in said[0]
    file.close()
    file = opened(tmp_path, "r3")
    assert not file.damaged
    file.close()


def test_a_gap_record_of_a_damaged_file_survives_a_kill_before_it_is_written(tmp_path):
    filled(tmp_path)
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.truncate(9000)
    opened(tmp_path, "r2").close()
    file = opened(tmp_path, "r3")
    assert any(DAMAGED in said for said in told(file.write(Change())))
    file.close()


def test_another_programs_number_and_a_wrong_bit_in_the_head_are_told_apart(tmp_path):
    filled(tmp_path)
    spoil(tmp_path, f"PRAGMA user_version = {VERSION ^ 16}")
    file = opened(tmp_path, "r2")
    assert file.damaged
    assert offsets(file) == [1, 2, 3, 4, 5, 6]
    file.close()
    spoil(tmp_path, "PRAGMA application_id = 77")
    file = opened(tmp_path, "r3")
    assert file.damaged
    file.close()
    spoil(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    spoil(tmp_path, "UPDATE number SET value = ? WHERE key = 'version'", VERSION + 1)
    with pytest.raises(ConfigError, match="newer Kaikou"):
        opened(tmp_path)


def test_a_file_that_may_not_be_opened_is_told_in_words(tmp_path):
    (tmp_path / "outbox.db").mkdir()
    with pytest.raises(Unavailable, match="cannot be opened"):
        opened(tmp_path)


V1 = """
CREATE TABLE run(name TEXT PRIMARY KEY, base INTEGER NOT NULL, last INTEGER NOT NULL,
    acked INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, devices TEXT NOT NULL,
    trusted INTEGER NOT NULL) STRICT;
CREATE TABLE row(id INTEGER PRIMARY KEY, class INTEGER NOT NULL, device TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, samples INTEGER NOT NULL,
    historical INTEGER NOT NULL, metrics BLOB NOT NULL) STRICT;
CREATE INDEX row_class ON row(class) WHERE class > 0;
CREATE TABLE loss(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, reason TEXT NOT NULL, devices TEXT NOT NULL) STRICT;
CREATE TABLE alias(alias INTEGER PRIMARY KEY, device TEXT NOT NULL, metric TEXT NOT NULL,
    type INTEGER NOT NULL, properties TEXT NOT NULL, UNIQUE(device, metric, type)) STRICT;
CREATE TABLE state(key TEXT PRIMARY KEY, numbers TEXT NOT NULL) STRICT;
CREATE TABLE number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE reserve(id INTEGER PRIMARY KEY, blank BLOB NOT NULL) STRICT;
PRAGMA application_id = 1264675179;
PRAGMA user_version = 1;
"""


def version_1(path, rows=4) -> None:
    """A file as the version before wrote it."""
    db = apsw.Connection(str(path / "outbox.db"))
    db.pragma("journal_mode", "wal")
    db.execute(V1)
    size = sum(row(n).size for n in range(1, rows + 1))
    for n in range(1, rows + 1):
        r = row(n)
        db.execute(
            "INSERT INTO row VALUES(?, 0, 'lathe', ?, ?, 2, 0, ?)", (n, r.first, r.last, r.metrics)
        )
    run = ("old", 0, rows, 0, rows, size, json.dumps({"lathe": rows}), 55)
    db.execute("INSERT INTO run VALUES(?, ?, ?, ?, ?, ?, ?, ?)", run)
    db.execute("INSERT INTO alias VALUES(128, 'lathe', 'power', 10, ?)", (KEYS[POWER],))
    db.execute("INSERT INTO state VALUES('mill/n', '{\"total\": 7}')")
    db.execute("INSERT INTO number VALUES('bd_seq', 41)")
    db.close()


def test_a_file_of_the_version_before_opens_with_all_it_holds(tmp_path):
    version_1(tmp_path)
    file = opened(tmp_path, "r2")
    assert not file.damaged
    assert [kept.row for kept in file.read("old", 0, 10**9)] == [row(n) for n in range(1, 5)]
    assert file.aliases.give(KEYS) == {POWER: 128, STATE: 129}
    assert (file.state, file.trusted_ms) == ({"mill/n": {"total": 7}}, 55)
    assert file.next_bd_seq() == 42
    assert file.write(Change([row(9)])).kept[0].offset == 1
    file.close()
    file = opened(tmp_path, "r3")
    assert file._db.pragma("user_version") == VERSION
    assert file._db.execute("SELECT count(*) FROM row WHERE body IS NULL").get == 4
    assert file._db.execute("SELECT body FROM row WHERE id = 5").get == zlib.crc32(row(9).metrics)
    file.close()


def test_a_row_of_the_version_before_that_cannot_be_decoded_is_set_aside(tmp_path):
    version_1(tmp_path)
    spoil(tmp_path, "UPDATE row SET metrics = x'1299' WHERE id = 2")
    file = opened(tmp_path, "r2")
    assert offsets(file, "old") == [1, 3, 4]
    (said,) = told(file.write(Change()))
    assert "first=2000, last=2010, samples=2" in said
    file.close()


# ------------------------------------------------------------------------------------------ the log


def killed(tmp_path, rows=8):
    """A file with its log, as a process leaves it that is killed; the number of transactions."""
    place = tmp_path / "run"
    place.mkdir()
    file = opened(place)
    file.aliases.give(KEYS)
    for n in range(1, rows + 1):
        file.write(Change([row(n)]))
    left = tmp_path / "left"
    shutil.copytree(place, left)
    file.close()
    return left


def log_frames(place):
    """(offset of a frame in the log, whether it ends a transaction)."""
    data = (place / "outbox.db-wal").read_bytes()
    salts = data[16:24]
    found = []
    for at in range(32, len(data) - 4119, 4120):
        if data[at + 8 : at + 16] != salts:
            break
        found.append((at, data[at + 4 : at + 8] != bytes(4)))
    return found


def test_a_killed_process_leaves_nothing_that_looks_damaged(tmp_path):
    file = opened(killed(tmp_path), "r2")
    assert not file.damaged
    assert offsets(file) == list(range(1, 9))
    file.close()


@pytest.mark.parametrize("part", [0, 5, 10, 20, 24, 2000, 4119])
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_a_wrong_bit_in_the_log_is_never_passed_over_in_silence(tmp_path, which, part):
    place = killed(tmp_path)
    frames = log_frames(place)
    at = frames[{"first": 0, "middle": len(frames) // 2, "last": -1}[which]][0] + part
    data = bytearray((place / "outbox.db-wal").read_bytes())
    data[at] ^= 16
    (place / "outbox.db-wal").write_bytes(data)
    file = opened(place, "r2")
    assert file.damaged
    said = told(file.write(Change([row(20)])))
    assert any(DAMAGED in text for text in said)
    file.close()
    assert not opened(place, "r3").damaged


@pytest.mark.parametrize("at", [0, 9, 17, 25])
def test_a_wrong_bit_in_the_head_of_the_log_is_told(tmp_path, at):
    place = killed(tmp_path)
    data = bytearray((place / "outbox.db-wal").read_bytes())
    data[at] ^= 16
    (place / "outbox.db-wal").write_bytes(data)
    file = opened(place, "r2")
    assert any(DAMAGED in text for text in told(file.write(Change())))
    file.close()


def test_a_transaction_that_a_power_cut_tore_is_no_damage(tmp_path):
    place = killed(tmp_path)
    frames = log_frames(place)
    ends = [at for at, last in frames if last]
    data = bytearray((place / "outbox.db-wal").read_bytes())
    torn = next(at for at, _ in frames if at > ends[-2])
    data[torn + 1024 : ends[-1] + 4120] = bytes(ends[-1] + 4120 - torn - 1024)
    (place / "outbox.db-wal").write_bytes(data)
    file = opened(place, "r2")
    assert not file.damaged
    assert offsets(file) == list(range(1, 8)), "the last one was never accepted"
    file.close()


@pytest.mark.parametrize("left", [None, 0, 20, 9000])
def test_a_log_that_was_cut_or_taken_away_is_missed(tmp_path, left):
    place = killed(tmp_path)
    log = place / "outbox.db-wal"
    if left is None:
        log.unlink()
    else:
        with log.open("r+b") as file:
            file.truncate(left)
    file = opened(place, "r2")
    assert file.damaged
    assert any(DAMAGED in text for text in told(file.write(Change())))
    file.close()
    assert not opened(place, "r3").damaged


def test_a_file_that_was_closed_misses_no_log(tmp_path):
    filled(tmp_path)
    assert not (tmp_path / "outbox.db-wal").exists()
    file = opened(tmp_path, "r2")
    assert not file.damaged
    file.close()
    assert {p.name for p in tmp_path.iterdir()} == {"outbox.db"}


@pytest.mark.parametrize(
    "gone", [["outbox.db"], ["outbox.db", "outbox.db-wal", "outbox.db.open"], ["."]]
)
async def test_a_file_that_is_removed_while_in_use_is_written_again(tmp_path, gone):
    box = Outbox(tmp_path / "outbox.db", gap_row, commit_ms=1)
    task = asyncio.create_task(box.run())
    old = box.current
    await box.alias(KEYS)
    for n in range(1, 5):
        assert await box.accept([row(n)], {"mill/n": {"total": n}})
    for name in gone:
        shutil.rmtree(tmp_path) if name == "." else (tmp_path / name).unlink()
    assert await box.accept([row(5)])
    assert (tmp_path / "outbox.db").exists()
    assert [kept.row for kept in await box.read(old, 0, 10**9)] == [row(n) for n in range(1, 5)]
    assert [kept.row for kept in await box.read(box.current, 0, 10**9)] == [row(5)]
    box.close()
    await task
    box.release()
    file = opened(tmp_path, "r9")
    assert not file.damaged
    assert not file.owes, "nothing is lost"
    assert file.state == {"mill/n": {"total": 4}}
    assert len(file.runs) == 3
    file.close()
