"""How the InfluxDB of the tests comes to be: made once, told when it fails, skipped by name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.influxd import Influxd
from tests.influxd import build

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "influxd" / "build.py"
ONE_TEST = (
    "tests/deploy/test_deploy_influxd.py"
    "::test_the_organisation_is_new_and_what_is_written_comes_back"
)

SAYS_MUCH = """#!/bin/sh
n=0
while [ $n -lt 200 ]; do n=$((n + 1)); echo $n; done
echo no such crate >&2
exit 3
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for programs that stand in for compilers; each does nothing."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in build.TOOLS:
        (folder / name).write_text("#!/bin/sh\n", "ascii")
        (folder / name).chmod(0o755)
    return folder


def environment(tmp_path: Path, path: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("KAIKOU_")}
    return {
        **kept,
        "PATH": path,
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        **more,
    }


def started(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out.strip(), err


def pytest_run(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_two_at_once_make_one(tmp_path, tools):
    calls = tmp_path / "calls"
    (tools / "go").write_text(
        f'#!/bin/sh\necho "$PKG_CONFIG $*" >> {calls}\n'
        'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo made > "$2"; shift; done\n/bin/sleep 0.3\n',
        "ascii",
    )
    env = environment(tmp_path, str(tools))
    answers = [ended(p) for p in [started(env), started(env)]]
    path = tmp_path / "cache" / "kaikou" / f"influxd-{build.version()}" / "influxd"
    assert [a[:2] for a in answers] == [(0, str(path))] * 2
    assert path.read_text() == "made\n"
    assert sum("another process makes it" in a[2] for a in answers) <= 1
    steps = calls.read_text("utf-8").splitlines()
    assert len(steps) == 3
    assert all(re.match(r"/\S+/pkg-config build ", step) for step in steps[1:])
    assert f"-tags {build.TAGS}" in steps[2]
    assert not list(path.parent.glob("making-*"))
    assert ended(started(env))[:2] == (0, str(path))
    assert len(calls.read_text("utf-8").splitlines()) == 3


def test_a_failure_ends_with_the_last_lines_of_the_compiler(tmp_path, tools):
    (tools / "go").write_text(SAYS_MUCH, "ascii")
    code, out, err = ended(started(environment(tmp_path, str(tools))))
    assert (code, out) == (1, "")
    assert "go ended with 3; its last lines:" in err
    assert err.rstrip().endswith("199\n200\nno such crate")
    assert "\n100\n" not in err
    assert not list((tmp_path / "cache").rglob("influxd"))
    assert not list((tmp_path / "cache").rglob("making-*"))


def test_what_is_absent_is_named_and_is_no_failure(tmp_path, tools):
    (tools / "cargo").unlink()
    code, out, err = ended(started(environment(tmp_path, str(tools))))
    assert (code, out) == (0, "")
    assert "lacks cargo" in err


def test_without_rust_tests_skip_by_name_and_fail_in_ci(tmp_path, tools):
    (tools / "cargo").unlink()
    env = environment(tmp_path, str(tools))
    code, said = pytest_run(env, ONE_TEST)
    assert code == 0
    assert "influxd is not on this machine (making it takes cargo)" in said
    assert "not there: influxd" in said
    code, said = pytest_run({**env, "CI": "true"}, ONE_TEST)
    assert code == 1
    assert "influxd is not on this machine (making it takes cargo)" in said


def test_a_build_that_fails_fails_the_tests_that_need_it(tmp_path, tools):
    (tools / "go").write_text("#!/bin/sh\necho no network\nexit 1\n", "ascii")
    env = environment(tmp_path, str(tools))
    code, said = pytest_run(env, ONE_TEST, "tests/test_house.py::test_no_init_under_tests")
    assert code == 1
    assert "1 passed" in said
    assert "no network" in said


@pytest.mark.parametrize("org", ["", "kaikou"])
def test_a_named_server_is_used_and_left_as_it_was(influxd: Influxd, tmp_path, tools, org):
    influxd.influx.create_bucket("theirs")
    env = environment(
        tmp_path, str(tools),
        KAIKOU_INFLUX_URL=influxd.url, KAIKOU_INFLUX_TOKEN=influxd.token, KAIKOU_INFLUX_ORG=org,
    )  # fmt: skip
    code, said = pytest_run(env, ONE_TEST)
    assert code == 0, said
    assert "1 passed" in said
    assert "exercised: influxd" in said
    names = [o["name"] for o in influxd.influx.json("GET", "/api/v2/orgs")["orgs"]]
    assert names == ["kaikou"]
    assert set(influxd.influx.buckets()) == {"first", "theirs"}
