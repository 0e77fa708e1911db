"""``kaikou demo``: one run of the demo plant, from the first line on the screen to Ctrl-C."""

import asyncio
import http.client
import json
import logging
import os
import random
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.access import OBSERVER, publish_filters
from deploy.demo.fault import announce
from deploy.folder import claim
from deploy.process import Process, Processes, room_command
from deploy.room import HISTORIAN, ROOMS, read_plant
from deploy.vault import Vault
from plant.errors import ConfigError, KaikouError, Unavailable
from plant.file import make_folder, write_object
from plant.model.plant import Plant

STOP_ORDER = (
    (("edge", "opcua", "analytics", "gateway"), 5.0),
    (("twin", "simulators"), 3.0),
    (("broker",), 1.5),
)
"""Sources first; seconds for each group, ten in all."""
READY_S = 60.0
SPARE_PORTS = range(20_000, 32_000)
DEFAULT_FAULT = "bearing-wear"

_REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")


def demo(
    plant_file: Path,
    data: Path,
    *,
    factor: float = 1.0,
    faults: Sequence[str] | None = None,
    scenario: Path | None = None,
    verbose: bool = False,
) -> int:
    """Run the demo until Ctrl-C; the exit code."""
    if factor != 1.0:
        data = data.with_name(f"{data.name}-x{factor:g}")
    played = [] if faults == ["none"] else list(faults or ([] if scenario else [DEFAULT_FAULT]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("kaikou").setLevel(logging.INFO)
    session = Session(plant_file, data, factor, played, scenario, verbose)
    return asyncio.run(session.run())


def environment(plant_file: Path, data: Path) -> dict[str, str]:
    """Values for the plant's references: free ports, and secrets where nobody gave any.

    What was chosen is kept in the data folder, so addresses and passwords stay over a restart.
    """
    vault = Vault(data)
    kept = vault.environment()
    chosen: dict[str, str] = {}
    ports: set[int] = set()
    for name, default in dict(_REFERENCE.findall(plant_file.read_text("utf-8"))).items():
        if name in os.environ or f"{name}_FILE" in os.environ:
            continue
        if "_PORT" in name:
            chosen[name] = str(free_port([kept.get(name, ""), default], ports))
            ports.add(int(chosen[name]))
        elif not default:
            chosen[name] = kept.get(name) or secrets.token_urlsafe(9)
    vault.keep(chosen)
    return chosen


def restored(data: Path) -> bool:
    """Whether a folder has a history but no simulated world: a backup was brought into it.

    First rows that run ahead would lie over that history.
    """
    return (data / HISTORIAN).exists() and not (data / "simulators" / "world.json").exists()


def free_port(wanted: Iterable[str], taken: set[int]) -> int:
    """The first wanted port that nobody listens on, else a free one.

    The free one lies below those that systems give to outgoing connections (32768 and up), so
    that none of these takes it before the room listens.
    """
    for port in (int(w) for w in wanted if w.isdigit()):
        if port not in taken and _free(port):
            return port
    for port in random.sample(SPARE_PORTS, 1000):
        if port not in taken and _free(port):
            return port
    raise Unavailable("no free port on 127.0.0.1")


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@dataclass
class Session:
    """One run of the demo: what was started, and what people are told."""

    plant_file: Path
    data: Path
    factor: float
    faults: Sequence[str]
    scenario: Path | None
    verbose: bool
    begun: float = field(default_factory=time.monotonic)
    said: list[str] = field(default_factory=list)
    running: bool = False

    async def run(self) -> int:
        """Start, tell, wait for Ctrl-C, stop."""
        self._one_at_a_time()
        os.environ.update(environment(self.plant_file, self.data))
        plant = read_plant(self.plant_file, self.data)
        from simulators.service import check_factor

        check_factor(plant, self.factor)
        claim(plant, self.data)
        first = self._prepare(plant)
        self._print(f"Kaikou demo: {plant.name.zh} / {plant.name.en}, simulated machines.")
        kept = "kept from before" if not first else "restored" if restored(self.data) else "new"
        self._print(f"data: {self.data} ({kept})")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        processes = Processes(self.data / "log", self._line)
        code = 0
        try:
            await _until(stop, self._start(plant, processes, first))
            if not stop.is_set():
                self._tell(plant)
                self.running = True
                await _until(stop, processes.wrong.wait())
                if processes.failed:
                    raise processes.failed
        except KaikouError as error:
            code = 2 if isinstance(error, ConfigError) else 3
            sys.stderr.write(f"{error}\nlogs: {processes.logs}\n")
        finally:
            code = await self._stop(processes) or code
        return code

    def _one_at_a_time(self) -> None:
        """Two demos in one data folder would write over each other."""
        import fcntl

        make_folder(self.data)
        self._lock = (self.data / "demo.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = f"a demo runs in {self.data} already; give another folder with --data"
            raise Unavailable(text) from error

    def _prepare(self, plant: Plant) -> bool:
        """Accounts and clock; whether this is the first start."""
        Vault(self.data).accounts(publish_filters(plant))
        started = self.data / "started.json"
        first = not started.exists()
        if first:
            now = time.time_ns() // 1_000_000
            if self.factor != 1.0:
                clock = {"origin": now, "factor": self.factor}
                write_object(self.data / "clock.json", clock)
        return first

    async def _start(self, plant: Plant, processes: Processes, first: bool) -> None:
        """Consumers first, sources last; the run-ahead of the physics goes on meanwhile."""
        preload = self.data / "preload.npz"
        ahead = ["--preload", str(preload)] if first and not restored(self.data) else []
        play = [f"--fault={name}" for name in self.faults]
        play += [f"--scenario={self.scenario.resolve()}"] if self.scenario else []
        broker = self._room(processes, "broker")
        simulators = self._room(processes, "simulators", [*ahead, *play])
        await self._ready(processes, [broker])
        consumers = [self._room(processes, name) for name in ("twin", "gateway")]
        await self._ready(processes, [simulators])
        edges = [self._room(processes, "edge", ahead, edge) for edge in plant.edges]
        await self._ready(processes, [*consumers, *edges])
        rest = [
            self._room(processes, "opcua", [], edge.id)
            for edge in plant.edges.values()
            if edge.opcua
        ]
        await self._live(plant, first)
        try:
            await self._ready(processes, [*rest, self._room(processes, "analytics")])
        except Unavailable as error:  # the line is live without them
            self._print(f"  {error}; see {processes.logs}")
        write_object(self.data / "started.json", {"plant": plant.hash})

    def _room(
        self,
        processes: Processes,
        room: str,
        more: Sequence[str] = (),
        edge: str | None = None,
    ) -> Process:
        command = room_command(room, self.plant_file, self.data, edge=edge, more=more)
        return processes.start(f"{room}-{edge}" if edge else room, command)

    async def _ready(self, processes: Processes, some: Sequence[Process]) -> None:
        for process in some:
            await processes.until_ready([process], READY_S)
            took = time.monotonic() - self.begun
            self._print(f"  {took:5.1f} s  {process.name:<13} {ROOMS[_room_of(process.name)].does}")

    async def _live(self, plant: Plant, first: bool) -> None:
        """Wait until the gateway hears every edge, as a browser would."""
        gateway, edges = plant.gateway, len(plant.edges)
        end = time.monotonic() + READY_S
        while not await asyncio.to_thread(_heard, gateway.host, gateway.port, edges):
            if time.monotonic() > end:
                raise Unavailable(f"no live value after {READY_S:.0f} s; see {self.data / 'log'}")
            await asyncio.sleep(0.1)
        took = time.monotonic() - self.begun
        self._print(f"  {took:5.1f} s  first live values")
        self._tell_first(plant, first)

    def _line(self, process: str, line: str, people: bool) -> None:
        """A line of a process: to people what is for them or went wrong."""
        if people and not self.running:
            self.said.append(line)
        elif people or self.verbose or (self.running and _alarming(line)):
            self._print(f"{process:<13} | {_short(line)}")

    def _tell_first(self, plant: Plant, first: bool) -> None:
        """The address, as soon as there is something to see."""
        scheme = "https" if plant.gateway.tls_cert else "http"
        self._print(f"\n  dashboard    {scheme}://{plant.gateway.host}:{plant.gateway.port}")
        for line in self.said:
            self._print(f"               {line}")
        if not first:
            self._print("               log in as before: the first start printed the accounts")
        self._print("")

    def _tell(self, plant: Plant) -> None:
        """Everything else, once all is up."""
        password = Vault(self.data).accounts([OBSERVER])[OBSERVER]
        self._print("\n  MQTT client (Sparkplug B; this account only looks):")
        self._print(
            f"    mosquitto_sub -h {plant.broker.host} -p {plant.broker.port} -u {OBSERVER} "
            f"-P {password} -t 'spBv1.0/#' -F '%I %t %l bytes'"
        )
        for line in _opcua(plant, self.data):
            self._print(line)
        self._print("")
        for line in announce(self.faults, self.scenario):
            self._print(f"  {line}")
        self._print(f"\n  logs: {self.data / 'log'}    Ctrl-C stops it\n")

    async def _stop(self, processes: Processes) -> int:
        self._print("stopping")
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # a second Ctrl-C ends this at once
        order = [
            ([p for p in processes.all if _room_of(p) in rooms], seconds)
            for rooms, seconds in STOP_ORDER
        ]
        stragglers = await processes.stop(order)
        took = time.monotonic() - begun
        self._print(f"stopped after {took:.1f} s; `kaikou demo` goes on with the same data")
        return 1 if stragglers else 0

    def _print(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _heard(host: str, port: int, edges: int) -> bool:
    """Whether the gateway says that so many edges are up."""
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        up = json.load(answer)["edges_up"] if answer.status == http.client.OK else 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return bool(up >= edges)


def _opcua(plant: Plant, data: Path) -> Iterator[str]:
    for edge in plant.edges.values():
        if edge.opcua is None:
            continue
        yield "\n  OPC UA client (Basic256Sha256, SignAndEncrypt):"
        yield f"    opc.tcp://{edge.opcua.host}:{edge.opcua.port}"
        for user in edge.opcua.users:
            yield f"    user {user.name}, password {user.password}"
        yield "    its certificate is refused at first; this lists and accepts it:"
        yield f"    kaikou trust --data {data}"


def _room_of(process: str) -> str:
    return process.partition("-")[0]


def _alarming(line: str) -> bool:
    """What went wrong, and that it is right again."""
    return bool(re.search(r" (WARNING|ERROR|CRITICAL) | kaikou\.supervisor: |^\w*Error", line))


def _short(line: str) -> str:
    """A log line without its date, level and logger, which are in the log file."""
    return re.sub(r"^\S+T(\S+?)\.\d+Z \w+ +\S+: ", r"\1 ", line)


async def _until(stop: asyncio.Event, work: Coroutine[object, object, object]) -> None:
    """Do some work until it is done or people want to stop."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(work),
        asyncio.create_task(stop.wait()),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
