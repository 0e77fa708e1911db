"""The demo from outside: one command, a live line, Ctrl-C, and again with the same data."""

import http.cookiejar
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.demo_support import Demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "deploy", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class Browser:
    """Enough of a browser to log in and ask."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def log_in(self, user: str, password: str) -> Any:
        return self.post("/api/login", {"user": user, "password": password})

    def post(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        text = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", text, headers)
        with self.opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def get(self, path: str) -> Any:
        with self.opener.open(f"{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def page(self) -> str:
        with self.opener.open(self.address, timeout=10) as answer:
            text: str = answer.read().decode()
            return text


def test_demo_lives_stops_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    demo = Demo(data)
    try:
        demo.until("Ctrl-C stops it")
        address = demo.until(r"dashboard +(http://\S+)")[1]
        demo.until("fault bearing-wear on the lathe")
        account = demo.until(r"first log-in: (\S+) (\S+)$")
        browser = Browser(address)
        rights = browser.log_in(account[1], account[2])["rights"]
        assert rights
        assert "<html" in browser.page() or "<!doctype html>" in browser.page()
        paths = ["saw/current", "lathe/vibration", "mill/power", "incomer/energy", "press/pressure"]
        question = "/api/latest?" + "&".join(f"path={p}" for p in paths)
        end = time.monotonic() + 60
        while True:
            answer = browser.get(question)
            if all(v is not None for v in answer["value"]) or time.monotonic() > end:
                break
            time.sleep(0.2)
        assert None not in answer["value"], answer
        assert all(answer["time"] - t < 70_000 for t in answer["source_time"])
        start = answer["time"] - 6 * 3_600_000
        past = browser.get(f"/api/history?path=lathe/vibration&start={start}&end={answer['time']}")
        assert past["raw_count"] > 1000, "eight hours were run ahead"
        a_reason_goes_to_the_twin_and_comes_back(browser, answer["time"])
        kept = command("backup", str(tmp_path / "kept.tar"), "--data", str(data))
        assert re.search(r"[1-9]\d+ samples in", kept)
        assert "edge1: trusted: none" in command("trust", "--data", str(data))
        assert open_to_others(data) == []
        assert (tmp_path / "kept.tar").stat().st_mode & 0o077 == 0
        assert demo.stop() == 0, demo.said
    finally:
        demo.close()
    again = Demo(data, "--fault", "none")
    try:
        again.until("kept from before")
        again.until("no fault is played")
        browser = Browser(again.until(r"dashboard +(http://\S+)")[1])
        assert browser.log_in(account[1], account[2])["rights"] == rights
        assert again.stop() == 0, again.said
    finally:
        again.close()
    said = command("restore", str(tmp_path / "kept.tar"), "--data", str(tmp_path / "other"))
    assert "covered by gap records" in said


def open_to_others(folder: Path) -> list[str]:
    """Files and folders that another account of this machine may look into."""
    return [str(f) for f in [folder, *folder.rglob("*")] if f.exists() and f.stat().st_mode & 0o077]


def a_reason_goes_to_the_twin_and_comes_back(browser: Browser, now: int) -> None:
    """Through the embedded broker with its accounts, between real processes."""
    stop = {"asset": "lathe", "start": now - 60_000, "end": now - 1000, "code": "tool_change"}
    said = browser.post("/api/reasons", {**stop, "note": "T4"})
    assert said["readable"]
    times = f"start={stop['start']}&end={stop['end']}"
    runs = browser.get(f"/api/runs?asset=lathe&{times}")["runs"]
    assert {run["reason"]["said"] for run in runs} == {said["said"]}
    was = browser.get(f"/api/as-of?at={stop['start']}")
    assert sum(v is not None for v in was["value"]) > 40
    line = browser.get(f"/api/oee?asset=housings&start={now - 3_600_000}&end={now}")
    assert (line["line"], len(line["rows"])) == (True, 1)
