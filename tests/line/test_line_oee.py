"""Stops with their reasons and OEE: told by people in the browser, read back from the twin."""

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Route
from playwright.sync_api import TimeoutError as PageTimeoutError

from tests.deploy.demo_support import Demo
from tests.line.browser_support import Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HOUR_MS = 3_600_000


Stop = dict[str, Any]


def _runs(visit: Visit, asset: str, start: int, end: int) -> list[Stop]:
    query = {"asset": asset, "start": start, "end": end}
    reply = visit.page.request.get(f"{visit.address}/api/runs", params=query)
    runs: list[Stop] = reply.json()["runs"]
    return runs


def _stop(visit: Visit, asset: str) -> Stop:
    """The last stop that is over, and lasted long enough to be told from its neighbours."""
    now = int(time.time() * 1000)
    runs = _runs(visit, asset, now - 7 * HOUR_MS, now - 60_000)
    stops = [r for r in runs[1:-1] if r["state"] in {4, 5, 9, 11} and r["end"] - r["start"] > 5000]
    return stops[-1]


RUNS_ARE_HERE = """() => {
    const asked = performance.getEntriesByType('resource').map(e => new URL(e.name));
    const of = asked.filter(u => u.pathname === '/api/runs');
    const runs = of.map(u => u.searchParams.get('asset'));
    return document.querySelectorAll('.band.pickable').length <= new Set(runs).size;
}"""


def _open(visit: Visit, name: str, stop: Stop) -> Locator:
    """The dialog of a stop, by keys alone."""
    at = visit.page.evaluate(
        "ms => new Date(ms).toLocaleTimeString('en-GB', {timeZone: 'Asia/Shanghai'})",
        stop["start"],
    )
    visit.page.wait_for_function(RUNS_ARE_HERE)
    visit.page.wait_for_load_state("networkidle")
    band = visit.page.get_by_role("slider", name=re.compile(f"^{name}"))
    band.focus()
    passed: list[str] = []
    key = "Shift+End"
    while at not in (passed or [""])[-1]:
        band.press(key)
        visit.page.evaluate("() => new Promise(done => setTimeout(done, 50))")  # it is drawn
        text = band.get_attribute("aria-valuetext") or ""
        assert passed[-1:] != [text], f"no stop at {at} among {passed}"
        passed.append(text)
        key = "Shift+ArrowLeft"
    band.press("Enter")
    dialog = visit.page.get_by_role("dialog")
    dialog.wait_for()
    return dialog


def _held(visit: Visit, asset: str, stop: Stop) -> tuple[str | None, list[str]]:
    """The reason of a stop, and the former ones, as the twin has them."""
    [run] = _runs(visit, asset, stop["start"], stop["end"])
    reason = run["reason"]
    return reason["code"] if reason else None, [f["code"] for f in run["former"]]


def test_a_reason_is_set_corrected_and_read_back(visit: Visit) -> None:
    visit.open("/line/housings", lang="en")
    page = visit.page
    asked: list[str] = []
    stop = _stop(visit, "mill")
    dialog = _open(visit, "Mill", stop)
    dialog.get_by_role("searchbox").fill("broken")
    assert dialog.get_by_role("radio", name="Jam").count() == 0
    dialog.get_by_role("radio", name="Broken tool").press("Space")
    note = dialog.get_by_label("Note")
    note.fill("T4")
    page.on("request", lambda r: asked.append(r.url))
    note.press("Enter")
    dialog.wait_for(state="detached")
    assert _held(visit, "mill", stop)[0] == "tool_broken"
    page.wait_for_load_state("networkidle")
    assert any("/api/oee" in url for url in asked), "the figures are asked again"
    band = page.get_by_role("slider", name=re.compile("^Mill"))
    assert "Broken tool" in (band.get_attribute("aria-valuetext") or ""), "the band knows it"

    dialog = _open(visit, "Mill", stop)
    assert dialog.get_by_text("engineer").first.is_visible(), "who said it"
    dialog.get_by_role("radio", name="Jam").check()
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    code, former = _held(visit, "mill", stop)
    assert code == "jam"
    assert "tool_broken" in former

    dialog = _open(visit, "Mill", stop)
    assert dialog.get_by_text("Said before").is_visible()
    dialog.get_by_role("button", name="Take the reason back").click()
    dialog.wait_for(state="detached")
    assert _held(visit, "mill", stop)[0] is None


def test_what_cannot_be_saved_is_said_plainly_and_nothing_is_lost(visit: Visit) -> None:
    visit.open("/line/housings", lang="en")
    page = visit.page
    dialog = _open(visit, "Press", _stop(visit, "press"))
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_text("Choose a reason").wait_for()
    dialog.get_by_role("radio", name="No operator").check()
    dialog.get_by_label("Note").fill("kept")
    page.route("**/api/reasons", lambda r: r.fulfill(status=503, json={"detail": "no answer"}))
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_text("The twin did not answer, so nothing was saved").wait_for()
    assert dialog.get_by_label("Note").input_value() == "kept"
    page.unroute("**/api/reasons")
    dialog.get_by_role("radio", name="a part of it").check()
    dialog.get_by_label("From", exact=True).fill("2020-01-01 00:00:00")
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_text("The part must lie within the stop").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
    visit.errors[:] = [e for e in visit.errors if "503" not in e]


def test_who_may_only_look_reads_reasons(demo: Demo, browser: Browser) -> None:
    """The first account of an administrator may not tell of stops."""
    address = demo.until(r"dashboard +(http://\S+)")[1]
    account = demo.until(r"first log-in: (admin) (\S+)$")
    context = browser.new_context()
    visit = Visit(context.new_page(), address)
    visit.page.goto(f"{address}/?lang=en")
    visit.page.get_by_label("User").fill(account[1])
    visit.page.get_by_label("Password").fill(account[2])
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_function("() => document.body.innerText.match(/kW/)")
    dialog = _open(visit, "Washer", _stop(visit, "washer"))
    dialog.get_by_text("Reasons are set by operators").wait_for()
    assert dialog.get_by_role("button", name="Save").count() == 0
    assert visit.page.get_by_role("button", name="Change", exact=True).count() == 0
    context.close()


def test_the_product_is_set_from_now_on(visit: Visit) -> None:
    visit.open("/line/housings", lang="en")
    page = visit.page
    for product in ("Housing 71", "Housing 90"):
        page.get_by_role("button", name="Change", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("radio", name=re.compile(product)).check()
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        page.locator(".product-now").get_by_text(product).wait_for()


def test_a_mode_is_stated_and_taken_back(visit: Visit, need: Callable[[str], str]) -> None:
    visit.open("/machine/saw", lang="en")
    page = visit.page
    now = page.locator(".mode-now")
    for mode, shown in (("changeover", "changeover"), ("Take it back", "not stated")):
        now.get_by_role("button", name="Change").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("radio", name=re.compile(mode)).check()
        if mode == "Take it back":
            assert visit.axe(need("axe-core")) == []
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        now.get_by_text(shown).wait_for()
        assert now.get_by_text("engineer").count() == (shown == "changeover")
    assert visit.fits()


def test_a_reason_holds_until_the_stop_ends(visit: Visit) -> None:
    """The press waits for parts most of the time: a stop that is on, the dialog's own choice."""
    visit.open("/line/housings", lang="en")
    page = visit.page
    body: dict[str, Any] = {}

    def answer(route: Route) -> None:
        body.update(route.request.post_data_json)
        route.continue_()

    page.route(
        "**/api/reasons", lambda r: answer(r) if r.request.method == "POST" else r.continue_()
    )
    going_on = page.get_by_role("dialog").get_by_text("The stop goes on")
    band = page.get_by_role("slider", name=re.compile("^Press"))
    until = time.monotonic() + 120
    while not going_on.count():
        assert time.monotonic() < until, "the press never stands"
        page.keyboard.press("Escape")
        page.wait_for_function("() => !document.querySelector('dialog')")
        band.focus()
        band.press("Shift+End")
        band.press("Enter")
        with contextlib.suppress(PageTimeoutError):  # the band was drawn anew between the two keys
            page.get_by_role("dialog").wait_for(timeout=5000)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="No material").check()
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    assert body["end"] is None
    now = int(time.time() * 1000)
    [run] = _runs(visit, "press", body["start"], body["start"] + 1)
    assert run["reason"]["code"] == body["code"]
    runs = _runs(visit, "press", body["start"], now)
    told = [r["state"] != 6 for r in runs]
    first = told.index(False) if False in told else len(told)
    assert [r["reason"] is not None for r in runs] == [n < first for n in range(len(runs))]


def test_oee_shows_the_number_with_its_coverage(visit: Visit) -> None:
    now = int(time.time() * 1000)
    visit.open("/line/housings", lang="en", oee=f"{now - 4 * HOUR_MS}-{now - HOUR_MS}")
    panel = visit.page.get_by_role("region", name="OEE")
    panel.locator(".oee-number").get_by_text(re.compile(r"^\d+\.\d\s%$")).wait_for()
    assert panel.get_by_text(re.compile("of the time has data")).first.is_visible()
    assert panel.get_by_text("Taken at the constraint, Lathe").is_visible()
    assert panel.get_by_text("named in plant.yaml").is_visible()
    assert panel.get_by_text("Quality counted by Gauge").is_visible()
    assert visit.fits()


@pytest.mark.parametrize("path", ["/line/housings", "/machine/mill"])
def test_the_reason_stands_instead_of_a_number_nobody_knows(visit: Visit, path: str) -> None:
    day = int(time.time() * 1000) - 72 * HOUR_MS
    visit.open(path, lang="en", oee=f"{day}-{day + 8 * HOUR_MS}")
    panel = visit.page.get_by_role("region", name="OEE")
    panel.locator(".oee-why").get_by_text("No figures").wait_for()
    assert panel.locator(".oee-why").get_by_text(re.compile("80")).is_visible()
    assert panel.locator(".oee-number").count() == 0


def test_trends_say_where_they_come_from(visit: Visit) -> None:
    visit.open("/machine/lathe", lang="en", range="24h")
    visit.page.get_by_text(
        re.compile(r"from (raw rows|1 min tier), (every row|bucket )")
    ).wait_for()
    visit.page.get_by_role("button", name="Year", exact=True).click()
    visit.page.wait_for_function("() => location.search.includes('range=365d')")
    assert visit.fits()


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_axe_finds_nothing_in_the_dialogs(
    visit: Visit, need: Callable[[str], str], lang: str
) -> None:
    visit.open("/line/housings", lang=lang)
    _open(visit, {"zh": "检测台", "en": "Gauge"}[lang], _stop(visit, "gauge"))
    visit.page.locator(".choice-list").wait_for()
    visit.page.locator("input[name=over]").last.check()
    assert visit.axe(need("axe-core")) == []
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name={"zh": "更改", "en": "Change"}[lang], exact=True).click()
    visit.page.locator(".choice-list").wait_for()
    assert visit.axe(need("axe-core")) == []
