"""``kaikou init systemd``: units that systemd understands, without root, with limits."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.argument import DEMO_PLANT
from deploy.cli import main
from deploy.room import ROOMS, read_plant
from deploy.systemd import TARGET, made

MUST = {
    "User": "kaikou",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "UMask": "0077",
    "Restart": "always",
    "RestartPreventExitStatus": "2",
    "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "",
    "StateDirectoryMode": "0700",
    "LimitCORE": "0",
}


def parsed(text: str) -> dict[str, list[str]]:
    """The [Service] part: key -> values."""
    found: dict[str, list[str]] = {}
    for line in text.split("[Service]")[1].split("[Install]", maxsplit=1)[0].splitlines():
        key, _, value = line.partition("=")
        if key:
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["init", "systemd", "demo", "--to", str(tmp_path / "units")]) == 0
    return tmp_path / "units"


def test_every_room_has_a_unit_without_root_and_with_limits(folder: Path) -> None:
    units = {p.name: p.read_text() for p in folder.glob("*.service")}
    rooms = {name.removeprefix("kaikou-").split("-")[0].removesuffix(".service") for name in units}
    assert rooms == set(ROOMS)
    for name, text in units.items():
        service = parsed(text)
        for key, value in MUST.items():
            assert service[key] == [value], (name, key)
        assert service["MemoryMax"][0].endswith("M")
        assert service["TasksMax"]
        assert "-m deploy run" in service["ExecStart"][0]
        assert name in (folder / TARGET).read_text()
    assert "HUP" in units["kaikou-gateway.service"]
    assert "HUP" in units["kaikou-opcua-edge1.service"]
    assert "--edge edge1" in units["kaikou-edge-edge1.service"]
    assert "u kaikou" in (folder / "kaikou.conf").read_text()


def test_only_a_low_port_needs_a_right_and_that_right_alone() -> None:
    plant = read_plant(DEMO_PLANT)
    low = replace(plant, gateway=replace(plant.gateway, port=443))
    units = made(low, DEMO_PLANT)
    assert parsed(units["kaikou-gateway.service"])["CapabilityBoundingSet"] == [
        "CAP_NET_BIND_SERVICE"
    ]
    assert parsed(units["kaikou-twin.service"])["CapabilityBoundingSet"] == [""]


def test_systemd_finds_nothing_to_say(folder: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not there")
    files = sorted(folder.glob("*.service"))
    said = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about_us = [line for line in said.stderr.splitlines() if "kaikou" in line]
    assert not about_us, said.stderr


def test_each_unit_is_exposed_little(folder: Path) -> None:
    """As ``systemd-analyze security`` rates it: 0 is nothing, 10 everything; 2.0 is called OK."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not there")
    for file in folder.glob("*.service"):
        said = subprocess.run(
            [analyze, "security", "--offline=true", "--threshold=25", "--no-pager", str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "offline" in said.stderr and "unrecognized" in said.stderr:
            pytest.skip("this systemd-analyze rates no files")
        assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_a_plant_in_a_home_can_be_read_by_its_rooms() -> None:
    plant = read_plant(DEMO_PLANT)
    units = made(plant, Path("/home/plant/plant.yaml"))
    assert parsed(units["kaikou-twin.service"])["ProtectHome"] == ["read-only"]
