"""Which room on which box needs which secret and which file, and which does without."""

from pathlib import Path

import pytest

from deploy.cli import main
from deploy.need import User, require
from deploy.room import read_plant, run_room
from plant.errors import ConfigError

PLANT = """\
kaikou: 1
enterprise: acme
site: {{id: works, name: {{zh: 工厂}}, timezone: Asia/Shanghai}}
broker: {{host: 10.0.0.1, port: 8883, username: edge1, password: "${{TEST_MQTT}}", tls: true}}
historian: {{kind: influxdb, url: "http://127.0.0.1:8086", org: o, token: "${{TEST_INFLUX}}"}}
edges:
  edge1:
    name: {{en: One}}
    opcua: {{users: [{{name: scada, password: "${{TEST_SCADA}}"}}]}}
    sources:
      plc:
        kind: opcua
        url: opc.tcp://127.0.0.1:4841
        user: reader
        password: "${{TEST_PLC}}"
        server_certificate: {certificate}
  edge2:
    name: {{en: Two}}
    opcua: {{port: 4841, feed: broker, users: [{{name: scada, password: "${{TEST_SCADA2}}"}}]}}
    sources:
      plc2: {{kind: opcua, url: "opc.tcp://127.0.0.1:4842", user: r, password: "${{TEST_PLC2}}"}}
assets: {{}}
"""
ALL = {"TEST_MQTT", "TEST_INFLUX", "TEST_SCADA", "TEST_PLC", "TEST_SCADA2", "TEST_PLC2"}
USED = {
    User("edge", "edge1"): {"TEST_MQTT", "TEST_PLC"},
    User("edge", "edge2"): {"TEST_MQTT", "TEST_PLC2"},
    User("opcua", "edge1"): {"TEST_SCADA"},
    User("opcua", "edge2"): {"TEST_SCADA2", "TEST_MQTT"},
    User("twin"): {"TEST_MQTT", "TEST_INFLUX"},
    User("analytics"): {"TEST_MQTT", "TEST_INFLUX"},
    User("gateway"): {"TEST_MQTT", "TEST_INFLUX"},
    User("history"): {"TEST_INFLUX"},
    User("broker"): set(),
    User("simulators"): {"TEST_PLC", "TEST_PLC2"},
}


@pytest.fixture
def plant_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    certificate = tmp_path / "plc.der"
    certificate.write_bytes(b"der")
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT.format(certificate=certificate), "utf-8")
    return file


@pytest.mark.parametrize("user", USED, ids=str)
def test_a_room_needs_the_secrets_it_uses_and_no_other(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch, user: User
) -> None:
    if USED[user]:
        with pytest.raises(ConfigError) as caught:
            require(read_plant(plant_file), user)
        said = {p.text.partition(" ")[0] for p in caught.value.problems}
        assert said == USED[user]
    for name in USED[user]:
        monkeypatch.setenv(name, "given")
    assert require(read_plant(plant_file), user).group == "acme-works"


def test_the_plants_hash_is_the_same_on_every_box(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = plant_file.read_text("utf-8").replace("username: edge1", 'username: "${TEST_USER}"')
    plant_file.write_text(text, "utf-8")
    monkeypatch.setenv("TEST_USER", "edge1")
    without = read_plant(plant_file).hash
    for name in (*ALL, "TEST_USER"):
        monkeypatch.setenv(name, "given")
    assert read_plant(plant_file).hash == without
    plant_file.write_text(text.replace("10.0.0.1", "10.0.0.2"), "utf-8")
    assert read_plant(plant_file).hash != without


def test_check_says_which_room_on_which_box_needs_which(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_MQTT", "given")
    assert main(["check", str(plant_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    mqtt = "edge of edge1, edge of edge2, opcua of edge2, twin, analytics, gateway"
    assert f"secret     TEST_MQTT: {mqtt}" in lines
    assert "secret     TEST_PLC2: edge of edge2 (NOT SET here)" in lines
    assert f"file       {plant_file.parent / 'plc.der'}: edge of edge1" in lines
    assert lines[-1] == "nothing is wrong; secrets that are not set here: 5"


def test_check_of_a_room_wants_what_the_room_needs(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["check", str(plant_file), "--room", "opcua", "--edge", "edge1"]
    assert main(asked) == 2
    assert capsys.readouterr().err.count("export TEST_") == 1
    monkeypatch.setenv("TEST_SCADA", "given")
    assert main(asked) == 0


def test_a_missing_certificate_file_is_refused_where_it_is_used(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (plant_file.parent / "plc.der").unlink()
    assert main(["check", str(plant_file)]) == 2
    assert f"no such file: {plant_file.parent / 'plc.der'}" in capsys.readouterr().err
    for name in ALL:
        monkeypatch.setenv(name, "given")
    plant = read_plant(plant_file)
    require(plant, User("twin"))
    with pytest.raises(ConfigError, match=r"server_certificate: no such file"):
        require(plant, User("edge", "edge1"))


def test_a_room_without_its_secret_ends_with_its_name(
    plant_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_room("edge", plant_file, tmp_path / "data", {"edge": "edge2"}) == 2
    err = capsys.readouterr().err
    assert "export TEST_PLC2" in err
    assert "TEST_SCADA" not in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        (
            "{host: 10.0.0.1, username: u, password: '${TEST_MQTT}'}",
            "a password goes over TLS only",
        ),
        (
            "{host: broker, certificate_file: a, key_file: b}",
            "certificate_file: is not used without",
        ),
        ("{host: broker, tls: true}", "nobody is anonymous"),
        ("{host: broker, tls: true, certificate_file: a}", "certificate_file and key_file belong"),
        ("{tls: true, key_password: plain, key_file: a}", "a secret is written as ${NAME}"),
    ],
)
def test_a_broker_beyond_loopback_wants_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broker: str, expected: str
) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(
        "kaikou: 1\nenterprise: acme\nsite: {id: one, name: {zh: 一}, timezone: Asia/Shanghai}\n"
        f"broker: {broker}\n",
        "utf-8",
    )
    assert main(["check", str(file), "--data", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err
    assert run_room("twin", file, tmp_path / "data", {}) == 2
