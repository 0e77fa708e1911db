"""``kaikou history`` as people call it: what it says, what it moves, where it refuses."""

import contextlib
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.room import HISTORIAN
from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Event, SampleBatch
from twin.historian.embedded import Embedded

PLANT = """\
kaikou: 1
enterprise: acme
site: {id: SITE, name: {zh: 一, en: One}, timezone: Asia/Shanghai}
simulated: true
historian: {kind: embedded, seal_rows: ROWS}
"""


def plant(folder: Path, site: str = "one", rows: int = 100_000) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "plant.yaml"
    file.write_text(PLANT.replace("SITE", site).replace("ROWS", str(rows)), "utf-8")
    return file


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Path]:
    """A plant whose historian holds 1,000 samples, an event and a mark."""
    file, data = plant(tmp_path / "old"), tmp_path / "old" / "data"
    writer = Embedded().writer(data / HISTORIAN)
    writer.declare([Series("saw/power", unit="kW"), Series("lathe/power", unit="kW")])
    time = range(1_700_000_000_000, 1_700_000_500_000, 1000)
    rows = SampleBatch.of([0] * 500 + [1] * 500, [*time, *time], [1.5] * 1000)
    events = [Event(1_700_000_000_000, "saw", "reason", {"code": "jam"})]
    writer.write(Commit(rows, events=events, marks=[Mark("g/e", "r", 9)]), 1_700_000_600_000)
    writer.remember("values", "simulated")
    writer.close()
    return file, data


def kaikou(*given: object) -> int:
    return main(["history", *map(str, given)])


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_out_of_one_plant_and_into_another(stored, tmp_path, capsys, format):
    file, data = stored
    out = tmp_path / "out"
    assert kaikou("export", file, "--data", data, "--to", out, "--format", format) == 0
    said = capsys.readouterr().out
    assert "1000 samples, 1 other records, checksum" in said
    new = plant(tmp_path / "new", "two")
    assert kaikou("import", new, "--data", tmp_path / "d2", "--from", out) == 0
    assert "every row is there" in capsys.readouterr().out
    assert kaikou("import", new, "--data", tmp_path / "d2", "--from", out) == 0
    reader = Embedded().reader(tmp_path / "d2" / HISTORIAN)
    assert len(reader.read(["saw/power"], 0, 2_000_000_000_000)) == 500
    assert len(reader.events(0, 2_000_000_000_000)) == 1
    reader.close()


def test_only_some_signals_and_times(stored, tmp_path, capsys):
    file, data = stored
    asked = ["--signal", "saw/*", "--start", "2023-11-14T22:13:20+00:00"]
    asked += ["--end", "2023-11-15T06:13:30+08:00"]
    assert kaikou("export", file, "--data", data, "--to", tmp_path / "out", *asked) == 0
    assert ": 10 samples, 1 other" in capsys.readouterr().out


def test_times_without_offset_are_refused(stored, tmp_path, capsys):
    file, data = stored
    asked = ["--start", "2023-11-14T22:13:20"]
    assert kaikou("export", file, "--data", data, "--to", tmp_path / "out", *asked) == 2
    assert "has no offset from UTC" in capsys.readouterr().err


def test_migrate_takes_the_marks_along(stored, tmp_path, capsys):
    file, data = stored
    new = plant(tmp_path / "new", rows=500)
    to_data = tmp_path / "d2"
    assert kaikou("migrate", file, "--data", data, "--to", new, "--to-data", to_data) == 0
    assert "every row is there" in capsys.readouterr().out
    writer = Embedded().writer(to_data / HISTORIAN)
    assert writer.marks()["g/e", "r"] == 9
    writer.close()
    assert kaikou("migrate", file, "--data", data, "--to", file) == 2
    assert "same historian" in capsys.readouterr().err


def test_a_running_plant_is_not_written_to(stored, tmp_path, capsys):
    file, data = stored
    assert kaikou("export", file, "--data", data, "--to", tmp_path / "out") == 0
    twin = Embedded().writer(data / HISTORIAN)
    assert kaikou("import", file, "--data", data, "--from", tmp_path / "out") == 3
    assert "stop the plant first" in capsys.readouterr().err
    twin.close()


def test_simulated_and_real_values_are_not_mixed(stored, tmp_path, capsys):
    file, data = stored
    assert kaikou("export", file, "--data", data, "--to", tmp_path / "out") == 0
    new = plant(tmp_path / "new")
    new.write_text(new.read_text("utf-8").replace("simulated: true", "simulated: false"), "utf-8")
    place = tmp_path / "d2" / HISTORIAN
    place.mkdir(parents=True)
    writer = Embedded().writer(place)
    writer.remember("values", "simulated")
    writer.close()
    capsys.readouterr()
    assert kaikou("import", new, "--data", tmp_path / "d2", "--from", tmp_path / "out") == 2
    assert "simulated values and this plant's are real" in capsys.readouterr().err


def test_nothing_stored_is_said(tmp_path, capsys):
    file = plant(tmp_path / "new")
    out = tmp_path / "out"
    assert kaikou("export", file, "--data", tmp_path / "d", "--to", out) == 3
    assert "no historian" in capsys.readouterr().err


INFLUX = """\
kaikou: 1
enterprise: acme
site: {id: one, name: {zh: 一, en: One}, timezone: Asia/Shanghai}
simulated: true
historian: {kind: influxdb, url: "URL", org: "ORG", prefix: "PREFIX", token: "${KAIKOU_TEST_TOKEN}"}
"""


def test_into_influxdb_and_out_of_it(stored, influx, influx_prefix, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KAIKOU_TEST_TOKEN", influx.token)
    file, data = stored
    new = tmp_path / "influx.yaml"
    text = INFLUX.replace("URL", influx.url).replace("ORG", influx.org)
    new.write_text(text.replace("PREFIX", influx_prefix), "utf-8")
    assert main(["init", "influxdb", str(new)]) == 0
    to_data = tmp_path / "d2"
    assert kaikou("migrate", file, "--data", data, "--to", new, "--to-data", to_data) == 0
    first = capsys.readouterr().out.splitlines()[-1]
    assert "1000 samples, 1 other records" in first
    assert kaikou("export", new, "--data", to_data, "--to", tmp_path / "out") == 0
    checksum = first.partition("checksum ")[2].partition(":")[0]
    assert checksum in capsys.readouterr().out
    back = plant(tmp_path / "back")
    assert kaikou("import", back, "--data", tmp_path / "d3", "--from", tmp_path / "out") == 0
    assert "every row is there" in capsys.readouterr().out


def test_verify_and_adopt_as_people_call_them(stored, capsys):
    file, data = stored
    place = data / HISTORIAN
    with contextlib.closing(Embedded().writer(place)) as writer:
        writer.retain(1_800_000_000_000, force=True)
    assert kaikou("verify", file, "--data", data) == 0
    assert "all as they were written" in capsys.readouterr().out
    (place / "historian.sqlite").write_bytes(b"")
    assert kaikou("verify", file, "--data", data) == 3
    assert "no historian" in capsys.readouterr().err
    assert kaikou("adopt", file, "--data", data) == 0
    assert "1000 rows that were not here" in capsys.readouterr().out
    assert kaikou("verify", file, "--data", data) == 0
    for sealed in (place / "samples").glob("*.parquet"):
        sealed.write_bytes(sealed.read_bytes()[:-9])
    assert kaikou("verify", file, "--data", data) == 3
    assert "bytes, " in capsys.readouterr().err
    with contextlib.closing(Embedded().writer(place)):
        assert kaikou("adopt", file, "--data", data) == 3
        assert "stop the plant first" in capsys.readouterr().err
        assert kaikou("verify", file, "--data", data) == 0
        assert "set aside: set-aside/samples/" in capsys.readouterr().out
    assert kaikou("adopt", file, "--data", data) == 0
    assert "not adopted: set-aside/samples/" in capsys.readouterr().out


def test_verify_says_where_there_is_nothing(tmp_path, capsys):
    file = plant(tmp_path / "new")
    assert kaikou("verify", file, "--data", tmp_path / "nowhere") == 2
    assert "no historian in" in capsys.readouterr().err
