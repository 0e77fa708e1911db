"""From a fresh clone with empty caches and no Node to the first live value on the page.

``python -m bench start --json`` clones the committed state, runs ``make install`` and ``make demo``
there, logs in, opens the page's own WebSocket and waits for a value of a machine.

``install_s``: make install; ``live_s``: make demo to the first WebSocket message with a live value
of every machine asked for; ``stop_s``: Ctrl-C to the end; ``install_mb``: what .venv takes.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import orjson
from websockets.asyncio.client import connect

from bench.machine import machine

ROOT = Path(__file__).parents[1]
HIDDEN = {"node", "npm", "npx", "corepack", "uv", "uvx"}
WATCHED = ("saw/current", "lathe/vibration", "mill/power", "washer/power", "press/pressure")


def bare(home: Path) -> dict[str, str]:
    """An environment with empty caches, in which Node and uv are not to be found."""
    tools = home / "bin"
    tools.mkdir(parents=True)
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = tools / program.name
            if program.name not in HIDDEN and not link.exists():
                link.symlink_to(program)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAIKOU_", "VIRTUAL_ENV"))}
    caches = {"PIP_CACHE_DIR": "pip", "npm_config_cache": "npm", "XDG_CACHE_HOME": "cache"}
    return {**kept, **{k: str(home / v) for k, v in caches.items()}, "PATH": str(tools)}


class Started:
    """``make demo`` under way, with what it says."""

    def __init__(self, clone: Path, environment: dict[str, str]) -> None:
        self.begun = time.monotonic()
        self.said = ""
        self.live = subprocess.Popen(
            ["make", "--no-print-directory", "demo"],
            cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until it says something."""
        while not (found := re.search(pattern, self.said, re.MULTILINE)):
            line = self.live.stdout.readline() if self.live.stdout else ""
            if not line:
                raise SystemExit(f"the demo ended without {pattern!r}:\n{self.said}")
            sys.stderr.write(line)
            self.said += line
        return found

    def stop(self) -> float:
        """Ctrl-C, as a terminal gives it: to make and to what it started; seconds to the end."""
        begun = time.monotonic()
        os.killpg(self.live.pid, signal.SIGINT)
        rest, _ = self.live.communicate(timeout=60)
        self.said += rest
        return time.monotonic() - begun


async def first_live(address: str, user: str, password: str) -> float:
    """Monotonic time at which the page's WebSocket has shown a live value of all watched."""
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        answer = await client.post("/api/login", json={"user": user, "password": password})
        answer.raise_for_status()
        cookie = "; ".join(f"{k}={v}" for k, v in client.cookies.items())
        page = await client.get("/")
        if "not built" in page.text:
            raise SystemExit("the dashboard was not built")
    missing = set(WATCHED)
    stream = f"{address.replace('http', 'ws', 1)}/api/live"
    headers = {"Cookie": cookie, "Origin": address}
    async with connect(stream, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"view": list(WATCHED), "hz": 5}))
        paths = list(WATCHED)
        async with asyncio.timeout(120):
            while missing:
                message = orjson.loads(await socket.recv())
                if message["type"] not in {"snapshot", "frame"}:
                    continue
                paths = message.get("paths", paths)
                shown = message.get("i", range(len(paths)))
                pairs = zip(shown, message["value"], strict=True)
                missing -= {paths[i] for i, value in pairs if value is not None}
    return time.monotonic()


def run(folder: Path) -> dict[str, object]:
    """All of it, in an empty folder."""
    clone = folder / "kaikou"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    environment = bare(folder / "home")
    begun = time.monotonic()
    subprocess.run(["make", "install"], cwd=clone, env=environment, check=True, stdout=sys.stderr)
    install_s = time.monotonic() - begun
    demo = Started(clone, environment)
    try:
        address = demo.until(r"dashboard +(http\S+)")[1]
        account = demo.until(r"first log-in: (\S+) (\S+)$")
        live_s = asyncio.run(first_live(address, account[1], account[2])) - demo.begun
        demo.until("Ctrl-C stops it")
        up_s = time.monotonic() - demo.begun
    finally:
        stop_s = demo.stop()
    size = sum(p.stat().st_size for p in (clone / ".venv").rglob("*") if not p.is_symlink())
    return {
        "install_s": round(install_s, 1),
        "live_s": round(live_s, 1),
        "up_s": round(up_s, 1),
        "stop_s": round(stop_s, 1),
        "install_mb": size >> 20,
        "dashboard": True,
        **machine(),
    }


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser("python -m bench start", description=__doc__)
    parser.add_argument("--json", action="store_true", help="figures as the last line (always so)")
    parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kaikou-start-") as folder:
        print(json.dumps(run(Path(folder))))
    return 0
