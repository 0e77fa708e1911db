"""The software bill of materials: CycloneDX 1.6 from the two lock files (``make sbom``).

Every library of ``requirements.lock`` with its version, the hashes of the files that may be
installed and who needs it, and the libraries in the dashboard's bundle. What only development
needs has the scope ``excluded``.
"""

import base64
import json
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plant.file import write_whole

SPECIFICATION = "1.6"
DEVELOPMENT = ("dev", "build")
"""Extras of pyproject.toml that nobody runs a plant with."""
BUILD_ONLY = frozenset({"vite"})
"""Dependencies of the dashboard that make the bundle and are not in it."""
_SPACE = uuid.UUID("3f0c1c5a-6a0e-5b1e-9b51-3a2f0d1b7a10")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(
    r"^\s*#\s+(?:via\s+)?([A-Za-z0-9._-]+)(?:\[[^]]*\])?(\s+\(pyproject\.toml\))?\s*$"
)
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Pin:
    """One library of a lock: ``hashes`` are (algorithm, hexadecimal), ``needed_by`` names."""

    name: str
    version: str
    hashes: tuple[tuple[str, str], ...]
    needed_by: tuple[str, ...]
    kind: str = "pypi"

    @property
    def purl(self) -> str:
        """What names it everywhere (package-url.github.io)."""
        name = self.name.replace("@", "%40", 1) if self.kind == "npm" else self.name
        return f"pkg:{self.kind}/{name}@{self.version}"


def read_lock(text: str) -> list[Pin]:
    """The pins of a requirements.lock as uv writes it."""
    found: list[Pin] = []
    head: re.Match[str] | None = None
    hashes: list[tuple[str, str]] = []
    via: list[str] = []

    def close() -> None:
        if head is not None:
            found.append(Pin(_plain(head[1]), head[2], tuple(hashes), tuple(via)))

    for line in text.splitlines():
        if pin := _PIN.match(line):
            close()
            head, hashes, via = pin, [], []
        hashes += [("SHA-256", digest) for digest in _HASH.findall(line)]
        if head is not None and (needed := _VIA.match(line)) and needed[1] != "via":
            via.append(_plain(needed[1]))
    close()
    return found


def read_web_lock(lock: Mapping[str, Any]) -> list[Pin]:
    """The libraries that the dashboard's bundle holds, from its package-lock.json."""
    packages: Mapping[str, Mapping[str, Any]] = lock["packages"]
    needed_by: dict[str, list[str]] = {}
    open_ = [("kaikou", name) for name in packages[""].get("dependencies", {})]
    while open_:
        by, name = open_.pop()
        if name in BUILD_ONLY:
            continue
        if name not in needed_by:
            more = packages[f"node_modules/{name}"].get("dependencies", {})
            open_ += [(name, other) for other in more]
        needed_by.setdefault(name, []).append(by)
    return [
        Pin(
            name,
            str(packages[f"node_modules/{name}"]["version"]),
            tuple(_integrity(str(packages[f"node_modules/{name}"].get("integrity", "")))),
            tuple(by),
            "npm",
        )
        for name, by in sorted(needed_by.items())
    ]


def _integrity(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split():
        algorithm, _, digest = part.partition("-")
        yield f"SHA-{algorithm.removeprefix('sha')}", base64.b64decode(digest).hex()


def bill(root: Path, now: datetime) -> dict[str, Any]:
    """The document, of the sources in ``root``."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (root / "requirements.lock").read_text("utf-8")
    web = json.loads((root / "gateway/web/package-lock.json").read_text("utf-8"))
    pins = [*read_lock(lock), *read_web_lock(web)]
    used = _used(pins, project)
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, lock + json.dumps(web))}",
        "version": 1,
        "metadata": {
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "purl": own,
                "licenses": [{"license": {"id": project["license"]}}],
            },
        },
        "components": [_component(pin, used) for pin in pins],
        "dependencies": _dependencies(pins, str(project["name"]), own),
    }


def _component(pin: Pin, used: frozenset[str]) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "scope": "required" if pin.purl in used else "excluded",
        "hashes": [{"alg": algorithm, "content": digest} for algorithm, digest in pin.hashes],
    }


def _dependencies(pins: Sequence[Pin], project: str, own: str) -> list[dict[str, Any]]:
    refs = {(pin.kind, pin.name): pin.purl for pin in pins}
    needs: dict[str, list[str]] = {own: [], **{pin.purl: [] for pin in pins}}
    for pin in pins:
        for by in pin.needed_by:
            ref = own if by == project else refs.get((pin.kind, by))
            if ref is not None:
                needs[ref].append(pin.purl)
    return [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in needs.items()]


def _used(pins: Sequence[Pin], project: Mapping[str, Any]) -> frozenset[str]:
    """What a plant runs with: reached from the dependencies and the extras that are not for us."""
    extras = project.get("optional-dependencies", {})
    wanted = [project["dependencies"], *(v for k, v in extras.items() if k not in DEVELOPMENT)]
    roots = {_plain(m[0]) for texts in wanted for text in texts if (m := _NAME.match(text))}
    python = [pin for pin in pins if pin.kind == "pypi"]
    reached: set[str] = set()
    while new := {p.name for p in python if p.name in roots or reached & {*p.needed_by}} - reached:
        reached |= new
    return frozenset(p.purl for p in pins if p.kind == "npm" or p.name in reached)


def _plain(name: str) -> str:
    """A name as PyPI compares it.

    >>> _plain("Typing_Extensions")
    'typing-extensions'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def main(root: Path, target: Path) -> None:
    """Write the bill of the sources in ``root`` into ``target``."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    write_whole(target, json.dumps(bill(root, now), indent=1) + "\n", 0o644)


if __name__ == "__main__":
    main(Path.cwd(), Path(sys.argv[1]))
