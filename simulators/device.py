"""Binds machines to protocol servers: one device for every address that the plant reads from."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from plant.errors import ConfigError
from plant.model.plant import Plant
from simulators import building, compressor, gauge, lathe, mill, press, saw, washer
from simulators.dlt645 import LineMeter, SerialLine
from simulators.item import Meter
from simulators.lines import Line, lines, points
from simulators.link import Link
from simulators.machine import Machine
from simulators.modbus import ModbusServer, Unit
from simulators.node import Node
from simulators.recorded import NODES, Playback, RecordedUnit, read_record, show
from simulators.register import Moment, RegisterMap
from simulators.world import World

if TYPE_CHECKING:
    from simulators.opcua import NodeServer, Write

REGISTERS: Mapping[str, Mapping[int, RegisterMap[Any]]] = {
    "band_saw": saw.DEVICES,
    "lathe": lathe.DEVICES,
    "washer": washer.DEVICES,
    "press": press.DEVICES,
    "gauge": gauge.DEVICES,
    "compressor": compressor.DEVICES,
}
"""Machine type -> unit id -> the registers of its Modbus device."""
METERS: Mapping[str, Meter[Any]] = {"power_meter": building.METER, "washer": washer.METER}
"""Machine type -> what its DL/T 645 meter shows."""
VARIABLES: Mapping[str, tuple[Node[Any], ...]] = {"milling_machine": mill.NODES}
"""Machine type -> the variables of its OPC UA server."""
RECORDED = "recorded_machine"


@dataclass(frozen=True, slots=True)
class Setting:
    """What devices are built of.

    record      CSV of recorded machines; None where the plant has none
    rows_per_s  how fast it is played; 0 shows the next row with every answer
    """

    plant: Plant
    world: World
    folder: Path
    record: Path | None = None
    rows_per_s: float = 1.0

    def playback(self, asset: str) -> tuple[int, Playback]:
        """The record of an asset, whose ``parameters: {machine: 0}`` says which it is."""
        if self.record is None:
            raise ConfigError(f"{asset} is a recorded machine: name the record with --file")
        machine = int(self.plant.assets[asset].parameters.get("machine", 0))
        return machine, Playback(read_record(self.record, machine), self.rows_per_s)


class Device(Protocol):
    """Something that serves at one address."""

    line: Line
    slow: bool
    """Whether opening takes seconds, so that nobody should wait for it."""

    async def open(self) -> None:
        """Listen there."""

    async def show(self) -> None:
        """Take over what the world is now: called several times a second."""

    async def close(self) -> None:
        """Stop."""


class MachineUnit:
    """A machine behind a Modbus unit id."""

    def __init__(self, machine: Machine, registers: RegisterMap[Any]) -> None:
        self._machine = machine
        self._registers = registers

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Registers as bytes."""
        return self._registers.words(self._machine, table, first, count, moment)

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Bits, lowest first."""
        return self._registers.bits(self._machine, table, first, count, moment)


class PolledDevice:
    """A device that is asked: it looks at the world when it answers."""

    slow = False

    def __init__(self, line: Line, server: ModbusServer | SerialLine) -> None:
        self.line = line
        self.server = server

    async def open(self) -> None:
        """Listen."""
        await self.server.open(self.line.host, self.line.port)

    async def show(self) -> None:
        """Cut what is open while it is offline."""
        if self.server.link.offline:
            self.server.cut()

    async def close(self) -> None:
        """Stop."""
        await self.server.close()


class ServerDevice:
    """A machine's own OPC UA server: values change in it by themselves.

    ``make`` imports asyncua, which takes its time, so it runs beside the loop.
    """

    slow = True

    def __init__(self, line: Line, make: Callable[[], "NodeServer"], link: Link) -> None:
        self.line = line
        self.link = link
        self._make = make
        self._server: NodeServer | None = None
        self.sources: list[Callable[[], list[Write]]] = []
        self.records: list[tuple[int, Playback]] = []
        self._shown: dict[str, float | str] = {}
        self._late: list[tuple[float, list[Write]]] = []

    async def open(self) -> None:
        """Listen."""
        server = await asyncio.to_thread(self._make)
        await server.open(self.line.host, self.line.port)
        self._server = server
        self._shown.clear()
        await self.show()

    async def show(self) -> None:
        """Write what changed; be gone while offline."""
        server = self._server
        if server is None:
            return
        away = self.link.offline or self.link.silent
        if away and server.listening:
            await server.close()
        elif not away and not server.listening:
            await server.open(self.line.host, self.line.port)
            self._shown.clear()
        now_s = time.monotonic()
        changed = [
            row for source in self.sources for row in source() if self._shown.get(row[0]) != row[1]
        ]
        self._shown.update({row[0]: row[1] for row in changed})
        self._late.append((now_s + self.link.late_s, changed))
        while self._late and self._late[0][0] <= now_s:
            await server.write(self._late.pop(0)[1])
        for machine, playback in self.records if server.watched else ():
            await show(server, machine, playback.due(now_s))

    async def close(self) -> None:
        """Stop."""
        if self._server is not None:
            await self._server.close()


def _modbus(line: Line, setting: Setting) -> Device:
    units: dict[int, Unit] = {}
    link = Link()
    for id, (config, assets) in line.sources.items():
        for asset in assets:
            type = setting.plant.assets[asset].type
            unit = int(config.unit)
            if type == RECORDED:
                units[unit] = RecordedUnit(setting.playback(asset)[1])
                continue
            maps = REGISTERS.get(type, {})
            if asset not in setting.world.machines or unit not in maps:
                raise ConfigError(
                    f"source {id}: there is no simulated Modbus device of a {type} ({asset}) "
                    f"at unit {unit}; units that exist: {', '.join(map(str, maps)) or 'none'}"
                )
            units[unit] = MachineUnit(setting.world.machines[asset], maps[unit])
            link = setting.world.machines[asset].link
    world = setting.world
    return PolledDevice(line, ModbusServer(units, link, clock=lambda: world.now_ms))


def _dlt645(line: Line, setting: Setting) -> Device:
    meters: dict[str, LineMeter] = {}
    baud = 2400
    for id, (config, assets) in line.sources.items():
        baud = int(config.baud)
        for asset in assets:
            type = setting.plant.assets[asset].type
            machine = setting.world.machines.get(asset)
            meter = METERS.get(type)
            if machine is None or meter is None:
                raise ConfigError(f"source {id}: there is no simulated meter of a {type} ({asset})")
            for address in {str(point.meter) for point in points(setting.plant, id, asset)}:
                meters[address] = LineMeter(_items(meter, machine, setting.world), machine.link)
    return PolledDevice(line, SerialLine(meters, baud))


def _items(meter: Meter[Any], machine: Machine, world: World) -> Callable[[], dict[str, bytes]]:
    return lambda: meter.items(machine, world)


def _opcua(line: Line, setting: Setting) -> Device:
    nodes: list[tuple[str, str]] = []
    sources: list[Callable[[], list[Write]]] = []
    records: list[tuple[int, Playback]] = []
    link = Link()
    for id, (_, assets) in line.sources.items():
        for asset in assets:
            type = setting.plant.assets[asset].type
            if type == RECORDED:
                number, playback = setting.playback(asset)
                records.append((number, playback))
                nodes += [(f"M{number}.{name}", kind) for name, kind in NODES]
                continue
            machine = setting.world.machines.get(asset)
            variables = VARIABLES.get(type)
            if machine is None or variables is None:
                raise ConfigError(f"source {id}: no simulated OPC UA server of a {type} ({asset})")
            number_id = variables[0].id.partition(".")[0] + ".RunningNumber"
            nodes += [(v.id, v.type) for v in variables] + [(number_id, "UInt32")]
            sources.append(_values(variables, machine, setting.world, number_id))
            link = machine.link
    config = next(iter(line.sources.values()))[0]

    def make() -> "NodeServer":
        from simulators.opcua import NodeServer

        return NodeServer(
            nodes,
            setting.folder / f"opcua_{line.port}",
            user=config.user,
            password=config.password.get_secret_value() if config.password is not None else None,
            security=config.security,
            path=urlsplit(config.url).path or "/",
        )

    device = ServerDevice(line, make, link)
    device.sources, device.records = sources, records
    return device


def _values(
    variables: tuple[Node[Any], ...], machine: Machine, world: World, number: str
) -> Callable[[], list["Write"]]:
    """What the variables are now; the running number counts the looks at them."""
    looks = 0

    def look() -> list["Write"]:
        nonlocal looks
        looks += 1
        rows: list[Write] = [(v.id, v.quantity(machine), world.now_ms, 0) for v in variables]
        return [*rows, (number, looks % 2**32, world.now_ms, 0)]

    return look


KINDS: Mapping[str, Callable[[Line, Setting], Device]] = {
    "modbus": _modbus,
    "dlt645": _dlt645,
    "opcua": _opcua,
}
"""Source kind -> what serves it."""


def build(setting: Setting) -> list[Device]:
    """A device for every address, none of them open yet."""
    found = []
    for line in lines(setting.plant):
        if line.kind not in KINDS:
            raise ConfigError(f"no simulated peer for a source of kind {line.kind!r}")
        found.append(KINDS[line.kind](line, setting))
    return found
