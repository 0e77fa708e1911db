"""The dashboard as people meet it: the demo in a real browser, both pages, languages and themes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.deploy.demo_support import Demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


@dataclass
class Visit:
    """A browser that is logged in, and everything it complained about."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: str, **query: str) -> None:
        """Open a page of the dashboard and wait for its first values."""
        search = "&".join(f"{k}={v}" for k, v in query.items())
        self.page.goto(f"{self.address}{path}?{search}")
        self.page.wait_for_function("() => document.body.innerText.match(/kW/)")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("browser") / "data")
    try:
        demo.until("Ctrl-C stops it")
        yield demo
    finally:
        demo.stop()


@pytest.fixture(scope="module")
def browser(need: Callable[[str], str]) -> Iterator[Browser]:
    need("cjk font")
    with sync_playwright() as playwright:
        live = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        yield live
        live.close()


@pytest.fixture(scope="module")
def state(demo: Demo, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cookies after the first log-in, through the log-in page itself."""
    address = demo.until(r"dashboard +(http://\S+)")[1]
    account = demo.until(r"first log-in: (\S+) (\S+)$")
    page = browser.new_page()
    page.goto(f"{address}/?lang=en")
    page.get_by_label(re.compile("user|name", re.IGNORECASE)).fill(account[1])
    page.get_by_label(re.compile("password", re.IGNORECASE)).fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("User or password is wrong").wait_for()
    page.get_by_label(re.compile("password", re.IGNORECASE)).fill(account[2])
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.body.innerText.match(/kW/)")
    file = tmp_path_factory.mktemp("state") / "cookies.json"
    page.context.storage_state(path=file)
    page.context.close()
    return file


@pytest.fixture(
    params=[(1920, 1080, "light"), (390, 844, "dark")], ids=["wide-light", "phone-dark"]
)
def visit(
    request: pytest.FixtureRequest, demo: Demo, browser: Browser, state: Path
) -> Iterator[Visit]:
    width, height, theme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        storage_state=state,
        bypass_csp=True,  # the accessibility checker is put into the page
    )
    page = context.new_page()
    visit = Visit(page, demo.until(r"dashboard +(http://\S+)")[1])
    page.on("console", lambda m: visit.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda r: None if "127.0.0.1" in r.url else visit.outside.append(r.url))
    yield visit
    context.close()
    assert visit.outside == [], "no request leaves the host"
    assert [e for e in visit.errors if "401" not in e] == []


def _fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    fits: bool = page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1"
    )
    return fits


def test_the_line_page_shows_every_machine_live(visit: Visit) -> None:
    visit.open("/line/housings", lang="zh")
    page = visit.page
    for name in ("锯床", "车床", "铣床", "清洗机", "压装机", "检测台"):
        assert page.get_by_text(name, exact=True).first.is_visible(), name
    assert page.get_by_text("仿真").first.is_visible(), "simulated values say so"
    before = page.inner_text("body")
    page.wait_for_function("before => document.body.innerText !== before", arg=before)
    assert _fits(page)
    visit.open("/line/housings", lang="en")
    assert page.get_by_text("Lathe", exact=True).first.is_visible()
    assert "锯床" not in page.inner_text("main")


def test_the_machine_page_shows_signals_trend_health_and_energy(visit: Visit) -> None:
    visit.open("/machine/lathe", lang="en")
    page = visit.page
    for text in ("Spindle bearing vibration", "Health", "Energy"):
        assert page.get_by_text(text).first.is_visible(), text
    page.locator("canvas").first.wait_for()
    page.wait_for_function(
        """() => [...document.querySelectorAll('canvas')].some(c => {
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
             return d.some(v => v > 0); })"""
    )
    assert _fits(page)
    page.wait_for_function(
        "() => document.body.innerText.match(/\\d+\\s*\\/ ?100/)", timeout=60_000
    )


@pytest.mark.parametrize("path", ["/line/housings", "/machine/lathe"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_axe_finds_nothing(visit: Visit, need: Callable[[str], str], path: str, lang: str) -> None:
    visit.open(path, lang=lang)
    visit.page.add_script_tag(path=need("axe-core"))
    found = visit.page.evaluate("async () => (await axe.run()).violations")
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


def test_a_lost_gateway_is_said_and_values_stay(visit: Visit) -> None:
    visit.open("/line/housings", lang="en")
    page = visit.page
    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    page.get_by_text(re.compile("Disconnected since")).first.wait_for(timeout=20_000)
    assert "kW" in page.inner_text("body"), "the last known values stay"
    page.context.set_offline(False)
    visit.errors.clear()
