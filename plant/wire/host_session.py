"""The host's end of every Sparkplug session on the bus, pure: no socket and no clock.

Nothing is guessed: data under an alias that no birth named waits two seconds, then the node is
asked for its births. Data of a node that was never born is asked for at once.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from random import random as uniform

from plant.errors import DecodeError
from plant.flow.live import SignalTable
from plant.flow.rate import Rate
from plant.wire.alias import Scope, UnknownAliasError
from plant.wire.birth import REBIRTH, DataType, bd_seq_of, refuse_duplicates
from plant.wire.codec import encode_named, encode_payload
from plant.wire.crowd import make_room
from plant.wire.decode import decode_payload
from plant.wire.delivery import deliver
from plant.wire.gate import FOREIGN_BYTES, PAYLOAD_BYTES, check_size
from plant.wire.host_event import (
    Born,
    Data,
    Died,
    HostEvent,
    RebirthWanted,
    Refused,
    RunsAnnounced,
)
from plant.wire.message import Message, Metric, Outgoing
from plant.wire.node import HEAL_S, HOLD_S, Held, Node
from plant.wire.ownership import Ownership
from plant.wire.quota import ASKS, ASKS_S, DEVICES, MORE_METRICS, NODE_SIGNALS, NODES, Quota
from plant.wire.topic import NAMESPACE, MessageType, NodeId, Topic, parse_topic
from plant.wire.walk import payload_time

_UNFIT = 20
"""Of a birth so many metrics are told that do not fit plant.yaml."""
_STATE = f"{NAMESPACE}/STATE/"
REBORN_S = 5.0
"""After NBIRTH a device that was alive and is not born again within this is dead."""


class HostSession:
    """Resolves births, aliases, deaths and data of all nodes it hears.

    group   our own group; nodes of it that stand in ``own`` have paths "device/metric" and
            "node/metric", all others "group/node/device/metric" and "group/node/metric"
    own     edge ids of plant.yaml, and ``kaikou_twin``, ``kaikou_analytics``
    table   where paths get their index; grows with births
    ownership  which signals and records a node may tell; without it every node of ``own`` all
    random  0..1, for jitter

    ``refused`` counts what was not taken. Events come in the order in which they have to be
    obeyed. Nodes that are not ours have the quotas of ``plant.wire.quota``.
    """

    def __init__(
        self,
        group: str,
        own: Collection[str],
        table: SignalTable,
        *,
        ownership: Ownership | None = None,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.group = group
        self.own = frozenset(own)
        self.ownership = Ownership(group, own) if ownership is None else ownership
        self.table = table
        self.refused = 0
        self.nodes: dict[NodeId, Node] = {}
        self._random = random
        self._quota = Quota(table)
        self._mono_s = 0.0
        self._crowded = False
        self._asks = Rate(ASKS, ASKS_S, lambda: self._mono_s)

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters with QoS: births, deaths and data of every group, no commands."""
        of_node = (MessageType.NBIRTH, MessageType.NDEATH, MessageType.NDATA)
        of_device = (MessageType.DBIRTH, MessageType.DDEATH, MessageType.DDATA)
        filters = [(f"{NAMESPACE}/+/{kind}/+", 0) for kind in of_node]
        filters[1] = (filters[1][0], 1)
        return filters + [(f"{NAMESPACE}/+/{kind}/+/+", 0) for kind in of_device]

    @property
    def own_nodes(self) -> list[NodeId]:
        """The nodes of our own plant."""
        return [NodeId(self.group, node) for node in self.own]

    def heard(self, node: NodeId) -> float | None:
        """When a node was heard last (the ``mono_s`` of that message), None for never."""
        known = self.nodes.get(node)
        return known.heard if known else None

    def reset(self) -> list[HostEvent]:
        """Our own connection is lost: every node is unknown until it is born again."""
        events: list[HostEvent] = []
        for node in self.nodes.values():
            events += [Died(node.id, device, s.signals) for device, s in node.scopes.items()]
        self.nodes.clear()
        return events

    def on_message(
        self, topic: str, payload: bytes, mono_s: float, retain: bool = False
    ) -> list[HostEvent]:
        """Take one message; ``mono_s`` is the process's monotonic clock in seconds.

        Retained messages are left alone: what a broker kept says nothing of now.
        """
        parsed = parse_topic(topic)
        if parsed is None or retain or parsed.type in (MessageType.NCMD, MessageType.DCMD):
            self.refused += parsed is None and not topic.startswith(_STATE)
            return []
        self._mono_s = mono_s
        events: list[HostEvent] = []
        node = self.nodes.get(parsed.node)
        if node is None:
            ours = self.ownership.ours(parsed.node)
            room = [] if ours else make_room(self.nodes, mono_s)
            if room is None:
                return self._crowd(parsed)
            self._crowded = self._crowded and not room
            events += room
            node = self.nodes[parsed.node] = Node(parsed.node, ours)
        try:
            return events + self._on_payload(node, parsed, payload)
        except DecodeError as error:
            if parsed.type in (MessageType.NBIRTH, MessageType.DBIRTH):
                node.refuse()
            return events + self._refuse(parsed, str(error))

    def _crowd(self, topic: Topic) -> list[HostEvent]:
        """One node too many, told once."""
        told, self._crowded = self._crowded, True
        reason = f"too many nodes: {NODES} that plant.yaml does not name are heard"
        events = self._refuse(topic, reason)
        return [] if told else events

    def _on_payload(self, node: Node, topic: Topic, payload: bytes) -> list[HostEvent]:
        """A message of a node; ``DecodeError`` for one that is not taken."""
        most = PAYLOAD_BYTES if node.ours else FOREIGN_BYTES
        metrics = NODE_SIGNALS
        if node.ours:
            metrics = self.ownership.signals_of(node.id) + MORE_METRICS
        if topic.type is not MessageType.NDEATH:
            node.hear(self._mono_s)
            if topic.type is not MessageType.NBIRTH and not node.alive:
                check_size(payload, most)  # and is not even looked at
                return self._unknown(node, topic, payload, "not born")
        message = decode_payload(payload, most, metrics)
        events: list[HostEvent] = []
        for reason, count in message.unread.items():
            events += self._refuse(topic, f"{reason}: {count} metrics")
        if topic.type is MessageType.NDEATH:
            return events + self._node_death(node, message)
        if topic.type is MessageType.NBIRTH:
            return events + self._node_birth(node, topic, message)
        node.follow(message, self._mono_s)
        if topic.type is MessageType.DBIRTH:
            return events + self._birth(node, topic, message)
        if topic.type is MessageType.DDEATH:
            return events + self._device_death(node, topic)
        return events + self._data(node, topic, payload, message)

    def tick(self, mono_s: float) -> list[HostEvent]:
        """What time alone brings: rebirth requests, gaps that did not heal. Every 0.1..1 s."""
        self._mono_s = mono_s
        events: list[HostEvent] = []
        for node in self.nodes.values():
            if node.missing and mono_s >= node.gap_since + HEAL_S:
                events += node.losses.tell(node.close_gap(), mono_s)
                node.want(mono_s, 0.5 * self._random(), "sequence gap")
            expired = node.expire(mono_s)
            if expired is not None and not node.announced:
                events += node.losses.tell(expired, mono_s)
            events += node.losses.due(mono_s)
            if node.reborn_until and mono_s >= node.reborn_until:
                events += [Died(node.id, d, s.signals) for d, s in node.before.items()]
                node.before, node.reborn_until = {}, 0.0
            if node.ours or self._asks.wait_s == 0:
                reason = node.ask(mono_s, self._random())
                if reason is not None:
                    events.append(RebirthWanted(node.id, reason))
                    if not node.ours:
                        self._asks.take()
        return events

    # -------------------------------------------------------------------------- births, deaths

    def _node_birth(self, node: Node, topic: Topic, message: Message) -> list[HostEvent]:
        self._check_birth(node, topic, message)
        if message.seq != 0:
            raise DecodeError(f"NBIRTH with seq {message.seq} instead of 0")
        bd_seq = bd_seq_of(message.metrics)
        events: list[HostEvent] = []
        if node.missing and not node.announced:
            events += node.losses.tell(node.close_gap(), self._mono_s)
        node.before |= {d: s for d, s in node.scopes.items() if d is not None}
        node.reborn_until = self._mono_s + REBORN_S if node.before else 0.0
        node.begin(message, bd_seq)
        events += self._birth(node, topic, message)
        if message.runs is not None and node.announced:
            events.append(RunsAnnounced(node.id, message.runs))
        return events

    def _birth(self, node: Node, topic: Topic, message: Message) -> list[HostEvent]:
        if topic.device is not None:  # a node's was checked before it began anew
            self._check_birth(node, topic, message)
        device = topic.device
        scope = Scope(
            self.table,
            message.metrics,
            partial(self.ownership.path, node.id, device),
            partial(self.ownership.is_former, node.id, device),
            self.ownership.foreign.measure if node.ours and not node.announced else None,
        )
        scope.dead = message.dead
        node.scopes[device] = scope
        if device is not None:
            node.before.pop(device, None)
        events: list[HostEvent] = [
            Born(
                node.id,
                device,
                scope.signals,
                node.announced,
                scope.dead,
                message.metrics,
                scope.refused,
            )
        ]
        if scope.refused:
            events += self._refuse(topic, _not_its_own(device or node.id.node, scope.refused))
        for reason in scope.unfit[:_UNFIT]:
            events += self._refuse(topic, reason)
        values = scope.births(message.metrics)
        live, stored = not scope.dead, not node.announced
        if len(values.samples) or values.texts:
            texts = [text for text, _ in values.texts]
            events.append(Data(node.id, device, values.samples, texts, None, live, stored))
        for held in node.take_held(device):
            events += self._replay(node, held)
        return events

    def _check_birth(self, node: Node, topic: Topic, message: Message) -> None:
        """``DecodeError`` where a birth contradicts itself or is more than a node may have."""
        refusal = refuse_duplicates(message.metrics)
        if refusal is not None:
            raise DecodeError(refusal)
        if topic.device not in node.scopes and len(node.scopes) > DEVICES:
            raise DecodeError(f"too many devices: a node may have {DEVICES}")
        paths = (self.ownership.path(node.id, topic.device, m.name) for m in message.metrics)
        new = [path for path in paths if path and not self.ownership.planned(path)]
        refusal = self._quota.take(node.id, new, node.ours)
        if refusal is not None:
            raise DecodeError(refusal)

    def _node_death(self, node: Node, message: Message) -> list[HostEvent]:
        bd_seq = bd_seq_of(message.metrics)
        unsigned = bd_seq is None and not node.ours  # wills of some strangers
        if not node.alive or not (unsigned or bd_seq == node.bd_seq):
            return []
        events: list[HostEvent] = []
        if node.missing and not node.announced:
            events += node.losses.tell(node.close_gap(), self._mono_s)
        for device, scope in {**node.before, **node.scopes}.items():
            events.append(Died(node.id, device, scope.signals))
        node.end()
        return events

    def _device_death(self, node: Node, topic: Topic) -> list[HostEvent]:
        scope = node.scopes.pop(topic.device, None)
        return [] if scope is None else [Died(node.id, topic.device, scope.signals)]

    # ------------------------------------------------------------------------------------ data

    def _data(self, node: Node, topic: Topic, payload: bytes, message: Message) -> list[HostEvent]:
        scope = node.scopes.get(topic.device)
        if scope is None:
            return self._unknown(node, topic, payload, "not born")
        try:
            found = scope.resolve(message)
        except UnknownAliasError as error:
            return self._unknown(node, topic, payload, str(error))
        return self._told(deliver(self.ownership, node, topic, message, found, not scope.dead))

    def _unknown(self, node: Node, topic: Topic, payload: bytes, reason: str) -> list[HostEvent]:
        """Hold it, and ask for a birth: soon where there was none, after 2 s where there was."""
        delay = HOLD_S if node.alive else 0.2
        what = f"{topic.device or topic.node.node}: {reason}"
        node.want(self._mono_s, delay + 0.3 * self._random(), what)
        if topic.type not in (MessageType.NDATA, MessageType.DDATA):
            return []  # a birth or death without its node's birth comes again after the rebirth
        dropped = node.hold(Held(topic, payload, self._mono_s, payload_time(payload)))
        if dropped is None or node.announced:
            return []
        return list(node.losses.tell(dropped, self._mono_s))

    def _replay(self, node: Node, held: Held) -> list[HostEvent]:
        """What waited for a birth; the birth's values are newer, so it never goes live."""
        scope = node.scopes[held.topic.device]
        try:
            message = decode_payload(held.payload)
            found = scope.resolve(message)
        except DecodeError as error:
            events, why = self._refuse(held.topic, str(error)), "refused"
        except UnknownAliasError as error:
            text = f"no birth explains a metric: {error}"
            events, why = self._refuse(held.topic, text), "unknown alias"
        else:
            return self._told(deliver(self.ownership, node, held.topic, message, found, live=False))
        if node.announced:
            return events
        return events + node.losses.tell(node.lost(held, why), self._mono_s)

    def _told(self, events: list[HostEvent]) -> list[HostEvent]:
        """Events of a message, the refusals among them counted."""
        self.refused += sum(isinstance(event, Refused) for event in events)
        return events

    def _refuse(self, topic: Topic, reason: str) -> list[HostEvent]:
        self.refused += 1
        return [Refused(topic.node, topic.device, reason)]


def _not_its_own(device: str, refused: Sequence[str]) -> str:
    """What a birth names that plant.yaml gives to another node."""
    shown = ", ".join(f"{device}/{name}"[:80] for name in refused[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    return f"plant.yaml gives {shown}{more} to another node"


def rebirth_command(node: NodeId, now: int) -> Outgoing:
    """The NCMD that asks a node for NBIRTH and every DBIRTH (``now`` in ms UTC)."""
    body = encode_named([Metric(REBIRTH, None, now, DataType.Boolean, True)])
    topic = Topic(MessageType.NCMD, node).format()
    return Outgoing(topic, encode_payload(body, now, None))
