"""Runs a function in a child process, so that the memory it takes goes with it.

Reading plant.yaml takes ten times what the resolved plant does (a tree of nodes with positions),
and a heap that has grown does not shrink: on an edge box that is half of its budget.
"""

import os
import pickle
from collections.abc import Callable
from typing import TypeVar

from plant.errors import KaikouError

T = TypeVar("T")


def apart(function: Callable[[], T]) -> T:
    """The result of ``function``, which must be picklable; what it raises on purpose is raised.

    To be called before threads are started. Anything it raises that is a bug shows the child's
    traceback and ends this process too.

    >>> apart(lambda: sum(range(10)))
    45
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(function, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        raise SystemExit(1)
    result = pickle.loads(answer)  # noqa: S301 - our own child wrote it
    if isinstance(result, KaikouError | OSError):
        raise result
    found: T = result
    return found


def _answer(function: Callable[[], object], writing: int) -> None:
    """In the child: run, answer, and leave without the parent's clean-up."""
    code, quiet = 1, False
    try:
        try:
            result = function()
        except (KaikouError, OSError) as error:
            result = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(result, pipe, pickle.HIGHEST_PROTOCOL)
        code = 0
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):
        quiet = True  # told to stop, or nobody waits for the answer any more
    finally:
        if code and not quiet:
            import traceback

            traceback.print_exc()
        os._exit(code)
