"""Rooms as processes: started, watched, started again after a crash, stopped in order."""

import asyncio
import logging
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.room import ATTACHED, READY_FD
from plant.errors import ConfigError, Unavailable
from plant.flow.supervisor import Backoff, Transition

log = logging.getLogger("kaikou.process")

ENVIRONMENT = {
    ATTACHED: "1",
    "MALLOC_ARENA_MAX": "2",  # threads of libraries cost memory otherwise
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}
CONFIG_ERROR = 2
SETTLED_S = 30.0
LOG_BYTES = 4_000_000

_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\S+Z ")

Line = Callable[[str, str, bool], None]
"""(process, line, whether it is for people and not for the log)"""


@dataclass(eq=False)
class Process:
    """One process: how it is started, and what became of it."""

    name: str
    command: Sequence[str]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0
    live: asyncio.subprocess.Process | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last: str = ""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=50))

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self.live.pid if self.live and self.live.returncode is None else None


class Processes:
    """Owns processes; each keeps a log file, and ends when this one does.

    ``line`` is told every line a process writes. A process that ends by itself is started again
    with a growing delay, unless it said that its configuration is wrong: then ``failed`` holds
    the reason and ``wrong`` is set.
    """

    def __init__(self, logs: Path, line: Line) -> None:
        self.logs = logs
        self.line = line
        self.all: dict[str, Process] = {}
        self.wrong = asyncio.Event()
        self.failed: ConfigError | None = None
        self._stopping = asyncio.Event()
        self._watchers: set[asyncio.Task[None]] = set()
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str]) -> Process:
        """Start a process and keep it running."""
        process = Process(name, command)
        self.all[name] = process
        task = asyncio.get_running_loop().create_task(self._keep(process), name=f"watch {name}")
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)
        return process

    async def until_ready(self, processes: Sequence[Process], timeout_s: float) -> None:
        """Wait until all do their work; Unavailable names those that do not in time."""

        async def all_ready() -> None:
            for process in processes:
                await process.ready.wait()

        waits = [asyncio.create_task(all_ready()), asyncio.create_task(_set(self.wrong))]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self.failed:
            raise self.failed
        late = [
            f"{p.name} ({p.last})" if p.last else p.name for p in processes if not p.ready.is_set()
        ]
        if late:
            raise Unavailable(f"not ready after {timeout_s:.0f} s: {', '.join(late)}")

    async def stop(self, order: Sequence[tuple[Sequence[str], float]]) -> list[str]:
        """Stop group after group, each in its seconds; who does not end is killed and named."""
        self._stopping.set()
        stragglers: list[str] = []
        for names, seconds in order:
            group = [self.all[name] for name in names if name in self.all]
            for process in group:
                self._signal(process, signal.SIGTERM)
            ends = [asyncio.ensure_future(p.ended.wait()) for p in group]
            if ends:
                await asyncio.wait(ends, timeout=seconds)
            for process, end in zip(group, ends, strict=True):
                if not end.done():
                    end.cancel()
                    stragglers.append(process.name)
                    self._signal(process, signal.SIGKILL)
        if stragglers:
            log.error("did not stop in time and were killed: %s", ", ".join(stragglers))
        for task in list(self._watchers):
            if not task.done():
                task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        return stragglers

    def _signal(self, process: Process, number: signal.Signals) -> None:
        if process.live is None or process.live.returncode is not None:
            process.ended.set()
        else:
            process.live.send_signal(number)

    async def _keep(self, process: Process) -> None:
        backoff = Backoff(first_s=0.5, cap_s=15.0)
        transition = Transition(process.name)
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping.is_set():
                begun = loop.time()
                try:
                    code = await self._once(process, transition)
                except OSError as error:  # no memory, no process to be had
                    transition.down(error)
                    await asyncio.sleep(backoff.next())
                    continue
                if self._stopping.is_set():
                    return
                if code == CONFIG_ERROR:
                    said = [line for line in process.said if not _LOGGED.match(line)]
                    self.failed = ConfigError(f"{process.name}: " + "\n".join(said or [str(code)]))
                    self.wrong.set()
                    return
                if loop.time() - begun > SETTLED_S:
                    backoff.reset()
                transition.down(_reason(code, process.last))
                await asyncio.sleep(backoff.next())
        finally:
            process.ended.set()

    async def _once(self, process: Process, transition: Transition) -> int:
        """One life of a process; its exit code."""
        reading, writing = os.pipe()
        process.starts += 1
        process.said.clear()
        try:
            live = await asyncio.create_subprocess_exec(
                *process.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **ENVIRONMENT, READY_FD: str(writing)},
                pass_fds=(writing,),
                start_new_session=True,  # Ctrl-C is for us, who stop the others in order
            )
        finally:
            os.close(writing)
        process.live = live
        told = asyncio.ensure_future(self._await_ready(process, reading, transition))
        try:
            streams = ((live.stdout, True), (live.stderr, False))
            await asyncio.gather(*(self._read(process, s, p) for s, p in streams if s))
            return await live.wait()
        finally:
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)
            if live.returncode is None:
                live.kill()
                await live.wait()

    async def _await_ready(self, process: Process, fd: int, transition: Transition) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(fd, readable.set)
        try:
            await readable.wait()
            if os.read(fd, 1):
                process.ready.set()
                transition.up()
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    async def _read(self, process: Process, stream: asyncio.StreamReader, people: bool) -> None:
        path = self.logs / f"{process.name}.log"
        while line := await _line(stream):
            if not people:
                process.last = line
                process.said.append(line)
                _append(path, line)
            self.line(process.name, line, people)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _line(stream: asyncio.StreamReader) -> str:
    """A line without its end (a blank for an empty one); "" at the end of the stream."""
    try:
        raw = await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raw = error.partial
    except asyncio.LimitOverrunError as error:
        raw = await stream.readexactly(error.consumed)
    return raw.decode("utf-8", "replace").rstrip() or (" " if raw else "")


def _append(path: Path, line: str) -> None:
    """One line into a log file that is turned over when it is large.

    Where the disk is full, or the folder is gone, the line is not in the log; nobody ends by it.
    """
    with suppress(OSError):
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            size = file.tell()
        if size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))


def _reason(code: int, last: str) -> str:
    what = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"{what}: {last}" if last and code not in {0, -signal.SIGKILL} else what


def room_command(
    room: str, plant: Path, data: Path, *, edge: str | None = None, more: Sequence[str] = ()
) -> list[str]:
    """The command line of a room's process."""
    command = [sys.executable, "-P", "-m", "deploy", "run", room, str(plant), "--data", str(data)]
    return [*command, *(["--edge", edge] if edge else []), *more]
