"""The host's end of every Sparkplug session on the bus, pure: no socket and no clock.

Nothing is guessed: data under an alias that no birth named waits two seconds, then the node is
asked for its births. Data of a node that was never born is asked for at once.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from random import random as uniform

from plant.errors import DecodeError
from plant.flow.live import SignalTable
from plant.flow.sample import Event, Gap
from plant.wire.alias import Resolved, Scope, UnknownAliasError
from plant.wire.birth import BD_SEQ, REBIRTH, DataType, refuse_duplicates
from plant.wire.codec import encode_named, encode_payload
from plant.wire.decode import decode_payload
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
from plant.wire.record import decode_record
from plant.wire.topic import NAMESPACE, MessageType, NodeId, Topic, parse_topic

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
    obeyed.
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

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters with QoS: births, deaths and data of every group, no commands."""
        of_node = (MessageType.NBIRTH, MessageType.NDEATH, MessageType.NDATA)
        of_device = (MessageType.DBIRTH, MessageType.DDEATH, MessageType.DDATA)
        filters = [(f"{NAMESPACE}/+/{kind}/+", 0) for kind in of_node]
        filters[1] = (filters[1][0], 1)
        return filters + [(f"{NAMESPACE}/+/{kind}/+/+", 0) for kind in of_device]

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
            return []
        try:
            message = decode_payload(payload)
        except DecodeError as error:
            return self._refuse(parsed, str(error))
        node = self.nodes.get(parsed.node)
        if node is None:
            node = self.nodes[parsed.node] = Node(parsed.node, self.ownership.ours(parsed.node))
        if parsed.type is MessageType.NDEATH:
            return self._node_death(node, message)
        node.heard = mono_s
        if parsed.type is MessageType.NBIRTH:
            return self._node_birth(node, parsed, message, mono_s)
        if not node.alive:
            return self._unknown(node, Held(parsed, message, mono_s), "not born")
        node.follow(message, mono_s)
        return self._in_session(node, Held(parsed, message, mono_s))

    def tick(self, mono_s: float) -> list[HostEvent]:
        """What time alone brings: rebirth requests, gaps that did not heal. Every 0.1..1 s."""
        events: list[HostEvent] = []
        for node in self.nodes.values():
            if node.missing and mono_s >= node.gap_since + HEAL_S:
                events.append(node.close_gap())
                node.want(mono_s, 0.5 * self._random(), "sequence gap")
            expired = node.expire(mono_s)
            if expired is not None and not node.announced:
                events.append(expired)
            if node.reborn_until and mono_s >= node.reborn_until:
                events += [Died(node.id, d, s.signals) for d, s in node.before.items()]
                node.before, node.reborn_until = {}, 0.0
            reason = node.ask(mono_s, self._random())
            if reason is not None:
                events.append(RebirthWanted(node.id, reason))
        return events

    def _in_session(self, node: Node, held: Held) -> list[HostEvent]:
        """A message of a node that is born, its sequence number seen to."""
        if held.topic.type is MessageType.DBIRTH:
            return self._birth(node, held.topic, held.message)
        if held.topic.type is MessageType.DDEATH:
            return self._device_death(node, held.topic)
        return self._data(node, held)

    # -------------------------------------------------------------------------- births, deaths

    def _node_birth(
        self, node: Node, topic: Topic, message: Message, mono_s: float
    ) -> list[HostEvent]:
        refusal = refuse_duplicates(message.metrics)
        if refusal is None and message.seq != 0:
            refusal = f"NBIRTH with seq {message.seq} instead of 0"
        if refusal is not None:
            return self._refuse(topic, refusal)
        events: list[HostEvent] = []
        if node.missing and not node.announced:
            events.append(node.close_gap())
        node.before |= {d: s for d, s in node.scopes.items() if d is not None}
        node.reborn_until = mono_s + REBORN_S if node.before else 0.0
        node.begin(message, _bd_seq(message))
        events += self._birth(node, topic, message)
        if message.runs is not None:
            events.append(RunsAnnounced(node.id, message.runs))
        return events

    def _birth(self, node: Node, topic: Topic, message: Message) -> list[HostEvent]:
        refusal = refuse_duplicates(message.metrics)
        if refusal is not None:
            return self._refuse(topic, refusal)
        device = topic.device
        scope = Scope(
            self.table,
            message.metrics,
            partial(self.ownership.path, node.id, device),
            partial(self.ownership.is_former, node.id, device),
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
        values = scope.births(message.metrics)
        live, stored = not scope.dead, not node.announced
        if len(values.samples) or values.texts:
            texts = [text for text, _ in values.texts]
            events.append(Data(node.id, device, values.samples, texts, None, live, stored))
        for held in node.take_held(device):
            events += self._replay(node, held)
        return events

    def _node_death(self, node: Node, message: Message) -> list[HostEvent]:
        bd_seq = _bd_seq(message)
        if not node.alive or (bd_seq is not None and bd_seq != node.bd_seq):
            return []
        events: list[HostEvent] = []
        if node.missing and not node.announced:
            events.append(node.close_gap())
        for device, scope in {**node.before, **node.scopes}.items():
            events.append(Died(node.id, device, scope.signals))
        node.end()
        return events

    def _device_death(self, node: Node, topic: Topic) -> list[HostEvent]:
        scope = node.scopes.pop(topic.device, None)
        return [] if scope is None else [Died(node.id, topic.device, scope.signals)]

    # ------------------------------------------------------------------------------------ data

    def _data(self, node: Node, held: Held) -> list[HostEvent]:
        scope = node.scopes.get(held.topic.device)
        if scope is None:
            return self._unknown(node, held, "not born")
        try:
            found = scope.resolve(held.message)
        except UnknownAliasError as error:
            return self._unknown(node, held, str(error))
        return self._deliver(node, held.topic, held.message, found, not scope.dead)

    def _deliver(
        self, node: Node, topic: Topic, message: Message, found: Resolved, live: bool
    ) -> list[HostEvent]:
        row = message.row if node.announced else None
        stored = row is not None or not node.announced
        historical = found.historical
        past = bool(historical.any()) or any(h for _, h in found.texts)
        if past and row is None and not historical.all():
            return self._split(node, topic, found, live)
        events, gaps, refusals = self._records(topic, found.records)
        texts = [text for text, _ in found.texts]
        if not (len(found.samples) or texts or events or gaps) and row is None:
            return refusals
        data = Data(
            node.id,
            topic.device,
            found.samples,
            texts,
            row,
            live and not past,
            stored,
            past,
            events,
            gaps,
        )
        return [*refusals, data]

    def _split(self, node: Node, topic: Topic, found: Resolved, live: bool) -> list[HostEvent]:
        """A stranger's message with values of now and of the past: two events."""
        out: list[HostEvent] = []
        for past in (True, False):
            samples = found.samples.take(found.historical == past)
            texts = [text for text, historical in found.texts if historical == past]
            if len(samples) or texts:
                stored = not node.announced
                show = live and not past
                out.append(Data(node.id, topic.device, samples, texts, None, show, stored, past))
        return out

    def _records(
        self, topic: Topic, records: Sequence[str]
    ) -> tuple[list[Event], list[Gap], list[HostEvent]]:
        events: list[Event] = []
        gaps: list[Gap] = []
        refusals: list[HostEvent] = []
        for text in records:
            try:
                record = decode_record(text)
            except DecodeError as error:
                refusals += self._refuse(topic, str(error))
                continue
            refusal = self.ownership.refusal(topic.node, record)
            if refusal is not None:
                refusals += self._refuse(topic, refusal)
            elif isinstance(record, Gap):
                gaps.append(record)
            else:
                events.append(record)
        return events, gaps, refusals

    def _unknown(self, node: Node, held: Held, reason: str) -> list[HostEvent]:
        """Hold it, and ask for a birth: soon where there was none, after 2 s where there was."""
        delay = HOLD_S if node.alive else 0.2
        what = f"{held.topic.device or held.topic.node.node}: {reason}"
        node.want(held.since, delay + 0.3 * self._random(), what)
        if held.topic.type not in (MessageType.NDATA, MessageType.DDATA):
            return []  # a birth or death without its node's birth comes again after the rebirth
        dropped = node.hold(held)
        return [] if dropped is None or node.announced else [dropped]

    def _replay(self, node: Node, held: Held) -> list[HostEvent]:
        """What waited for a birth; the birth's values are newer, so it never goes live."""
        scope = node.scopes[held.topic.device]
        try:
            found = scope.resolve(held.message)
        except UnknownAliasError as error:
            events = self._refuse(held.topic, f"{error}, also after a birth")
            return events if node.announced else [*events, node.lost(held, "unknown alias")]
        return self._deliver(node, held.topic, held.message, found, live=False)

    def _refuse(self, topic: Topic, reason: str) -> list[HostEvent]:
        self.refused += 1
        return [Refused(topic.node, topic.device, reason)]


def _not_its_own(device: str, refused: Sequence[str]) -> str:
    """What a birth names that plant.yaml gives to another node."""
    shown = ", ".join(f"{device}/{name}"[:80] for name in refused[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    return f"plant.yaml gives {shown}{more} to another node"


def _bd_seq(message: Message) -> int | None:
    """The bdSeq metric of a birth or death, None where it has none."""
    for metric in message.metrics:
        if metric.name == BD_SEQ and isinstance(metric.value, (int, float)):
            return int(metric.value)
    return None


def rebirth_command(node: NodeId, now: int) -> Outgoing:
    """The NCMD that asks a node for NBIRTH and every DBIRTH (``now`` in ms UTC)."""
    body = encode_named([Metric(REBIRTH, None, now, DataType.Boolean, True)])
    topic = Topic(MessageType.NCMD, node).format()
    return Outgoing(topic, encode_payload(body, now, None))
