"""What waits between the socket and who listens: a lane for every sender, our own plant first.

Each lane is bounded by itself, so who floods loses its own messages. Nodes of ours take turns.
Strangers together get a quarter of the listener's time: what their last messages took is measured,
and three times as long belongs to the others.
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
_REST = 3.0


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
    ) -> None:
        self.dropped = 0
        self.arrived = 0
        self._limit = limit
        self._own = None if own is None else {str(node) for node in own}
        self._mono_s = mono_s
        self._lanes: dict[str, _Lane] = {}
        self._strange: dict[int, _Lane] = {}
        self._strange_bytes = 0
        self._handed_at: float | None = None
        self._due = 0.0

    def put(self, message: Incoming) -> None:
        """A message has arrived; one that is larger than is taken is cut, and refused later."""
        self.arrived += 1
        sender = "" if self._own is None else _sender(message.topic)
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
        """The next messages, either of ours or of strangers; none where nobody's turn is now."""
        now = self._mono_s()
        if self._handed_at is not None:  # strangers' messages have been dealt with
            self._due = now + _REST * (now - self._handed_at)
            self._handed_at = None
        elif self._strange and now >= self._due:
            self._handed_at = now
            return self._strange_turn()
        messages: list[Incoming] = []
        for sender in list(self._lanes):
            lane = self._lanes[sender]
            messages += lane.turn()
            if not lane.waiting:
                del self._lanes[sender]
        return messages

    def _strange_turn(self) -> list[Incoming]:
        """Of the lane that waits longest; it goes behind the others."""
        key = next(iter(self._strange))
        lane = self._strange.pop(key)
        messages = lane.turn()
        self._strange_bytes -= sum(len(m.payload) for m in messages)
        if lane.waiting:
            self._strange[key] = lane
        return messages

    def wait_s(self) -> float | None:
        """Until strangers' turn, None where nothing of them waits."""
        return max(0.0, self._due - self._mono_s()) if self._strange else None


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
