"""A browser that looks at the dashboard, and what it complained about."""

from dataclasses import dataclass, field

from playwright.sync_api import Page

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

    def axe(self, script: str) -> list[tuple[str, str]]:
        """What the accessibility checker finds: rules and the first place of each."""
        self.page.add_script_tag(path=script)
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [(v["id"], v["nodes"][0]["html"]) for v in found]

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        fits: bool = self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1"
        )
        return fits
