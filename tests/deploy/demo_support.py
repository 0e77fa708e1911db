"""A running `kaikou demo`, for the tests that look at it from outside."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest


class Demo:
    """A running `kaikou demo`."""

    def __init__(self, data: Path, *more: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KAIKOU_")}
        self.live = subprocess.Popen(
            [sys.executable, "-P", "-m", "deploy", "demo", "--data", str(data), *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.live.stdout is not None
        for line in self.live.stdout:
            self.said.append(line.rstrip())

    def until(self, pattern: str, within_s: float = 90.0) -> re.Match[str]:
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for line in list(self.said):
                if found := re.search(pattern, line):
                    return found
            if self.live.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"never said {pattern!r}:\n" + "\n".join(self.said))

    def stop(self) -> int:
        self.live.send_signal(signal.SIGINT)
        try:
            return self.live.wait(30)
        finally:
            self.close()

    def close(self) -> None:
        if self.live.poll() is None:
            self.live.kill()
            self.live.wait(10)
        self._reader.join(10)
        assert self.live.stdout is not None
        self.live.stdout.close()
