"""Topics: ``spBv1.0/group/type/node[/device]``, ``spBv1.0/STATE/host``, ``kaikou/ack/...``."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from plant.wire.gate import ID_CHARS, TOPIC_CHARS

NAMESPACE = "spBv1.0"
ACK_PREFIX = "kaikou/ack"
REPLY_PREFIX = "kaikou/reply"
_FORBIDDEN = frozenset("+/#")


class MessageType(StrEnum):
    """The message types of Sparkplug B (specification 4.1.3)."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"

    @property
    def of_device(self) -> bool:
        """Whether its topic ends with a device id."""
        return self.value[0] == "D"


class NodeId(NamedTuple):
    """A Sparkplug edge node: its group and its own id; unique in one broker.

    >>> str(NodeId("kaikou-demo", "edge1"))
    'kaikou-demo/edge1'
    """

    group: str
    node: str

    def __str__(self) -> str:
        return f"{self.group}/{self.node}"


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed Sparkplug topic of a node or a device.

    >>> Topic(MessageType.DDATA, NodeId("kaikou-demo", "edge1"), "lathe").format()
    'spBv1.0/kaikou-demo/DDATA/edge1/lathe'
    """

    type: MessageType
    node: NodeId
    device: str | None = None

    def format(self) -> str:
        """The topic's string."""
        tail = f"/{self.device}" if self.device is not None else ""
        return f"{NAMESPACE}/{self.node.group}/{self.type}/{self.node.node}{tail}"


def check_id(id: str, what: str) -> str:
    """The id itself where it can stand in a topic; ``ValueError`` with the reason otherwise.

    >>> check_id("edge/1", "edge node id")
    Traceback (most recent call last):
    ...
    ValueError: edge node id 'edge/1' must not contain '/'
    """
    bad = next((c for c in id if c in _FORBIDDEN or not c.isprintable()), None)
    if bad is not None:
        raise ValueError(f"{what} {id!r} must not contain {bad!r}")
    if not id or not id.isprintable():
        raise ValueError(f"{what} must not be empty")
    id.encode()  # a lone surrogate is no UTF-8
    return id


def parse_topic(topic: str) -> Topic | None:
    """A node's or a device's topic; None for everything else (STATE, other namespaces, rubbish).

    Rubbish is an id that is too long, or has characters that nobody sees.

    >>> parse_topic("spBv1.0/g/NBIRTH/edge1")
    Topic(type=<MessageType.NBIRTH: 'NBIRTH'>, node=NodeId(group='g', node='edge1'), device=None)
    >>> parse_topic("spBv1.0/g/NBIRTH/edge1/lathe") is None
    True
    >>> parse_topic("spBv1.0/g/NBIRTH/edge" + chr(27)) is None
    True
    """
    return _parse(topic) if len(topic) <= TOPIC_CHARS else None


@lru_cache(maxsize=4096)
def _parse(topic: str) -> Topic | None:
    parts = topic.split("/")
    if not topic.isprintable() or any(len(part) > ID_CHARS for part in parts):
        return None
    if len(parts) not in (4, 5) or parts[0] != NAMESPACE or not all(parts):
        return None
    if parts[2] not in MessageType.__members__:
        return None
    kind = MessageType(parts[2])
    if kind.of_device != (len(parts) == 5):
        return None
    return Topic(kind, NodeId(parts[1], parts[3]), parts[4] if len(parts) == 5 else None)


def state_topic(host: str) -> str:
    """Where a Sparkplug host publishes that it is there.

    >>> state_topic("kaikou")
    'spBv1.0/STATE/kaikou'
    """
    return f"{NAMESPACE}/STATE/{host}"


def ack_topic(node: NodeId) -> str:
    """Where the twin acknowledges the rows of an edge.

    >>> ack_topic(NodeId("kaikou-demo", "edge1"))
    'kaikou/ack/kaikou-demo/edge1'
    """
    return f"{ACK_PREFIX}/{node.group}/{node.node}"


def parse_ack_topic(topic: str) -> NodeId | None:
    """The edge that an acknowledgement is for, None for other topics."""
    parts = topic.split("/")
    if len(parts) != 4 or f"{parts[0]}/{parts[1]}" != ACK_PREFIX:
        return None
    return NodeId(parts[2], parts[3])


def reply_topic(group: str, request: str) -> str:
    """Where the twin answers a request.

    >>> reply_topic("kaikou-demo", "8f3c8f3c"), reply_topic("kaikou-demo", "+")
    ('kaikou/reply/kaikou-demo/8f3c8f3c', 'kaikou/reply/kaikou-demo/+')
    """
    return f"{REPLY_PREFIX}/{group}/{request}"
