"""The victims of ``bench chaos``: processes that are killed, and when.

A victim is started again the moment it was killed. One that ended by itself because something it
needs was away (exit code 3) is started again too, as systemd does with the unit files of
``deploy``; any other end is a bug and ends the bench.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.influxd import Influxd
from bench.moment import Marks

UNAVAILABLE = 3
AGAIN_S = 0.5
"""After an end by itself."""
POLL_S = 0.0002
PATIENCE_S = 20.0
"""So long a kill waits for its moment; then it comes without."""


class Victim(Protocol):
    """What is killed and comes again. ``kills`` are monotonic times, s."""

    kills: list[float]

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""

    def end(self) -> None:
        """SIGKILL, for good."""

    def stop(self) -> None:
        """SIGTERM, then wait."""


class Process:
    """A process of a command, with its log."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.kills: list[float] = []
        self.came_back = 0
        self._command = list(command)
        self._log = log.open("ab")
        self._environment = dict(environment)
        self._live: subprocess.Popen[bytes] | None = None
        self._ended: float | None = None

    def start(self) -> None:
        """Start it."""
        self._live = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
        )

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        self.revive()
        if self._live is not None and self._live.poll() is None:
            self._live.kill()
            self.kills.append(time.monotonic())
            self._live.wait()

    def revive(self) -> None:
        """Start it again half a second after it ended because something was away."""
        code = None if self._live is None else self._live.poll()
        if code is None or code == -signal.SIGKILL:
            return
        if code != UNAVAILABLE:
            raise RuntimeError(f"{self.name} ended by itself with {code}; see its log")
        now = time.monotonic()
        self._ended = self._ended or now
        if now - self._ended >= AGAIN_S:
            self._ended = None
            self.came_back += 1
            self.start()

    def end(self) -> None:
        """SIGKILL, for good."""
        if self._live is not None:
            self._live.kill()
            self._live.wait()

    def stop(self) -> None:
        """SIGTERM, then wait."""
        if self._live is not None and self._live.poll() is None:
            self._live.send_signal(signal.SIGTERM)
            try:
                self._live.wait(60)
            except subprocess.TimeoutExpired:
                self._live.kill()
                self._live.wait()
        self._log.close()


class Server:
    """influxd; it is there again when it is healthy."""

    def __init__(self, influxd: Influxd) -> None:
        self.influxd = influxd
        self.kills: list[float] = []
        self.down_s: list[float] = []

    def start(self) -> None:
        """Start it on the same folder and port; blocks until it is healthy."""
        self.influxd.start()
        if self.kills:
            self.down_s.append(time.monotonic() - self.kills[-1])

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        if self.influxd.pid is None:
            raise RuntimeError(f"influxd ended by itself:\n{self.influxd.last_lines()}")
        self.kills.append(time.monotonic())
        self.influxd.kill()

    def end(self) -> None:
        """SIGKILL, for good."""
        self.influxd.kill()

    def stop(self) -> None:
        """SIGTERM, then wait."""
        self.influxd.stop()


def commands(
    file: Path, data: Path, place: Path, port: int, bug: str | None
) -> dict[str, list[str]]:
    """How broker, twin and edge are started."""
    config = place / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    python = [sys.executable, "-P", "-m"]
    twin = [str(file), str(data), str(place / "marks")]
    twin = ["bench.early", *twin, bug] if bug else ["bench.moment", *twin]
    return {
        "broker": ["/usr/sbin/mosquitto", "-c", str(config)],
        "twin": [*python, *twin],
        "edge": [*python, "bench.ledger", str(file), str(data), str(place / "ledger")],
    }


@dataclass(frozen=True, slots=True, order=True)
class Kill:
    """At ``at`` s, or as soon after as the twin is in ``moment``."""

    at: float
    victim: str
    moment: str = ""


def plan(
    seconds: float,
    kills: int,
    victims: Sequence[str],
    moments: Sequence[str],
    chance: random.Random,
) -> list[Kill]:
    """Random times and victims; the twin counts twice, and all get half their share at least.

    Two thirds of the twin's kills wait for a moment, each of ``moments`` in turn; half of
    influxd's wait until the twin is in the midst of writing to it.
    """
    shares = [*victims, *(v for v in victims if v == "twin")]
    names = [v for v in shares for _ in range(kills // (2 * len(shares)))]
    names += [chance.choice(shares) for _ in range(kills - len(names))]
    chance.shuffle(names)
    times = sorted(chance.uniform(0.0, seconds) for _ in names)
    turn, planned = {"twin": 0, "influxd": 0}, []
    for at, name in zip(times, names, strict=True):
        moment = ""
        if name == "twin" and moments and turn[name] % 3 < 2:
            moment = moments[(turn[name] // 3 * 2 + turn[name] % 3) % len(moments)]
        if name == "influxd" and turn[name] % 2:
            moment = "post"
        if name in turn:
            turn[name] += 1
        planned.append(Kill(at, name, moment))
    return planned


def catch(marks: Marks, moment: str, chance: random.Random) -> bool:
    """Wait until a random part of a moment has passed and it still lasts; blocks."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        entered = marks.entered(moment)
        if entered:
            time.sleep(chance.uniform(0.0, min(marks.lasts_s(moment), 1.0)))
            if marks.entered(moment) == entered:
                return True
        time.sleep(POLL_S)
    return False
