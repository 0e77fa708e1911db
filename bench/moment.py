"""A twin that says in a file what its historians are in the midst of, for ``bench chaos``.

The product has no hook for this: its functions are wrapped here, from outside. The file is mapped
into memory, so it outlives a SIGKILL: what it says after the kill is what the process was in.
Sealing begins to count with the first file written, not where it finds that nothing is due.

Here, too, work that is rare is made frequent: sealing is tried every 0.3 s, and for it every day
counts as over, so the day under way is compacted and gets its cells while rows come into it.
"""

import functools
import pkgutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

DAY_MS = 86_400_000
RETAIN_S = 0.3
WORK = ("twin.historian.segment:write_parquet", "twin.historian.influx.server:Server.write")

MOMENTS: Mapping[str, tuple[str, ...]] = {
    "write": (
        "twin.historian.writer:EmbeddedWriter.write",
        "twin.historian.influx.writer:InfluxWriter.write",
    ),
    "seal": ("twin.historian.seal:seal",),
    "merge": ("twin.historian.seal:merge",),
    "tiers": (
        "twin.historian.build:build",
        "twin.historian.shelf:Shelf.join",
        "twin.historian.influx.tier:retain",
    ),
    "adopt": (
        "twin.historian.writer:EmbeddedWriter.adopt",
        "twin.historian.influx.writer:InfluxWriter.adopt",
    ),
    "post": ("twin.historian.influx.server:Server.write",),
}
"""Name of a moment -> the functions that it lasts; ``post`` is a body on its way to influxd."""

BY_WORK = frozenset({"seal", "merge", "tiers"})
"""Called often for nothing: these begin when the first of ``WORK`` is called within them."""

_ENTRY = np.dtype([("entered", "<u8"), ("left", "<u8"), ("lasts_s", "<f8")])


class Marks:
    """The file: how often each moment was entered and left, and how long it lasts lately."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(_ENTRY.itemsize * len(MOMENTS)))
        entries = np.memmap(file, _ENTRY, "r+")
        self._entered, self._left = entries["entered"], entries["left"]
        self._lasts_s = entries["lasts_s"]
        self._index = {name: i for i, name in enumerate(MOMENTS)}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """A new process: it is in nothing."""
        self._left[:] = self._entered[:] = 0

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """In it, from whichever thread."""
        at = self._index[name]
        with self._lock:
            self._entered[at] += 1
        start = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._lasts_s[at] += (time.monotonic() - start - self._lasts_s[at]) / 4
                self._left[at] += 1

    def entered(self, name: str) -> int:
        """A number above 0 while somebody is in it, another one each time; else 0."""
        at = self._index[name]
        entered = int(self._entered[at])
        return entered if entered > int(self._left[at]) else 0

    def lasts_s(self, name: str) -> float:
        """About how long it lasts."""
        return float(self._lasts_s[self._index[name]])

    def now(self) -> list[str]:
        """Everything that somebody is in."""
        return [name for name in MOMENTS if self.entered(name)]


class Wrapping:
    """Puts marks around functions; which moments wait for work is kept by thread."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._here = threading.local()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, in its moment."""

        @functools.wraps(function)
        def in_it(*given: Any, **named: Any) -> Any:
            if name not in BY_WORK:
                with self._marks.inside(name):
                    return function(*given, **named)
            waiting = self._here.__dict__.setdefault("waiting", [])
            place: list[Any] = [name, None]
            waiting.append(place)
            try:
                return function(*given, **named)
            finally:
                waiting.remove(place)
                if place[1] is not None:
                    place[1].__exit__(None, None, None)

        return in_it

    def work(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What does something that lasts: whatever waits for it begins."""

        @functools.wraps(function)
        def begins(*given: Any, **named: Any) -> Any:
            for place in self._here.__dict__.get("waiting", []):
                if place[1] is None:
                    place[1] = inside = self._marks.inside(place[0])
                    inside.__enter__()
            return function(*given, **named)

        return begins

    def install(self) -> None:
        """Wrap every function of ``MOMENTS``; a name that is gone is an error."""
        package = import_module("twin.historian")
        for module in pkgutil.walk_packages(package.__path__, "twin.historian."):
            import_module(module.name)
        for name, places in MOMENTS.items():
            for place in places:
                put(place, functools.partial(self.around, name))
        for place in WORK:
            put(place, self.work)


def put(place: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace ``module:name`` or ``module:Class.name`` wherever the historians hold it."""
    module, _, name = place.partition(":")
    owner: Any = import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    old = getattr(owner, last)
    new = around(old)
    setattr(owner, last, new)
    for known in [m for n, m in sys.modules.items() if n.startswith("twin.historian")]:
        for held in [k for k, v in vars(known).items() if v is old]:
            setattr(known, held, new)


def hurried(retain: Callable[..., None]) -> Callable[..., None]:
    """``retain`` for which every day is over, each fourth time; it takes half the time at most."""
    calls: Counter[int] = Counter()
    rested: dict[int, float] = {}

    @functools.wraps(retain)
    def later(writer: object, now: int, force: bool = False) -> None:
        start = time.monotonic()
        if start < rested.get(id(writer), 0.0) and not force:
            return
        calls[id(writer)] += 1
        over = force or calls[id(writer)] % 4 == 0
        retain(writer, now + 2 * DAY_MS if over else now, force)
        rested[id(writer)] = 2 * time.monotonic() - start

    return later


def setting(module: str, name: str, value: float) -> None:
    """Another value for a constant that is there."""
    held = vars(import_module(module))
    if name not in held:
        raise AttributeError(f"{module} has no {name}")
    held[name] = value


def hurry() -> None:
    """Make rare work frequent in this process."""
    for module in ("twin.host", "twin.copy"):
        setting(module, "RETAIN_S", RETAIN_S)
    for rest in ("_LOOK_S", "_QUIET_S"):
        setting("twin.historian.retain", rest, 0.0)
    setting("twin.historian.build", "SPARSE_ROWS", 0)
    setting("twin.historian.influx.tier", "DENSE", 1)
    for writer in ("writer:EmbeddedWriter", "influx.writer:InfluxWriter"):
        put(f"twin.historian.{writer}.retain", hurried)


def run(plant_file: Path, data: Path, marks_file: Path) -> int:
    """Run the twin, marked and hurried, until it is told to stop; its exit code."""
    from deploy.room import log_to_stderr, run_room

    log_to_stderr()
    marks = Marks(marks_file)
    marks.clear()
    Wrapping(marks).install()
    hurry()
    return run_room("twin", plant_file, data, {})


if __name__ == "__main__":
    sys.exit(run(*(Path(argument) for argument in sys.argv[1:4])))
