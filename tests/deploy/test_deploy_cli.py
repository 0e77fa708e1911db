"""The command line: what it says, and its exit codes."""

import os
import socket
from pathlib import Path

import pytest

from deploy.argument import DEMO_PLANT
from deploy.cli import main
from deploy.demo.session import environment, free_port, restored
from deploy.folder import claim
from deploy.room import read_plant
from plant.errors import ConfigError

SECRETS = {"KAIKOU_OPCUA_PASSWORD": "one", "KAIKOU_MILL_PASSWORD": "two"}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KAIKOU_"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("secrets")
def test_check_tells_the_demo_plant_in_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "demo", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "constraint: lathe" in out
    assert "bridges" in out
    assert out.endswith("nothing is wrong\n")


@pytest.mark.usefixtures("no_secrets")
def test_check_lists_every_problem_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(
        "kaikou: 1\nenterprise: acme\n"
        "site: {id: one, name: {zh: 一, en: One}, timezone: Asia/Nowhere}\n"
        "historian: {kind: imbedded}\nbroker: {hosst: 127.0.0.1}\n",
        "utf-8",
    )
    assert main(["check", str(file), "--data", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{file}:").partition(":")[0] for line in lines] == ["3", "4", "5"]
    assert "did you mean 'embedded'" in lines[1]
    assert "did you mean 'host'" in lines[2]


@pytest.mark.usefixtures("no_secrets")
def test_missing_secrets_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for room, name in zip(("opcua", "edge"), SECRETS, strict=True):
        assert main(["run", room, "demo", "--data", str(tmp_path)]) == 2
        assert f"export {name}" in capsys.readouterr().err


def test_no_plant_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.usefixtures("secrets")
def test_an_unknown_edge_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "edge", "demo", "--data", str(tmp_path), "--edge", "edge9"]) == 2
    assert "no edge 'edge9' in this plant, which has edge1" in capsys.readouterr().err


@pytest.mark.usefixtures("secrets")
def test_a_taken_port_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("KAIKOU_PORT_MQTT", str(other.getsockname()[1]))
        assert main(["run", "broker", "demo", "--data", str(tmp_path)]) == 3
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert "for the MQTT broker is not to be had" in err[0]


def test_a_backup_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from twin.historian.embedded import Embedded

    (tmp_path / "historian").mkdir()
    Embedded(kind="embedded").writer(tmp_path / "historian").close()
    file = tmp_path / "absent" / "b.tar"
    assert main(["backup", str(file), "--data", str(tmp_path)]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"{file} cannot be written: No such file or directory"
    ]


def test_a_history_without_a_simulated_world_was_restored(tmp_path: Path) -> None:
    assert not restored(tmp_path)
    (tmp_path / "historian").mkdir()
    assert restored(tmp_path)
    (tmp_path / "simulators").mkdir()
    (tmp_path / "simulators" / "world.json").touch()
    assert not restored(tmp_path)


def test_no_command_helps_a_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Start with:  kaikou demo" in capsys.readouterr().out


@pytest.mark.usefixtures("no_secrets")
def test_demo_chooses_free_ports_and_keeps_what_it_chose(tmp_path: Path) -> None:
    first = environment(DEMO_PLANT, tmp_path)
    ports = [value for name, value in first.items() if "_PORT_" in name]
    assert len(set(ports)) == len(ports)
    assert set(SECRETS) <= set(first)
    assert environment(DEMO_PLANT, tmp_path) == first
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a demo may just have ended
        other.bind(("127.0.0.1", int(first["KAIKOU_PORT_WEB"])))
        other.listen()
        moved = environment(DEMO_PLANT, tmp_path)
    assert moved.pop("KAIKOU_PORT_WEB") != first.pop("KAIKOU_PORT_WEB")
    assert moved == first


def test_what_people_set_is_left_alone(tmp_path: Path, secrets: None) -> None:
    assert not set(SECRETS) & set(environment(DEMO_PLANT, tmp_path))


def test_free_port_gives_none_twice() -> None:
    port = free_port([], set())
    assert free_port([str(port)], {port}) != port


@pytest.mark.usefixtures("secrets")
def test_simulated_values_do_not_mix_with_real_ones(tmp_path: Path) -> None:
    plant = read_plant(DEMO_PLANT)
    claim(plant, tmp_path)
    claim(plant, tmp_path)
    file = tmp_path / "plant.json"
    file.write_text(file.read_text().replace("true", "false"))
    with pytest.raises(ConfigError, match="holds real values of plant 'kaikou-demo'"):
        claim(plant, tmp_path)
