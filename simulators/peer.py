"""A peer for every source kind: what the edge's contract suite reads from and quarrels with.

    async with KINDS["modbus"](count=8, folder=tmp_path) as peer:
        source = peer.source()          # as plant.yaml gives it under sources:
        at = peer.points[0]             # as plant.yaml gives it under at:
        await peer.show([1.5] * 8)      # what the device says from now on
        await peer.fail(Link(silent=True))

A new adapter brings a peer of its kind into ``KINDS``; without one the suite fails.
"""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from plant.flow.resolver import Kinds
from simulators.dlt645 import LineMeter, SerialLine
from simulators.item import bcd
from simulators.link import Link
from simulators.modbus import ModbusServer
from simulators.register import Moment, Register, RegisterMap

if TYPE_CHECKING:
    from simulators.opcua import NodeServer

KINDS = Kinds(
    "kaikou.peers",
    {
        "modbus": "simulators.peer:ModbusPeer",
        "dlt645": "simulators.peer:Dlt645Peer",
        "opcua": "simulators.peer:OpcUaPeer",
    },
)
"""Source kind -> its peer."""

Values = Sequence[float]


class Peer(ABC):
    """A device with ``count`` values on a free port of loopback.

    points      where each value is, as plant.yaml writes it
    resolution  smallest step the protocol can carry of each value
    link        how it answers now
    """

    kind: ClassVar[str]
    most: ClassVar[int] = 1000
    """Values that such a device can have."""

    def __init__(self, count: int, folder: Path) -> None:
        if not 1 <= count <= self.most:
            raise ValueError(f"a {self.kind} peer has 1 to {self.most} values")
        self.count = count
        self.folder = folder
        self.link = Link()
        self.values: list[float] = [0.0] * count

    @property
    @abstractmethod
    def points(self) -> list[Any]:
        """What plant.yaml gives under ``at:`` of each value."""

    @property
    def resolution(self) -> list[float]:
        """Smallest step of each value; 0 where float64 is carried exactly."""
        return [0.0] * self.count

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """What plant.yaml gives under ``sources:``."""

    @abstractmethod
    async def open(self) -> None:
        """Listen; a peer that was closed listens at the same address again."""

    @abstractmethod
    async def close(self) -> None:
        """Stop listening and cut every connection."""

    async def show(self, values: Values, time_ms: int | None = None) -> None:
        """The device's values from now on; ``time_ms`` where it has a clock of its own."""
        self.values[: len(values)] = values

    async def fail(self, link: Link) -> None:
        """Answer like this from now on; ``Link()`` heals."""
        self.link.offline, self.link.silent = link.offline, link.silent
        self.link.late_s, self.link.garbage = link.late_s, link.garbage

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class ModbusPeer(Peer):
    """float64 values in input registers."""

    kind = "modbus"

    def __init__(self, count: int, folder: Path) -> None:
        super().__init__(count, folder)
        self._map: RegisterMap[Peer] = RegisterMap("peer", *map(_register, range(count)))
        self.server = ModbusServer({1: self}, self.link)
        self._port = 0

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """Registers as they are now."""
        return self._map.words(self, table, first, count, moment)

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        """None: it has no bits."""
        return None

    @property
    def points(self) -> list[Any]:
        """Four registers each."""
        return [f"input:{4 * i} float64" for i in range(self.count)]

    def source(self) -> dict[str, Any]:
        """On its port."""
        return {"kind": "modbus", "host": "127.0.0.1", "port": self._port, "timeout_ms": 500}

    async def open(self) -> None:
        """Listen."""
        await self.server.open(port=self._port)
        self._port = self.server.port

    async def close(self) -> None:
        """Stop."""
        await self.server.close()

    async def fail(self, link: Link) -> None:
        """Offline cuts what is open."""
        await super().fail(link)
        if link.offline:
            self.server.cut()


def _register(i: int) -> Register[Peer]:
    return Register(f"input:{4 * i}", "float64", f"value {i}", lambda peer, t: peer.values[i])


_ITEMS = (
    ("00010000", 8, 2),
    ("02030000", 6, 4),
    ("02010100", 4, 1),
    ("02010200", 4, 1),
    ("02010300", 4, 1),
    ("02020100", 6, 3),
    ("02020200", 6, 3),
    ("02020300", 6, 3),
)
"""Identifier, digits, decimals."""


class Dlt645Peer(Peer):
    """One meter, its line without pacing."""

    kind = "dlt645"
    most = len(_ITEMS)
    METER = "000000000042"

    def __init__(self, count: int, folder: Path) -> None:
        super().__init__(count, folder)
        meter = LineMeter(self._items)
        self.server = SerialLine({self.METER: meter}, baud=0, link=self.link)
        self._port = 0

    def _items(self) -> dict[str, bytes]:
        shown = zip(_ITEMS, self.values, strict=False)
        return {id: bcd(value, digits, decimals) for (id, digits, decimals), value in shown}

    @property
    def points(self) -> list[Any]:
        """An item each."""
        return [f"{self.METER} {id}" for id, _, _ in _ITEMS[: self.count]]

    @property
    def resolution(self) -> list[float]:
        """The last decimal of each item."""
        return [10.0**-decimals for _, _, decimals in _ITEMS[: self.count]]

    def source(self) -> dict[str, Any]:
        """On its port."""
        return {"kind": "dlt645", "host": "127.0.0.1", "port": self._port, "timeout_ms": 500}

    async def open(self) -> None:
        """Listen."""
        await self.server.open(port=self._port)
        self._port = self.server.port

    async def close(self) -> None:
        """Stop."""
        await self.server.close()

    async def fail(self, link: Link) -> None:
        """Offline cuts what is open."""
        await super().fail(link)
        if link.offline:
            self.server.cut()


class OpcUaPeer(Peer):
    """Double variables, secured, one user."""

    kind = "opcua"
    most = 200

    def __init__(self, count: int, folder: Path) -> None:
        super().__init__(count, folder)
        self._password = secrets.token_urlsafe(12)
        self._ids = [f"Value.{i}" for i in range(count)]
        self._server: NodeServer | None = None

    @property
    def server(self) -> "NodeServer":
        """The server, made at the first use: asyncua takes its time to import."""
        if self._server is None:
            from simulators.opcua import NodeServer

            nodes = [(id, "Double") for id in self._ids]
            folder = self.folder / "opcua_peer"
            self._server = NodeServer(nodes, folder, user="peer", password=self._password)
        return self._server

    @property
    def points(self) -> list[Any]:
        """A node each."""
        return [f"ns=2;s={id}" for id in self._ids]

    def source(self) -> dict[str, Any]:
        """With its user."""
        url = f"opc.tcp://127.0.0.1:{self.server.port}/"
        secret = {"user": "peer", "password": self._password}
        return {"kind": "opcua", "url": url, "publish_ms": 50, "timeout_ms": 2000, **secret}

    async def open(self) -> None:
        """Listen."""
        await self.server.open()
        await self.show(self.values)

    async def close(self) -> None:
        """Stop."""
        await self.server.close()

    async def show(self, values: Values, time_ms: int | None = None) -> None:
        """With the device's own time."""
        await super().show(values)
        at = time.time_ns() // 1_000_000 if time_ms is None else time_ms
        pairs = zip(self._ids, self.values, strict=True)
        if self.link.garbage:
            # asyncua itself refuses a value of another type, so the rubbish is no number
            await self.server.write([(id, float("nan"), at, 0) for id in self._ids])
        else:
            await self.server.write([(id, value, at, 0) for id, value in pairs])

    async def fail(self, link: Link) -> None:
        """Offline or silent, the server is gone; late only changes what is shown next."""
        await super().fail(link)
        away = link.offline or link.silent
        if away and self.server.listening:
            await self.server.close()
        elif not away and not self.server.listening:
            await self.open()
        elif not away:
            await self.show(self.values)
