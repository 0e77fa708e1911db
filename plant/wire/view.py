"""A live picture of the plant from the bus: newest values, and which edges are there.

Gateway, OPC UA server and analytics each keep one. It stores nothing, invents nothing, and asks
for births where it meets what it cannot understand.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.rate import Rate
from plant.flow.status import StatusCode
from plant.model.plant import PUBLISHERS, Broker
from plant.wire.birth import plant_hash
from plant.wire.client import MqttClient
from plant.wire.doubt import believable, doubted
from plant.wire.host_event import Born, Data, Died, HostEvent, RebirthWanted, RunsAnnounced
from plant.wire.host_session import HostSession, rebirth_command
from plant.wire.message import Ack, Outgoing
from plant.wire.ownership import Ownership
from plant.wire.progress import Progress
from plant.wire.quota import NODES
from plant.wire.request import Asker
from plant.wire.topic import ACK_PREFIX, REPLY_PREFIX, NodeId, parse_ack_topic, reply_topic

log = logging.getLogger("kaikou.view")

SILENT_S = 4.0
"""An edge of ours that says nothing for this long has lost its link: it speaks at least every 2 s,
and people are to know within 5."""
_TICK_S = 0.25
_SLICE_S = 0.005
"""Work that lasts longer lets other tasks of the process run in between."""
_TURNS = 60
"""So many changes of links are logged in a minute."""


class LinkState(StrEnum):
    """Whether an edge is heard."""

    UNKNOWN = "unknown"
    UP = "up"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Link:
    """The link to one node.

    edge            its id; "group/node" for a foreign one
    since           ms UTC of the last change of state
    complete_up_to  ms UTC: everything accepted before is durable; 0 while that is not known
    best_effort     a foreign edge: nothing is promised
    plant_hash      of the plant.yaml that it runs on, "" where it says none
    """

    edge: str
    state: LinkState
    since: int
    complete_up_to: int
    best_effort: bool
    plant_hash: str = ""


class LiveView:
    """Keeps ``live`` from the bus, and the state of every link.

    group    the plant's Sparkplug group; every other group is foreign
    edges    ids of the plant's edges, whose silence is noticed
    host_id  whose acknowledgements count for ``complete_up_to``
    clock    stamps changes of link states
    on_data  called with every ``Data`` event after it reached ``live``
    asks     hears the twin's replies, so that ``asker`` can be used
    ownership  which signals each node may tell (``Ownership.of(plant)``)
    """

    def __init__(
        self,
        group: str,
        edges: Collection[str],
        *,
        host_id: str,
        clock: Clock,
        table: SignalTable | None = None,
        on_data: Callable[[Data], None] | None = None,
        asks: bool = False,
        ownership: Ownership | None = None,
    ) -> None:
        self.table = SignalTable() if table is None else table
        self.live = LiveTable(self.table)
        own = {*edges, *PUBLISHERS}
        self.session = HostSession(group, own, self.table, ownership=ownership)
        self.dropped = 0
        self.revision = 0
        self._group = group
        self._edges = frozenset(edges)
        self._host_id = host_id
        self._clock = clock
        self._on_data = on_data
        self.asker = Asker(group, clock, self.publish)
        self._asks = asks
        self._mqtt: MqttClient | None = None
        self._turns = Rate(_TURNS, 60.0)
        self._links: dict[NodeId, tuple[LinkState, int]] = {}
        self._progress: dict[NodeId, Progress] = {}
        self._hashes: dict[NodeId, str] = {}
        for edge in edges:
            self._links[NodeId(group, edge)] = LinkState.UNKNOWN, clock.now()

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters with QoS."""
        filters = [*self.session.subscriptions, (f"{ACK_PREFIX}/+/+", 0)]
        return [*filters, (reply_topic(self._group, "+"), 0)] if self._asks else filters

    def links(self) -> list[Link]:
        """Every link, ours first; ``revision`` rises when a state among them changes."""
        links = []
        for node, (state, since) in self._links.items():
            known = self.session.nodes.get(node)
            own = self._is_own(node)
            progress = self._progress.get(node)
            complete = progress.complete_up_to if progress else 0
            effort = known is not None and known.alive and not known.announced
            name = node.node if own else str(node)
            hash = self._hashes.get(node, "")
            links.append(Link(name, state, since, complete, effort, hash))
        return links

    def on_message(
        self, topic: str, payload: bytes, mono_s: float, retain: bool = False
    ) -> list[HostEvent]:
        """Take one message into the picture; the events are for whoever wants more."""
        if topic.startswith(ACK_PREFIX):
            if not retain:
                self._on_ack(topic, payload)
            return []
        if topic.startswith(REPLY_PREFIX):
            if not retain:
                self.asker.on_message(topic, payload)
            return []
        events = self.session.on_message(topic, payload, mono_s, retain)
        self.apply(events)
        return events

    def tick(self, mono_s: float) -> list[Outgoing]:
        """What time brings: links that fell silent; returns requests for births to publish."""
        events = self.session.tick(mono_s)
        self.apply(events)
        for id, node in self.session.nodes.items():
            silent = id.node in self._edges and mono_s > node.heard + SILENT_S
            if node.alive:
                self._turn(id, LinkState.LOST if silent else LinkState.UP)
        self._forget()
        now = self._clock.now()
        return [rebirth_command(e.node, now) for e in events if isinstance(e, RebirthWanted)]

    def _forget(self) -> None:
        """Links of strange nodes that the session has forgotten."""
        known = self.session.nodes
        if len(self._links) <= len(self.session.own) + NODES:
            return
        for node in [n for n in self._links if n not in known and not self._is_own(n)]:
            del self._links[node]
            self._progress.pop(node, None)
            self.revision += 1

    def _is_own(self, node: NodeId) -> bool:
        return node.group == self._group and node.node in self.session.own

    def apply(self, events: Sequence[HostEvent]) -> None:
        """Take a session's events into the picture."""
        for event in events:
            match event:
                case Data():
                    self._on_samples(doubted(event, self._clock))
                case Born():
                    if event.device is None and event.node in self._links:
                        self._take_hash(event.node, plant_hash(event.metrics))
                    self._turn(event.node, LinkState.UP)
                    if event.dead:
                        self.live.mark(event.signals, StatusCode.BadNoCommunication)
                case Died():
                    self.live.mark(event.signals, StatusCode.BadNoCommunication)
                    if event.device is None:
                        self._turn(event.node, LinkState.LOST)
                case RunsAnnounced():
                    self._progress.setdefault(event.node, Progress()).announce(event.runs)
                case _:
                    pass

    def lost(self) -> None:
        """Our own connection to the broker is gone: nothing is known to be true any more."""
        self.apply(self.session.reset())
        for node in self._links:
            self._turn(node, LinkState.LOST)

    async def run(self, broker: Broker, client_id: str) -> None:
        """Keep the picture until cancelled; raises ``Unavailable`` when the broker is lost."""
        async with MqttClient(broker, client_id, own=self.session.own_nodes) as mqtt:
            await mqtt.subscribe(self.subscriptions)
            self._mqtt = mqtt
            try:
                await self._follow(mqtt)
            finally:
                self._mqtt = None
                self.lost()
                self.asker.lost()

    @property
    def connected(self) -> bool:
        """Whether it hears the broker."""
        return self._mqtt is not None

    async def publish(self, message: Outgoing) -> None:
        """Hand a message to the broker; raises ``Unavailable`` while there is none."""
        if self._mqtt is None:
            raise Unavailable("the broker is not there")
        await self._mqtt.publish(message)

    async def _follow(self, mqtt: MqttClient) -> None:
        dropped = 0
        due = time.monotonic() + _TICK_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    messages = await mqtt.receive()
            except TimeoutError:
                messages = []
            now = time.monotonic()
            since = now
            for message in messages:
                self.on_message(message.topic, message.payload, now, message.retain)
                if time.monotonic() > since + _SLICE_S:  # births of a large edge
                    await asyncio.sleep(0)
                    since = time.monotonic()
            self.dropped += mqtt.dropped - dropped
            dropped = mqtt.dropped
            if now >= due:
                due = now + _TICK_S
                for request in self.tick(now):
                    await mqtt.publish(request)

    def _on_samples(self, data: Data) -> None:
        if data.live:
            self.live.update(data.samples)
        if data.row is not None and len(data.samples):
            progress = self._progress.setdefault(data.node, Progress())
            last = int(data.samples.source_time.max())
            if last > believable(self._clock):  # its clock is ahead: more is still to come
                last = self._clock.now()
            progress.row(data.row, last)
        if self._on_data is not None:
            self._on_data(data)

    def _on_ack(self, topic: str, payload: bytes) -> None:
        node = parse_ack_topic(topic)
        progress = self._progress.get(node) if node else None
        if progress is None:
            return
        try:
            ack = Ack.decode(payload)
        except DecodeError:
            return
        if ack.host == self._host_id:
            for run, offset in ack.marks:
                progress.ack(run, offset)

    def _take_hash(self, node: NodeId, hash: str) -> None:
        if self._hashes.get(node, "") != hash:
            self._hashes[node] = hash
            self.revision += 1

    def _turn(self, node: NodeId, state: LinkState) -> None:
        before = self._links.get(node)
        if before is not None and before[0] is state:
            return
        self._links[node] = state, self._clock.now()
        self.revision += 1
        told = before is not None and before[0] is not LinkState.UNKNOWN
        if told and self._is_own(node) and self._turns.take():
            log.info("%s: %s", node, state)
