"""A gateway as its own process under floods: half-sent requests, odd ones, and what it logs."""

import contextlib
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.gateway.conftest import PLANT
from tests.wire.broker_support import Mosquitto, free_port

HALF = 1_100
ROOT = Path(__file__).parents[2]
BAD = [
    b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\0" * 3_000,
    b"GET /api/live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    (
        b"GET /api/live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Key: eHh4eHh4\xffHh4eHh4eHh4eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ),
    b"GET /api/live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]


class Process:
    """A running gateway."""

    def __init__(self, folder: Path, broker: int, tls: str = "") -> None:
        self.port = free_port()
        text = PLANT % (self.port, broker)
        if tls:
            text = text.replace(f"{{port: {self.port}}}", f"{{port: {self.port}, {tls}}}")
        (folder / "plant.yaml").write_text(text, "utf-8")
        self.log = folder / "log"
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy", "run", "gateway", "plant.yaml", "--data", "data"],
                cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.pid = self._process.pid
        self.code = self._process.poll

    def ask(self, path: str = "/healthz", **options: object) -> httpx.Response:
        """One request of its own."""
        with httpx.Client(verify=False, trust_env=False, timeout=20) as client:
            return client.get(self.url + path, **options)

    def wait(self) -> "Process":
        """Until it answers."""
        for _ in range(400):
            with contextlib.suppress(httpx.HTTPError):
                if self.ask("/").status_code == 200:
                    return self
            assert self.code() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError("it did not start")

    def half(self, first: bytes) -> socket.socket:
        """A connection with the beginning of a request."""
        there = socket.create_connection(("127.0.0.1", self.port), 20)
        with contextlib.suppress(OSError):
            there.sendall(first)
        return there

    def stop(self) -> int:
        """End it; its exit code."""
        self._process.terminate()
        return self._process.wait(20)


@pytest.fixture
def process(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Process]:
    """A gateway over plain HTTP."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    one = Process(tmp_path, mosquitto.port)
    try:
        yield one.wait()
    finally:
        one.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_sent_requests_of_one_address_keep_nobody_out(process: Process) -> None:
    with contextlib.ExitStack() as stack:
        for i in range(HALF):
            first = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " if i % 2 else b""
            stack.enter_context(process.half(first))
            if i % 100 == 99:
                assert process.ask().status_code in {200, 503}
        used = psutil.Process(process.pid)
        before = sum(used.cpu_times()[:2])
        for _ in range(20):
            assert process.ask().status_code in {200, 503}
            time.sleep(0.05)
        assert sum(used.cpu_times()[:2]) - before < 0.5, "and it does not burn a core"
        assert len(used.net_connections()) < 300
    assert process.log.stat().st_size < 20_000


def test_spoiled_requests_are_refused_with_few_words_in_the_log(process: Process) -> None:
    for _ in range(30):
        for request in BAD:
            with process.half(request) as there:
                there.settimeout(20)
                with contextlib.suppress(ConnectionError):
                    head = there.recv(100)
                    assert not head or head.startswith(b"HTTP/1.1 4") or b"h2c" in request, request
    assert process.ask().status_code in {200, 503}
    text = process.log.read_text()
    assert "Traceback" not in text
    assert len(text) < 5_000


def test_the_tls_handshake_is_bounded_and_a_renewed_certificate_is_read_on_hangup(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    first, second = _certificate(tmp_path / "a"), _certificate(tmp_path / "b")
    _take(tmp_path, first)
    tls = f"tls_cert: {tmp_path / 'cert.pem'}, tls_key: {tmp_path / 'key.pem'}"
    process = Process(tmp_path, mosquitto.port, tls)
    try:
        answer = process.wait().ask("/")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(process.half(b"\x16\x03\x01\x02\x00"))
            assert process.ask("/").status_code == 200
            assert len(psutil.Process(process.pid).net_connections()) < 300
        assert _served(process.port) == first[0].read_text()
        _take(tmp_path, second)
        os.kill(process.pid, 1)
        _until(lambda: _served(process.port) == second[0].read_text())
        (tmp_path / "cert.pem").write_text("spoiled")
        os.kill(process.pid, 1)
        _until(lambda: "stays as it was" in process.log.read_text())
        assert _served(process.port) == second[0].read_text()
    finally:
        assert process.stop() == 0
    spoiled = Process(tmp_path, mosquitto.port, tls)
    _until(lambda: spoiled.code() is not None)
    assert spoiled.code() == 2
    assert "no certificate with its key" in spoiled.log.read_text()
    assert "Traceback" not in spoiled.log.read_text()


def _certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gateway"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


def _take(folder: Path, files: tuple[Path, Path]) -> None:
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())


def _served(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=20)


def _until(condition: object) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")
