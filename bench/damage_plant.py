"""The data folder that is damaged, made by the demo's rooms; and rooms started on a damaged one."""

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.damage_history import Answers, Truth
from deploy.argument import DEMO_PLANT
from deploy.demo import session
from deploy.room import READY_FD

ROOMS = ("broker", "simulators", "edge", "opcua", "twin", "analytics", "gateway")
SETTLE_S = 25.0
READY_S = 40.0
WORK_S = 1.5
"""So long a room works on a damaged folder after it was ready."""


def commands() -> Mapping[str, list[str]]:
    """How each room is started; the data folder follows."""
    found = {}
    for room in ROOMS:
        more = ["--edge", "edge1"] if room in {"edge", "opcua"} else []
        more = ["--fault", "bearing-wear"] if room == "simulators" else more
        python = [sys.executable, "-P", "-m", "deploy", "run", room, str(DEMO_PLANT)]
        found[room] = [*python, *more, "--data"]
    return found


@cache
def environment(template: Path) -> Mapping[str, str]:
    """Ports of our own and the passwords that the template is made with."""
    kept = session.environment(DEMO_PLANT, template)
    taken: set[int] = set()
    for name in re.findall(r"KAIKOU_PORT_[A-Z]+", DEMO_PLANT.read_text("utf-8")):
        kept[name] = str(session.free_port((), taken))
        taken.add(int(kept[name]))
    return {**os.environ, **kept, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@dataclass(slots=True)
class Started:
    """Rooms as processes on one data folder."""

    data: Path
    environment: Mapping[str, str]
    live: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, room: str) -> int:
        """Start it; a descriptor that becomes readable when it is ready or ended."""
        ready, told = os.pipe()
        (self.data / "log").mkdir(exist_ok=True)
        with (self.data / "log" / f"{room}.txt").open("wb") as log:
            self.live[room] = subprocess.Popen(
                [*commands()[room], str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment, READY_FD: str(told)},
                pass_fds=[told],
            )
        os.close(told)
        return ready

    def run(self, rooms: Sequence[str], found: Answers, work_s: float = WORK_S) -> None:
        """Start rooms together, let them work a moment, stop them, read what they wrote."""
        waiting = selectors.DefaultSelector()
        for room in rooms:
            waiting.register(self.start(room), selectors.EVENT_READ, room)
        end = time.monotonic() + READY_S
        while waiting.get_map() and time.monotonic() < end:
            for key, _ in waiting.select(0.2):
                waiting.unregister(key.fd)
                os.close(key.fd)
        late = [str(key.data) for key in waiting.get_map().values()]
        for key in list(waiting.get_map().values()):
            os.close(key.fd)
        waiting.close()
        time.sleep(work_s)
        for room, code in self.stop().items():
            self._judge(room, code, found, room in late)

    def _judge(self, room: str, code: int | None, found: Answers, late: bool) -> None:
        text = (self.data / "log" / f"{room}.txt").read_text("utf-8", "replace")
        found.codes[room] = code
        found.lines += [f"{room}: {line}" for line in text.splitlines()]
        if "Traceback (most recent call last)" in text:
            found.tracebacks.append(f"{room}: {text}")
        elif late and code == -signal.SIGTERM:
            found.lines.append(f"{room} was still starting: the machine was busy")
        elif code not in {0, 2, 3} or (code and not text.strip()):
            found.tracebacks.append(f"{room} ended with {code}: {text}")
        elif late and not text.strip():
            found.tracebacks.append(f"{room} was not ready after {READY_S:.0f} s, without a word")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> dict[str, int | None]:
        """Stop what runs; exit codes."""
        for process in self.live.values():
            if process.poll() is None:
                process.send_signal(number)
        codes: dict[str, int | None] = {}
        for room, process in self.live.items():
            try:
                codes[room] = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                codes[room] = None
        self.live.clear()
        return codes


def prepare(template: Path, settle_s: float = SETTLE_S) -> Truth:
    """A data folder as a killed plant leaves it, with a past that is known."""
    template.mkdir(parents=True)
    kept = environment(template)
    truth = Truth.write(template / "historian", int(time.time() * 1000))
    started = Started(template, kept)
    for room in ROOMS:
        ready = started.start(room)
        with os.fdopen(ready, "rb") as stream:
            if not stream.read(1):
                text = (template / "log" / f"{room}.txt").read_text("utf-8", "replace")
                raise SystemExit(f"{room} did not start:\n{text}")
    time.sleep(settle_s)
    started.stop(signal.SIGKILL)
    shutil.rmtree(template / "log")
    with tempfile.TemporaryDirectory(prefix="kaikou-damage-") as place:
        shutil.copytree(template / "historian", Path(place) / "copy")  # a reader empties the log
        truth.remember(Path(place) / "copy")
    return truth
