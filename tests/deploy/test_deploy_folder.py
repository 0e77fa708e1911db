"""The data folder's own files: damaged, foreign, unwritable; and who may read what rooms write."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.argument import DEMO_PLANT
from deploy.folder import claim, read_clock
from deploy.room import read_plant
from deploy.vault import Vault
from plant.errors import ConfigError
from plant.file import Damaged
from plant.model.plant import Plant

SECRETS = {"KAIKOU_OPCUA_PASSWORD": "one", "KAIKOU_MILL_PASSWORD": "two"}


@pytest.fixture(scope="module")
def plant() -> Plant:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        return read_plant(DEMO_PLANT)


@pytest.mark.parametrize("left", [b"", b"\0\0\0\0", b"{", b"[]", b'{"plant": 7}', b"{}"])
def test_a_plant_file_that_a_power_cut_emptied_stops_no_room(
    tmp_path: Path, plant: Plant, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plant.json").write_bytes(left)
    with caplog.at_level(logging.WARNING):
        claim(plant, tmp_path)
    claim(plant, tmp_path)
    assert json.loads((tmp_path / "plant.json").read_text())["plant"] == plant.group
    (aside,) = tmp_path.glob("plant.json.damaged-*")
    assert aside.read_bytes() == left
    assert [r.message for r in caplog.records if aside.name in r.message], "and it is told"


def test_the_plant_file_of_the_version_before_is_believed(tmp_path: Path, plant: Plant) -> None:
    old = {"plant": plant.group, "simulated": plant.simulated}
    (tmp_path / "plant.json").write_text(json.dumps(old))
    claim(plant, tmp_path)
    (tmp_path / "plant.json").write_text(json.dumps({**old, "simulated": not plant.simulated}))
    with pytest.raises(ConfigError, match="give another folder"):
        claim(plant, tmp_path)


@pytest.mark.parametrize(
    "left",
    [b"", b"[]", b'{"origin": 5}', b'{"origin": "x", "factor": 1}', b'{"origin": 1, "factor": 0}'],
)
def test_a_damaged_clock_is_never_guessed(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "clock.json").write_bytes(left)
    with pytest.raises(ConfigError, match=r"clock\.json is damaged"):
        read_clock(tmp_path)


@pytest.mark.parametrize(
    "left", [b"", b"\0", b"[]", b'{"accounts": []}', b'{"accounts": {"a": 1}}']
)
def test_damaged_secrets_are_named_with_what_to_do(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "secret.json").write_bytes(left)
    for ask in (Vault(tmp_path).environment, lambda: Vault(tmp_path).accounts(["edge1"])):
        with pytest.raises(Damaged, match=r"secret\.json is damaged .*remove it"):
            ask()
    assert (tmp_path / "secret.json").read_bytes() == left, "nothing is written over it"


def test_secrets_of_the_version_before_are_kept(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"accounts": {"a": "old"}}')
    assert Vault(tmp_path).accounts(["a"]) == {"a": "old"}
    made = Vault(tmp_path).accounts(["a", "b"])
    assert made["a"] == "old"
    assert Vault(tmp_path).accounts(["a", "b"]) == made


def room(name: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy", "run", name, "demo", "--data", str(data)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, **SECRETS},
    )


@pytest.mark.parametrize(
    ("name", "content", "says", "code"),
    [
        ("secret.json", b"\0\0", "is damaged", 2),
        ("plant.json", None, "Is a directory", 2),
        ("clock.json", b"{}", "is damaged", 2),
    ],
)
def test_a_room_ends_with_one_plain_line(
    tmp_path: Path, name: str, content: bytes | None, says: str, code: int
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    ended = room("twin", tmp_path)
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    ended = room("twin", tmp_path / "data")
    assert ended.returncode in {2, 3}
    assert "Traceback" not in ended.stderr
    assert str(tmp_path / "data") in ended.stderr


def test_a_disk_that_has_become_read_only_keeps_its_secrets_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Vault(tmp_path).accounts(["edge1"])
    true_open = os.open

    def read_only(path: Path, flags: int, *more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return true_open(path, flags, *more)

    monkeypatch.setattr(os, "open", read_only)
    assert Vault(tmp_path).accounts(["edge1"]) == kept
    with pytest.raises(OSError, match="Read-only"):
        Vault(tmp_path).accounts(["edge2"])
