"""The InfluxDB 2 server of the tests: made once from its sources, kept in the cache.

``python tests/influxd/build.py`` prints where it is. Its version is the one in ``go.mod`` beside
this file; it lies in ``$XDG_CACHE_HOME/kaikou/influxd-VERSION/`` (``~/.cache`` by default). Making
it takes Go, Rust, clang and pkg-config and three to five minutes on two cores.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
SERVER = "github.com/influxdata/influxdb/v2/cmd/influxd"
LIBFLUX = "github.com/influxdata/flux/libflux/go/libflux"
PKG_CONFIG = "github.com/influxdata/pkg-config"
TAGS = "sqlite_foreign_keys,sqlite_json,noasm"
TOOLS = ("go", "cargo", "clang", "pkg-config")
SAY_EVERY_S = 20.0
LAST_LINES = 40
# libflux pins a Rust of 2023 and denies its warnings; a newer one has more of them.
LENIENT = '#!/bin/sh\nexec "$@" --cap-lints allow\n'

Say = Callable[[str], None]


class NotBuiltError(RuntimeError):
    """The compiler refused; the text ends with what it said last."""


def version() -> str:
    """The version in go.mod, without its v."""
    module = SERVER.removesuffix("/cmd/influxd")
    found = re.search(rf"{re.escape(module)} v(\S+)", (HERE / "go.mod").read_text("utf-8"))
    if found is None:
        raise NotBuiltError(f"tests/influxd/go.mod names no version of {module}")
    return found[1]


def cached() -> Path:
    """Where the server is kept, whether it is there or not."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "kaikou", f"influxd-{version()}", "influxd")


def search_path() -> str:
    """PATH, and where Go and Rust land when their own installers put them there."""
    known = ("/usr/local/go/bin", str(Path.home() / ".cargo" / "bin"))
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *known])


def absent() -> list[str]:
    """The tools that making it needs and this machine lacks."""
    path = search_path()
    return [tool for tool in TOOLS if shutil.which(tool, path=path) is None]


def present() -> str | None:
    """A server that is there: on PATH, else in the cache."""
    if found := shutil.which("influxd"):
        return found
    return str(cached()) if cached().is_file() else None


def program(say: Say) -> str | None:
    """A server: on PATH, in the cache, or made now; None where a tool is absent.

    Raises
    ------
    NotBuiltError
        With the last lines of the compiler.
    """
    return present() or (None if absent() else str(build(say)))


def build(say: Say) -> Path:
    """Make it, unless another process just did; only one makes it at a time."""
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        _locked(lock.fileno(), say)
        if target.is_file():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="making-") as folder:
            made = _make(Path(folder), say)
            made.replace(target)
    return target


def _locked(descriptor: int, say: Say) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another process makes it; waiting")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _make(folder: Path, say: Say) -> Path:
    """The server, built in a folder; libflux goes first, as it takes longest."""
    companion, lenient, server = folder / "pkg-config", folder / "lenient", folder / "influxd"
    lenient.write_text(LENIENT, "utf-8")
    lenient.chmod(0o755)
    env = {k: v for k, v in os.environ.items() if k not in {"CARGO_TARGET_DIR", "PKG_CONFIG"}}
    env |= {
        "PATH": search_path(),
        "CGO_ENABLED": "1",
        "RUSTUP_TOOLCHAIN": "stable",
        "RUSTC_WORKSPACE_WRAPPER": str(lenient),
    }
    run = partial(_run, log=folder / "log", say=say)
    flags = f"-s -w -X main.version=v{version()} -X main.commit=kaikou-tests"
    run("sources and its pkg-config", ["go", "build", "-o", str(companion), PKG_CONFIG], env)
    env["PKG_CONFIG"] = str(companion)
    run("libflux, in Rust", ["go", "build", LIBFLUX], env)
    run(
        "influxd", ["go", "build", "-tags", TAGS, "-ldflags", flags, "-o", str(server), SERVER], env
    )
    return server


def _run(what: str, command: Sequence[str], env: dict[str, str], *, log: Path, say: Say) -> None:
    begun = time.monotonic()
    say(what)
    with log.open("wb") as out, _telling(what, say):
        done = subprocess.run(
            command,
            cwd=HERE,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode:
        lines = log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
        raise NotBuiltError(
            "\n".join(
                [f"{what}: {command[0]} ended with {done.returncode}; its last lines:", *lines]
            )
        )
    say(f"{what}: {time.monotonic() - begun:.0f} s")


@contextlib.contextmanager
def _telling(what: str, say: Say) -> Iterator[None]:
    """A line now and then, so that nobody thinks it hangs."""
    over, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        while not over.wait(SAY_EVERY_S):
            say(f"{what}: {time.monotonic() - begun:.0f} s so far")

    thread = threading.Thread(target=tell, name="influxd-build-progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def say_aloud(text: str) -> None:
    """Progress for people, on standard error."""
    print(f"influxd {version()}: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """0 with the path on standard output, or without where tools are absent; 1 when it fails."""
    try:
        found = program(say_aloud)
    except NotBuiltError as error:
        say_aloud(str(error))
        return 1
    if found is None:
        say_aloud(f"not made, as this machine lacks {', '.join(absent())}; its tests are skipped")
        return 0
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
