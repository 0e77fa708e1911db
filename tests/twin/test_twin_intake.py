"""The intake: next in line, at most once, bounded, acknowledged only after the commit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.flow.sample import Event, SampleBatch, Text
from plant.wire.host_event import Data, RunsAnnounced, SequenceGap
from plant.wire.message import Ack, Row, Runs, RunState
from plant.wire.topic import NodeId
from twin import intake as module
from twin.intake import EARLIER_HISTORIAN, LAGGED, Intake

EDGE = NodeId("g", "edge1")


def row(offset, after=None, run="r", samples=1, node=EDGE, time=None):
    times = [time or offset] * samples
    identity = Row(run, offset, offset - 1 if after is None else after)
    batch = SampleBatch.of(range(samples), times, [float(offset)] * samples)
    return Data(node, "d", batch, (), identity, live=True, stored=True)


def foreign(time, samples=1):
    batch = SampleBatch.of(range(samples), [time] * samples, [1.0] * samples)
    return Data(NodeId("x", "f"), "d", batch, (), None, live=True, stored=True)


def announce(current, *runs):
    return RunsAnnounced(EDGE, Runs(current, tuple(RunState(*r) for r in runs)))


def marks(outgoing):
    return {k: v for o in outgoing for k, v in Ack.decode(o.payload).marks}


@pytest.fixture
def intake():
    return Intake.resume("kaikou", {})


def offsets(commit):
    return [] if commit is None else commit.samples.value.tolist()


def test_only_what_is_next_is_taken_and_once(intake):
    assert intake.data(row(1))
    assert not intake.data(row(1))
    assert not intake.data(row(3))
    assert intake.data(row(2))
    assert intake.data(row(7, after=2)), "3 to 6 were dropped by their edge"
    commit = intake.take()
    assert offsets(commit) == [1, 2, 7]
    assert [(m.edge, m.run, m.offset) for m in commit.marks] == [("g/edge1", "r", 7)]
    assert (intake.count.again, intake.count.not_next) == (1, 1)


@pytest.mark.parametrize("long", ["text", "event"])
def test_what_waits_is_bounded_in_bytes_whatever_it_is(intake, long):
    text = "x" * 60_000
    for offset in range(1, 10_000):
        data = row(offset)
        if long == "text":
            data = replace(data, texts=[Text(0, offset, text, 0)])
        else:
            data = replace(data, events=[Event(offset, "saw", "note", {"x": text})])
        if not intake.data(data):
            break
    assert 100 < offset < 400, "13 MB or so, and 24 at most"
    while intake.take() is not None:
        intake.committed(0)
    assert intake.queued == 0
    assert intake.data(row(offset))


def test_a_node_that_sends_without_end_leaves_room_for_the_others(intake):
    other, offset = NodeId("g", "edge2"), 1
    while intake.data(row(offset, samples=10_000, node=other)):
        offset += 1
    assert module.NODE_SAMPLES <= intake.queued < module.QUEUE_SAMPLES
    assert intake.data(row(1))
    assert intake.data(row(2, samples=10_000))
    assert intake.take() is not None
    intake.committed(0)
    assert intake.data(row(offset, samples=10_000, node=other))


def test_nothing_is_acknowledged_before_its_commit(intake):
    assert marks([intake.announced(announce("r", ("r", 0, 5)))]) == {"r": 0}
    intake.data(row(1))
    commit = intake.take()
    intake.data(row(2))
    assert marks(intake.repeat()) == {"r": 0}
    assert offsets(commit) == [1]
    assert marks(intake.committed(100)) == {"r": 1}
    assert marks(intake.repeat()) == {"r": 1}
    with pytest.raises(RuntimeError):
        intake.take() and intake.take()


def test_marks_go_on_after_a_restart():
    intake = Intake.resume("kaikou", {("g/edge1", "r"): 5})
    assert not intake.data(row(5))
    assert intake.data(row(6))
    assert marks([intake.announced(announce("r", ("r", 5, 9)))]) == {"r": 5}


def test_what_another_historian_had_is_a_gap_and_moves_the_mark(intake):
    answer = intake.announced(announce("r2", ("r1", 40, 50), ("r2", 0, 3)))
    assert marks([answer]) == {"r1": 0, "r2": 0}
    commit = intake.take()
    (gap,) = commit.gaps
    assert gap.edge == "g/edge1"
    assert gap.reason == f"{EARLIER_HISTORIAN}: run r1, rows 1 to 40"
    assert marks(intake.committed(0)) == {"r1": 40, "r2": 0}
    assert intake.data(row(41, run="r1"))
    assert not intake.data(row(42, after=39, run="r1")) or intake.held[EDGE, "r1"] == 42
    assert intake.announced(announce("r2", ("r1", 40, 50)))
    assert not intake.take().gaps


def test_a_full_queue_drops_and_it_comes_again(intake, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_SAMPLES", 10)
    for n in range(1, 5):
        intake.data(row(n, samples=5))
    assert intake.count.dropped_rows == 1
    assert intake.count.not_next == 1, "what follows a dropped row is not next"
    intake.take()
    assert marks(intake.committed(0)) == {"r": 2}
    assert intake.data(row(3, samples=5))


def test_a_stranger_that_finds_no_room_leaves_a_gap_record(intake, monkeypatch):
    monkeypatch.setattr(module, "FOREIGN_SAMPLES", 2)
    for time in (10, 20, 30, 40):
        intake.data(foreign(time))
    commit = intake.take()
    assert commit.samples.source_time.tolist() == [10, 20]
    intake.committed(0)
    assert intake.data(foreign(50))
    (gap,) = intake.take().gaps
    assert (gap.edge, gap.first, gap.last, gap.samples, gap.reason) == ("x/f", 30, 40, 2, LAGGED)


def test_one_gap_record_stands_for_many_losses_of_a_stranger(intake, monkeypatch):
    monkeypatch.setattr(module, "FOREIGN_SAMPLES", 1)
    gaps = []
    for time in range(300):
        intake.data(foreign(2 * time))
        intake.data(foreign(2 * time + 1))
        gaps += intake.take().gaps
        intake.committed(0)
    assert 2 <= len(gaps) <= 4
    assert sum(gap.samples for gap in gaps) >= 200


def test_a_node_begins_so_many_runs_and_no_more(intake):
    taken = [intake.data(row(1, run=f"r{n}")) for n in range(2000)]
    assert sum(taken) == module.NEW_RUNS
    assert intake.data(row(1, node=NodeId("g", "edge2"))), "others go on"
    assert intake.data(row(2, run="r0")), "and so does what had begun"
    claims = [(f"x{n}", 5, 9) for n in range(100)]
    intake.announced(announce("x0", *claims))
    assert len(intake.held) == module.NEW_RUNS + 1


def test_strangers_leave_room_for_rows_of_ours(intake):
    assert intake.data(foreign(10, samples=module.FOREIGN_SAMPLES))
    assert not intake.data(foreign(20))
    assert intake.data(row(1))


def test_a_sequence_gap_is_recorded_for_strangers_only(intake):
    intake.gap(SequenceGap(EDGE, True, 3, 10, 20))
    assert intake.take() is None
    intake.gap(SequenceGap(NodeId("x", "f"), False, 3, 10, 20))
    (gap,) = intake.take().gaps
    assert (gap.edge, gap.first, gap.last, gap.samples) == ("x/f", 10, 20, -1)


def test_commits_are_bounded_and_rows_whole(intake, monkeypatch):
    monkeypatch.setattr(module, "COMMIT_SAMPLES", 7)
    for n in range(1, 6):
        intake.data(row(n, samples=4))
    assert len(intake.take().samples) == 8
    intake.committed(0)
    assert marks(intake.repeat()) == {"r": 2}


def test_complete_up_to_follows_commits_and_never_passes_now(intake):
    intake.data(row(1, time=500))
    assert EDGE not in intake.complete_up_to
    intake.take()
    intake.committed(1000)
    assert intake.complete_up_to[EDGE] == 500
    intake.data(row(2, time=99_999))
    intake.take()
    intake.committed(1000)
    assert intake.complete_up_to[EDGE] == 1000


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["send", "lose", "back", "commit", "restart", "drop"]), max_size=60)
)
def test_an_edge_that_goes_back_gets_every_row_through_once(script):
    """A little edge and a lossy bus: in the end each kept row was committed exactly once."""
    durable, log = {}, []
    intake = Intake.resume("k", durable)
    kept, cursor, acked = list(range(1, 31)), 0, 0

    def after(offset):
        return max((k for k in kept if k < offset), default=0)

    def commit():
        nonlocal acked
        found = intake.take()
        if found is not None:
            log.extend(found.samples.value.tolist())
            durable.update({(m.edge, m.run): m.offset for m in found.marks})
            acked = max([acked, *marks(intake.committed(0)).values()])

    def act(what):
        nonlocal intake, cursor
        waiting = [k for k in kept if k > cursor]
        if what in ("send", "lose") and waiting:
            cursor = waiting[0]
            if what == "send":
                intake.data(row(cursor, after(cursor)))
        elif what == "back":
            cursor = acked
        elif what == "commit":
            commit()
        elif what == "restart":
            intake = Intake.resume("k", durable)
        elif what == "drop" and waiting:
            kept.remove(waiting[0])

    for what in script:
        act(what)
    for _ in range(3):
        act("back")
        for _ in range(31):
            act("send")
        commit()
    assert log == sorted(set(log))
    assert set(kept) <= set(map(int, log)) | {k for k in kept if k <= acked}
    assert set(kept) <= set(map(int, log))
