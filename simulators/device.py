"""Binds machines to protocol servers: one device for every address that the plant reads from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from plant.errors import ConfigError
from plant.model.plant import Plant
from simulators import building, compressor, gauge, lathe, press, saw, washer
from simulators.item import Meter
from simulators.lines import Line, lines, points
from simulators.machine import Machine
from simulators.modbus import ModbusServer
from simulators.register import Moment, RegisterMap
from simulators.world import World

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


class Device(Protocol):
    """Something that serves at one address."""

    line: Line

    async def open(self) -> None:
        """Listen there."""

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


class ModbusDevice:
    """A Modbus TCP device or gateway at an address of the plant."""

    def __init__(self, line: Line, server: ModbusServer) -> None:
        self.line = line
        self.server = server

    async def open(self) -> None:
        """Listen."""
        await self.server.open(self.line.host, self.line.port)

    async def close(self) -> None:
        """Stop."""
        await self.server.close()


def _modbus(line: Line, plant: Plant, world: World, folder: Path) -> Device:
    units: dict[int, MachineUnit] = {}
    link = None
    for id, (config, assets) in line.sources.items():
        for asset in assets:
            maps = REGISTERS.get(plant.assets[asset].type, {})
            unit = int(config.unit)
            if asset not in world.machines or unit not in maps:
                raise ConfigError(
                    f"source {id}: no simulated Modbus device of a {plant.assets[asset].type} "
                    f"({asset}) at unit {unit}; there are units {list(maps)}"
                )
            units[unit] = MachineUnit(world.machines[asset], maps[unit])
            link = world.machines[asset].link
    server = ModbusServer(units, link, clock=lambda: world.now_ms)
    return ModbusDevice(line, server)


Build = Callable[[Line, Plant, World, Path], Device]

KINDS: dict[str, Build] = {"modbus": _modbus}
"""Source kind -> what serves it."""


def build(plant: Plant, world: World, folder: Path) -> list[Device]:
    """A device for every address, none of them open yet."""
    return [
        KINDS[line.kind](line, plant, world, folder) for line in lines(plant) if line.kind in KINDS
    ]


__all__ = ["KINDS", "METERS", "REGISTERS", "Device", "MachineUnit", "build", "points"]
