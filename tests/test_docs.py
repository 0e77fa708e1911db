"""What the documents name exists: links, files, commands, benches, make targets."""

import re
from pathlib import Path

import pytest

from bench.__main__ import names
from deploy.cli import _parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
ROOMS = "plant|simulators|edge|twin|analytics|gateway|deploy|bench|tests|docs"


def _commands() -> set[str]:
    return {
        name
        for action in _parser()._actions
        if isinstance(action.choices, dict)
        for name in action.choices
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    files = re.findall(rf"`((?:{ROOMS})/[\w./-]+\.(?:py|yaml|md|ts|tsx))`", text)
    missing += [f for f in files if "__init__" not in f and not (ROOT / f).exists()]
    known = _commands()
    missing += [f"kaikou {c}" for c in re.findall(r"`kaikou ([a-z]+)", text) if c not in known]
    benches = re.findall(r"python -m bench ([a-z]+)", text)
    missing += [f"bench {b}" for b in benches if b not in names()]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"`make ([a-z]+)", text)
    missing += [f"make {t}" for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)]
    assert missing == []


def test_every_command_and_bench_is_documented() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [c for c in _commands() if f"kaikou {c}" not in text] == []
    assert [b for b in names() if f"bench {b}" not in text and f"`{b}`" not in text] == []


def test_every_attack_and_damage_is_shown_by_a_test_that_exists() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    _, _, section = page.partition("## Attacks, damage and bad peers")
    rows = re.findall(
        r"^\| (?!what is tried|---)(.+?) \|$", section.partition("\n## ")[0], re.MULTILINE
    )
    assert rows
    missing = []
    for row in rows:
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row) or [("", row)]:
            text = (ROOT / file).read_text("utf-8") if file and (ROOT / file).exists() else ""
            if not re.search(rf"^\s*(?:async )?def {re.escape(test)}\(", text, re.MULTILINE):
                missing.append(f"{file}::{test}")
    assert missing == []
