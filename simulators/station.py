"""A machine in a line: takes a part, works on it, hands it on; starves, blocks, jams, pauses."""

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from random import Random
from typing import ClassVar

from plant.model.plant import Asset
from simulators.machine import Machine
from simulators.surroundings import Surroundings


class Condition(IntEnum):
    """The truth about a station, which no dumb machine tells.

    A station without a part to take is STARVED, and one whose finished part finds no room BLOCKED,
    whoever is there; PAUSED has part and room and nobody who feeds it.
    """

    OFF = 0
    STARVED = 1
    BLOCKED = 2
    WORKING = 3
    FAULT = 4
    PAUSED = 5


class Buffer:
    """Parts between two stations; a part is the probability that the gauge rejects it.

    >>> b = Buffer(1)
    >>> b.put(0.0), b.put(0.0), b.take(), b.take()
    (True, False, 0.0, None)
    """

    __slots__ = ("capacity", "parts")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.parts: deque[float] = deque()

    def put(self, part: float) -> bool:
        """False when it is full."""
        if len(self.parts) >= self.capacity:
            return False
        self.parts.append(part)
        return True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self.parts

    def take(self) -> float | None:
        """The oldest part, None when empty."""
        return self.parts.popleft() if self.parts else None


class Store(Buffer):
    """Raw material without end, or finished goods without end."""

    def __init__(self) -> None:
        super().__init__(1)

    def put(self, part: float) -> bool:
        """Always room."""
        return True

    @property
    def empty(self) -> bool:
        """Never."""
        return False

    def take(self) -> float | None:
        """Always a sound blank."""
        return 0.0


class Station(Machine):
    """One place of the line.

    cycle_s    ideal seconds a part, from plant.yaml: the best it can do; see ``SLOWER``
    parts      finished here since the machine was made: what its hardware counter counts
    condition  see ``Condition``; ``since_s`` plant seconds in it
    """

    KEEP: ClassVar[tuple[str, ...]] = (
        *Machine.KEEP,
        "parts",
        "progress_s",
        "this_cycle_s",
        "part",
        "stop_left_s",
        "condition",
        "since_s",
        "pulse_at_ms",
    )
    SLOWER = 0.04
    """A cycle takes so much longer than the ideal on average, 0 to twice as much: feed turned down,
    a slow grip, a harder blank. No cycle beats the ideal, else it would not be one."""
    STOP_EVERY = 220
    """One small stop in so many parts."""
    STOP_S = (40.0, 150.0)
    DEFECT = 0.0
    """Probability that a part is spoilt here."""

    def __init__(self, asset: Asset, random: Random) -> None:
        super().__init__(asset, random)
        self.inlet: Buffer = Store()
        self.outlet: Buffer = Store()
        self.works_through_breaks = False
        self.cycle_s = asset.cycle_s or 60.0
        self.this_cycle_s = self.cycle_s
        self.progress_s = 0.0
        self.part: float | None = None
        self.parts = 0
        self.stop_left_s = 0.0
        self.condition: int = Condition.STARVED
        self.since_s = 0.0
        self.pulse_at_ms = 0

    def step(self, world: Surroundings, dt_s: float) -> None:
        """Work, wait or stand, then draw the power that goes with it."""
        self.since_s += dt_s
        if self.stop_left_s > 0.0:
            self.stop_left_s -= dt_s
            self._enter(world, Condition.FAULT)
        else:
            self._run(world, dt_s)
        self.draw(world, dt_s)
        self.meter(dt_s)

    def draw(self, world: Surroundings, dt_s: float) -> None:
        """Set power, power factor and whatever else follows the condition."""
        raise NotImplementedError

    def stop(self, seconds: float) -> None:
        """Something inside the machine stops it."""
        self.stop_left_s = max(self.stop_left_s, seconds)

    def defect(self) -> float:
        """Probability that this station spoils the part it just finished."""
        return self.DEFECT

    @property
    def running(self) -> bool:
        """The running relay."""
        return self.condition == Condition.WORKING

    @property
    def faulted(self) -> bool:
        """The fault relay."""
        return self.condition == Condition.FAULT

    @property
    def relays(self) -> int:
        """Both relays as bits: 0 running, 1 fault."""
        return self.running | self.faulted << 1

    @property
    def contacts(self) -> int:
        """What the edge makes of the relays: 0 standing, 1 running, 2 fault."""
        return 2 if self.faulted else 1 if self.running else 0

    def heal(self) -> None:
        """And run again."""
        super().heal()
        self.stop_left_s = 0.0

    def counts(self) -> Mapping[str, tuple[float, int]]:
        """Signals counted from a hardware counter -> total, and what the 16-bit counter shows."""
        return {"part_count": (float(self.parts), self.parts & 0xFFFF)}

    def _run(self, world: Surroundings, dt_s: float) -> None:
        over_s = 0.0
        if self.part is not None:
            if self.progress_s < self.this_cycle_s:
                self._enter(world, Condition.WORKING)
                self.progress_s += dt_s
            if self.progress_s < self.this_cycle_s:
                return
            if self.progress_s < float("inf"):
                over_s = self.progress_s - self.this_cycle_s
                self._finish(world)
                if self.stop_left_s > 0.0:
                    return
            if not self.outlet.put(self.part):
                self._enter(world, Condition.BLOCKED)
                return
            self.part = None
        if self.inlet.empty:
            self._enter(world, Condition.STARVED)
            return
        if not (self.works_through_breaks or world.manned):
            self._enter(world, Condition.PAUSED)
            return
        self.part = self.inlet.take()
        slower = self.SLOWER * (1.0 + max(-1.0, min(1.0, self.random.gauss(0.0, 0.5))))
        self.this_cycle_s = self.cycle_s * (1.0 + slower)
        self.progress_s = over_s
        self.begin()
        self._enter(world, Condition.WORKING)

    def begin(self) -> None:
        """A new part is clamped: draw what differs from part to part."""

    def _finish(self, world: Surroundings) -> None:
        """The part is done; ``progress_s`` infinite says that it is counted already."""
        self.progress_s = float("inf")
        self.parts += 1
        self.pulse_at_ms = world.now_ms
        spoilt = self.defect()
        self.part = 1.0 - (1.0 - (self.part or 0.0)) * (1.0 - spoilt)
        self.finished(world)
        if self.random.random() * self.STOP_EVERY < 1.0:
            self.stop(self.random.uniform(*self.STOP_S))

    def finished(self, world: Surroundings) -> None:
        """A part left the machine."""
        world.note(self.id, "part", count=self.parts)

    def _enter(self, world: Surroundings, condition: Condition) -> None:
        if condition != self.condition:
            world.note(
                self.id, "condition", to=condition.name.lower(), after_s=round(self.since_s, 1)
            )
            self.condition = condition
            self.since_s = 0.0
