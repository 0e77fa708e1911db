"""A session with an OPC UA server: its nodes, by one subscription.

Imported only by ``OpcUa.open``, because asyncua costs 60 MB. After a short loss the same session
and subscription are taken up on a new connection, and nothing the server queued is lost. When the
server has forgotten either (a restart), this session ends and the runner opens another, in which
every node is looked up again: what the server said before is then no longer vouched for.
"""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncua import ua as _ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from edge.adapters.opcua_check import EVERY_S, Check
from edge.adapters.opcua_link import Away, Link
from edge.adapters.opcua_portion import Portions
from edge.adapters.opcua_subscription import Report, Subscription
from edge.adapters.opcua_value import (
    GONE,
    content,
    name,
    node_id,
    overflowed,
    status_of,
    time_of,
)
from edge.source import Answer
from plant.errors import Unavailable
from plant.flow.clock import Clock
from plant.flow.sample import SampleBatch, Text

if TYPE_CHECKING:
    from edge.adapters.opcua import NodePoint, OpcUa

log = logging.getLogger("kaikou.opcua")

ua: Any = _ua

_PROBE_S = 2.0
"""The server is asked for its state this often."""
_LISTEN_S = 1.0
_MISSING_FIRST_S, _MISSING_LAST_S = 5.0, 60.0
_AGAIN_FIRST_S, _AGAIN_LAST_S = 0.25, 4.0
_LOOK_S = 0.1
_SLOWER = 2.0


@asynccontextmanager
async def connected(
    config: "OpcUa", points: "Sequence[NodePoint]", clock: Clock, folder: Path
) -> AsyncIterator["OpcUaSession"]:
    """Connect, secure, subscribe, hear the first report; all is closed on the way out."""
    link = Link(config, folder)
    session = OpcUaSession(config, points, clock, link)
    try:
        await link.open()
        await session.begin()
        yield session
    finally:
        try:
            await session.end()
        finally:
            await link.close()


class OpcUaSession:
    """Nodes by client handle; each ``read`` gives what the server reported since the last."""

    def __init__(
        self, config: "OpcUa", points: "Sequence[NodePoint]", clock: Clock, link: Link
    ) -> None:
        self._config = config
        self._points = points
        self._clock = clock
        self._link = link
        self._subscription = Subscription(link, clock)
        self._handle = random.randrange(1 << 16, 1 << 30)
        """Of the first point: no other session's reports are taken for ours."""
        self._items: dict[int, int] = {}
        """Point -> the server's number of its monitored item."""
        self._nodes: dict[int, Any] = {}
        """Point -> node id, of those that are monitored."""
        self._check = Check(link, None)
        self._check_at = 0.0
        self._missing: dict[int, tuple[int, str]] = {}
        """Point -> status and why."""
        self._told_missing = False
        self._missing_at = 0.0
        self._missing_pause_s = _MISSING_FIRST_S
        self._portions = Portions()
        self._first: list[Report] = []
        self._probe_at = 0.0
        self._away_since: float | None = None
        self._again_at = 0.0
        self._again_pause_s = _AGAIN_FIRST_S
        self.overflows = 0
        """How often the server's queue of a node overflowed while we were away."""

    # ------------------------------------------------------------------------------------ opening

    async def begin(self) -> None:
        """Subscribe; one node that the server does not have does not disturb the others.

        Raises
        ------
        Unavailable
            The server does not take it, or reports nothing.
        """
        try:
            self._portions = Portions(await self._limit("MaxMonitoredItemsPerCall"))
            self._check = Check(self._link, await self._limit("MaxNodesPerRead"))
            self._check_at = time.monotonic() + EVERY_S
            await self._subscription.create(self._config.publish_ms)
            self._tell_if_slower()
            await self._monitor(range(len(self._points)))
            while not self._first:
                self._first = await self._subscription.reports(_LISTEN_S)
        except (Away, UaStatusCodeError) as error:
            raise Unavailable(f"{self._link.url}: {error}") from error

    async def end(self) -> None:
        """Ask for no more reports."""
        await self._subscription.stop()

    def _tell_if_slower(self) -> None:
        asked_s, interval_s = self._config.publish_ms / 1000, self._subscription.interval_s
        if interval_s > _SLOWER * asked_s:
            log.info("%s: reports every %g s, not %g s", self._link.url, interval_s, asked_s)

    async def _limit(self, name: str) -> int | None:
        """How many nodes the server takes in one call, where it says so."""
        id = getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}")
        told = await self._value(ua.NodeId(id))
        return told if isinstance(told, int) else None

    async def _value(self, node: Any) -> Any:
        """A value of the server's own; None where it has none."""
        try:
            (data,) = await self._link.read([node])
        except UaStatusCodeError:
            return None
        return data.Value.Value if data.Value is not None and not status_of(data) else None

    async def _monitor(self, points: Sequence[int]) -> None:
        """Have points reported, each under its own handle."""
        told = await self._value(ua.NodeId(ua.ObjectIds.Server_NamespaceArray))
        spaces = [str(uri) for uri in told] if isinstance(told, list) else []
        wanted: list[tuple[int, Any]] = []
        for point in points:
            try:
                wanted.append((self._handle + point, node_id(self._points[point].node, spaces)))
            except (ValueError, ua.UaError) as error:
                self._missing[point] = int(StatusCodes.BadNodeIdUnknown), str(error)
        results = await self._portions.ask(wanted, self._create)
        for (handle, node), result in zip(wanted, results, strict=True):
            point = handle - self._handle
            if result.StatusCode.is_good():
                self._items[point] = result.MonitoredItemId
                self._nodes[point] = node
                self._missing.pop(point, None)
            else:
                self._missing[point] = int(result.StatusCode.value), ""

    async def _create(self, part: Sequence[tuple[int, Any]]) -> Sequence[Any]:
        return await self._subscription.monitor(
            part, queue=self._config.queue, sampling_ms=self._config.sampling_ms
        )

    # ------------------------------------------------------------------------------------ reading

    async def read(self) -> Answer:
        """What came in; at least once a second an empty answer that says the server is there.

        Raises
        ------
        Unavailable
            The session is over.
        """
        try:
            if self._link.connected:
                with suppress(Away):  # what came before the loss is given first
                    await self._keep()
            if not self._link.connected and (self._away_since or not self._waits):
                return await self._mend()
            reports = self._first or await self._subscription.reports(_LISTEN_S)
        except Away:
            return self._lost()
        except UaStatusCodeError as error:
            raise Unavailable(f"{self._link.url}: {error}") from error
        self._first = []
        return self._answer(reports)

    @property
    def _waits(self) -> bool:
        return bool(self._first) or self._subscription.waits

    async def _keep(self) -> None:
        """What is due besides listening."""
        await self._link.renew()
        now = time.monotonic()
        if now >= self._probe_at:
            self._probe_at = now + min(_PROBE_S, self._link.session_s / 3)
            await self._link.read([ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)])
        if self._missing and self._told_missing and now >= self._missing_at:
            await self._look_again()
        if now >= self._check_at and not self._subscription.waits:
            self._check_at = now + EVERY_S
            await self._look()

    async def _look_again(self) -> None:
        """Nodes that the server did not have, looked for every few seconds, then less often."""
        points = sorted(self._missing)
        await self._anew(points)
        self._told_missing = False
        found = len(self._missing) < len(points)
        pause_s = _MISSING_FIRST_S if found else min(_MISSING_LAST_S, 2 * self._missing_pause_s)
        self._missing_pause_s = pause_s

    async def _look(self) -> None:
        """Whether what is monitored is there, and reported."""
        found = await self._check.look(self._nodes)
        for point, status in found.gone.items():
            self._gone(point, status)
        if found.silent:
            log.info("%s: %d nodes are asked for anew", self._link.url, len(found.silent))
            await self._anew(found.silent)

    async def _anew(self, points: Sequence[int]) -> None:
        """Have points reported again, under new items."""
        items = [self._items.pop(point) for point in points if point in self._items]
        for point in points:
            self._nodes.pop(point, None)
        if items:
            await self._portions.ask(items, self._subscription.release)
        await self._monitor(points)

    def _gone(self, point: int, status: int) -> None:
        if point not in self._missing:
            self._missing[point] = status, "the server has it no longer"
            self._told_missing = False

    def _answer(self, reports: Sequence[Report]) -> Answer:
        rows: list[tuple[int, int, float, int]] = []
        texts: list[Text] = []
        why: dict[int, str] = {}
        for report in reports:
            for handle, data in report.changes:
                point = handle - self._handle
                if 0 <= point < len(self._points):
                    self._take(point, data, rows, texts, why)
        if self._missing and not self._told_missing:
            self._told_missing = True
            self._missing_at = time.monotonic() + self._missing_pause_s
            now = self._clock.now()
            for point, (status, reason) in self._missing.items():
                rows.append((point, now, float("nan"), status))
                why[point] = reason or name(status)
        vouched = reports[-1].heard if reports else None
        return Answer(_batch(rows), texts, why=why, vouched=vouched)

    def _take(
        self,
        point: int,
        data: Any,
        rows: list[tuple[int, int, float, int]],
        texts: list[Text],
        why: dict[int, str],
    ) -> None:
        self._check.told(point, data)
        value, status, reason = content(data)
        at = time_of(data, self._clock)
        if overflowed(data):
            self.overflows += 1
            if self.overflows == 1:
                log.warning("%s: its queue overflowed, values are lost", self._link.url)
        if status in GONE:
            self._gone(point, status)
        if reason or status & 0x8000_0000:
            why[point] = reason or name(status)
        if isinstance(value, str):
            texts.append(Text(point, at, value, status))
        else:
            rows.append((point, at, value, status))

    # -------------------------------------------------------------------------------- after a loss

    def _lost(self) -> Answer:
        self._away_since = time.monotonic()
        self._again_pause_s = _AGAIN_FIRST_S
        self._again_at = self._away_since
        return Answer(SampleBatch.empty(), alive=False)

    async def _mend(self) -> Answer:
        """Take the session up again, as long as the server keeps it."""
        if self._away_since is None:
            return self._lost()
        now = time.monotonic()
        if now - self._away_since > self._link.session_s:
            raise Unavailable(f"{self._link.url}: no connection for {self._link.session_s:.0f} s")
        if now < self._again_at:
            await asyncio.sleep(min(_LOOK_S, self._again_at - now))
            return Answer(SampleBatch.empty(), alive=False)
        try:
            await self._link.resume()
            await self._subscription.resume()
        except Away:
            self._again_at = time.monotonic() + self._again_pause_s * random.uniform(0.75, 1.25)
            self._again_pause_s = min(_AGAIN_LAST_S, 2 * self._again_pause_s)
            return Answer(SampleBatch.empty(), alive=False)
        self._away_since = None
        return Answer(SampleBatch.empty())


def _batch(rows: list[tuple[int, int, float, int]]) -> SampleBatch:
    if not rows:
        return SampleBatch.empty()
    signal, source_time, value, status = zip(*rows, strict=True)
    return SampleBatch.of(signal, source_time, value, status)
