"""What a host remembers of one edge node: its session, its sequence, what waits for a birth."""

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plant.wire.host_event import SequenceGap
from plant.wire.loss import Losses
from plant.wire.message import Message
from plant.wire.quota import HELD_BYTES, OWN_HELD_BYTES
from plant.wire.topic import NodeId, Topic

if TYPE_CHECKING:
    from plant.wire.alias import Scope

HEAL_S = 2.0
"""A hole in the sequence may close by itself within this."""
HOLD_S = 2.0
"""Data under an unknown alias waits this long before the node is asked."""
EXPIRE_S = 30.0
"""Data that no birth explained is given up after this: ours comes again, a stranger's is lost."""
ASK_AGAIN_S = 5.0
ASK_AT_MOST_S = 60.0
"""Pauses between requests double from the one to the other."""
ASK_REFUSED_S = 600.0
"""The greatest pause where the node answers with births that cannot be taken."""
UNHEARD = 3
"""So often a node is asked that says nothing meanwhile."""
HELD_MESSAGES = 512


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits for a birth, as it came; ``time`` is its payload's, ms UTC."""

    topic: Topic
    payload: bytes
    since: float
    time: int


class Node:
    """One edge node. Times are the process's monotonic seconds.

    ``ours``: whether plant.yaml names it. ``announced``: whether its lost rows come again, which
    its birth says; until then its name does.
    """

    def __init__(self, id: NodeId, ours: bool) -> None:
        self.id = id
        self.ours = ours
        self.losses = Losses()
        self.alive = False
        self._held_most = OWN_HELD_BYTES if ours else HELD_BYTES
        self.held_bytes = 0
        self._unheard = 0
        self._most_s = ASK_AT_MOST_S
        self.announced = ours
        self.bd_seq: int | None = None
        self.heard = 0.0
        self.scopes: dict[str | None, Scope] = {}
        self.before: dict[str | None, Scope] = {}
        self.reborn_until = 0.0
        self.missing: set[int] = set()
        self.gap_since = 0.0
        self._seq: int | None = None
        self._last_time = 0
        self._gap_times = (0, 0)
        self._held: deque[Held] = deque()
        self._wanted: tuple[float, str] | None = None
        self._not_before = 0.0
        self._pause_s = ASK_AGAIN_S

    def begin(self, message: Message, bd_seq: int | None) -> None:
        """NBIRTH: a new session, or the same one told again."""
        self.alive = True
        self._most_s = ASK_AT_MOST_S
        self.announced = self.ours and message.runs is not None
        self.bd_seq = bd_seq
        self.scopes.clear()
        self.missing.clear()
        self._seq = 0
        self._last_time = message.timestamp
        self._wanted = None

    def end(self) -> None:
        """NDEATH: nothing of it can be understood any more."""
        self.alive = False
        self.scopes.clear()
        self.before = {}
        self.reborn_until = 0.0
        self.missing.clear()
        self._wanted = None
        if not self.announced:  # a stranger's next session may give its aliases anew
            self._held.clear()
            self.held_bytes = 0

    def hear(self, mono_s: float) -> None:
        """It said something."""
        self.heard = mono_s
        self._unheard = 0

    def refuse(self) -> None:
        """Its birth cannot be taken: asking for it again brings the same."""
        self._most_s = ASK_REFUSED_S

    def follow(self, message: Message, mono_s: float) -> None:
        """Check the sequence number of a message in the session."""
        seq = message.seq
        if seq is None or self._seq is None:
            return
        if seq in self.missing:
            self.missing.discard(seq)
            return
        expected = (self._seq + 1) % 256
        ahead = (seq - expected) % 256
        if ahead:
            if not self.missing:
                self.gap_since = mono_s
                self._gap_times = (self._last_time, message.timestamp)
            self.missing |= {(expected + i) % 256 for i in range(ahead)}
            self._gap_times = (self._gap_times[0], message.timestamp)
        self._seq = seq
        self._last_time = message.timestamp

    def close_gap(self) -> SequenceGap:
        """Give up on what is missing."""
        lost = len(self.missing)
        self.missing.clear()
        return SequenceGap(self.id, self.announced, lost, *self._gap_times)

    def hold(self, held: Held) -> SequenceGap | None:
        """Keep a message for the birth that explains it; what no longer fits is lost."""
        self._held.append(held)
        self.held_bytes += len(held.payload)
        lost: SequenceGap | None = None
        while len(self._held) > HELD_MESSAGES or self.held_bytes > self._held_most:
            lost = self._give_up(lost)
        return lost

    def _give_up(self, before: SequenceGap | None) -> SequenceGap:
        """Lose the message that waits longest."""
        held = self._held.popleft()
        self.held_bytes -= len(held.payload)
        gap = self.lost(held, "too much waits for a birth")
        return gap if before is None else replace(gap, lost=before.lost + 1, first=before.first)

    def expire(self, mono_s: float) -> SequenceGap | None:
        """Give up on what has waited too long."""
        old: list[Held] = []
        while self._held and mono_s >= self._held[0].since + EXPIRE_S:
            old.append(self._held.popleft())
            self.held_bytes -= len(old[-1].payload)
        if not old:
            return None
        first, last = old[0].time, old[-1].time
        return SequenceGap(self.id, self.announced, len(old), first, last, "no birth came")

    def lost(self, held: Held, reason: str) -> SequenceGap:
        """A message that nothing will explain."""
        time = held.time
        return SequenceGap(self.id, self.announced, 1, time, time, reason)

    def take_held(self, device: str | None) -> list[Held]:
        """What waited for this birth."""
        taken = [h for h in self._held if h.topic.device == device]
        if taken:
            self._held = deque(h for h in self._held if h.topic.device != device)
            self.held_bytes -= sum(len(h.payload) for h in taken)
        return taken

    def want(self, mono_s: float, delay_s: float, reason: str) -> None:
        """Ask for a rebirth after ``delay_s``, not before an earlier request had its time."""
        if self._wanted is None:
            self._wanted = (max(mono_s + delay_s, self._not_before), reason)

    def ask(self, mono_s: float, jitter: float) -> str | None:
        """The reason, when it is time to ask; pauses between requests double up to a minute.

        Up to ten where the births are refused; nobody is asked for ever who says nothing.
        """
        if mono_s > self._not_before + 2 * self._most_s:
            self._pause_s = ASK_AGAIN_S
        if self._wanted is None or mono_s < self._wanted[0]:
            return None
        reason = self._wanted[1]
        self._wanted = None
        self._not_before = mono_s + self._pause_s * (0.75 + 0.5 * jitter)
        self._pause_s = min(2 * self._pause_s, self._most_s)
        self._unheard += 1
        if (self._held or not self.alive) and self._unheard < UNHEARD:
            self._wanted = (self._not_before, reason)
        return reason
