"""The reference of the sources in the docs is the one their classes make."""

from pathlib import Path

from edge.adapters import KINDS
from edge.adapters.table import markdown, within

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"


def test_the_reference_is_current() -> None:
    text = PAGE.read_text("utf-8")
    assert text == within(text), "run: python -m edge.adapters.table docs/adapters.md"


def test_every_kind_and_parameter_is_explained() -> None:
    text = markdown()
    for kind in KINDS:
        assert f"### {kind}\n" in text
    assert "| None |" not in text
    assert "typing" not in text
