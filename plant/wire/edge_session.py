"""The edge's end of a Sparkplug session, pure: no socket, no clock, no storage.

A session is one MQTT connection. ``will`` begins it, ``birth`` opens it (and answers every
rebirth request), ``data`` and ``death`` go on, ``node_death`` or the loss of the connection ends
it. What must outlive the process (the bdSeq of the last connect, aliases) is the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plant.errors import DecodeError
from plant.flow.json_text import read_json
from plant.wire.birth import BD_SEQ, PLANT_HASH, REBIRTH, DataType, DeviceBirth, MetricBirth
from plant.wire.codec import Metric, decode_payload, encode_named, encode_payload
from plant.wire.gate import STATE_BYTES, TIME_LAST
from plant.wire.message import Ack, Outgoing, Row, Runs
from plant.wire.topic import (
    MessageType,
    NodeId,
    Topic,
    ack_topic,
    check_id,
    parse_topic,
    state_topic,
)


@dataclass(frozen=True, slots=True)
class RebirthWanted:
    """A host asks for NBIRTH and every DBIRTH: call ``birth`` again."""


@dataclass(frozen=True, slots=True)
class AckReceived:
    """Our own twin says what is durable."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class HostOnline:
    """The primary host is there: births may go out."""


@dataclass(frozen=True, slots=True)
class HostOffline:
    """The primary host is gone: publish ``node_death`` and disconnect (specification 5.4)."""


@dataclass(frozen=True, slots=True)
class Command:
    """Any other metrics of an NCMD or DCMD; ``device`` is None for the node."""

    device: str | None
    metrics: Sequence[Metric]


EdgeEvent = RebirthWanted | AckReceived | HostOnline | HostOffline | Command


class EdgeSession:
    """State machine of one edge node.

    ack_host      the host id whose acknowledgements are obeyed; None obeys none (strangers)
    primary_host  the host id whose STATE must be online before births go out; None: no waiting
    """

    def __init__(
        self,
        group: str,
        node: str,
        *,
        ack_host: str | None = None,
        primary_host: str | None = None,
        plant_hash: str = "",
    ) -> None:
        self.node = NodeId(check_id(group, "group id"), check_id(node, "edge node id"))
        self.ack_host = ack_host
        self.primary_host = primary_host
        self.plant_hash = plant_hash
        self.born: set[str] = set()
        self._bd_seq: int | None = None
        self._seq = 0
        self._alive = False
        self._host_online = False
        self._host_time = -1
        self._aliases: dict[int, tuple[str | None, str]] = {}

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters with QoS, to be subscribed before the first birth."""
        group, node = self.node
        filters = [
            (Topic(MessageType.NCMD, self.node).format(), 1),
            (f"spBv1.0/{group}/{MessageType.DCMD}/{node}/#", 1),
        ]
        if self.ack_host is not None:
            filters.append((ack_topic(self.node), 1))
        if self.primary_host is not None:
            filters.append((state_topic(self.primary_host), 1))
        return filters

    @property
    def may_publish(self) -> bool:
        """Whether births may go out: connected, and the primary host, if any, is online."""
        return self._bd_seq is not None and (self.primary_host is None or self._host_online)

    @property
    def alive(self) -> bool:
        """Whether the NBIRTH of this session is out."""
        return self._alive

    def will(self, bd_seq: int) -> Outgoing:
        """Begin a session: the NDEATH that CONNECT must carry as its will.

        ``bd_seq`` is 0 at the first connect ever and then (last + 1) mod 256, kept by the caller.
        """
        if not 0 <= bd_seq <= 255:
            raise ValueError(f"bdSeq {bd_seq} is not in 0..255")
        self.lost()
        self._bd_seq = bd_seq
        return self._node_death()

    def lost(self) -> None:
        """The connection is gone; nothing may be sent before ``will`` and ``birth``."""
        self._bd_seq = None
        self._alive = False
        self._host_online = False
        self._host_time = -1
        self.born.clear()

    def birth(
        self,
        now: int,
        devices: Sequence[DeviceBirth],
        runs: Runs | None = None,
        metrics: Sequence[MetricBirth] = (),
    ) -> list[Outgoing]:
        """NBIRTH, then every DBIRTH; also the answer to ``RebirthWanted`` (bdSeq stays).

        ``metrics`` are the node's own; ``runs`` is what the outbox holds. Every device that has
        ever to be heard in this session stands in ``devices`` or is born later by ``device_birth``.
        An alias that stands for two metrics of the node or its devices is a ``ValueError``.
        """
        if self._bd_seq is None:
            raise RuntimeError("birth before will: there is no connection")
        if not self.may_publish:
            raise RuntimeError(f"primary host {self.primary_host!r} is not online")
        self._claim(None, metrics)
        self._seq = 0
        self.born.clear()
        head = [
            Metric(BD_SEQ, None, now, DataType.Int64, self._bd_seq),
            Metric(REBIRTH, None, now, DataType.Boolean, False),
        ]
        if self.plant_hash:
            head.append(Metric(PLANT_HASH, None, now, DataType.String, self.plant_hash))
        body = encode_named(head + [m.metric(now) for m in metrics])
        topic = Topic(MessageType.NBIRTH, self.node).format()
        self._alive = True
        births = [Outgoing(topic, encode_payload(body, now, 0, runs=runs))]
        births += [self.device_birth(device, now) for device in devices]
        return births

    def device_birth(self, device: DeviceBirth, now: int) -> Outgoing:
        """A DBIRTH: of a new device, one that is back, or a dead one whose rows wait."""
        self._claim(check_id(device.device, "device id"), device.metrics)
        births = [m.dead() for m in device.metrics] if device.dead else device.metrics
        body = encode_named([m.metric(now) for m in births])
        seq = self._next_seq()
        self.born.add(device.device)
        topic = Topic(MessageType.DBIRTH, self.node, device.device).format()
        return Outgoing(topic, encode_payload(body, now, seq, dead=device.dead))

    def data(
        self, device: str | None, metrics: bytes, now: int, row: Row | None = None
    ) -> Outgoing:
        """NDATA (``device`` None) or DDATA around encoded metrics; gives it the next seq."""
        kind = MessageType.NDATA if device is None else MessageType.DDATA
        if device is not None and device not in self.born:
            raise RuntimeError(f"data of {device!r} before its birth")
        topic = Topic(kind, self.node, device).format()
        return Outgoing(topic, encode_payload(metrics, now, self._next_seq(), row=row))

    def death(self, device: str, now: int) -> Outgoing:
        """DDEATH: the device is lost; its next message must be a birth."""
        if device not in self.born:
            raise RuntimeError(f"death of {device!r} before its birth")
        self.born.discard(device)
        topic = Topic(MessageType.DDEATH, self.node, device).format()
        return Outgoing(topic, encode_payload(b"", now, self._next_seq()))

    def node_death(self) -> Outgoing:
        """NDEATH to publish before an intended disconnect; ends the session."""
        death = self._node_death()
        self._alive = False
        self.born.clear()
        return death

    def on_message(self, topic: str, payload: bytes, retain: bool = False) -> list[EdgeEvent]:
        """What an incoming message asks for; rubbish and retained commands ask for nothing."""
        if self.ack_host is not None and topic == ack_topic(self.node):
            return self._on_ack(payload, retain)
        if self.primary_host is not None and topic == state_topic(self.primary_host):
            return self._on_state(payload)
        parsed = parse_topic(topic)
        if retain or parsed is None or parsed.node != self.node:
            return []
        if parsed.type not in (MessageType.NCMD, MessageType.DCMD):
            return []
        return self._on_command(parsed, payload)

    def _node_death(self) -> Outgoing:
        if self._bd_seq is None:
            raise RuntimeError("death before will: there is no connection")
        body = encode_named([Metric(BD_SEQ, None, None, DataType.Int64, self._bd_seq)])
        topic = Topic(MessageType.NDEATH, self.node).format()
        return Outgoing(topic, encode_payload(body, None, None), qos=1)

    def _claim(self, device: str | None, metrics: Sequence[MetricBirth]) -> None:
        """An alias belongs to one metric of the whole node, for ever."""
        for metric in metrics:
            if metric.alias is not None:
                mine = device, metric.name
                other = self._aliases.setdefault(metric.alias, mine)
                if other != mine:
                    raise ValueError(f"alias {metric.alias} stands for both {other} and {mine}")

    def _next_seq(self) -> int:
        if not self._alive:
            raise RuntimeError("nothing may be sent before NBIRTH")
        self._seq = (self._seq + 1) % 256
        return self._seq

    def _on_ack(self, payload: bytes, retain: bool) -> list[EdgeEvent]:
        try:
            ack = Ack.decode(payload)
        except DecodeError:
            return []
        return [] if retain or ack.host != self.ack_host else [AckReceived(ack)]

    def _on_state(self, payload: bytes) -> list[EdgeEvent]:
        state = parse_state(payload)
        if state is None or state[1] < self._host_time:
            return []
        online, self._host_time = state
        if online == self._host_online:
            return []
        self._host_online = online
        return [HostOnline()] if online else [HostOffline()]

    def _on_command(self, topic: Topic, payload: bytes) -> list[EdgeEvent]:
        try:
            metrics = decode_payload(payload).metrics
        except DecodeError:
            return []
        events: list[EdgeEvent] = []
        rest = []
        for metric in metrics:
            if topic.type is MessageType.NCMD and metric.name == REBIRTH:
                if metric.value is True:
                    events.append(RebirthWanted())
            else:
                rest.append(metric)
        return events + ([Command(topic.device, tuple(rest))] if rest else [])


def parse_state(payload: bytes) -> tuple[bool, int] | None:
    """(online, timestamp in ms UTC) of a STATE payload, None where it is not one.

    >>> parse_state(b'{"online":true,"timestamp":1668114759262}')
    (True, 1668114759262)
    """
    try:
        body = read_json(payload, STATE_BYTES)
        online, timestamp = body["online"], body["timestamp"]
    except (DecodeError, KeyError, TypeError):
        return None
    if type(online) is not bool or type(timestamp) is not int or not 0 <= timestamp <= TIME_LAST:
        return None
    return online, timestamp
