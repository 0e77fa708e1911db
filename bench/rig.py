"""The rig of the end-to-end benches: simulated devices, a plant of them, its processes, a viewer.

The rig's record is kept here, outside the thing measured: which running number each device served
and when. Every signal of a device carries that number, each in its own way, so a value read
anywhere tells which answer it came from.
"""

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from deploy.process import Processes, room_command
from plant.errors import ConfigError
from simulators.modbus import ModbusServer
from simulators.register import Moment

MODULUS = 60_000
STRIDE = 37
EXPOSED = 10
"""So many devices are in the OPC UA server: 1,000 signals where each has 100."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


@dataclass(slots=True)
class Device:
    """A Modbus device of ``signals`` input registers; answer n shows (n + 37 i) mod 60000 at i.

    ``served[n - 1]`` is the monotonic time at which answer n left, ``utc`` the same in ms UTC.
    """

    number: int
    signals: int
    served: list[float] = field(default_factory=list)
    utc: list[int] = field(default_factory=list)
    server: ModbusServer = field(init=False)
    _offsets: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.server = ModbusServer({1: self})
        self._offsets = np.arange(self.signals, dtype=np.int64) * STRIDE

    @property
    def name(self) -> str:
        """The asset's id."""
        return f"d{self.number:03d}"

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """One whole block at one moment, recorded as it leaves."""
        if table != "input" or first + count > self.signals:
            return None
        number = len(self.served) + 1
        values = (number + self._offsets[first : first + count]) % MODULUS
        self.served.append(time.monotonic())
        self.utc.append(time.time_ns() // 1_000_000)
        return values.astype(">u2").tobytes()

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """None: it has no bits."""
        return None


def answer_number(value: int, signal: int, near: int) -> int:
    """Which answer a value came from; ``near`` is a number within half a modulus of it.

    >>> answer_number((70_000 + 37 * 5) % 60_000, 5, near=69_990)
    70000
    """
    base = (value - STRIDE * signal) % MODULUS
    return base + MODULUS * round((near - base) / MODULUS)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the plant's servers listen."""

    broker: int
    gateway: int
    opcua: int


def write_plant(
    folder: Path,
    devices: Sequence[Device],
    ports: Ports,
    *,
    embedded: bool,
    opcua: bool = True,
    historian: Mapping[str, object] | None = None,
    copy: Mapping[str, object] | None = None,
) -> Path:
    """plant.yaml for the devices; every signal a measurement, deadband 0."""
    server = {
        "port": ports.opcua,
        "users": [{"name": "bench", "password": "${KAIKOU_BENCH_PASSWORD}"}],
        "assets": [d.name for d in devices[:EXPOSED]],
    }
    plant = {
        "kaikou": 1,
        "enterprise": "bench",
        "site": {"id": "rig", "name": {"zh": "试验台", "en": "Rig"}, "timezone": "Asia/Shanghai"},
        "broker": {"host": "127.0.0.1", "port": ports.broker, "embedded": embedded},
        **({"historian": historian} if historian else {}),
        **({"copy": copy} if copy else {}),
        "gateway": {"port": ports.gateway},
        "simulated": True,
        "catalog": "types",
        "edges": {
            "edge1": {
                "name": {"zh": "网关", "en": "Edge"},
                **({"opcua": server} if opcua else {}),
                "sources": {
                    f"s{d.number:03d}": {
                        "kind": "modbus",
                        "host": "127.0.0.1",
                        "port": d.server.port,
                        "poll_ms": 1000,
                    }
                    for d in devices
                },
            }
        },
        "assets": {d.name: _asset(d) for d in devices},
    }
    file = folder / "plant.yaml"
    file.write_text(json.dumps(plant, ensure_ascii=False), "utf-8")
    return file


def _asset(device: Device) -> dict[str, object]:
    return {
        "type": "rig_device",
        "name": {"zh": f"设备{device.number}", "en": f"Device {device.number}"},
        "edge": "edge1",
        "signals": {
            f"v{i:03d}": {
                "name": {"zh": f"值{i}", "en": f"Value {i}"},
                "kind": "measurement",
                "decimals": 0,
                "source": f"s{device.number:03d}",
                "at": f"input:{i} uint16",
            }
            for i in range(device.signals)
        },
    }


TYPE = """type: rig_device
role: machine
name: {zh: 试验设备, en: Rig device}
signals:
  last_good_read:
    name: {zh: 最近正确读取, en: Last good read}
    kind: measurement
    unit: ms
    decimals: 0
    by: edge
"""


@contextmanager
def folder() -> Iterator[Path]:
    """A data folder on the disk that is there, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="kaikou-bench-") as path:
        place = Path(path)
        (place / "types").mkdir()
        (place / "types" / "rig_device.yaml").write_text(TYPE, "utf-8")
        yield place


@asynccontextmanager
async def serving(devices: Sequence[Device]) -> AsyncIterator[None]:
    """The devices listen."""
    for device in devices:
        await device.server.open()
    try:
        yield
    finally:
        for device in devices:
            await device.server.close()


@contextmanager
def mosquitto(port: int, place: Path) -> Iterator[psutil.Process]:
    """A real broker on loopback that keeps nothing."""
    config = place / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    command = ["mosquitto", "-c", str(config)]
    with subprocess.Popen(
        command, env={**os.environ, "PATH": path}, stderr=subprocess.DEVNULL
    ) as live:
        try:
            yield psutil.Process(live.pid)
        finally:
            live.terminate()


class Rooms:
    """The rooms of a plant as processes, with what they write kept for when something fails."""

    def __init__(self, plant: Path, data: Path) -> None:
        self.plant, self.data = plant, data
        self.lines: list[str] = []
        self.processes = Processes(data / "log", self._line)

    def _line(self, name: str, line: str, people: bool) -> None:
        self.lines.append(f"{name}: {line}")

    async def start(self, *rooms: str, timeout_s: float = 60.0, more: Sequence[str] = ()) -> None:
        """Start rooms in this order, each ready before the next; ``more`` are their options."""
        for room in rooms:
            edge = "edge1" if room in {"edge", "opcua"} else None
            process = self.processes.start(
                room, room_command(room, self.plant, self.data, edge=edge, more=more)
            )
            await self.processes.until_ready([process], timeout_s)

    async def stop(self, *order: str) -> None:
        """Stop rooms one after another."""
        await self.processes.stop([([room], 15.0) for room in order])

    def process(self, room: str) -> psutil.Process:
        """The running process of a room."""
        pid = self.processes.all[room].pid
        if pid is None:
            raise ConfigError(f"{room} does not run: {self.processes.all[room].last}")
        return psutil.Process(pid)


def cpu_s(process: psutil.Process) -> float:
    """User and system time of a process and all its children, s."""
    total = 0.0
    for part in [process, *process.children(recursive=True)]:
        times = part.cpu_times()
        total += times.user + times.system
    return total


def rss_mb(process: psutil.Process) -> float:
    """Resident memory of a process and all its children, MiB."""
    parts = [process, *process.children(recursive=True)]
    return sum(p.memory_info().rss for p in parts) / 2**20
