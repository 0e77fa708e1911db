"""The dashboard as people meet it: the demo in a real browser, both pages, languages and themes."""

import re
from collections.abc import Callable

import pytest

from tests.line.browser_support import Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_the_line_page_shows_every_machine_live(visit: Visit) -> None:
    visit.open("/line/housings", lang="zh")
    page = visit.page
    for name in ("锯床", "车床", "铣床", "清洗机", "压装机", "检测台"):
        assert page.get_by_text(name, exact=True).first.is_visible(), name
    assert page.get_by_text("仿真").first.is_visible(), "simulated values say so"
    before = page.inner_text("body")
    page.wait_for_function("before => document.body.innerText !== before", arg=before)
    assert visit.fits()
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
    assert visit.fits()
    page.wait_for_function(
        "() => document.body.innerText.match(/\\d+\\s*\\/ ?100/)", timeout=60_000
    )


@pytest.mark.parametrize("path", ["/line/housings", "/machine/lathe"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_axe_finds_nothing(visit: Visit, need: Callable[[str], str], path: str, lang: str) -> None:
    visit.open(path, lang=lang)
    assert visit.axe(need("axe-core")) == []


def test_a_lost_gateway_is_said_and_values_stay(visit: Visit) -> None:
    visit.open("/line/housings", lang="en")
    page = visit.page
    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    page.get_by_text(re.compile("Disconnected since")).first.wait_for(timeout=20_000)
    assert "kW" in page.inner_text("body"), "the last known values stay"
    page.context.set_offline(False)
    visit.errors.clear()
