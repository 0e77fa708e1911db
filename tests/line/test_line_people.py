"""The page of accounts: an admin adds one, it logs in, and is out when its session is ended."""

import re

import pytest
from playwright.sync_api import Browser, Page

from tests.deploy.demo_support import Demo


def _log_in(page: Page, name: str, password: str) -> None:
    page.locator("input[name=user]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(
    ("lang", "theme", "size"), [("en", "light", (1280, 900)), ("zh", "dark", (390, 844))]
)
def test_an_admin_adds_an_account_and_ends_its_session(
    demo: Demo, browser: Browser, lang: str, theme: str, size: tuple[int, int]
) -> None:
    address = demo.until(r"dashboard +(http://\S+)")[1]
    password = demo.until(r"first log-in: admin (\S+)$")[1]
    viewport = {"width": size[0], "height": size[1]}
    name = f"sun.{lang}"
    admin = browser.new_context(viewport=viewport).new_page()
    other = browser.new_context(viewport=viewport).new_page()
    admin.goto(f"{address}/people?lang={lang}&theme={theme}")
    _log_in(admin, "admin", password)
    admin.locator(".people-row input[name=name]").fill(name)
    admin.locator("form select[name=role]").select_option("operator")
    admin.locator(".people-row button[type=submit]").first.click()
    made = admin.locator(".told code").inner_text()
    # The strip counts the whole plant on this page too, where no value is shown.
    admin.wait_for_function(
        "() => document.querySelectorAll('.attention-counts .count b')[1]?.textContent === '0'"
    )
    other.goto(f"{address}/?lang={lang}")
    _log_in(other, name, made)
    other.wait_for_function("() => document.body.innerText.match(/kW/)")
    row = admin.locator("section tr", has=admin.locator(".agent"), has_text=name)
    assert row.get_by_role("button").bounding_box()["x"] < size[0] - 40  # type: ignore[index]
    row.get_by_role("button").click()
    other.locator("input[name=password]").wait_for()
    done = admin.get_by_text(re.compile("session ended|会话已结束")).first
    done.wait_for()
    assert admin.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1"
    )
    for page in (admin, other):
        page.context.close()
