"""What only the embedded historian promises: its folder, its processes, its crashes, backups."""

import fcntl
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import apsw
import numpy as np
import pytest

from plant.errors import ConfigError, Unavailable
from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import SampleBatch
from twin.backup import backup, restore
from twin.historian.embedded import Embedded
from twin.historian.store import FILE, SAMPLES, VERSION

KIND = Embedded(kind="embedded")
T0 = 1_760_000_000_000


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "historian"


@pytest.fixture
def writer(folder):
    w = KIND.writer(folder)
    w.declare([Series("a/x"), Series("a/y")])
    yield w
    w.close()


def put(writer, *times, value=None, mark=None):
    times = np.array(times)
    values = times.astype(float) if value is None else np.full(len(times), value)
    marks = [Mark("g/e", "r", mark)] if mark else []
    writer.write(Commit(SampleBatch.of(np.zeros(len(times)), times, values), marks=marks), 1)


def test_no_historian_yet_is_unavailable_and_then_there(folder):
    reader = KIND.reader(folder)
    with pytest.raises(Unavailable, match="yet"):
        reader.read(["a/x"], 0, 1)
    writer = KIND.writer(folder)
    assert len(reader.read(["a/x"], 0, 1)) == 0
    writer.close()
    reader.close()


def test_a_second_writer_is_refused(writer, folder):
    with pytest.raises(Unavailable, match="another process"):
        KIND.writer(folder)


def test_a_newer_folder_is_refused(writer, folder):
    writer.close()
    with apsw.Connection(str(folder / FILE)) as db:
        db.pragma("user_version", VERSION + 1)
    db.close()
    for opened in (lambda: KIND.writer(folder), lambda: KIND.reader(folder).series()):
        with pytest.raises(ConfigError, match="newer Kaikou"):
            opened()


def test_a_file_that_nobody_names_is_removed_at_the_start(writer, folder):
    put(writer, 1, 2, 3)
    writer.retain(0, force=True)
    writer.close()
    orphan = folder / SAMPLES / "2025-01-01_00.parquet"
    orphan.write_bytes(b"half a file")
    part = folder / SAMPLES / ".2025-01-01_00.parquet.part"
    part.write_bytes(b"half")
    again = KIND.writer(folder)
    assert not orphan.exists()
    assert not part.exists()
    assert len(list((folder / SAMPLES).iterdir())) == 1
    again.close()


def test_sealing_waits_until_it_is_due(folder):
    w = Embedded(kind="embedded", seal_rows=4).writer(folder)
    w.declare([Series("a/x")])
    put(w, 1, 2, 3)
    w.retain(0)
    assert not list((folder / SAMPLES).iterdir())
    put(w, 4)
    w.retain(0)
    assert len(list((folder / SAMPLES).iterdir())) == 1
    w.close()


def test_merged_files_stay_for_readers_that_know_their_names(folder, monkeypatch):
    w = Embedded(kind="embedded", merge=2).writer(folder)
    w.declare([Series("a/x")])
    for k in range(6):
        put(w, T0 + 10 * k, T0 + 5)
        w.retain(0, force=True)
    files = {f.name for f in (folder / SAMPLES).iterdir()}
    named = {row[0] for row in w.database.execute("SELECT file FROM segment")}
    assert len(named) < 6
    assert len(files) > len(named)
    monkeypatch.setattr("twin.historian.retain.RETIRED_KEEP_S", -1)
    w.retain(0)
    assert {f.name for f in (folder / SAMPLES).iterdir()} == named
    reader = KIND.reader(folder)
    assert reader.read(["a/x"], 0, 2 * T0).source_time.tolist() == sorted(
        {T0 + 10 * k for k in range(6)} | {T0 + 5}
    )
    reader.close()
    w.close()


def test_a_reader_whose_file_was_merged_away_asks_again(folder, monkeypatch):
    w = Embedded(kind="embedded", merge=2).writer(folder)
    w.declare([Series("a/x")])
    for k in range(3):
        put(w, T0 + k)
        w.retain(0, force=True)
    reader = KIND.reader(folder)
    scan = reader.manifest.scan

    def late(*given):
        monkeypatch.setattr(reader.manifest, "scan", scan)
        monkeypatch.setattr("twin.historian.retain.RETIRED_KEEP_S", -1)
        put(w, T0 + 3)
        w.retain(0, force=True)
        w.retain(0)
        return scan(*given)

    monkeypatch.setattr(reader.manifest, "scan", late)
    assert len(reader.read(["a/x"], 0, 2 * T0)) in (3, 4)
    reader.close()
    w.close()


def test_what_is_stored_survives_a_restart_before_sealing(writer, folder):
    put(writer, 1, 2, 3, mark=7)
    writer.close()
    again = KIND.writer(folder)
    again.declare([Series("a/y"), Series("a/x")])
    again.write(Commit(SampleBatch.of([1, 1], [3, 4], [3.0, 4.0])), 1)
    reader = KIND.reader(folder)
    assert reader.read(["a/x"], 0, 99).value.tolist() == [1, 2, 3, 4]
    assert dict(again.marks()) == {("g/e", "r"): 7}
    reader.close()
    again.close()


def test_a_full_disk_is_unavailable_and_nothing_is_half_written(writer, folder):
    put(writer, 1, mark=1)
    pages = writer.database.pragma("page_count")
    writer.database.pragma("max_page_count", pages)
    many = SampleBatch.of(np.ones(9000), np.arange(9000), np.random.default_rng(1).random(9000))
    commit = Commit(many, marks=[Mark("g/e", "r", 2)])
    with pytest.raises(Unavailable, match="full"):
        writer.write(commit, 5)
    assert dict(writer.marks()) == {("g/e", "r"): 1}
    reader = KIND.reader(folder)
    assert [s.path for s in reader.series()] == ["a/x"]
    writer.database.pragma("max_page_count", 10**9)
    assert writer.write(commit, 5) == 5
    assert len(reader.read(["a/y"], 0, 10**4)) == 9000
    reader.close()


def test_a_disk_that_does_not_take_a_segment_loses_nothing(writer, folder):
    put(writer, 1, 2)
    samples = folder / SAMPLES
    samples.rmdir()
    with pytest.raises(Unavailable):
        writer.retain(0, force=True)
    samples.mkdir()
    put(writer, 3)
    writer.retain(0, force=True)
    reader = KIND.reader(folder)
    assert reader.read(["a/x"], 0, 9).value.tolist() == [1, 2, 3]
    reader.close()


def test_retention_keeps_the_last_row_before_the_cut(folder):
    day = 86_400_000
    w = Embedded(kind="embedded", retention_days=2).writer(folder)
    w.declare([Series("a/x"), Series("a/y"), Series("a/z")])
    for d in range(1, 6):
        rows = SampleBatch.of([0, 0, 1], [d * day, d * day + 9, d * day], [d, d + 0.5, d])
        w.write(Commit(rows if d < 3 else rows.take([0, 1])), d * day + 10)
        w.retain(d * day, force=True)
    reader = KIND.reader(folder)
    now = 5 * day + 10
    w.retain(now)
    w.retain(now)
    kept = reader.read(["a/x", "a/y"], 0, 10 * day)
    x = kept.source_time[kept.signal == 0].tolist()
    assert x == [2 * day + 9, *(t for d in (3, 4, 5) for t in (d * day, d * day + 9))]
    assert kept.source_time[kept.signal == 1].tolist() == [2 * day]
    assert reader.as_of(["a/y"], now).value.tolist() == [2.0]
    late = SampleBatch.of([2, 2, 0], [day, day + 1, now], [1.0, 2.0, 3.0])
    w.write(Commit(late, marks=[Mark("g/e", "r", 9)]), now)
    (gap,) = reader.gaps(0, now)
    assert (gap.edge, gap.first, gap.last, gap.samples) == ("g/e", day, day + 1, 2)
    assert (gap.reason, gap.signals) == ("older than retention", ("a/z",))
    assert dict(w.marks()) == {("g/e", "r"): 9}
    reader.close()
    w.close()


WRITER = """
import sys
from pathlib import Path
from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from twin.historian.embedded import Embedded
w = Embedded(kind="embedded", merge=3).writer(Path(sys.argv[1]))
w.declare([Series("a/x"), Series("a/y")])
for k in range(int(sys.argv[2])):
    w.write(Commit(SampleBatch.of([0, 1], [k, k], [k, k])), k)
    if k % 5 == 4:
        w.retain(0, force=True)
w.close()
"""


def test_readers_in_other_processes_and_threads_see_every_commit_whole(folder):
    """Every read is a prefix of what the writer, another process, commits; none goes back."""
    KIND.writer(folder).close()
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), "150"])
    reader = KIND.reader(folder)
    wrong, seen = [], [0, 0]

    def follow(n):
        while True:
            ended = process.poll() is not None
            rows = reader.read(["a/x", "a/y"], 0, 10**6)
            count = len(rows) // 2
            expected = list(range(count)) * 2
            if rows.value.tolist() != expected or count < seen[n]:
                wrong.append((rows.value.tolist(), seen[n]))
            seen[n] = count
            if ended:
                return

    threads = [threading.Thread(target=follow, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.close()
    assert process.wait() == 0
    assert not wrong
    assert seen == [150, 150]


@pytest.mark.timeout(600)
def test_a_kill_at_any_line_leaves_everything_whole_or_undone(tmp_path):
    script = Path(__file__).with_name("kill_at_every_line.py")
    command = [sys.executable, str(script), str(tmp_path), "3", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["wrong"] == []
    assert report["killed"] >= 15
    assert sum(n > 0 for n in report["states"]) >= 3  # before, in between and after


# ---------------------------------------------------------------------------------- backup


def test_a_backup_of_a_running_historian_comes_back(writer, folder, tmp_path):
    put(writer, T0, T0 + 1, mark=3)
    writer.retain(0, force=True)
    put(writer, T0 + 2)
    told = []
    kept = backup(folder, tmp_path / "b.tar", lambda done, of: told.append((done, of)))
    assert kept.rows == 3
    assert told[-1][0] == told[-1][1]
    put(writer, T0 + 3)
    restore(tmp_path / "b.tar", tmp_path / "new" / "historian")
    reader = KIND.reader(tmp_path / "new" / "historian")
    assert reader.read(["a/x"], 0, 2 * T0).source_time.tolist() == [T0, T0 + 1, T0 + 2]
    (gap,) = reader.gaps(0, 10**15)
    assert gap.edge == "g/e"
    assert gap.reason.startswith("restored from a backup")
    reader.close()
    assert not list(folder.glob(".backup*"))


def test_a_backup_of_a_database_larger_than_its_cache_has_right_sums(writer, folder, tmp_path):
    noise = np.random.default_rng(1)
    for n in range(10):  # 8 MB that no compression makes smaller
        times = T0 + np.arange(n * 50_000, (n + 1) * 50_000)
        rows = SampleBatch.of(np.zeros(len(times)), times, noise.random(len(times)))
        writer.write(Commit(rows), 1 + n)
    assert (folder / "historian.sqlite").stat().st_size > 4 << 20
    assert backup(folder, tmp_path / "b.tar").rows == 500_000
    restore(tmp_path / "b.tar", tmp_path / "new" / "historian")
    reader = KIND.reader(tmp_path / "new" / "historian")
    assert len(reader.read(["a/x"], 0, 2 * T0)) == 500_000
    reader.close()


def test_a_backup_says_what_is_damaged_and_its_restore_leaves_a_gap(writer, folder, tmp_path):
    put(writer, T0, T0 + 1)
    writer.retain(0, force=True)
    put(writer, T0 + 2)
    for file in (folder / SAMPLES).iterdir():
        file.unlink()
    kept = backup(folder, tmp_path / "b.tar")
    assert "1 files are damaged or missing" in str(kept)
    restore(tmp_path / "b.tar", tmp_path / "new" / "historian")
    reader = KIND.reader(tmp_path / "new" / "historian")
    assert reader.read(["a/x"], 0, 2 * T0).source_time.tolist() == [T0 + 2]
    assert [g.samples for g in reader.gaps(T0, T0 + 1) if "is missing" in g.reason] == [2]
    reader.close()


def test_what_a_killed_backup_left_goes_with_the_next_and_one_that_runs_stays(
    writer, folder, tmp_path
):
    put(writer, 1)
    for name in ("killed", "runs", "begins"):
        (folder / f".backup-{name}").mkdir()
        (folder / f".backup-{name}" / FILE).write_bytes(b"a copy")
        if name != "begins":
            os.utime(folder / f".backup-{name}", (T0 / 1000, T0 / 1000))
    held = os.open(folder / ".backup-runs", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    backup(folder, tmp_path / "b.tar")
    os.close(held)
    assert sorted(p.name for p in folder.glob(".backup-*")) == [".backup-begins", ".backup-runs"]


def test_nothing_is_overwritten(writer, folder, tmp_path):
    put(writer, 1)
    target = tmp_path / "b.tar"
    backup(folder, target)
    with pytest.raises(ConfigError, match="never overwritten"):
        backup(folder, target)
    with pytest.raises(ConfigError, match="never restored over"):
        restore(target, folder)


@pytest.mark.parametrize("harm", ["cut", "flip", "stranger", "rubbish"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(writer, folder, tmp_path, harm):
    put(writer, 1, 2)
    writer.retain(0, force=True)
    target = tmp_path / "b.tar"
    backup(folder, target)
    data = bytearray(target.read_bytes())
    if harm == "cut":
        data = data[: len(data) // 2]
    elif harm == "flip":
        with tarfile.open(target) as archive:
            (parquet,) = [m for m in archive if m.name.endswith(".parquet")]
        data[parquet.offset_data + 10] ^= 1
    elif harm == "rubbish":
        data = bytearray(b"not a tar")
    target.write_bytes(data)
    if harm == "stranger":
        with tarfile.open(target, "a") as archive:
            archive.add(__file__, "../evil.parquet")
    with pytest.raises(ConfigError):
        restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))
