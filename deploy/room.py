"""Runs one room as this process: reads the plant, opens its ports, hands them in."""

import asyncio
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from deploy.access import publish_filters
from deploy.apart import apart
from deploy.folder import claim, read_clock
from deploy.kinds import kinds
from deploy.need import User, require
from deploy.vault import Vault
from plant.errors import ConfigError, Unavailable
from plant.file import make_folder
from plant.flow.port import HistorianReader, HistorianWriter, Ports
from plant.model.plant import ANALYTICS, TWIN, Plant
from plant.text import printable

READY_FD = "KAIKOU_READY_FD"
ATTACHED = "KAIKOU_ATTACHED"
PLACE = frozenset(
    (
        *(errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENOSPC, errno.EDQUOT, errno.EROFS),
        *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EIO),
        errno.ENOENT,
    )
)
"""Errors of the place, not of the program: a port that is taken, a full disk, a folder gone."""
HISTORIAN = "historian"
COPY = "historian-copy"
LINE = 4000
"""The longest line of a log, in characters."""


@dataclass(frozen=True, slots=True)
class Room:
    """A room that runs as a process.

    module   has ``async def run(plant, ports)``
    does     one line for people
    account  its name at the embedded broker; "" for one that does not connect
    extra    the extra of pyproject that it needs
    reads    gets the historian for reading
    writes   gets it for writing
    """

    module: str
    does: str
    account: str = ""
    extra: str = ""
    reads: bool = False
    writes: bool = False


ROOMS: Mapping[str, Room] = {
    "broker": Room("deploy.broker", "the embedded MQTT broker, on loopback", extra="broker"),
    "simulators": Room("simulators.service", "machines that are not there", extra="simulators"),
    "edge": Room("edge.service", "reads machines and publishes what they say", "edge", "modbus"),
    "opcua": Room("edge.opcua.service", "the OPC UA server of an edge", "opcua", "opcua"),
    "twin": Room(
        "twin.service", "states, counts, the historian", TWIN, "historian", reads=True, writes=True
    ),
    "analytics": Room("analytics.service", "energy and health", ANALYTICS, "historian", reads=True),
    "gateway": Room(
        "gateway.service", "dashboard and REST, for browsers", "gateway", "gateway", reads=True
    ),
}


def read_plant(file: Path, data: Path | None = None) -> Plant:
    """The plant of a file; a data folder adds what it keeps for ``${NAME}`` references.

    A secret or a file that is not there is told in its ``needs``; see ``deploy.need.require``.
    """
    from plant.model.load import load  # 9 MB, which stay in the child that reads

    kept = Vault(data).environment() if data else {}
    return load(file, kinds(), {**kept, **os.environ}, secrets=False)


def with_account(plant: Plant, account: str, data: Path) -> Plant:
    """The plant with this process's own account at the embedded broker."""
    if not plant.broker.embedded or plant.broker.username or not account:
        return plant
    password = Vault(data).accounts([account])[account]
    return replace(plant, broker=replace(plant.broker, username=account, password=password))


def open_ports(name: str, plant: Plant, data: Path, options: Mapping[str, object]) -> Ports:
    """What a room is given; its own folder is made."""
    room = ROOMS[name]
    edge = str(options.get("edge", ""))
    folder = data / {"edge": edge or "edge", "opcua": f"opcua-{edge}"}.get(name, name)
    make_folder(folder)
    store, second = (_at_home(s, plant) for s in (plant.historian, plant.copy))
    return Ports(
        clock=read_clock(data),
        data=folder,
        reader=_reader(store, data / HISTORIAN) if room.reads else None,
        writer=_writer(store, data / HISTORIAN) if room.writes else None,
        copy=_writer(second, data / COPY) if room.writes and second is not None else None,
        ready=_ready,
        options=options,
    )


def _at_home(store: Any, plant: Plant) -> Any:
    """The days of a historian are the plant's, where it has days and nothing else is said."""
    known = getattr(type(store), "model_fields", {})
    if "timezone" in known and "timezone" not in store.model_fields_set:
        return store.model_copy(update={"timezone": str(plant.timezone)})
    return store


def _reader(store: Any, place: Path) -> Callable[[], HistorianReader]:
    return lambda: store.reader(place)


def _writer(store: Any, place: Path) -> Callable[[], HistorianWriter]:
    def writer() -> HistorianWriter:
        make_folder(place)
        opened: HistorianWriter = store.writer(place)
        return opened

    return writer


def the_edge(plant: Plant, name: str | None) -> str:
    """The edge that is meant; may be left out where there is one."""
    known = ", ".join(plant.edges)
    if name is None:
        if len(plant.edges) == 1:
            return next(iter(plant.edges))
        raise ConfigError(f"this plant has several edges; say which with --edge: {known}")
    if name not in plant.edges:
        raise ConfigError(f"no edge {name!r} in this plant, which has {known}")
    return name


def run_room(name: str, file: Path, data: Path, options: Mapping[str, object]) -> int:
    """Run a room until it is told to stop; the exit code."""
    room = ROOMS[name]
    try:
        plant = apart(lambda: read_plant(file, data))
        given = dict(options)
        account = room.account
        if name in {"edge", "opcua"}:
            asked = given.get("edge")
            edge = the_edge(plant, str(asked) if asked else None)
            given["edge"] = edge
            account = edge if name == "edge" else account
        require(plant, User(name, str(given.get("edge", ""))))
        claim(plant, data)
        if name == "broker" and plant.broker.embedded:
            given["accounts"] = Vault(data).accounts(publish_filters(plant))
        plant = with_account(plant, account, data)
        ports = open_ports(name, plant, data, given)
        module = _import(name)
    except ConfigError as error:
        return _say(error, 2)
    except (Unavailable, OSError) as error:
        return _say(error, 3)
    _stop_with_parent()
    return _guarded(lambda: asyncio.run(module.run(plant, ports)))


def _import(name: str) -> Any:
    room = ROOMS[name]
    try:
        return import_module(room.module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == room.module.partition(".")[0]:
            raise
        text = f"{name} needs the library {error.name}: pip install 'kaikou[{room.extra}]'"
        raise ConfigError(text) from error


def _guarded(run: Any) -> int:
    """Run; turn what was raised on purpose into one line and an exit code."""
    try:
        run()
    except (ConfigError, Unavailable, OSError, BaseExceptionGroup) as error:
        expected = _leaves(error)
        if expected is None:
            raise
        code = 2 if any(isinstance(e, ConfigError) for e in expected) else 3
        for leaf in expected:
            _say(leaf, code)
        return code
    return 0


def _leaves(error: BaseException) -> list[BaseException] | None:
    """The errors in a group; None when one of them is a bug."""
    if isinstance(error, BaseExceptionGroup):
        found: list[BaseException] = []
        for part in error.exceptions:
            leaves = _leaves(part)
            if leaves is None:
                return None
            found += leaves
        return found
    if isinstance(error, ConfigError | Unavailable):
        return [error]
    return [error] if isinstance(error, OSError) and error.errno in PLACE else None


def _say(error: BaseException, code: int) -> int:
    sys.stderr.write(f"{error}\n")
    return code


def _ready() -> None:
    """Tell whoever started this process that it does its work."""
    fd = os.environ.pop(READY_FD, "")
    if fd:
        os.write(int(fd), b"1")
        os.close(int(fd))


def _stop_with_parent() -> None:
    """End when the process that started this one is gone, however it went."""
    if not os.environ.get(ATTACHED):
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class Lines(logging.Formatter):
    """One record, one line, whatever a stranger wrote into it; a traceback follows in its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, with what is not printable shown as an escape."""
        return printable(super().formatMessage(record), LINE)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Logs as text lines with UTC times; libraries speak only when something is wrong."""
    formatter = Lines("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("kaikou").setLevel(level)
    for name in ("asyncua", "pymodbus", "amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the supervisor says it, once
