"""Edge and host as state machines, over a bus that loses, delays and restarts.

Every value says under which metric it was sent, so a value that reaches a wrong path is seen.
"""

from typing import Any

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from plant.flow.live import SignalTable
from plant.flow.sample import SampleBatch
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.codec import encode_metrics
from plant.wire.edge_session import EdgeSession
from plant.wire.edge_session import RebirthWanted as Asked
from plant.wire.host_event import Data, RebirthWanted
from plant.wire.host_session import HostSession, rebirth_command
from plant.wire.message import Outgoing, Row, Runs

NOW = 1_795_000_000_000
DEVICES = ("lathe", "saw", "mill")
METRICS = tuple(f"{device}/{metric}" for device in DEVICES for metric in ("power", "state"))


class Session(RuleBasedStateMachine):
    """``foreign``: no field 1000, and new aliases in every session of the process."""

    foreign = False

    def __init__(self) -> None:
        super().__init__()
        self.host: HostSession | None = None
        self.edge: EdgeSession | None = None
        self.bd_seq = -1
        self.will: Outgoing | None = None
        self.late: list[Outgoing] = []
        self.mono = 10.0
        self.offset = 0
        self.dead: set[str] = set()
        self.offset_of: dict[str, int] = {}
        self.asked = 0

    # ------------------------------------------------------------------------------- the bus

    def deliver(self, message: Outgoing) -> None:
        if self.host is None:
            return
        for event in self.host.on_message(message.topic, message.payload, self.mono):
            self.check(event)

    def check(self, event: Any) -> None:
        if isinstance(event, Data):
            assert self.host is not None
            table = self.host.table
            prefix = "g/edge1/" if self.foreign else ""
            for signal, value in zip(event.samples.signal, event.samples.value, strict=True):
                path = table.path(int(signal))
                assert np.isnan(value) or path == prefix + METRICS[int(value) // 1000]
            assert not (event.historical and event.live)
            assert event.stored == (self.foreign or event.row is not None)
        if isinstance(event, RebirthWanted):
            self.asked += 1
            command = rebirth_command(event.node, NOW)
            if self.edge is not None and Asked() in self.edge.on_message(
                command.topic, command.payload
            ):
                self.send_births()

    def aliases(self, device: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        at = DEVICES.index(device) * 2
        shift = 7 * self.bd_seq if self.foreign else 0
        return 128 + (np.array([at, at + 1]) + shift) % len(METRICS)

    def birth_of(self, device: str) -> DeviceBirth:
        alias = self.aliases(device).tolist()
        at = DEVICES.index(device) * 2
        names = [METRICS[at + i].split("/")[1] for i in (0, 1)]
        metrics = [
            MetricBirth(name, a, value=(at + i) * 1000.0)
            for i, (name, a) in enumerate(zip(names, alias, strict=True))
        ]
        return DeviceBirth(device, metrics, dead=device in self.dead)

    def send_births(self) -> None:
        assert self.edge is not None
        runs = None if self.foreign else Runs("r")
        gone = self.dead if self.foreign else ()
        devices = [self.birth_of(d) for d in DEVICES if d not in gone]
        for message in self.edge.birth(NOW, devices, runs):
            self.deliver(message)

    # ------------------------------------------------------------------------------ what happens

    @initialize()
    def begin(self) -> None:
        self.host_starts()
        self.edge_starts()

    @rule()
    @precondition(lambda self: self.host is None)
    def host_starts(self) -> None:
        own = () if self.foreign else ("edge1",)
        self.host = HostSession("g", own, SignalTable(), random=lambda: 0.5)

    @rule()
    @precondition(lambda self: self.host is not None)
    def host_is_gone(self) -> None:
        self.host = None

    @rule()
    @precondition(lambda self: self.edge is None)
    def edge_starts(self) -> None:
        self.bd_seq = (self.bd_seq + 1) % 256
        self.edge = EdgeSession("g", "edge1")
        self.will = self.edge.will(self.bd_seq)
        self.dead.clear()
        self.send_births()

    @rule(late=st.booleans())
    @precondition(lambda self: self.edge is not None)
    def edge_is_gone(self, late: bool) -> None:
        assert self.will is not None
        self.edge = None
        if late and not self.foreign:
            self.late.append(self.will)
        else:
            self.deliver(self.will)

    @rule()
    @precondition(lambda self: self.late)
    def a_late_will_arrives(self) -> None:
        self.deliver(self.late.pop(0))

    @rule(device=st.sampled_from(DEVICES), lost=st.booleans(), past=st.booleans())
    @precondition(lambda self: self.edge is not None)
    def data(self, device: str, lost: bool, past: bool) -> None:
        assert self.edge is not None
        if device not in self.edge.born:
            return
        at = DEVICES.index(device) * 2
        self.offset += 1
        batch = SampleBatch.of(
            [0, 1], [NOW, NOW], [at * 1000 + self.offset % 1000, (at + 1) * 1000]
        )
        row = None if self.foreign else Row("r", self.offset, self.offset - 1, past)
        body = encode_metrics(self.aliases(device), batch, past)
        message = self.edge.data(device, body, NOW, row)
        if not lost:
            self.deliver(message)

    @rule(device=st.sampled_from(DEVICES))
    @precondition(lambda self: self.edge is not None)
    def device_dies(self, device: str) -> None:
        assert self.edge is not None
        if device in self.edge.born:
            self.dead.add(device)
            self.deliver(self.edge.death(device, NOW))

    @rule(device=st.sampled_from(DEVICES))
    @precondition(lambda self: self.edge is not None)
    def device_is_back(self, device: str) -> None:
        assert self.edge is not None
        if device not in self.edge.born:
            self.dead.discard(device)
            self.deliver(self.edge.device_birth(self.birth_of(device), NOW))

    @rule(seconds=st.sampled_from([0.5, 2.5, 8.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.mono += 0.5
            for event in self.host.tick(self.mono) if self.host else []:
                self.check(event)

    @rule()
    @precondition(lambda self: self.edge is not None and self.host is not None)
    def all_heals(self) -> None:
        """With every message delivered and time to ask, the host knows all that lives."""
        assert self.edge is not None
        assert self.host is not None
        if not self.edge.born:  # it says nothing, so nobody can hear of it
            return
        for _ in range(3):
            for device in sorted(self.edge.born):
                self.data(device, lost=False, past=False)
            self.time_passes(80.0)
        (node,) = self.host.nodes.values()
        assert node.alive
        assert {d for d in node.scopes if d is not None} == self.edge.born
        before = self.asked
        for device in sorted(self.edge.born):
            self.data(device, lost=False, past=False)
        self.time_passes(80.0)
        assert self.asked == before

    @invariant()
    def what_waits_is_bounded(self) -> None:
        for node in self.host.nodes.values() if self.host else ():
            assert len(node.missing) <= 256


class ForeignSession(Session):
    """A stranger: no promise, and what an alias means changes with its sessions."""

    foreign = True


LIMITS = settings(
    max_examples=50, stateful_step_count=25, deadline=None, phases=(Phase.generate, Phase.shrink)
)
TestOurEdge = Session.TestCase
TestOurEdge.settings = LIMITS
TestForeignEdge = ForeignSession.TestCase
TestForeignEdge.settings = LIMITS
