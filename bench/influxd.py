"""A real InfluxDB 2 on loopback for tests and benches: started, stopped, killed, started again.

Its settings are the server's own, those of durability too; only places, the address and that it
reports nothing home are given.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.influx import Influx
from bench.rig import free_ports
from plant.errors import Rejected, Unavailable
from tests.influxd.build import program, say_aloud

READY_S = 60.0
STOP_S = 30.0


class Influxd:
    """An ``influxd`` of our own on one folder and one port.

    The first start sets it up. Its token lies in the folder, so another object on the same folder
    speaks to the same data. ``program`` is the server's path: where it is left out, the one on
    PATH, the one in the cache, or one made now. Every method blocks until it is done.
    """

    def __init__(self, folder: Path, port: int | None = None, program: str | None = None) -> None:
        self.folder = folder
        self.port = port or free_ports(1)[0]
        self._program = program
        self._live: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / "token"
        if not token.is_file():
            token.touch(0o600)
            token.write_text(secrets.token_urlsafe(32), "ascii")
        self.influx = Influx(f"http://127.0.0.1:{self.port}", token.read_text("ascii"), "kaikou")

    @property
    def url(self) -> str:
        """Its address."""
        return self.influx.url

    @property
    def token(self) -> str:
        """A token that may do everything."""
        return self.influx.token

    @property
    def org(self) -> str:
        """Its first organisation."""
        return self.influx.org

    @property
    def pid(self) -> int | None:
        """The number of its process while it runs."""
        return self._live.pid if self._live is not None and self._live.poll() is None else None

    def start(self, ready_s: float = READY_S) -> None:
        """Start it, wait until it says that it is healthy, set it up if it is new.

        Raises
        ------
        Unavailable
            Its port is taken, it ended, or is not healthy in time; with its last lines.
        """
        if self.pid is not None:
            raise RuntimeError("it runs already")
        _refuse_taken(self.port)
        command = [
            self._program or influxd_program(),
            f"--bolt-path={self.folder / 'influxd.bolt'}",
            f"--engine-path={self.folder / 'engine'}",
            f"--sqlite-path={self.folder / 'influxd.sqlite'}",
            f"--http-bind-address=127.0.0.1:{self.port}",
            "--reporting-disabled",
        ]
        env = {k: v for k, v in os.environ.items() if not k.startswith("INFLUXD_")}
        with (self.folder / "influxd.log").open("ab") as log:
            self._live = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=env
            )
        try:
            self._until_healthy(ready_s)
            self._set_up()
        except BaseException:
            self.kill()
            raise

    def _until_healthy(self, ready_s: float) -> None:
        end = time.monotonic() + ready_s
        while time.monotonic() < end:
            if self.pid is None:
                raise Unavailable(f"influxd ended while it started:\n{self.last_lines()}")
            with contextlib.suppress(Unavailable, Rejected):
                if self.influx.json("GET", "/health").get("status") == "pass":
                    return
            time.sleep(0.05)
        raise Unavailable(f"influxd is not healthy after {ready_s:.0f} s:\n{self.last_lines()}")

    def _set_up(self) -> None:
        anybody = Influx(self.url, "", "")
        if not anybody.json("GET", "/api/v2/setup")["allowed"]:
            return
        body = {
            "username": "kaikou",
            "password": secrets.token_urlsafe(24),
            "token": self.token,
            "org": self.org,
            "bucket": "first",
        }
        anybody.call("POST", "/api/v2/setup", body)

    def last_lines(self, count: int = 20) -> str:
        """The end of what it wrote."""
        log = self.folder / "influxd.log"
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-count:])

    def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL after half a minute."""
        if self._live is None:
            return
        self._live.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._live.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._live is not None:
            self._live.kill()
            self._live.wait()
            self._live = None

    def restart(self) -> None:
        """Stop it, and start it again on the same folder and port."""
        self.stop()
        self.start()


def _refuse_taken(port: int) -> None:
    """What listens there already would answer in its place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unavailable(f"influxd on port {port}: {error.strerror}") from None


def influxd_program() -> str:
    """The path of an ``influxd``: on PATH, in the cache, or made now.

    Raises
    ------
    Unavailable
        There is none, and what making one takes is not here.
    """
    found = program(say_aloud)
    if found is None:
        raise Unavailable("no influxd on PATH, and no Go, Rust, clang or pkg-config to make one")
    return found


@contextlib.contextmanager
def influxd(folder: Path, port: int | None = None, program: str | None = None) -> Iterator[Influxd]:
    """A running one, stopped at the end."""
    it = Influxd(folder, port, program)
    it.start()
    try:
        yield it
    finally:
        it.stop()
