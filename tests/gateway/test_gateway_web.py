"""The dashboard's own checks: types of everything, unit tests of its pure parts."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "gateway" / "web"
CHECKS = {
    "tsc": ["node_modules/typescript/bin/tsc", "--noEmit"],
    "vitest": ["node_modules/vitest/vitest.mjs", "run"],
}


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_the_dashboard_passes(check: str, need: Callable[[str], str]) -> None:
    script, *options = CHECKS[check]
    need(f"dashboard {check}")
    done = subprocess.run(
        [need("node"), script, *options],
        cwd=WEB,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
