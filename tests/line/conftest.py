"""The demo and a browser that is logged in, once for all tests of the dashboard."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.deploy.demo_support import Demo
from tests.line.browser_support import FLAGS, Visit


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("browser") / "data")
    try:
        demo.until("Ctrl-C stops it")
        yield demo
    finally:
        demo.stop()


@pytest.fixture(scope="package")
def browser(need: Callable[[str], str]) -> Iterator[Browser]:
    need("cjk font")
    with sync_playwright() as playwright:
        live = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        yield live
        live.close()


@pytest.fixture(scope="package")
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
