"""The bill of materials: CycloneDX 1.6, complete, with versions, hashes and who needs what."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.sbom import bill, main, read_lock

ROOT = Path(__file__).resolve().parents[2]
LENGTH = {"SHA-256": 64, "SHA-384": 96, "SHA-512": 128, "SHA-1": 40}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return bill(ROOT, datetime(2026, 1, 2, tzinfo=UTC))


def test_it_has_the_structure_of_cyclonedx(made: dict[str, Any]) -> None:
    """What the specification's JSON schema demands of what we use."""
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    uuid = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, made["serialNumber"])
    assert made["metadata"]["timestamp"] == "2026-01-02T00:00:00Z"
    refs = [made["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in made["components"])]
    assert len(refs) == len(set(refs)), "a reference names one thing"
    for component in made["components"]:
        assert component["type"] == "library"
        assert component["scope"] in {"required", "excluded"}
        assert re.fullmatch(r"pkg:(pypi|npm)/[^@\s]+@[^@\s]+", component["purl"])
        assert component["hashes"], component["name"]
        for entry in component["hashes"]:
            assert re.fullmatch("[0-9a-f]+", entry["content"])
            assert len(entry["content"]) == LENGTH[entry["alg"]]
        contents = [entry["content"] for entry in component["hashes"]]
        assert len(contents) == len(set(contents)), "unique, as the schema demands"
    assert {d["ref"] for d in made["dependencies"]} == set(refs)
    for dependency in made["dependencies"]:
        assert set(dependency["dependsOn"]) <= set(refs)


def test_every_pin_of_the_lock_is_there_with_all_its_hashes(made: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    there = {(c["name"], c["version"]) for c in made["components"] if "pkg:pypi" in c["purl"]}
    assert there == {(re.sub(r"[-_.]+", "-", n).lower(), v) for n, v in pins}
    hashes = [h for c in made["components"] if "pkg:pypi" in c["purl"] for h in c["hashes"]]
    assert len(hashes) == lock.count("--hash=sha256:")


def test_what_runs_is_told_from_what_only_develops(made: dict[str, Any]) -> None:
    scope = {c["name"]: c["scope"] for c in made["components"]}
    for name in ("numpy", "duckdb", "starlette", "cryptography", "preact", "uplot"):
        assert scope[name] == "required", name
    for name in ("mypy", "pytest", "ruff", "hypothesis"):
        assert scope[name] == "excluded", name
    assert "vite" not in scope, "it makes the bundle and is not in it"
    needs = {d["ref"].split("/")[-1].split("@")[0]: d["dependsOn"] for d in made["dependencies"]}
    assert any("starlette" in ref for ref in needs["fastapi"])
    assert any("fastapi" in ref for ref in needs["kaikou"])


def test_a_lock_with_markers_and_extras_is_read() -> None:
    pins = read_lock(
        "uvicorn[standard]==0.35.0 ; python_version >= '3.11' \\\n"
        f"    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n"
        "    # via\n    #   Some_Thing\n    #   kaikou (pyproject.toml)\n"
    )
    assert [(p.name, p.version, len(p.hashes), p.needed_by) for p in pins] == [
        ("uvicorn", "0.35.0", 2, ("some-thing", "kaikou"))
    ]


def test_the_same_sources_give_the_same_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    main(ROOT, tmp_path / "a.json")
    main(ROOT, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text())["components"]
