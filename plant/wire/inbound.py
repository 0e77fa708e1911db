"""What waits between the socket and who listens: a lane for every sender, our own plant first.

Each lane is bounded by itself, so who floods loses its own messages. Nodes of ours take turns.
Strangers together get a quarter of the listener's time: what their last messages took is measured,
and three times as long belongs to the others. So it is with a node of ours whose messages are
heavy (a birth of thousands of signals, or a flood of them).
"""

import time
from collections import deque
from collections.abc import Callable, Collection

from plant.wire.gate import FOREIGN_BYTES, PAYLOAD_BYTES
from plant.wire.message import Incoming
from plant.wire.topic import NAMESPACE, NodeId

LANE_BYTES = 16 << 20
STRANGE_MESSAGES = 512
STRANGE_BYTES = 8 << 20
"""Bounds of a lane of ours, of one of strangers, and of all strangers together."""
_LANES = 64
"""Strangers share so many lanes."""
_TURN_MESSAGES = 64
_TURN_BYTES = 1 << 16
_STRANGERS = "?"
_REST = 3.0
_HEAVY_S = 0.05
"""A node of ours whose messages take more processor time than this at once rests as well."""
_REST_MOST_S = 1.0
_LIGHT_BYTES = 1 << 15


class _Lane:
    """Messages of one sender, oldest first."""

    def __init__(self) -> None:
        self.waiting: deque[Incoming] = deque()
        self.bytes = 0

    def put(self, message: Incoming) -> None:
        self.waiting.append(message)
        self.bytes += len(message.payload)

    def pop(self) -> Incoming:
        message = self.waiting.popleft()
        self.bytes -= len(message.payload)
        return message

    def turn(self) -> list[Incoming]:
        """As much as it may have at once."""
        if self.bytes <= _TURN_BYTES and len(self.waiting) <= _TURN_MESSAGES:
            messages = list(self.waiting)
            self.waiting.clear()
            self.bytes = 0
            return messages
        messages, size = [], 0
        while self.waiting and size < _TURN_BYTES and len(messages) < _TURN_MESSAGES:
            messages.append(self.pop())
            size += len(messages[-1].payload)
        return messages


class Inbound:
    """The lanes of one connection.

    own    nodes of ours; None: there is one lane for all
    limit  most messages in a lane of ours; the oldest are dropped and counted in ``dropped``
    """

    def __init__(
        self,
        limit: int,
        own: Collection[NodeId] | None = None,
        mono_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self.dropped = 0
        self.arrived = 0
        self._limit = limit
        self._own = None if own is None else {str(node) for node in own}
        self._mono_s = mono_s
        self._cpu_s = cpu_s
        self._lanes: dict[str, _Lane] = {}
        self._strange: dict[int, _Lane] = {}
        self._strange_bytes = 0
        self._served: tuple[str, float, float] | None = None
        self._due: dict[str, float] = {}

    def put(self, message: Incoming) -> None:
        """A message has arrived; one that is larger than is taken is cut, and refused later."""
        self.arrived += 1
        sender = "" if self._own is None else _sender(message.topic)
        if message.retain and "/" in sender:
            return  # what a broker kept of a node says nothing of now
        if self._own is not None and "/" in sender and sender not in self._own:
            self._put_strange(hash(sender) % _LANES, _cut(message, FOREIGN_BYTES))
            return
        lane = self._lanes.get(sender)
        if lane is None:
            lane = self._lanes[sender] = _Lane()
        lane.put(_cut(message, PAYLOAD_BYTES))
        while len(lane.waiting) > self._limit or lane.bytes > LANE_BYTES:
            lane.pop()
            self.dropped += 1

    def _put_strange(self, key: int, message: Incoming) -> None:
        lane = self._strange.setdefault(key, _Lane())
        self._lanes.setdefault(_STRANGERS, _Lane())  # they wait in line together
        lane.put(message)
        self._strange_bytes += len(message.payload)
        if len(lane.waiting) > STRANGE_MESSAGES:
            self._lose(lane)
        while self._strange_bytes > STRANGE_BYTES:
            self._lose(max(self._strange.values(), key=lambda other: other.bytes))

    def _lose(self, lane: _Lane) -> None:
        self._strange_bytes -= len(lane.pop().payload)
        self.dropped += 1

    def take(self) -> list[Incoming]:
        """The next messages of one lane; none where nobody's turn is now."""
        now = self._mono_s()
        self._settle(now)
        for sender in self._lanes:
            if self._due.get(sender, 0.0) <= now:
                messages = self._turn(sender)
                if sender == _STRANGERS or self._may_be_heavy(messages):
                    self._served = sender, now, self._cpu_s()
                return messages
        return []

    def _turn(self, sender: str) -> list[Incoming]:
        """What a lane may have at once; it goes behind the others."""
        lane = self._lanes.pop(sender)
        if sender != _STRANGERS:
            messages = lane.turn()
            if lane.waiting:
                self._lanes[sender] = lane
            return messages
        key = next(iter(self._strange))
        one = self._strange.pop(key)
        messages = one.turn()
        self._strange_bytes -= sum(len(m.payload) for m in messages)
        if one.waiting:
            self._strange[key] = one
        if self._strange:
            self._lanes[sender] = lane
        return messages

    def _may_be_heavy(self, messages: list[Incoming]) -> bool:
        return self._own is not None and sum(len(m.payload) for m in messages) > _LIGHT_BYTES

    def _settle(self, now: float) -> None:
        """What was handed out is dealt with: how long its sender rests for that."""
        if self._served is None:
            return
        sender, begun, cpu = self._served
        self._served = None
        took = now - begun
        if sender == _STRANGERS:
            self._due[sender] = now + _REST * took
        elif self._cpu_s() - cpu > _HEAVY_S:
            self._due[sender] = now + min(_REST * took, _REST_MOST_S)

    def wait_s(self) -> float | None:
        """Until it is somebody's turn, None where nothing waits."""
        if not self._lanes:
            return None
        now = self._mono_s()
        return max(0.0, min(self._due.get(sender, 0.0) for sender in self._lanes) - now)


def _sender(topic: str) -> str:
    """Who a message is from: group/node, or the first word of what is no node's.

    >>> _sender("spBv1.0/g/DDATA/n/d"), _sender("spBv1.0/g/NCMD/n"), _sender("kaikou/ack/g/n")
    ('g/n', 'NCMD', 'ack')
    """
    parts = topic.split("/", 4)
    if len(parts) < 4 or parts[0] != NAMESPACE:
        return parts[1] if len(parts) > 1 else ""
    return f"{parts[1]}/{parts[3]}" if parts[2][1:] != "CMD" else parts[2]


def _cut(message: Incoming, most: int) -> Incoming:
    if len(message.payload) <= most:
        return message
    return Incoming(message.topic, message.payload[: most + 1], message.retain)
