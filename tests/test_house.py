"""The house: what the checkout and the installed distribution promise."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("plant", "simulators", "edge", "twin", "analytics", "gateway", "deploy")


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_provides_a_room(room: str) -> None:
    assert set(packages_distributions().get(room, [])) <= {"kaikou"}


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_typed_and_ours(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()
    place = subprocess.run(
        [sys.executable, "-c", f"import {room}; print({room}.__file__)"],
        capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    assert Path(place.stdout.strip()) == ROOT / room / "__init__.py"


def test_console_script() -> None:
    script = Path(sys.executable).with_name("kaikou")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    for command in ("demo", "check", "run", "simulate", "backup", "restore", "trust"):
        assert re.search(rf"^    {command} ", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize("name", ["requirements.lock", "gateway/web/package-lock.json"])
def test_lock_holds_no_address_of_a_registry(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    if name.endswith(".json"):
        assert '"resolved"' not in text
    else:
        assert not re.findall(r"://|--(?:extra-)?index|--find-links", text)


def test_benches_are_listed_and_an_unknown_one_is_refused() -> None:
    def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip

    listed = bench()
    assert listed.returncode == 0
    assert re.search(r"^  start +\S", listed.stderr, re.MULTILINE)
    unknown = bench("no-such-bench")
    assert unknown.returncode == 2
    assert "no bench 'no-such-bench'" in unknown.stderr


def test_lock_has_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(name for extra in extras for name in extra)]
    names = {re.split(r"[\[<>=!;~ ]", a, maxsplit=1)[0].lower() for a in asked} - {"kaikou"}
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))
    assert names <= locked
    assert lock.count("==") <= lock.count("--hash=")


def test_no_init_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_decisions_are_numbered_without_holes() -> None:
    numbers = sorted(int(p.name[:4]) for p in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
