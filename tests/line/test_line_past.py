"""The clock over the whole page: the past is said, shown whole, and nothing live leaks into it."""

import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.line.browser_support import Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MINUTE_MS = 60_000


def _ago(minutes: float) -> str:
    return str(int(time.time() * 1000 - minutes * MINUTE_MS))


def _moment(visit: Visit) -> str | None:
    """The moment that the address names."""
    return parse_qs(urlsplit(visit.page.url).query).get("at", [None])[0]


def test_the_page_goes_into_the_past_and_nothing_live_leaks(visit: Visit) -> None:
    page = visit.page
    frames: list[object] = []

    def hear(frame: object) -> None:
        frames.append(frame)

    page.on("websocket", lambda socket: socket.on("framereceived", hear))
    visit.open("/line/housings", lang="en")
    banner = page.get_by_text(re.compile("This is the past"))
    assert banner.count() == 0
    page.get_by_role("button", name="LIVE", exact=True).click()
    page.get_by_role("button", name="10 min earlier").click()
    banner.wait_for()
    at = _moment(visit)
    assert at is not None
    then = page.request.get(
        f"{visit.address}/api/as-of", params={"at": at, "path": "washer/part_count"}
    )
    count = int(then.json()["value"][0])
    card = page.locator(".card", has_text="Washer")
    card.get_by_text(str(count), exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    before = page.locator(".mimic").inner_text() + page.locator(".keys").inner_text()
    heard = len(frames)
    page.wait_for_function("() => document.body.innerText.match(/LIVE|PAST/)")
    while len(frames) < heard + 15:  # the socket goes on
        page.wait_for_timeout(100)
    assert page.locator(".mimic").inner_text() + page.locator(".keys").inner_text() == before
    assert visit.fits()

    page.get_by_role("link", name=re.compile("Washer")).first.click()
    page.get_by_role("heading", name="Washer", level=1).wait_for()
    assert _moment(visit) == at, "the moment travels with every link"
    assert banner.is_visible()
    page.go_back()
    page.go_back()
    banner.wait_for(state="detached")
    assert _moment(visit) is None
    page.wait_for_function("before => document.body.innerText !== before", arg=before)


def test_a_moment_is_written_in_plant_time_and_survives_a_reload(visit: Visit) -> None:
    visit.open("/machine/lathe", lang="en", at=_ago(60))
    page = visit.page
    page.get_by_text(re.compile("This is the past")).wait_for()
    if page.locator(".time-bar").count() == 0:
        page.get_by_role("button", name=re.compile("^As of")).click()
    field = page.get_by_label("Go to", exact=True)
    written = field.input_value()[:17] + "00"
    field.fill("nonsense")
    field.press("Enter")
    page.get_by_text("Write it as").wait_for()
    field.fill(written)
    field.press("Enter")
    page.get_by_text(f"as of {written}").wait_for()
    page.wait_for_function("() => /at=\\d+00000?/.test(location.search)")
    page.reload()
    page.get_by_text(f"as of {written}").wait_for()
    page.get_by_role("button", name="Back to live").click()
    page.get_by_text(re.compile("This is the past")).wait_for(state="detached")


def test_as_then_believed_asks_everything_as_known_then(visit: Visit) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    # The demo's hours before its start were told at its start: then, nobody knew them.
    visit.open("/machine/lathe", lang="en", at=_ago(120))
    page.get_by_text(re.compile("This is the past")).wait_for()
    if page.locator(".time-bar").count() == 0:
        page.get_by_role("button", name=re.compile("^As of")).click()
    page.wait_for_load_state("networkidle")
    page.get_by_text(re.compile("What was known")).click()
    asked.clear()
    page.get_by_role("radio", name=re.compile("As then believed")).check()
    page.get_by_text("As then believed: without what came later").wait_for()
    page.get_by_text("no data yet").first.wait_for()
    page.locator(".oee-why").wait_for()
    page.wait_for_load_state("networkidle")
    kinds = {urlsplit(u).path.rsplit("/", 1)[-1]: u for u in asked}
    for kind in ("as-of", "history", "runs", "oee", "aggregate"):
        assert "known_at=" in kinds[kind], kind


@pytest.mark.parametrize("path", ["/line/housings", "/machine/lathe"])
def test_axe_finds_nothing_in_the_past(visit: Visit, need: Callable[[str], str], path: str) -> None:
    visit.open(path, lang="zh", at=_ago(30), known="then")
    visit.page.get_by_text("这是过去").wait_for()
    if visit.page.locator(".time-bar").count() == 0:
        visit.page.get_by_role("button", name=re.compile("^截至")).click()
    visit.page.locator(".known summary").click()
    visit.page.wait_for_load_state("networkidle")
    assert visit.axe(need("axe-core")) == []
