"""A session with an OPC UA server: one subscription in iterator mode, drained in order.

Imported only by ``OpcUa.open``, because asyncua costs 60 MB. After a short loss asyncua binds the
same session to a new connection and nothing the server queued is lost. When the server has
forgotten the session (a restart), the subscription is new: then this session ends and the runner
opens another, so that every node is looked up again.
"""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy, Subscription
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from edge.adapters.opcua_trust import secure
from edge.source import Answer
from plant.errors import Unavailable
from plant.flow.clock import Clock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode

if TYPE_CHECKING:
    from edge.adapters.opcua import NodePoint, OpcUa

log = logging.getLogger("kaikou.opcua")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_PROBE_S = 2.0
"""The server is asked for its state this often, and given this long to answer."""
_LISTEN_S = 1.0
_KEEPALIVE_S = 10.0
"""asyncua makes a subscription anew after 1.5 of these without a word, and what was queued is gone;
a server that is merely slow must not be taken for that."""
_LIFETIME_S = 120.0
_GIVE_UP_S = 20.0
_MISSING_AGAIN_S = 5.0
_DRAIN = 5000
_LOOK_S = 0.1
_OVERFLOW = 0x0480
"""InfoType DataValue with the Overflow bit (OPC 10000-4, table "DataValue InfoBits")."""


@asynccontextmanager
async def connected(
    config: "OpcUa", points: "Sequence[NodePoint]", clock: Clock, folder: Path
) -> AsyncIterator["OpcUaSession"]:
    """Connect, secure, subscribe; everything is closed on the way out."""
    for name in ("asyncua", "asyncua.client", "asyncua.common"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the runner reports transitions
    client = Client(
        config.url,
        timeout=config.timeout_ms / 1000,
        watchdog_intervall=_PROBE_S,
        auto_reconnect=True,
        reconnect_max_delay=random.uniform(3.0, 5.0),
        reconnect_request_timeout=config.timeout_ms / 1000,
    )
    client.name = client.description = "Kaikou edge"
    client.session_timeout = int(_LIFETIME_S * 1000)
    try:
        await secure(client, config, folder)
        await client.connect()
        session = OpcUaSession(config, points, clock, client)
        await session.subscribe()
    except (OSError, TimeoutError, UaError) as error:
        await _close(client)
        raise Unavailable(f"{config.url}: {str(error) or type(error).__name__}") from error
    except BaseException:
        await _close(client)
        raise
    try:
        yield session
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    """Say goodbye, or at least let go of the socket, within a second."""
    with suppress(OSError, TimeoutError, UaError):
        async with asyncio.timeout(0.7):
            await client.disconnect()
    client.disconnect_socket()


class OpcUaSession:
    """Nodes by client handle; each ``read`` gives what the server reported since the last."""

    def __init__(
        self, config: "OpcUa", points: "Sequence[NodePoint]", clock: Clock, client: Client
    ) -> None:
        self._config = config
        self._points = points
        self._clock = clock
        self._client = client
        self._subscription: Subscription | None = None
        self._id: int | None = None
        self._index: dict[str, list[int]] = {}
        self._missing: dict[int, int] = {}
        self._try_missing = 0.0
        self._away_since: float | None = None
        self._overflowed = False
        self.overflows = 0
        """How often the server's queue of a node overflowed while we were away."""

    async def subscribe(self) -> None:
        """Ask for all nodes at once; one the server does not have does not disturb the others."""
        period = self._config.publish_ms
        wanted = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=period,
            RequestedLifetimeCount=max(30, round(_LIFETIME_S * 1000 / period)),
            RequestedMaxKeepAliveCount=max(1, round(_KEEPALIVE_S * 1000 / period)),
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
            Priority=0,
        )
        subscription = await self._client.create_subscription(
            wanted,
            queue_maxsize=max(10_000, 8 * len(self._points)),
            overflow=OverflowPolicy.DISCONNECT,
        )
        subscription.set_overflow_disconnect_handler(self._overflow)
        self._subscription = subscription
        self._id = subscription.subscription_id
        await self._monitor(range(len(self._points)))

    async def _monitor(self, indices: Sequence[int]) -> None:
        if self._subscription is None:
            return
        spaces = await self._client.get_namespace_array()
        nodes, found = [], []
        for index in indices:
            try:
                node = self._client.get_node(_node_id(self._points[index].node, spaces))
            except (UaError, ValueError):
                self._missing[index] = int(StatusCodes.BadNodeIdUnknown)
                continue
            self._index.setdefault(str(node.nodeid), []).append(index)
            nodes.append(node)
            found.append(index)
        if not nodes:
            return
        results = await self._subscription.subscribe_data_change(
            nodes,
            queuesize=self._config.queue,
            sampling_interval=ua.Duration(self._config.sampling_ms),
        )
        for index, node, result in zip(found, nodes, results, strict=True):
            if isinstance(result, ua.StatusCode):
                self._missing[index] = int(result.value)
                self._index[str(node.nodeid)].remove(index)
            else:
                self._missing.pop(index, None)

    def _overflow(self) -> None:
        self._overflowed = True

    async def read(self) -> Answer:
        """What came in; at least once a second an empty answer that says the server is there."""
        if self._client.state is not UaClientState.CONNECTED:
            return await self._away()
        self._away_since = None
        subscription = self._subscription
        if subscription is None or subscription.subscription_id != self._id:
            raise Unavailable("the server started a new session")
        rows: list[tuple[int, int, float, int]] = []
        texts: list[Text] = []
        told = await self._retry_missing()
        rows.extend((index, self._clock.now(), float("nan"), status) for index, status in told)
        for event in await _drain(subscription):
            for index in self._index.get(str(event.node.nodeid), ()):
                self._take(index, event, rows, texts)
        if self._overflowed:
            raise Unavailable("more values came than could be taken; the session begins anew")
        return Answer(_batch(rows), texts, vouched=self._clock.now())

    async def _away(self) -> Answer:
        """The connection is lost and asyncua tries to mend it, but not for ever."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > _GIVE_UP_S:
            raise Unavailable(f"{self._config.url}: no connection for {_GIVE_UP_S:.0f} s")
        await asyncio.sleep(_LOOK_S)
        return Answer(SampleBatch.empty(), alive=False)

    async def _retry_missing(self) -> list[tuple[int, int]]:
        """Nodes the server does not have: told at first, looked for again every few seconds."""
        now = time.monotonic()
        if not self._missing or now < self._try_missing:
            return []
        first = self._try_missing == 0.0
        self._try_missing = now + _MISSING_AGAIN_S
        if not first:
            try:
                await self._monitor(sorted(self._missing))
            except (OSError, TimeoutError, UaError) as error:
                raise Unavailable(f"{self._config.url}: {error}") from error
        return list(self._missing.items())

    def _take(
        self,
        index: int,
        event: DataChangeEvent,
        rows: list[tuple[int, int, float, int]],
        texts: list[Text],
    ) -> None:
        data = event.data.monitored_item.Value
        status = int(data.StatusCode.value) if data.StatusCode is not None else 0
        at = _ms(data.SourceTimestamp or data.ServerTimestamp, self._clock)
        if status & _OVERFLOW == _OVERFLOW:
            self.overflows += 1
            if self.overflows == 1:
                log.warning("%s: its queue overflowed, values are lost", self._config.url)
        if status in (StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid):
            self._missing[index] = status
        value: Any = event.value
        if isinstance(value, ua.LocalizedText):
            value = value.Text
        if isinstance(value, str):
            texts.append(Text(index, at, value, status))
            return
        number, status = _number(value, status)
        rows.append((index, at, number, status))


async def _drain(subscription: Subscription) -> list[DataChangeEvent]:
    """Wait up to a second for an event, then take all that wait, in order."""
    events: list[DataChangeEvent] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_LISTEN_S):
            event = await anext(subscription)
        if isinstance(event, DataChangeEvent):
            events.append(event)
        async with asyncio.timeout(0):
            while len(events) < _DRAIN:
                event = await anext(subscription)
                if isinstance(event, DataChangeEvent):
                    events.append(event)
    return events


def _batch(rows: list[tuple[int, int, float, int]]) -> SampleBatch:
    if not rows:
        return SampleBatch.empty()
    signal, source_time, value, status = zip(*rows, strict=True)
    return SampleBatch.of(signal, source_time, value, status)


def _number(value: Any, status: int) -> tuple[float, int]:
    """A float64 and its status; NaN where the server gave nothing, or nothing that is a number."""
    bad = bool(status & 0x8000_0000)
    if isinstance(value, datetime):
        value = (value.replace(tzinfo=UTC) - _EPOCH) / _MS
    if bad or value is None:
        return float("nan"), status if bad else StatusCode.BadNoData
    if not isinstance(value, (bool, int, float)):
        return float("nan"), StatusCode.BadDecodingError
    number = float(value)
    return number, status if number == number else StatusCode.BadNoData  # noqa: PLR0124


def _ms(at: datetime | None, clock: Clock) -> int:
    """UTC ms of a time stamp (asyncua gives naive UTC); now where there is none."""
    if at is None:
        return clock.now()
    return (at.replace(tzinfo=UTC) - _EPOCH) // _MS


def _node_id(text: str, spaces: Sequence[str]) -> ua.NodeId:
    """A node id; ``nsu=URI;…`` is looked up among the server's namespaces."""
    if text.startswith("nsu="):
        uri, _, rest = text.removeprefix("nsu=").partition(";")
        text = f"ns={list(spaces).index(uri)};{rest}"
    return ua.NodeId.from_string(text)
