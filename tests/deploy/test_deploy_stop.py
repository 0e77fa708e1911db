"""A stop at any moment is quiet: no traceback of what was only told to end."""

import subprocess
import sys
from types import ModuleType

import pytest

from deploy.__main__ import main


class _Slow(ModuleType):
    """A module in whose import Ctrl-C comes."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_ctrl_c_while_the_command_is_still_being_imported_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "deploy.cli", _Slow("deploy.cli"))
    assert main() == 130
    assert capsys.readouterr().err == ""


def test_a_child_that_reads_a_plant_for_nobody_ends_quietly() -> None:
    script = (
        "import os\nfrom deploy.apart import _answer\n"
        "reading, writing = os.pipe()\nos.close(reading)\n"
        "_answer(lambda: list(range(100_000)), writing)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_a_process_ends_without_a_word_of_its_libraries() -> None:
    script = (
        "import sys, threading\nimport duckdb\nfrom deploy import __main__, cli\n"
        "def wait():\n    kept = duckdb.connect(':memory:')\n    begun.set()\n"
        "    threading.Event().wait(60)\n"
        "begun = threading.Event()\n"
        "def command():\n    threading.Thread(target=wait, daemon=True).start()\n"
        "    begun.wait()\n    return 3\n"
        "cli.main = command\n__main__.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize("command", [["check", "demo"], ["units"], ["types"]])
def test_a_reader_that_has_seen_enough_ends_a_listing_quietly(command: list[str]) -> None:
    asked = subprocess.Popen(
        [sys.executable, "-u", "-m", "deploy", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asked.stdout is not None
    assert asked.stderr is not None
    asked.stdout.close()
    assert (asked.wait(50), asked.stderr.read()) == (0, b"")
    asked.stderr.close()
