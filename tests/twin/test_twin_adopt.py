"""Pages of another historian taken as they are: once, with their times, big ones and small ones."""

import numpy as np
import pytest

from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from tests.twin.tier_check import check_files, check_tiers
from twin.historian.embedded import Embedded
from twin.historian.store import select

DAY = 86_400_000
T0 = 20_000 * DAY
SERIES = [Series("a/x", hold_ms=60_000), Series("a/y", place=("site", "line"))]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "historian"


@pytest.fixture
def writer(folder):
    writer = Embedded().writer(folder)
    yield writer
    writer.close()


@pytest.fixture
def read(folder):
    def rows(known_at=None):
        reader = Embedded().reader(folder)
        try:
            found = reader.read(["a/x", "a/y"], 0, 2 * T0, known_at)
        finally:
            reader.close()
        names = ("signal", "source_time", "value", "received_time")
        return list(zip(*(getattr(found, n).tolist() for n in names), strict=True))

    return rows


def page(n, start=T0, known=T0):
    """``n`` rows of both signals, ten to a commit."""
    at = np.arange(n)
    return SampleBatch.of(at % 2, start + at * 1000, at.astype(float), 0, known + at // 10)


@pytest.mark.parametrize("n", [200, 50_000])
def test_a_page_that_comes_again_changes_nothing(writer, read, n):
    changes = Changes(SERIES, page(n))
    for _ in range(3):
        writer.adopt(changes)
    assert len(read()) == n
    writer.retain(T0 + 10 * DAY, force=True)
    writer.adopt(changes)
    writer.retain(T0 + 10 * DAY, force=True)
    assert len(read()) == n
    assert {t for _, _, _, t in read()} == set(changes.samples.received_time.tolist())
    check_files(writer)


def test_a_page_that_overlaps_brings_only_what_is_new(writer, read):
    rows = page(100)
    writer.adopt(Changes(SERIES, rows.take(np.arange(60))))
    writer.retain(T0, force=True)
    writer.adopt(Changes(SERIES, rows.take(np.arange(30, 100))))
    assert len(read()) == 100
    stored = select(
        writer.database,
        "SELECT sum(rows) FROM (SELECT rows FROM segment UNION ALL SELECT rows FROM hot)",
    )
    assert stored == [(100,)]


def test_superseded_rows_come_along_and_known_at_tells_them(writer, read):
    rows = SampleBatch.of([0, 0, 0], [T0, T0, T0], [1.0, 2.0, 3.0], 0, [5, 7, 9])
    writer.adopt(Changes(SERIES, rows))
    assert read() == [(0, T0, 3.0, 9)]
    assert read(known_at=8) == [(0, T0, 2.0, 7)]
    writer.declare(SERIES)
    assert writer.write(Commit(SampleBatch.of([0], [T0], [3.0])), 0) == 10  # later, and a duplicate
    assert read() == [(0, T0, 3.0, 9)]


def test_later_writes_are_later(writer):
    writer.declare(SERIES)
    writer.adopt(Changes(SERIES, page(10, known=10**15)))
    assert writer.write(Commit(SampleBatch.of([0], [T0], [7.0])), T0) > 10**15


def test_older_knowledge_does_not_hide_what_is_newer(writer, read):
    writer.declare(SERIES)
    writer.write(Commit(SampleBatch.of([0], [T0], [7.0])), 1000)
    writer.adopt(Changes(SERIES, SampleBatch.of([0], [T0], [1.0], 0, [5])))
    assert read() == [(0, T0, 7.0, 1000)]
    assert read(known_at=6) == [(0, T0, 1.0, 5)]
    writer.write(Commit(SampleBatch.of([0], [T0], [7.0])), 2000)  # still a duplicate
    assert read() == [(0, T0, 7.0, 1000)]


def test_the_mark_moves_with_the_page_and_tells_it_again(writer, read):
    mark = Mark("copy", "main", 20)
    writer.adopt(Changes(SERIES, page(10)), mark)
    assert dict(writer.marks()) == {("copy", "main"): 20}
    writer.adopt(Changes(SERIES, page(20)), mark)  # known by its mark: not even looked at
    assert len(read()) == 10


def test_records_come_with_their_times(writer, folder):
    changes = Changes(
        SERIES,
        SampleBatch.empty(),
        texts=[(3, Text(0, T0, "old")), (5, Text(0, T0, "new"))],
        waveforms=[(4, Waveform(1, T0, 10.0, np.ones(3, np.float32)))],
        events=[(6, Event(T0, "a", "k", {"n": 1}))],
        gaps=[(7, Gap("g/e", T0, T0 + 1, 2, "why", ("a/x",)))],
    )
    writer.adopt(changes)
    writer.adopt(changes)
    reader = Embedded().reader(folder)
    assert [t.text for t in reader.texts(["a/x"], 0, 2 * T0)] == ["new"]
    assert [t.text for t in reader.texts(["a/x"], 0, 2 * T0, 4)] == ["old"]
    assert len(reader.waveforms(["a/y"], 0, 2 * T0)) == 1
    assert len(reader.events(0, 2 * T0)) == len(reader.gaps(0, 2 * T0)) == 1
    assert [(s.path, s.place) for s in reader.series()] == [("a/x", ()), ("a/y", ("site", "line"))]
    reader.close()


def test_rows_into_days_that_have_cells_mark_them(writer):
    writer.adopt(Changes(SERIES, page(86_400)))
    writer.retain(T0 + 2 * DAY, force=True)
    before = check_tiers(writer)
    more = page(86_400, T0 + 500, T0 + 10**6)
    writer.adopt(Changes(SERIES, more))
    assert check_tiers(writer) == 0
    writer.retain(T0 + 2 * DAY, force=True)
    assert check_tiers(writer) == before
    assert select(writer.database, "SELECT count(*) FROM dirty") == [(0,)]


def test_what_is_older_than_the_raw_rows_here_is_a_gap(folder):
    writer = Embedded(retention_days=1).writer(folder)
    writer.adopt(Changes(SERIES, page(100)))
    writer.retain(T0 + 5 * DAY, force=True)
    writer.adopt(Changes(SERIES, page(10, T0 + 50, T0 + 9)))
    reader = Embedded().reader(folder)
    (gap,) = reader.gaps(0, 2 * T0)
    assert (gap.samples, gap.reason) == (10, "older than retention")
    reader.close()
    writer.close()
