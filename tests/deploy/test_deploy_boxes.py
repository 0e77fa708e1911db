"""What docs/boxes.md says of several boxes is so: accounts, topics, example, rooms."""

import re
from pathlib import Path

import pytest

from deploy.access import publish_filters
from deploy.cli import main
from deploy.need import User
from deploy.room import ROOMS, read_plant
from plant.model.plant import ANALYTICS, TWIN
from plant.model.unit import known_units

PAGE = (Path(__file__).parents[2] / "docs" / "boxes.md").read_text("utf-8")
HEAD = (
    "kaikou: 1\nenterprise: acme\n"
    "site: {id: works, name: {zh: 工厂}, timezone: Asia/Shanghai}\nhost_id: HOST\n"
)


def _yaml(with_key: str) -> str:
    blocks: list[str] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if block.startswith(with_key))


def test_the_access_lists_are_those_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(HEAD + "edges: {edge1: {name: {en: One}}}\n", "utf-8")
    rows = {
        row[0]: set(re.findall(r"`([^`]+/[^`]+)`", row[1]))
        for row in re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    }
    node = rows["each edge"]
    told = {
        "edge1": {f.replace("EDGE", "edge1") for f in node},
        ANALYTICS: {f.replace("EDGE", ANALYTICS) for f in node} | rows[f"`{ANALYTICS}`"],
        TWIN: {f.replace("EDGE", TWIN) for f in node} | rows[f"`{TWIN}`"],
        **{name: rows[f"`{name}`"] for name in ("gateway", "opcua", "observer")},
    }
    filters = publish_filters(read_plant(file))
    meant = {name: {f.replace("acme-works", "GROUP") for f in told[name]} for name in told}
    ours = {
        name: {f.replace("acme-works", "GROUP") for f in found} for name, found in filters.items()
    }
    assert ours == meant


def test_every_room_has_its_place_on_the_page() -> None:
    table = PAGE.partition("## Which room where")[2].partition("| folder")[0]
    for room in ROOMS.keys() - {"simulators"}:
        assert re.search(rf"\| .*`{room}[ `]", table), room


def test_the_example_of_a_foreign_node_is_a_plant(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(HEAD + _yaml("edges:"), "utf-8")
    oven = read_plant(file).assets["oven"]
    energy = oven.signal("energy")
    assert energy is not None
    assert (energy.unit, energy.scale, energy.reading) == ("kWh", 0.001, None)
    assert known_units().find("°C") is not None


def test_one_file_serves_every_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("")
    file = tmp_path / "plant.yaml"
    file.write_text(HEAD + _yaml("broker:").replace("/etc/kaikou/ca.crt", str(ca)), "utf-8")
    hashes = set()
    for account in ("edge1", "kaikou_twin"):
        monkeypatch.setenv("KAIKOU_MQTT_USER", account)
        plant = read_plant(file)
        assert plant.broker.username == account
        hashes.add(plant.hash)
        assert all(User("twin").uses(n.where, plant) for n in plant.needs)
    assert len(hashes) == 1


def test_the_pages_file_is_checked_where_no_box_gave_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the desk where it is written; a room without its account is still refused."""
    monkeypatch.delenv("KAIKOU_MQTT_USER", raising=False)
    (tmp_path / "ca.crt").write_text("")
    file = tmp_path / "plant.yaml"
    file.write_text(HEAD + _yaml("broker:").replace("/etc/kaikou/ca.crt", "ca.crt"), "utf-8")
    monkeypatch.chdir("/")  # files are named from the folder of plant.yaml
    assert main(["check", str(file)]) == 0
    assert "KAIKOU_MQTT_USER: twin, analytics, gateway (NOT SET here)" in capsys.readouterr().out
    for what in ("mosquitto", "systemd"):
        assert main(["init", what, str(file), "--to", str(tmp_path / what)]) == 0
    assert main(["check", str(file), "--room", "twin"]) == 2
    assert "export KAIKOU_MQTT_USER" in capsys.readouterr().err
    monkeypatch.setenv("KAIKOU_MQTT_USER", "kaikou_twin")
    monkeypatch.setenv("KAIKOU_MQTT_PASSWORD", "given")
    assert read_plant(file).broker.ca_file == str(tmp_path / "ca.crt")
