"""History that moves: nothing is lost, doubled or re-stamped, however often it is stopped."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from plant.errors import ConfigError
from plant.flow.port import Changes, Commit, Mark, Series
from plant.flow.sample import Event, Gap, SampleBatch, Text, Waveform
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind
from twin.historian.embedded import Embedded
from twin.transfer.bundle import MANIFEST, Bundle, Choice
from twin.transfer.follow import COPY, follow, pages, verify
from twin.transfer.tally import Tally

KIND = Embedded()
SERIES = [
    Series("saw/power", unit="kW", place=("demo", "housings")),
    Series("saw/part_count", SignalKind.COUNTER, modulus=65536.0, hold_ms=180_000),
    Series("saw/state", SignalKind.STATE),
    Series("saw/program", SignalKind.TEXT),
    Series("saw/wave", unit="mm/s"),
]
BAD = int(StatusCode.BadNoCommunication)


@pytest.fixture
def source(tmp_path):
    """A historian with everything that can be stored: late, corrected, Bad, records."""
    folder = tmp_path / "source"
    writer = KIND.writer(folder)
    writer.declare(SERIES)
    rng = np.random.default_rng(4)
    for k in range(40):
        time = 1_000_000 * k + np.arange(300) * 1000
        signal = rng.integers(0, 3, 300)
        value = np.where(signal == 0, rng.normal(50, 1, 300), np.arange(300))
        status = np.where(rng.random(300) < 0.01, BAD, 0)
        samples = SampleBatch.of(signal, time, np.where(status, math.nan, value), status)
        writer.write(Commit(samples, marks=[Mark("g/edge1", "run", k + 1)]), 10_000_000 + k)
        if k == 20:
            writer.retain(0, force=True)
    again = SampleBatch.of([0, 0], [5000, 6000], [-1.0, 2 / 3])
    writer.write(
        Commit(
            again,
            texts=[Text(3, 7000, "程序 7"), Text(3, 8000, "b", BAD)],
            waveforms=[Waveform(4, 9000, 12_800.0, np.array([0.5, -1.0], np.float32))],
            events=[Event(100, "saw", "reason", {"code": "刀", "n": 1})],
            gaps=[Gap("g/edge1", 1, 2, 7, "outbox full", ("saw/power",))],
        ),
        20_000_000,
    )
    yield folder, writer
    writer.close()


def all_of(folder) -> Tally:
    reader = KIND.reader(folder)
    tally = sum((Tally.of(p) for p in pages(reader, 0, 1000)), Tally())
    reader.close()
    return tally


def test_a_copy_has_every_row_with_both_its_times(source, tmp_path):
    folder, _ = source
    reader, target = KIND.reader(folder), KIND.writer(tmp_path / "copy")
    moved = follow(reader, target, "a")
    assert moved.samples > 10_000
    assert moved.records == 5
    assert all_of(tmp_path / "copy") == moved == all_of(folder)
    assert follow(reader, target, "a") == Tally()
    assert target.marks()[COPY, "a"] > 0
    copy = KIND.reader(tmp_path / "copy")
    for known_at in (None, 10_000_010, 10_000_030):
        mine = reader.read(["saw/power", "saw/state"], 0, 50_000_000, known_at)
        theirs = copy.read(["saw/power", "saw/state"], 0, 50_000_000, known_at)
        assert mine.same_as(theirs)
        assert np.array_equal(mine.received_time, theirs.received_time)
    assert {s.path: s for s in copy.series()} == {s.path: s for s in reader.series()}
    for it in (copy, target, reader):
        it.close()


def test_a_copy_follows_what_comes_later(source, tmp_path):
    folder, writer = source
    reader, target = KIND.reader(folder), KIND.writer(tmp_path / "copy")
    follow(reader, target, "a")
    writer.write(Commit(SampleBatch.of([0], [90_000_000], [1.0])), 30_000_000)
    assert follow(reader, target, "a").samples == 1
    assert all_of(tmp_path / "copy") == all_of(folder)
    target.close()
    reader.close()


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_out_and_in_again(source, tmp_path, format):
    folder, _ = source
    reader = KIND.reader(folder)
    bundle = Bundle.create(tmp_path / "out", format, "g", Choice())
    assert bundle.export(reader) == all_of(folder)
    target = KIND.writer(tmp_path / "in")
    found = Bundle.open(tmp_path / "out")
    for page in found.pages():
        target.adopt(page)
    assert all_of(tmp_path / "in") == found.tally
    target.close()
    back = KIND.reader(tmp_path / "in")
    assert verify(found.pages(), back).whole
    back.close()
    reader.close()


class Stopped(Exception):
    pass


def test_a_stopped_export_goes_on(source, tmp_path, monkeypatch):
    folder, _ = source
    monkeypatch.setattr("twin.transfer.bundle.PAGE_ROWS", 500)
    reader = KIND.reader(folder)
    seen = []

    def stop(moved, upto):
        seen.append(upto)
        if len(seen) == 3:
            raise Stopped

    bundle = Bundle.create(tmp_path / "out", "parquet", "g", Choice())
    with pytest.raises(Stopped):
        bundle.export(reader, stop)
    (tmp_path / "out" / "samples-000003.parquet").write_bytes(b"half a file")
    again = Bundle.create(tmp_path / "out", "parquet", "g", Choice())
    assert not again.done
    assert len(again.parts) == 3
    assert again.export(reader) == all_of(folder)
    assert sum((Tally.of(p) for p in again.pages()), Tally()) == again.tally
    reader.close()


def test_only_what_was_asked_for(source, tmp_path):
    folder, _ = source
    reader = KIND.reader(folder)
    choice = Choice(1_000_000, 3_000_000, ("saw/p*",))
    bundle = Bundle.create(tmp_path / "out", "csv", "g", choice)
    bundle.export(reader)
    for page in bundle.pages():
        paths = {page.series[i].path for i in np.unique(page.samples.signal)}
        assert paths <= {"saw/power", "saw/part_count"}
        assert page.samples.source_time.min() >= 1_000_000
        assert page.samples.source_time.max() < 3_000_000
    rows = reader.read(["saw/power", "saw/part_count"], 1_000_000, 3_000_000)
    assert bundle.tally.samples == len(rows) > 0
    with pytest.raises(ConfigError, match="another export"):
        Bundle.create(tmp_path / "out", "csv", "g", Choice())
    reader.close()


def test_files_that_changed_are_refused(source, tmp_path):
    folder, _ = source
    reader = KIND.reader(folder)
    bundle = Bundle.create(tmp_path / "out", "csv", "g", Choice())
    bundle.export(reader)
    file = tmp_path / "out" / "samples-000000.csv"
    file.write_text(file.read_text().replace("saw/power", "saw/tower", 1))
    with pytest.raises(ConfigError, match="not as it was written"):
        list(bundle.pages())
    file.unlink()
    with pytest.raises(ConfigError, match="missing"):
        list(bundle.pages())
    (tmp_path / "out" / MANIFEST).write_text(json.dumps({"kaikou_history": 9}))
    with pytest.raises(ConfigError, match="another version"):
        Bundle.open(tmp_path / "out")
    with pytest.raises(ConfigError, match="no export"):
        Bundle.open(tmp_path / "nowhere")
    reader.close()


def test_a_missing_row_is_found(source, tmp_path):
    folder, _ = source
    reader, target = KIND.reader(folder), KIND.writer(tmp_path / "copy")

    def without_one():
        for n, page in enumerate(pages(reader, 0)):
            yield (
                replace(page, samples=page.samples.take(np.arange(1, len(page.samples))))
                if (n == 0)
                else page
            )

    for page in without_one():
        target.adopt(page)
    copy = KIND.reader(tmp_path / "copy")
    verdict = verify(pages(reader, 0), copy)
    assert not verdict.whole
    assert verdict.missing == 1
    for it in (copy, target, reader):
        it.close()


def test_the_checksum_does_not_depend_on_order_and_sees_every_column():
    rows = SampleBatch.of([0, 1], [1, 2], [1.0, math.nan], [0, BAD], [5, 6])
    page = Changes(SERIES, rows)
    assert Tally.of(page) == Tally.of(replace(page, samples=rows.take([1, 0])))
    for other in (
        SampleBatch.of([1, 0], [1, 2], [1.0, math.nan], [0, BAD], [5, 6]),
        SampleBatch.of([0, 1], [2, 1], [1.0, math.nan], [0, BAD], [5, 6]),
        SampleBatch.of([0, 1], [1, 2], [1.5, math.nan], [0, BAD], [5, 6]),
        SampleBatch.of([0, 1], [1, 2], [1.0, math.nan], [0, 0], [5, 6]),
        SampleBatch.of([0, 1], [1, 2], [1.0, math.nan], [0, BAD], [5, 7]),
    ):
        assert Tally.of(replace(page, samples=other)) != Tally.of(page)
