"""Damage of the embedded historian's folder: found, told, set aside; nothing else is lost by it."""

import contextlib
import os
import random
import shutil

import apsw
import numpy as np
import pytest

from plant.errors import Condemned, Unavailable
from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Gap, SampleBatch, Text
from twin.historian import database, opening, retain
from twin.historian.database import checks_pages, connect, damage_of
from twin.historian.embedded import Embedded
from twin.historian.last_commit import NAME as LAST
from twin.historian.store import ASIDE, FILE, SAMPLES, TIERS, VERSION

KIND = Embedded(kind="embedded")
DAY = 86_400_000
T0 = 20_000 * DAY
PATHS = ["a/x", "a/y"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two sealed days with tiers, and hot rows; the process that wrote it was killed."""
    folder = tmp_path_factory.mktemp("made") / "historian"
    in_child(lambda: fill(folder))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "historian")


def in_child(work):
    """Run in a process that is killed at the end, so nothing is closed."""
    pid = os.fork()
    if pid == 0:
        try:
            kept = work()  # what is let go is closed
            assert kept is not None
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def fill(folder):
    writer = KIND.writer(folder)
    writer.declare([Series("a/x"), Series("a/y")])
    chance = np.random.default_rng(3)
    for day in range(2):
        time = T0 + day * DAY + np.arange(0, DAY, 10_000)
        rows = SampleBatch.of(
            np.repeat([0, 1], len(time)), np.tile(time, 2), chance.random(2 * len(time))
        )
        writer.write(Commit(rows, marks=[Mark("g/e", "r", day + 1)]), T0 + (day + 1) * DAY)
        writer.retain(T0 + (day + 1) * DAY + 7_200_000, force=True)
    retain.RETIRED_KEEP_S = -1  # in this process
    writer.retain(T0 + 2 * DAY)
    writer.retain(T0 + 2 * DAY)
    writer.write(Commit(SampleBatch.of([0, 1], [T0 + 2 * DAY] * 2, [1.0, 2.0])), T0 + 2 * DAY + 9)
    return writer


def content(folder):
    """Rows, cells, gaps as a reader gives them; it never raises but ``Unavailable``."""
    with contextlib.closing(KIND.reader(folder)) as reader:
        rows = reader.read(PATHS, 0, 2 * T0)
        hours = reader.aggregate("a/x", T0, T0 + 2 * DAY, 3_600_000)
        return rows, hours.mean, reader.gaps(0, 4 * T0)


def parquet(folder, kind=SAMPLES):
    return sorted((folder / kind).glob("*.parquet"))


def flip(file, at, bit=3):
    with file.open("r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ (1 << bit)]))


def everything(folder):
    """The content of every Parquet file in the folder, wherever it lies."""
    return {file.read_bytes() for file in folder.rglob("*.parquet")}


def opened(folder):
    writer = KIND.writer(folder)
    writer.declare([Series(path) for path in PATHS])
    return writer


# ------------------------------------------------------------------------------------ the database


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "foreign", "rubbish"])
def test_a_lost_database_deletes_no_file_and_is_told(folder, how):
    before = everything(folder)
    file = folder / FILE
    raw = file.read_bytes()
    for beside in (f"{FILE}-wal", f"{FILE}-shm"):
        (folder / beside).unlink()
    file.unlink()
    if how == "foreign":
        with contextlib.closing(apsw.Connection(str(file), vfs="unix")) as other:
            other.execute("CREATE TABLE another (x)")
    elif how != "missing":
        file.write_bytes({"empty": b"", "cut": raw[:5000], "rubbish": b"no database" * 999}[how])
    writer = opened(folder)
    try:
        assert everything(folder) == before
        assert not parquet(folder)
        assert len(parquet(folder / ASIDE)) > 0
        kept = [f.name for f in (folder / ASIDE).glob("historian-*.sqlite")]
        assert len(kept) == (how != "missing")
        rows, _, (gap,) = content(folder)
        assert len(rows) == 0
        assert (gap.first, gap.samples) == (0, -1)
        assert gap.last >= T0 + 2 * DAY
        assert "kaikou history adopt" in gap.reason
        assert writer.write(Commit(SampleBatch.of([0], [T0], [5.0])), T0) > gap.last
    finally:
        writer.close()


def test_an_older_copy_of_the_database_deletes_nothing_it_does_not_know(tmp_path):
    folder = tmp_path / "historian"
    writer = Embedded(kind="embedded", merge=2).writer(folder)
    writer.declare([Series("a/x")])
    put = lambda k: writer.write(Commit(SampleBatch.of([0], [T0 + k], [k])), T0 + k)  # noqa: E731
    put(0)
    writer.retain(T0, force=True)
    writer.database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    old = (folder / FILE).read_bytes()
    for k in (1, 2, 3):
        put(k)
        writer.retain(T0, force=True)
    writer.close()
    (folder / FILE).write_bytes(old)
    before = everything(folder)
    again = Embedded(kind="embedded").writer(folder)
    assert everything(folder) == before
    again.retain(T0)
    assert everything(folder) == before
    again.close()
    rows, _, gaps = content(folder)
    assert len(rows) < 4
    assert any("newest commits are missing" in g.reason for g in gaps)


@pytest.mark.skipif(not checks_pages(), reason="this apsw has no cksumvfs")
def test_no_flipped_bit_of_the_database_gives_other_rows(folder, tmp_path):
    true, means, _ = content(shutil.copytree(folder, tmp_path / "true"))
    chance = random.Random(5)
    found = set()
    for n in range(24):
        place = shutil.copytree(folder, tmp_path / f"t{n}")
        file = place / (FILE if n % 3 else f"{FILE}-wal")
        flip(file, chance.randrange(file.stat().st_size), chance.randrange(8))
        for start in (lambda: None, lambda place=place: opened(place).close()):
            start()
            try:
                rows, got, gaps = content(place)
            except Unavailable as error:
                found.add("damaged" if "damaged" in str(error) else str(error))
                continue
            same = rows.same_as(true) and np.array_equal(got, means, equal_nan=True)
            assert same or gaps, (file.name, n)
            found.add("same" if same else "gap")
    assert found == {"same", "gap", "damaged"}


def test_a_log_that_was_cut_or_removed_leaves_a_gap_record(folder, tmp_path):
    for how in ("removed", "cut"):
        place = shutil.copytree(folder, tmp_path / how)
        log = place / f"{FILE}-wal"
        if how == "removed":
            log.unlink()
        else:
            os.truncate(log, log.stat().st_size - 100)
        reader = KIND.reader(place)
        (told,) = reader.gaps(0, 4 * T0)
        reader.close()
        opened(place).close()
        rows, _, (gap,) = content(place)
        assert gap == told
        assert len(rows) < 2 * 2 * DAY // 10_000 + 2
        assert gap.first <= T0 + 2 * DAY <= gap.last


@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
def test_a_reader_of_a_cut_database_says_so(folder, part):
    opened(folder).close()  # the log is in the file
    file = folder / FILE
    os.truncate(file, int(file.stat().st_size * part))
    with pytest.raises(Unavailable, match="the twin sets it aside"):
        content(folder)


def test_a_line_beside_the_database_that_is_wrong_harms_nobody(folder):
    (folder / LAST).write_bytes(b"\xff\x00")
    true, _, gaps = content(folder)
    opened(folder).close()
    assert gaps == content(folder)[2] == []
    assert content(folder)[0].same_as(true)


def test_another_program_may_close_the_database_after_a_crash(folder, tmp_path):
    true, _, _ = content(shutil.copytree(folder, tmp_path / "true"))
    with contextlib.closing(apsw.Connection(str(folder / FILE), vfs="unix")) as plain:
        assert plain.execute("SELECT count(*) FROM hot").get
    assert not (folder / f"{FILE}-wal").exists()
    opened(folder).close()
    rows, _, gaps = content(folder)
    assert rows.same_as(true)
    assert gaps == []


def test_damage_found_in_use_ends_the_writer_in_words_and_the_next_start_begins_anew(folder):
    writer = opened(folder)
    writer.database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    root = writer.database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'hot'").get
    writer.database.pragma("shrink_memory")
    flip(folder / FILE, (root - 1) * 4096 + 4)
    flip(folder / FILE, (root - 1) * 4096 + 3000)
    with pytest.raises(Condemned, match="damaged"):
        writer.write(Commit(SampleBatch.of([0], [T0 + 3 * DAY], [1.0])), T0 + 3 * DAY)
    writer.close()
    with pytest.raises(Unavailable, match="damaged"):
        content(folder)
    again = opened(folder)
    assert "found damaged while it was in use" in content(folder)[2][0].reason
    again.close()


# ------------------------------------------------------------------------------------ sealed files


@pytest.mark.parametrize("how", ["flip", "cut", "missing", "empty"])
def test_a_bad_file_of_samples_is_told_and_the_rest_answers(folder, how):
    true, means, _ = content(folder)
    file = parquet(folder)[0]
    if how == "flip":
        flip(file, file.stat().st_size // 2)
    elif how == "missing":
        file.unlink()
    else:
        os.truncate(file, {"cut": 999, "empty": 0}[how])
    for start in (lambda: None, lambda: opened(folder).close()):
        start()  # first as a reader finds it, then after the twin's start
        rows, hours, (gap,) = content(folder)
        assert gap.samples + len(rows) == len(true)
        assert gap.signals == ("a/x", "a/y")
        kept = (true.source_time < gap.first) | (true.source_time > gap.last)
        assert rows.same_as(true.take(kept))
        assert np.array_equal(hours, means, equal_nan=True)  # cells were made of the whole day


def test_no_flipped_bit_of_any_sealed_file_gives_other_rows(folder):
    true, means, _ = content(folder)
    chance = random.Random(8)
    reader = KIND.reader(folder)
    for n in range(60):
        files = parquet(folder, SAMPLES if n % 2 else TIERS)
        file = chance.choice(files)
        at, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
        flip(file, at, bit)
        rows = reader.read(PATHS, 0, 2 * T0)
        got = reader.aggregate("a/x", T0, T0 + 2 * DAY, 3_600_000).mean
        gaps = reader.gaps(0, 4 * T0)
        assert np.allclose(got, means, rtol=1e-9, equal_nan=True)
        assert rows.same_as(true) or (gaps and len(rows) < len(true))
        assert bool(gaps) == bool(n % 2)
        flip(file, at, bit)  # whole again
    assert reader.read(PATHS, 0, 2 * T0).same_as(true)
    assert reader.gaps(0, 4 * T0) == []
    reader.close()


def test_the_twin_sets_aside_what_a_reader_found(folder):
    writer = opened(folder)
    file = parquet(folder)[1]
    flip(file, 2000)
    rows, _, (told,) = content(folder)
    writer.retain(T0 + 2 * DAY)
    assert not file.exists()
    assert (folder / ASIDE / SAMPLES / file.name).exists()
    with contextlib.closing(KIND.reader(folder)) as reader:
        assert reader.gaps(0, 4 * T0) == [told]
        assert reader.read(PATHS, 0, 2 * T0).same_as(rows)
        assert [g for _, g in reader.changes(0, 10**6).gaps] == [told]
    writer.close()


def test_a_file_that_was_away_comes_back_by_itself(folder):
    true, _, _ = content(folder)
    file = parquet(folder)[0]
    away = file.rename(folder / "away")
    opened(folder).close()
    assert len(content(folder)[0]) < len(true)
    away.rename(file)
    opened(folder).close()
    assert content(folder)[0].same_as(true)


def test_wrong_cells_are_made_anew_of_the_rows(folder):
    _, means, _ = content(folder)
    for file in parquet(folder, TIERS):
        flip(file, 300)
    writer = opened(folder)
    writer.retain(T0 + 2 * DAY + 7_200_000, force=True)
    writer.retain(T0 + 2 * DAY + 7_200_000, force=True)
    _, hours, gaps = content(folder)
    assert np.allclose(hours, means, equal_nan=True)
    assert gaps == []
    tiers = {name for (name,) in writer.database.execute("SELECT DISTINCT tier FROM tier")}
    assert tiers == {"minute", "hour", "day"}
    writer.close()


def test_a_good_file_is_never_replaced_by_a_wrong_one(tmp_path):
    folder = tmp_path / "historian"
    writer = Embedded(kind="embedded", merge=2).writer(folder)
    writer.declare([Series("a/x")])
    for k in range(3):
        rows = SampleBatch.of([0] * 100, T0 + np.arange(100) * 3 + k, np.arange(100.0))
        writer.write(Commit(rows), T0 + k)
        writer.retain(T0, force=True)
        if not k:
            flip(parquet(folder)[0], 50)
    rows, _, (gap,) = content(folder)
    assert len(rows) == 200
    assert gap.samples == 100
    assert len(parquet(folder / ASIDE)) == 1
    writer.close()


def test_the_files_of_an_earlier_version_get_their_check_sums(folder):
    opened(folder).close()
    with contextlib.closing(connect(folder / FILE)) as db:
        db.execute("UPDATE segment SET crc = NULL")
        db.execute("UPDATE tier SET crc = NULL")
    true, _, _ = content(folder)
    writer = opened(folder)
    for _ in range(9):
        writer.retain(T0 + 2 * DAY)
    query = "SELECT count(*) FROM (SELECT crc FROM segment UNION ALL SELECT crc FROM tier)"
    assert writer.database.execute(f"{query} WHERE crc IS NULL").get == 0
    writer.close()
    assert content(folder)[0].same_as(true)


def test_a_wrong_file_without_a_check_sum_breaks_no_connection(folder):
    opened(folder).close()
    with contextlib.closing(connect(folder / FILE)) as db:
        db.execute("UPDATE segment SET crc = NULL")
    file = parquet(folder)[0]
    raw = bytearray(file.read_bytes())
    raw[-4:] = b"PARX"
    file.write_bytes(raw)
    rows, _, (gap,) = content(folder)
    assert gap.samples + len(rows) == 2 * 2 * DAY // 10_000 + 2
    writer = opened(folder)
    late = SampleBatch.of([0] * 2, [T0 + 10_000, T0 + DAY + 10_000], [5.0, 5.0])
    writer.write(Commit(late), T0 + 3 * DAY)  # looks for rows of that time in the files
    assert len(content(folder)[0]) >= len(rows)
    rows = content(folder)[0]
    writer.retain(T0 + 4 * DAY, force=True)
    assert len(content(folder)[0]) == len(rows)
    assert len(parquet(folder / ASIDE)) == 1
    writer.close()


def test_somebody_elses_file_in_the_folder_is_kept(folder):
    note = folder / SAMPLES / "notes.txt"
    note.write_text("mine")
    stranger = folder / SAMPLES / "2025-01-01_0123abcd-1-0000beef.parquet"
    stranger.write_bytes(b"of another historian")
    opened(folder).close()
    assert (folder / ASIDE / SAMPLES / note.name).read_text() == "mine"
    assert (folder / ASIDE / SAMPLES / stranger.name).exists()
    assert content(folder)[2] == []


def as_an_earlier_version_was_killed(file, target, version):
    """The same content without sums, its log beside it; in ``version`` 2 without their columns."""
    with contextlib.closing(apsw.Connection(str(target), vfs="unix")) as plain:
        plain.pragma("auto_vacuum", "incremental")
        plain.execute("ATTACH ? AS old", (str(file),))
        for name, sql in plain.execute(
            "SELECT name, sql FROM old.sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
            " ORDER BY type DESC"
        ).fetchall():
            plain.execute(sql)
            if sql.startswith("CREATE TABLE"):
                plain.execute(f"INSERT INTO main.{name} SELECT * FROM old.{name}")
        plain.pragma("application_id", plain.execute("PRAGMA old.application_id").get)
        plain.execute("DETACH old")
        plain.pragma("journal_mode", "wal")
        plain.pragma("user_version", version)
        if version < VERSION:
            plain.execute("ALTER TABLE segment DROP COLUMN crc; ALTER TABLE tier DROP COLUMN crc;")
            plain.execute(
                "DROP TABLE aside; DELETE FROM fact WHERE name IN ('generation', 'named')"
            )
        plain.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    for end in ("", "-wal"):
        shutil.copy(f"{target}{end}", f"{file}{end}")


@pytest.mark.parametrize("version", [2, VERSION])
@pytest.mark.parametrize("many", [1, 4000])
def test_an_earlier_version_that_was_killed_is_brought_up_to_date_whole(tmp_path, version, many):
    """4,000 texts are more than SQLite holds in memory: pages reach the disk in any order."""
    folder = tmp_path / "电机 壳线?#%20" / "historian"
    writer = opened(folder)
    texts = [Text(0, T0 + k, f"{k} " * 200) for k in range(many)]
    rows = SampleBatch.of([0] * 3, [T0, T0 + 1, T0 + 2], [1.0, 2.0, 3.0])
    writer.write(Commit(rows, texts=texts, gaps=[Gap("e", 1, 2, 3, "why")]), T0)
    writer.close()
    if not checks_pages():
        pytest.skip("this apsw has no cksumvfs")
    as_an_earlier_version_was_killed(folder / FILE, tmp_path / "plain", version)
    (folder / LAST).unlink(missing_ok=True)
    (folder / f"{FILE}.summed").write_bytes(b"a start that was killed while it did this")
    with contextlib.closing(apsw.Connection(str(folder / FILE), vfs="unix")) as old:
        assert old.reserve_bytes("main", -1) == 0
        old.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    again = opened(folder)
    assert again.database.reserve_bytes("main", -1) == 8
    assert damage_of(again.database, whole=True) == ""
    assert not list(folder.glob(f"{FILE}.summed*"))
    again.close()
    with contextlib.closing(KIND.reader(folder)) as reader:
        assert [t.text for t in reader.texts(["a/x"], 0, 2 * T0)] == [t.text for t in texts]
        assert [g.reason for g in reader.gaps(0, 4 * T0)] == ["why"]
        assert len(reader.read(["a/x"], 0, 2 * T0)) == 3
    assert not (folder / ASIDE).exists()


@pytest.mark.parametrize("refused", ["VACUUM INTO", "VACUUM"])
def test_where_pages_cannot_get_their_sums_the_older_file_is_used_as_it_is(
    tmp_path, monkeypatch, refused
):
    folder = tmp_path / "historian"
    writer = opened(folder)
    writer.write(Commit(SampleBatch.of([0], [T0], [1.0])), T0)
    writer.close()
    if not checks_pages():
        pytest.skip("this apsw has no cksumvfs")
    as_an_earlier_version_was_killed(folder / FILE, tmp_path / "plain", 2)
    (folder / LAST).unlink(missing_ok=True)

    def full(path, flags=None):
        def trace(_cursor, statement, _bindings):
            if statement.startswith(refused) and statement != "VACUUM INTO ?" * (
                refused == "VACUUM"
            ):
                raise apsw.FullError("database or disk is full")
            return True

        connection = connect(path, flags)
        connection.exec_trace = trace
        return connection

    monkeypatch.setattr(opening, "connect", full)
    monkeypatch.setattr(database, "connect", full)
    again = opened(folder)
    again.write(Commit(SampleBatch.of([0], [T0 + 1], [2.0])), T0 + 1)
    again.close()
    monkeypatch.undo()
    last = opened(folder)
    assert last.database.reserve_bytes("main", -1) == 8
    last.close()
    assert len(content(folder)[0]) == 2
    assert not (folder / ASIDE).exists()


@pytest.mark.parametrize("gone", ["folder", "file", "other"])
def test_nothing_is_acknowledged_into_a_file_that_was_taken_away(folder, gone):
    writer = opened(folder)
    if gone == "folder":
        shutil.rmtree(folder)
    elif gone == "file":
        (folder / FILE).unlink()
    else:
        shutil.copy(folder / FILE, folder / "copy")
        (folder / "copy").rename(folder / FILE)
    with pytest.raises(Condemned, match="taken away while it is in use"):
        writer.write(Commit(SampleBatch.of([0], [T0 + 3 * DAY], [1.0])), T0 + 3 * DAY)
    with pytest.raises(Condemned, match="taken away while it is in use"):
        writer.retain(T0 + 3 * DAY, force=True)
    writer.close()
    again = opened(folder)
    again.write(Commit(SampleBatch.of([0], [T0 + 3 * DAY], [1.0])), T0 + 3 * DAY)
    again.close()


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_start_killed_while_it_sets_a_database_aside_is_made_up_for(folder, how):
    if how == "damaged":
        flip(folder / FILE, 5000)
    else:
        for end in ("", "-wal", "-shm"):
            (folder / f"{FILE}{end}").unlink(missing_ok=True)
    connection, lost = opening.open_writable(folder)
    assert lost
    connection.close()  # killed here
    files = len(parquet(folder))
    opened(folder).close()
    _, _, gaps = content(folder)
    assert [g for g in gaps if "set aside" in g.reason and lost.name in g.reason]
    assert len(parquet(folder)) + len(parquet(folder / ASIDE)) >= files
    opened(folder).close()
    assert len(content(folder)[2]) == len(gaps), "once"
