"""``kaikou init influxdb`` on a real server: made once, checked again, refused with a reason."""

import re
from pathlib import Path

import pytest

from deploy.cli import main
from plant.flow.port import Commit, Series
from plant.flow.sample import SampleBatch
from twin.historian.influx.config import Influx as Settings

PLANT = """\
kaikou: 1
enterprise: acme
site: {{id: one, name: {{zh: 一, en: One}}, timezone: Asia/Shanghai}}
historian: {{kind: influxdb, url: "{url}", org: "{org}", prefix: "{prefix}",
  token: "${{KAIKOU_TEST_TOKEN}}"{more}}}
edges:
  edge1:
    name: {{zh: 一号, en: Edge 1}}
    outbox: {{max_mb: 64}}
    sources: {{io: {{kind: modbus, host: 127.0.0.1, port: 15020, poll_ms: 250}}}}
assets:
  saw:
    type: band_saw
    name: {{zh: 锯床, en: Saw}}
    edge: edge1
    cycle_s: 45
    parameters: {{voltage: 380, power_factor: 0.8}}
    signals: {{current: {{source: io, at: "input:8 uint16", scale: 0.01}}}}
"""


@pytest.fixture
def plant(influx, influx_prefix, tmp_path, monkeypatch):
    monkeypatch.setenv("KAIKOU_TEST_TOKEN", influx.token)

    def write(more: str = "") -> str:
        file = tmp_path / "plant.yaml"
        text = PLANT.format(url=influx.url, org=influx.org, prefix=influx_prefix, more=more)
        file.write_text(text, "utf-8")
        return str(file)

    return write


def test_buckets_are_made_once_and_then_there(plant, influx, influx_prefix, tmp_path, capsys):
    file = plant()
    assert main(["init", "influxdb", file]) == 0
    out = capsys.readouterr().out
    assert "InfluxDB 2." in out
    assert out.count("made, keeps for ever") == 6
    assert len(influx.buckets(influx_prefix)) == 6
    assert main(["init", "influxdb", file]) == 0
    assert capsys.readouterr().out.count("there, keeps for ever") == 6
    settings = Settings(url=influx.url, org=influx.org, token=influx.token, prefix=influx_prefix)
    writer = settings.writer(tmp_path / "historian")
    writer.declare([Series("a/x")])
    writer.write(Commit(SampleBatch.of([0], [1], [1.0])), 1)
    writer.close()


def test_retention_is_set_and_never_shorter_than_an_outbox(plant, capsys):
    assert main(["init", "influxdb", plant(", retention_days: 400, minute_days: 700")]) == 0
    out = capsys.readouterr().out
    assert "_raw: made, keeps for 401 days" in out
    assert "_minute: made, keeps for 701 days" in out
    assert main(["init", "influxdb", plant(", retention_days: 500")]) == 0
    assert "_raw: there, keeps for 501 days now" in capsys.readouterr().out
    assert main(["init", "influxdb", plant(", retention_days: 450")]) == 0
    assert "keeps longer than asked for" in capsys.readouterr().out
    file = plant(", retention_days: 0.5")
    assert main(["init", "influxdb", file]) == 2
    error = capsys.readouterr().err
    assert "the outbox of edge1 holds" in error
    assert main(["check", file]) == 0
    assert "TOO SHORT" in capsys.readouterr().out


def test_what_is_wrong_is_said_in_a_sentence(plant, capsys, monkeypatch):
    file = plant()
    monkeypatch.setenv("KAIKOU_TEST_TOKEN", "wrong")
    assert main(["init", "influxdb", file]) == 2
    assert "does not accept the token" in capsys.readouterr().err
    assert "wrong" not in capsys.readouterr().err
    assert main(["init", "influxdb", "demo"]) in {2, 3}
    Path(file).write_text(
        Path(file).read_text("utf-8").replace("127.0.0.1:", "influx.example:", 1), "utf-8"
    )
    assert main(["check", file]) == 2
    assert "plain HTTP beyond loopback" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["init", "--help"])
    assert "six buckets" in capsys.readouterr().out


def test_one_version_of_influxdb_everywhere() -> None:
    """The pages, the compose file and the tests speak of the same one."""
    root = Path(__file__).resolve().parents[2]
    compose = (root / "deploy/container/compose.influxdb.yaml").read_text("utf-8")
    module = (root / "tests/influxd/go.mod").read_text("utf-8")
    (image,) = re.findall(r"image: influxdb:(\S+)", compose)
    (tested,) = re.findall(r"influxdata/influxdb/v2 v(\S+)", module)
    assert image == tested
    pages = [root / "README.md", *(root / "docs").rglob("*.md")]
    for page in pages:
        told = set(re.findall(r"(?i)influxd?b?[ :]+(2\.\d+(?:\.\d+)?)", page.read_text("utf-8")))
        assert all(tested == v or tested.startswith(f"{v}.") for v in told), (page.name, told)
