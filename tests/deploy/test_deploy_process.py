"""Processes: readiness, crashes, wrong configuration, stopping, and a parent that is gone."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.process import Process, Processes
from plant.errors import ConfigError, Unavailable
from tests.wire.broker_support import until

READY = "import os\nfd = int(os.environ['KAIKOU_READY_FD'])\nos.write(fd, b'1'); os.close(fd)\n"
WAIT = "import signal\nsignal.sigwait({signal.SIGTERM})\n"


class Heard:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []
        self.more = asyncio.Event()

    def __call__(self, process: str, line: str, people: bool) -> None:
        self.lines.append((process, line, people))
        self.more.set()


def start(processes: Processes, name: str, code: str) -> Process:
    return processes.start(name, [sys.executable, "-c", code])


async def test_ready_lines_and_stop(tmp_path: Path) -> None:
    heard = Heard()
    processes = Processes(tmp_path, heard)
    blocked = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    process = start(
        processes,
        "twin",
        f"{blocked}import sys\nprint('for people')\nprint('a log', file=sys.stderr)\n{READY}{WAIT}",
    )
    await processes.until_ready([process], 20)
    await until(lambda: len(heard.lines) == 2)
    assert sorted(heard.lines) == [("twin", "a log", False), ("twin", "for people", True)]
    assert await processes.stop([(["twin"], 10)]) == []
    assert (tmp_path / "twin.log").read_text() == "a log\n"
    assert process.pid is None


async def test_a_crash_is_started_again_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processes = Processes(tmp_path, Heard())
    process = start(processes, "edge", READY + "import os, sys\nsys.exit('broken')\n")
    await until(lambda: process.starts >= 2)
    lost = [r for r in caplog.records if "edge: lost: ended with code 1: broken" in r.message]
    assert len(lost) >= 1
    await processes.stop([(["edge"], 5)])


async def test_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    processes = Processes(tmp_path, Heard())
    process = start(
        processes, "twin", "import sys\nprint('plant.yaml:3:1: no', file=sys.stderr)\nsys.exit(2)"
    )
    with pytest.raises(ConfigError, match=r"twin: plant.yaml:3:1: no"):
        await processes.until_ready([process], 20)
    assert process.starts == 1
    await processes.stop([(["twin"], 5)])


async def test_who_does_not_stop_is_named(tmp_path: Path) -> None:
    processes = Processes(tmp_path, Heard())
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    process = start(processes, "deaf", code + READY + "while True: signal.pause()\n")
    await processes.until_ready([process], 20)
    assert await processes.stop([(["deaf"], 0.2)]) == ["deaf"]


async def test_who_is_not_ready_is_named(tmp_path: Path) -> None:
    processes = Processes(tmp_path, Heard())
    process = start(processes, "slow", "import signal\nsignal.pause()")
    with pytest.raises(Unavailable, match="not ready after 0 s: slow"):
        await processes.until_ready([process], 0.3)
    await processes.stop([(["slow"], 5)])


async def test_a_room_ends_with_its_parent(tmp_path: Path) -> None:
    """The child watches its standard input, which only its parent holds open."""
    child = (
        "import os\nos.environ['KAIKOU_ATTACHED'] = '1'\n"
        "from deploy.room import _stop_with_parent\n_stop_with_parent()\n"
        "print('up', flush=True)\nimport signal\nsignal.pause()\n"
    )
    parent = (
        "import subprocess, sys, signal\n"
        f"c = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True)\n"
        "c.stdout.readline()\nprint(c.pid, flush=True)\nsignal.pause()\n"
    )
    live = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE
    )
    assert live.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await live.stdout.readline())
    live.send_signal(signal.SIGKILL)
    await live.wait()
    await until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


@pytest.mark.parametrize("how", ["full", "gone"])
async def test_a_log_that_cannot_be_written_ends_no_process(tmp_path: Path, how: str) -> None:
    heard = Heard()
    processes = Processes(tmp_path / "log", heard)
    if how == "full":
        (tmp_path / "log" / "twin.log").symlink_to("/dev/full")
    else:
        (tmp_path / "log").rmdir()
    said = "import sys\nprint('one', file=sys.stderr)\nprint('two', file=sys.stderr)\n"
    process = start(processes, "twin", f"{READY}{said}{WAIT}")
    await until(lambda: len(heard.lines) == 2)
    assert process.starts == 1
    assert process.pid is not None
    assert await processes.stop([(["twin"], 10)]) == []
