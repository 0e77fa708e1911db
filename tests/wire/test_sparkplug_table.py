"""docs/sparkplug.md against the tests: every assertion of chapters 4 to 6 that applies is tested.

A test names the assertions it stands for in its docstring after ``tck:``. Run this file as a
program to write the names of the tests into the table.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sparkplug.md"
ROW = re.compile(r"^\| `(?P<id>[^`]+)` \| (?P<meaning>[^|]+?) \| (?P<test>[^|]*?) \|$")
OUT = "does not apply: "


def named() -> dict[str, list[str]]:
    """Assertion -> the tests that name it."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        if "node_modules" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            _, _, ids = (ast.get_docstring(node) or "").partition("tck:")
            for id in ids.split():
                found.setdefault(id, []).append(f"`{node.name}`")
    return found


def rows() -> list[tuple[str, str]]:
    """(assertion, what stands in its last column)."""
    matches = (ROW.match(line) for line in PAGE.read_text("utf-8").splitlines())
    return [(m["id"], m["test"]) for m in matches if m]


def test_the_table_is_complete_and_true(capsys: pytest.CaptureFixture[str]) -> None:
    table, tests = rows(), named()
    ids = [id for id, _ in table]
    assert len(ids) == len(set(ids))
    assert sorted(set(tests) - set(ids)) == []
    applicable = {id: test for id, test in table if not test.startswith(OUT)}
    tested = {id: test for id, test in applicable.items() if id in tests}
    assert {i: t for i, t in tested.items() if t != ", ".join(tests[i])} == {}
    assert sorted(set(applicable) - set(tested)) == []
    assert sorted(id for id, test in table if test.startswith(OUT) and id in tests) == []
    with capsys.disabled():
        print(f"\nSparkplug 3.0: applicable {len(applicable)}, tested {len(tested)}")


def write() -> None:
    """Put the names of the tests into the table."""
    tests = named()
    lines = PAGE.read_text("utf-8").splitlines()
    for at, line in enumerate(lines):
        m = ROW.match(line)
        if m and not m["test"].startswith(OUT):
            by = ", ".join(tests.get(m["id"], []))
            lines[at] = f"| `{m['id']}` | {m['meaning']} | {by} |"
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write()
    sys.exit(pytest.main([__file__, "-q"]))
