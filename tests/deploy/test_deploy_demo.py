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
        body = json.dumps({"user": user, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/api/login", body, headers)
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
        kept = command("backup", str(tmp_path / "kept.tar"), "--data", str(data))
        assert re.search(r"[1-9]\d+ samples in", kept)
        assert "edge1: trusted: none" in command("trust", "--data", str(data))
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
