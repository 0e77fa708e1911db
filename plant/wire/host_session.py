"""The host's end of every Sparkplug session on the bus, pure: no socket and no clock."""

from collections.abc import Callable, Collection
from random import random as uniform

from plant.flow.live import SignalTable
from plant.wire.birth import REBIRTH, DataType
from plant.wire.codec import Metric, encode_named, encode_payload
from plant.wire.host_event import HostEvent
from plant.wire.message import Outgoing
from plant.wire.topic import MessageType, NodeId, Topic


class HostSession:
    """Resolves births, aliases, deaths and data of all nodes it hears.

    group   our own group; nodes of it that stand in ``own`` have paths "device/metric" and
            "node/metric", all others "group/node/device/metric" and "group/node/metric"
    own     edge ids of plant.yaml, and ``kaikou_twin``, ``kaikou_analytics``
    table   where paths get their index; grows with births
    random  0..1, for jitter
    """

    def __init__(
        self,
        group: str,
        own: Collection[str],
        table: SignalTable,
        *,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.group = group
        self.own = frozenset(own)
        self.table = table
        self._random = random

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters with QoS: every node and device of every group."""
        raise NotImplementedError

    def on_message(
        self, topic: str, payload: bytes, mono_s: float, retain: bool = False
    ) -> list[HostEvent]:
        """Take one message; ``mono_s`` is the process's monotonic clock in seconds."""
        raise NotImplementedError

    def tick(self, mono_s: float) -> list[HostEvent]:
        """What time alone brings: rebirth requests, gaps that did not heal. Every 0.1..1 s."""
        raise NotImplementedError


def rebirth_command(node: NodeId, now: int) -> Outgoing:
    """The NCMD that asks a node for NBIRTH and every DBIRTH (``now`` in ms UTC)."""
    body = encode_named([Metric(REBIRTH, None, now, DataType.Boolean, True)])
    topic = Topic(MessageType.NCMD, node).format()
    return Outgoing(topic, encode_payload(body, now, None))
