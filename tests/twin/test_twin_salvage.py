"""What was set aside is brought back: files, cells, a database; what is there twice is one."""

import contextlib
import shutil

import numpy as np
import pytest

from plant.flow.port import Commit, Series
from plant.flow.sample import Event, SampleBatch, Text
from tests.twin.test_twin_damage import DAY, KIND, PATHS, T0, content, fill, flip, in_child, parquet
from twin.historian.embedded import Embedded
from twin.historian.salvage import salvage
from twin.historian.store import ASIDE, FILE, SAMPLES, TIERS
from twin.historian.verify import verify

NOW = T0 + 2 * DAY + 7_200_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "historian"
    in_child(lambda: filled(folder))
    return folder


def filled(folder):
    writer = fill(folder)
    writer.write(
        Commit(SampleBatch.empty(), texts=[Text(1, T0, "A7")], events=[Event(T0, "a", "k")]), NOW
    )
    return writer


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "historian")


def quiet(_file, _number, _many):
    """Nobody looks."""


def brought_back(folder, rename=None):
    with contextlib.closing(KIND.writer(folder)) as writer:
        return salvage(writer, rename or {}, quiet, NOW)


def files(folder):
    return list((folder / ASIDE).rglob("*.parquet"))


def test_a_damaged_database_and_its_files_are_brought_back_whole(folder):
    true, means, _ = content(folder)
    flip(folder / FILE, 4096 * 3 + 100)
    KIND.writer(folder).close()
    assert len(content(folder)[0]) == 0
    found = brought_back(folder)
    assert (found.rows, found.left) == (len(true), [])
    rows, hours, gaps = content(folder)
    assert rows.same_as(true)
    assert np.array_equal(rows.received_time, true.received_time)
    assert np.allclose(hours, means, equal_nan=True)
    assert gaps == []  # nothing is missing any more
    assert files(folder) == []
    with contextlib.closing(KIND.reader(folder)) as reader:
        assert [t.text for t in reader.texts(["a/y"], 0, 2 * T0)] == ["A7"]
        assert [e.kind for e in reader.events(0, 2 * T0)] == ["k"]
    assert str(brought_back(folder)) == "nothing is set aside"


def test_files_say_their_signals_where_the_database_is_gone(folder):
    true, means, _ = content(folder)
    for end in ("", "-wal", "-shm"):
        (folder / f"{FILE}{end}").unlink()
    with contextlib.closing(KIND.writer(folder)) as writer:  # others come first: other ids
        writer.declare([Series("z/z"), Series("b/x"), Series("a/y")])
        writer.write(Commit(SampleBatch.of([0, 1], [NOW, NOW], [1.0, 2.0])), NOW)
    assert brought_back(folder, {"a/x": Series("b/x")}).left == []
    with contextlib.closing(KIND.reader(folder)) as reader:
        rows = reader.read(["b/x", "a/y"], 0, T0 + 2 * DAY)
        before = true.take(true.source_time < T0 + 2 * DAY)
        assert rows.same_as(before)
        hours = reader.aggregate("b/x", T0, T0 + 2 * DAY, 3_600_000).mean
        assert np.allclose(hours, means, equal_nan=True)
        assert reader.gaps(0, 4 * T0)  # the hot rows and texts are lost


def test_a_wrong_file_stays_set_aside_and_the_others_come_back(folder):
    for end in ("", "-wal", "-shm"):
        (folder / f"{FILE}{end}").unlink()
    bad = parquet(folder)[0].name
    flip(folder / SAMPLES / bad, 5000)
    found = brought_back(folder)
    assert [bad in line and "check-sum" in line for line in found.left] == [True]
    assert [f.name for f in files(folder) if f.parent.name == SAMPLES] == [bad]
    rows, _, gaps = content(folder)
    assert len(rows) == found.rows > 0
    assert gaps


def test_what_is_there_already_changes_nothing(folder):
    true, _, _ = content(folder)
    for file in parquet(folder):
        (folder / ASIDE / SAMPLES).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / ASIDE / SAMPLES / file.name)
    found = brought_back(folder)
    assert (found.files, found.rows, found.left) == (2, 0, [])
    assert content(folder)[0].same_as(true)
    assert files(folder) == []


def test_cells_whose_rows_are_gone_come_back_and_no_late_row_spoils_them(folder):
    _, means, _ = content(folder)
    for end in ("", "-wal", "-shm"):
        (folder / f"{FILE}{end}").unlink()
    for file in parquet(folder):
        file.unlink()
    found = brought_back(folder)
    assert found.cells > 0
    _, hours, _ = content(folder)
    assert np.allclose(hours, means, equal_nan=True)
    assert not list((folder / ASIDE / TIERS).iterdir())
    with contextlib.closing(KIND.writer(folder)) as writer:
        writer.declare([Series(path) for path in PATHS])
        writer.write(Commit(SampleBatch.of([0], [T0 + 5], [9.0])), NOW)
        writer.retain(NOW, force=True)
    _, hours, gaps = content(folder)
    assert np.allclose(hours, means, equal_nan=True)
    assert any("older than retention" in g.reason for g in gaps)


def test_verify_tells_what_is_wrong_and_the_twin_sets_it_aside(folder):
    with contextlib.closing(Embedded(kind="embedded").writer(folder)) as writer:
        verdict = verify(folder, quiet)
        assert verdict.whole
        assert verdict.files == len(parquet(folder)) + len(parquet(folder, TIERS))
        file = parquet(folder)[0]
        flip(file, 4000)
        verdict = verify(folder, quiet)
        assert [file.name in line for line in verdict.wrong] == [True]
        writer.retain(NOW)
        verdict = verify(folder, quiet)
        assert verdict.whole
        assert [file.name in line for line in verdict.aside] == [True]
        assert "kaikou history adopt" in str(verdict)
