"""The outbox's file: transactions, bounds, reopening, what is refused."""

import contextlib
import subprocess
from collections import Counter

import apsw
import pytest

from plant.errors import ConfigError, Unavailable
from plant.outbox.admission import DISK_FULL, NOT_TAKEN, OUTBOX_FULL, Admission
from plant.outbox.bound import DROPPED
from plant.outbox.file import DAMAGED, OutboxFile
from plant.outbox.note import LossNote
from plant.outbox.row import Change, Loss, NewRow, RowClass
from plant.outbox.schema import VERSION


def gap_row(loss: Loss) -> NewRow:
    return NewRow("", RowClass.GAP, loss.first, loss.last, 0, repr(loss).encode())


def row(n: int, device: str = "lathe", size: int = 100, row_class=RowClass.SAMPLE) -> NewRow:
    return NewRow(device, row_class, n, n + 10, 5, n.to_bytes(4, "big") + bytes(size - 4))


def opened(path, run="r1", **options) -> OutboxFile:
    return OutboxFile(path / "outbox.db", run, gap_row, **options)


def truth(file: OutboxFile) -> None:
    """The counts kept along are those of the table."""
    for name, run in file.runs.items():
        found = list(
            file._db.execute(
                "SELECT device, length(metrics) FROM row WHERE id > ? AND id <= ?",
                (run.base, run.last),
            )
        )
        assert run.rows == len(found), name
        assert run.bytes == sum(size + 64 for _, size in found)
        assert run.devices == Counter(device for device, _ in found)
    total = file._db.execute("SELECT count(*) FROM row").get
    assert file.count.rows == total


def test_rows_are_read_back_in_order(tmp_path):
    file = opened(tmp_path)
    outcome = file.write(Change([row(1), row(2, "mill")]))
    assert [(k.run, k.offset) for k in outcome.kept] == [("r1", 1), ("r1", 2)]
    file.write(Change([row(3)]))
    assert [k.offset for k in file.read("r1", 0, 10**6)] == [1, 2, 3]
    assert [k.offset for k in file.read("r1", 1, 1)] == [2], "at least one"
    assert file.read("r1", 1, 10**6)[0].row == row(2, "mill")
    assert file.read("other", 0, 10**6) == []
    truth(file)
    file.close()


def test_acknowledged_rows_go_and_offsets_are_never_used_again(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1), row(2), row(3)]))
    file.write(Change(acked={"r1": 2}))
    assert file.runs["r1"].acked == 2
    assert [k.offset for k in file.read("r1", 0, 10**6)] == [3]
    file.write(Change(acked={"r1": 1}))
    assert file.runs["r1"].acked == 2, "cumulative: never back"
    file.write(Change(acked={"r1": 3}))
    assert file.count.rows == 0
    assert file.write(Change([row(4)])).kept[0].offset == 4, "also after the queue was empty"
    truth(file)
    file.close()


def test_runs_survive_a_restart(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1), row(2)], state={"saw/count": {"total": 7}}, trusted_ms=99))
    file.write(Change(acked={"r1": 1}))
    file.close()
    file = opened(tmp_path, "r2")
    assert [(r.name, r.acked, r.kept, r.rows) for r in file.runs.values()] == [
        ("r1", 1, 2, 1),
        ("r2", 0, 0, 0),
    ]
    assert file.state == {"saw/count": {"total": 7}}
    assert file.trusted_ms == 99
    assert file.write(Change([row(3)])).kept[0].offset == 1
    assert [k.offset for k in file.read("r1", 1, 10**6)] == [2]
    truth(file)
    file.write(Change(acked={"r1": 99}))
    assert "r1" not in file.runs, "an ack above the last row of an ended run empties it"
    truth(file)
    file.close()
    file = opened(tmp_path, "r3")
    assert [r.name for r in file.runs.values()] == ["r2", "r3"]
    assert file.trusted_ms == 99
    file.close()


def test_an_empty_run_is_forgotten_at_the_next_start(tmp_path):
    opened(tmp_path, "r1").close()
    file = opened(tmp_path, "r2")
    assert list(file.runs) == ["r2"]
    file.close()


def test_moving_unacknowledged_rows_into_a_new_run(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1), row(2), row(3)]))
    new = file.move("r9", {"r1": 1})
    assert (new.name, new.kept, new.acked, file.current) == ("r9", 2, 0, "r9")
    assert [k.offset for k in file.read("r9", 0, 10**6)] == [1, 2]
    assert file.write(Change([row(4)])).kept[0].offset == 3
    truth(file)
    file.close()
    file = opened(tmp_path, "r10")
    assert [(r.name, r.kept) for r in file.runs.values()] == [("r9", 3), ("r10", 0)]
    file.close()


def test_the_oldest_rows_of_the_lowest_class_go_with_a_gap_record(tmp_path):
    file = opened(tmp_path, max_bytes=20_000)
    kept = [file.write(Change([row(1, size=200, row_class=RowClass.EVENT)]))]
    outcome = None
    for n in range(2, 200):
        outcome = file.write(Change([row(n, size=200)]))
        kept.append(outcome)
        assert file.count.bytes <= 20_000 + 1000, "the bound, and at most the records"
        truth(file)
    dropped = [offset for o in kept for _, offset in o.dropped]
    assert dropped == sorted(dropped)
    assert 1 not in dropped, "the event stays"
    assert file.count.dropped_rows == len(dropped)
    records = [k.row for o in kept for k in o.kept if k.row.row_class is RowClass.GAP]
    assert len(records) == sum(1 for o in kept if o.dropped), "in the same transaction"
    assert len(list(file._db.execute("SELECT 1 FROM loss"))) < 80, "records are merged"
    lost = sum(n for (n,) in file._db.execute("SELECT samples FROM loss"))
    assert lost == file.count.dropped_samples == 5 * len(dropped), "nothing uncounted"
    offsets = [k.offset for k in file.read("r1", 0, 10**9)]
    assert set(offsets).isdisjoint(dropped)
    file.close()


def test_many_gap_records_are_merged_without_loss(tmp_path):
    file = opened(tmp_path, max_bytes=12_800)
    for n in range(1, 2000):
        file.write(Change([row(n, size=200)]))
    records = list(file._db.execute("SELECT first, last, samples, reason FROM loss"))
    assert len(records) <= 65
    assert sum(r[2] for r in records) == file.count.dropped_samples
    assert min(r[0] for r in records) == 1
    assert {r[3] for r in records} == {DROPPED}
    truth(file)
    file.close()


def test_refuse_new_counts_and_records(tmp_path):
    file = opened(tmp_path, max_bytes=2_000, drops=False)
    admission = Admission(file, keep_free=0)
    refused = 0
    for n in range(1, 40):
        refused += bool(admission.commit(Change([row(n)])).refused)
    assert refused == file.count.refused_rows > 20
    assert file.count.dropped_rows == 0
    outcome = admission.commit(Change([row(50)], acked={"r1": 5}))
    assert not outcome.refused, "room again"
    records = list(file._db.execute("SELECT samples, reason FROM loss"))
    assert sum(r[0] for r in records) == file.count.refused_samples, "each refused one is in one"
    assert {r[1] for r in records} == {OUTBOX_FULL}
    truth(file)
    file.close()


def test_disk_full_stops_acceptance_records_it_and_recovers(tmp_path):
    """The page limit stands for the disk: SQLite says the same."""
    now = [0.0]
    file = opened(tmp_path, page_limit=200)
    admission = Admission(file, keep_free=0, monotonic=lambda: now[0])
    accepted, refused = [], 0
    for n in range(1, 300):
        now[0] += 0.25
        outcome = admission.commit(Change([row(n, size=4000)]))
        accepted += [k for k in outcome.kept if k.row.row_class is RowClass.SAMPLE]
        refused += bool(outcome.refused)
    assert refused == 299 - len(accepted) == file.count.refused_rows > 100
    records = list(file._db.execute("SELECT samples, reason FROM loss"))
    assert records, "written into the reserved pages while the disk is full"
    assert {r[1] for r in records} == {DISK_FULL}
    held = [k.offset for k in file.read("r1", 0, 10**9)]
    assert set(held) >= {k.offset for k in accepted}, "what was accepted is there"
    assert file._db.execute("PRAGMA integrity_check").get == "ok"
    now[0] += 2
    outcome = admission.commit(Change(acked={"r1": 60}))
    now[0] += 2
    outcome = admission.commit(Change([row(500, size=4000)]))
    assert not outcome.refused
    assert file.reserved, "the reserve was filled again first"
    lost = sum(n for (n,) in file._db.execute("SELECT samples FROM loss"))
    assert lost == file.count.refused_samples, "every refused sample is in a record"
    truth(file)
    file.close()


def test_acknowledgements_free_room_on_a_full_disk(tmp_path):
    file = opened(tmp_path, page_limit=200)
    admission = Admission(file, keep_free=0)
    while not admission.commit(Change([row(1, size=4000)])).refused:
        pass
    rows = file.count.rows
    admission.commit(Change([row(2, size=4000)], acked={"r1": 10}))
    assert file.count.rows <= rows - 9
    truth(file)
    file.close()


def test_free_bytes_of_the_disk_are_left_to_others(tmp_path):
    free = [10**9]
    file = opened(tmp_path)
    admission = Admission(file, keep_free=10**6, free=lambda: free[0])
    assert not admission.commit(Change([row(1)])).refused
    free[0] = 10**5
    assert admission.commit(Change([row(2)])).refused == DISK_FULL
    free[0] = 10**9
    outcome = None
    deadline = 0
    while outcome is None or outcome.refused:  # the reserve was spent on the record
        admission._retry_at = 0
        outcome = admission.commit(Change([row(3)]))
        deadline += 1
        assert deadline < 5
    file.close()


def test_a_newer_version_is_refused(tmp_path):
    opened(tmp_path).close()
    with apsw.Connection(str(tmp_path / "outbox.db")) as db:
        db.pragma("user_version", VERSION + 1)
    db.close()
    with pytest.raises(ConfigError, match="newer Kaikou"):
        opened(tmp_path)


def test_a_file_of_another_program_is_refused(tmp_path):
    db = apsw.Connection(str(tmp_path / "outbox.db"))
    db.execute("CREATE TABLE photos(id)")
    db.close()
    with pytest.raises(ConfigError, match="not an outbox"):
        opened(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(Unavailable, match="cannot be opened"):
        opened(tmp_path / "nowhere")


def test_two_processes_cannot_share_it(tmp_path):
    file = opened(tmp_path)

    with pytest.raises(Unavailable, match="another process"):
        opened(tmp_path, "r2")
    file.close()


def test_a_damaged_file_is_set_aside_and_recorded(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1)]))
    file.close()
    data = bytearray((tmp_path / "outbox.db").read_bytes())
    data[:4096] = bytes(range(256)) * 16
    (tmp_path / "outbox.db").write_bytes(data)
    file = opened(tmp_path, "r2")
    assert file.damaged
    outcome = Admission(file, keep_free=0).commit(Change([row(2)]))
    records = [k.row for k in outcome.kept if k.row.row_class is RowClass.GAP]
    assert DAMAGED.encode() in records[0].metrics
    assert any("damaged" in p.name for p in tmp_path.iterdir())
    file.close()


def test_rows_that_wait_keep_their_unit_when_plant_yaml_changes_it(tmp_path):
    file = opened(tmp_path)
    power = ("lathe", "power", 10)
    kw, w = '{"engUnit":"kW","kind":"measurement"}', '{"engUnit":"W","kind":"measurement"}'
    assert file.aliases.give({power: kw}) == {power: 128}
    assert file.aliases.give({power: w}) == {power: 129}
    known = {m.name: (m.alias, m.properties) for m in file.aliases.of_device("lathe")}
    assert known == {"power": (129, w), "power~128": (128, kw)}
    assert file.aliases.give({power: w}) == {power: 129}
    assert file.aliases.give({power: kw}) == {power: 130}, "and back again"
    file.close()


def test_aliases_are_kept_and_never_given_twice(tmp_path):
    file = opened(tmp_path)
    power, state = ("lathe", "power", 10), ("lathe", "state", 10)
    assert file.aliases.give({power: "{}", state: "{}"}) == {power: 128, state: 129}
    file.close()
    file = opened(tmp_path, "r2")
    text = ("lathe", "power", 12)
    given = file.aliases.give({text: "{}", state: '{"unit":"kW"}'})
    assert given == {text: 130, state: 129}, "another type is another alias"
    known = file.aliases.of_device("lathe")
    assert [(m.alias, m.name, m.type) for m in known] == [
        (130, "power", 12),
        (129, "state", 10),
        (128, "power", 10),
    ]
    assert known[1].properties == '{"unit":"kW"}'
    assert file.aliases.of_device("mill") == []
    many = {("mill", f"m{n}", 10): "{}" for n in range(16_300)}
    with pytest.raises(ConfigError, match="more edges"):
        file.aliases.give(many)
    assert file.aliases.of_device("mill") == [], "all or none"
    file.close()


def test_bd_seq_counts_connections_over_restarts(tmp_path):
    file = opened(tmp_path)
    assert [file.next_bd_seq() for _ in range(3)] == [0, 1, 2]
    file.close()
    file = opened(tmp_path, "r2")
    assert [file.next_bd_seq() for _ in range(255)][-3:] == [255, 0, 1]
    file.close()


def test_state_is_committed_with_the_rows_or_not_at_all(tmp_path):
    file = opened(tmp_path, max_bytes=300, drops=False)
    admission = Admission(file, keep_free=0)
    admission.commit(Change([row(1)], state={"a": {"n": 1}}))
    outcome = admission.commit(Change([row(2, size=400)], state={"a": {"n": 2}}))
    assert outcome.refused
    assert file.state == {"a": {"n": 1}}
    file.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB of one's own."""
    at = tmp_path / "disk"
    at.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(at)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("a small file system can only be mounted as root")
    yield at
    subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.mark.parametrize("keep_free", [0, 2**20])
def test_a_disk_that_is_really_full(small_disk, keep_free):
    now = [0.0]
    file = opened(small_disk)
    admission = Admission(file, keep_free=keep_free, monotonic=lambda: now[0])
    accepted = []
    for n in range(1, 600):
        now[0] += 0.25
        if n == 100:  # somebody else takes a third of it
            (small_disk / "other").write_bytes(bytes(8 * 2**20))
        outcome = admission.commit(Change([row(n, size=60_000)]))
        accepted += [k for k in outcome.kept if k.row.row_class is RowClass.SAMPLE]
    refused = file.count.refused_rows
    assert refused == 599 - len(accepted) > 100
    recorded = sum(n for (n,) in file._db.execute("SELECT samples FROM loss"))
    assert recorded > 0, "the record went into the reserved pages"
    assert {k.offset for k in accepted} <= {k.offset for k in file.read("r1", 0, 10**9)}
    (small_disk / "other").unlink()
    now[0] += 60
    admission.commit(Change(acked={"r1": accepted[-1].offset}))
    for _ in range(3):
        now[0] += 5
        outcome = admission.commit(Change([row(700)]))
    assert not outcome.refused, "there is room again"
    recorded = sum(n for (n,) in file._db.execute("SELECT samples FROM loss"))
    gone = file.count.refused_samples - recorded
    assert gone >= 0
    assert file._db.execute("PRAGMA integrity_check").get == "ok"
    truth(file)
    file.close()
    file = opened(small_disk, "r2")
    assert file.runs["r1"].rows == file._db.execute("SELECT count(*) FROM row").get
    file.close()


def test_damage_found_in_use_is_set_aside_at_the_next_start(tmp_path):
    file = opened(tmp_path)
    file.write(Change([row(1)]))
    file.condemn()
    file.close()
    file = opened(tmp_path, "r2")
    assert file.damaged
    assert list(file.runs) == ["r2"]
    file.close()
    file = opened(tmp_path, "r3")
    assert not file.damaged, "once"
    file.close()


def test_births_go_on_where_they_cannot_be_numbered_on_disk(tmp_path, caplog):
    """A disk that has become read-only: told once, not at every connection."""
    file = opened(tmp_path)
    assert file.next_bd_seq() == 0
    file._db.pragma("query_only", True)  # what SQLite then says is that of a read-only file
    caplog.set_level("INFO")
    assert [file.next_bd_seq() for _ in range(3)] == [1, 2, 3]
    assert not file.fill_reserve()
    assert Admission(file).commit(Change([row(1)])).refused
    file._db.pragma("query_only", False)
    assert file.next_bd_seq() == 4
    said = [r.message for r in caplog.records if "bdSeq" in r.message]
    assert [s.partition("(bdSeq): ")[2].partition(":")[0] for s in said] == [
        "lost",
        "back after 0.0 s",
    ]
    file.close()


def test_a_start_on_a_full_disk(small_disk):
    file = opened(small_disk)
    file.write(Change([row(1)]))
    assert file.next_bd_seq() == 0
    file.close()
    with contextlib.suppress(OSError):
        (small_disk / "other").write_bytes(bytes(24 * 2**20))
    file = opened(small_disk, "r2")
    admission = Admission(file, keep_free=2**20)
    assert admission.commit(Change([row(2)])).refused == DISK_FULL
    assert [k.offset for k in file.read("r1", 0, 10**6)] == [1], "what was accepted can be sent"
    assert [file.next_bd_seq(), file.next_bd_seq()] == [1, 2]
    (small_disk / "other").unlink()
    admission._retry_at = 0
    assert not admission.commit(Change([row(3)])).refused
    file.close()
    file = opened(small_disk, "r3")
    assert {name: run.rows for name, run in file.runs.items()}["r2"] == 2, "row and gap record"
    file.close()


def test_a_first_start_on_a_full_disk_says_so(small_disk):
    with contextlib.suppress(OSError):
        (small_disk / "other").write_bytes(bytes(25 * 2**20))
    with pytest.raises((Unavailable, ConfigError)):
        opened(small_disk)


class ReadOnlyFile(apsw.VFSFile):
    """A file on a disk that the system made read-only, as it does after an error."""

    error: type[apsw.Error] | None = None

    def _refuse(self) -> None:
        if ReadOnlyFile.error is not None:
            raise ReadOnlyFile.error("read-only")

    def xWrite(self, data, offset):  # noqa: N802
        self._refuse()
        return super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802
        self._refuse()
        return super().xSync(flags)


class ReadOnlyDisk(apsw.VFS):
    """A disk that can be made so."""

    def __init__(self):
        super().__init__("read-only-disk", "")

    def xOpen(self, name, flags):  # noqa: N802
        return ReadOnlyFile("", name, flags)


@pytest.fixture
def read_only(monkeypatch):
    disk = ReadOnlyDisk()
    yield lambda error: monkeypatch.setattr(ReadOnlyFile, "error", error)
    disk.unregister()


@pytest.mark.parametrize("error", [apsw.IOError, apsw.ReadOnlyError])
@pytest.mark.parametrize("again", [False, True], ids=["the-same-process", "another-start"])
def test_what_a_read_only_disk_refuses_is_recorded_when_it_takes_rows_again(
    tmp_path, read_only, error, again
):
    now = [0.0]
    place = tmp_path / "memory"
    place.mkdir()

    def admission(run):
        file = opened(tmp_path, run, vfs="read-only-disk")
        note = LossNote(tmp_path / "outbox.db", place)
        return Admission(file, free=lambda: 2**40, monotonic=lambda: now[0], note=note)

    door = admission("r1")
    assert door.commit(Change([row(1)])).kept
    read_only(error)
    for n in (2, 3, 4):
        now[0] += 5
        assert door.commit(Change([row(n)])).refused == NOT_TAKEN
    read_only(None)
    if again:
        door.file.close()
        door = admission("r2")
    now[0] += 5
    kept = door.commit(Change([row(9)])).kept
    assert [k.row.row_class for k in kept] == [RowClass.SAMPLE, RowClass.GAP]
    assert kept[1].row.metrics.decode() == repr(Loss(2, 14, 15, NOT_TAKEN, frozenset({"lathe"})))
    assert not list(place.iterdir())
    door.file.close()


def test_a_strangers_note_is_not_believed(tmp_path):
    note = LossNote(tmp_path / "outbox.db", tmp_path)
    note.path.write_text('{"losses": [["x"]]}')
    assert LossNote(tmp_path / "outbox.db", tmp_path).read() == []
    note.path.unlink()
    note.path.symlink_to(tmp_path / "else")
    (tmp_path / "else").write_text('{"losses": [[1, 2, 3, "forged", []]]}')
    assert LossNote(tmp_path / "outbox.db", tmp_path).read() == []
