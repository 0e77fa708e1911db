"""What a killed process was in the midst of is known afterwards, for ``bench chaos``."""

import random
import subprocess
import sys
from pathlib import Path

from bench.moment import MOMENTS, Marks
from bench.victim import plan

IN_A_SEAL = """
import sys, time
from pathlib import Path
from bench.moment import Marks
marks = Marks(Path(sys.argv[1]))
with marks.inside("write"):
    pass
with marks.inside("seal"):
    print("in", flush=True)
    time.sleep(60)
"""

WRAPPED = """
import sys
from pathlib import Path
from bench.moment import Marks, Wrapping, hurry
Wrapping(Marks(Path(sys.argv[1]))).install()
hurry()
from twin.historian import build, retain, seal
from twin.historian.writer import EmbeddedWriter
print(*(f.__name__ for f in (retain.seal, build.seal, retain.merge, retain.build)))
print(all(hasattr(f, "__wrapped__") for f in (retain.seal, build.seal, EmbeddedWriter.write)))
"""


def test_the_file_tells_what_a_killed_process_was_in(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    marks = Marks(file)
    command = [sys.executable, "-c", IN_A_SEAL, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.kill()
    assert marks.now() == ["seal"]
    assert marks.entered("write") == 0
    marks.clear()
    assert marks.now() == []


def test_every_function_that_a_moment_names_is_there_and_wrapped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRAPPED, str(tmp_path / "marks")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["seal seal merge build", "True"]


def test_two_thirds_of_the_twins_kills_wait_for_a_moment() -> None:
    moments = ["write", "seal", "merge", "tiers"]
    kills = plan(180.0, 90, ["edge", "broker", "twin"], moments, random.Random(1))
    twin = [k.moment for k in kills if k.victim == "twin"]
    assert len(kills) == 90
    assert sum(map(bool, twin)) >= 2 * (len(twin) // 3)
    assert {m for m in twin if m} == set(moments) <= set(MOMENTS)
    assert not any(k.moment for k in kills if k.victim != "twin")
