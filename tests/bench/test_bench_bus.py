"""What the bench of bad peers sends, in one process: nobody raises, nothing of others is taken."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.bad_message import FORGED, FORGER, Peer, Sent, attacks, births, forgeries
from bench.bus import messages, peers, write_demo
from deploy.kinds import kinds
from plant.flow.clock import ManualClock
from plant.model.load import load
from plant.model.plant import Plant
from plant.wire.edge_session import EdgeSession
from plant.wire.host_state import HostState
from plant.wire.ownership import Ownership
from plant.wire.view import LiveView

if TYPE_CHECKING:
    from plant.wire.host_event import Data

PASSWORDS = {"KAIKOU_OPCUA_PASSWORD": "correct-horse", "KAIKOU_MILL_PASSWORD": "battery-staple"}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    _, file = write_demo(tmp_path_factory.mktemp("demo"), 1883)
    return load(Path(file), kinds(), PASSWORDS)


class Listening:
    """Everything of ours that hears the bus."""

    def __init__(self, plant: Plant, *, trusting: bool = False) -> None:
        self.plant = plant
        self.clock = ManualClock(peers(plant)[0].now)
        self.data: list[Data] = []
        self.view = LiveView(
            plant.group,
            plant.edges,
            host_id=plant.host_id,
            clock=self.clock,
            ownership=None if trusting else Ownership.of(plant),
            on_data=self.data.append,
            asks=True,
        )
        self.edge = EdgeSession(
            plant.group, "edge1", ack_host=plant.host_id, primary_host=plant.host_id
        )
        self.state = HostState(plant.host_id)
        self.state.will(1)
        self.mono = 100.0

    def hear(self, topic: str, payload: bytes) -> None:
        self.mono += 0.001
        self.clock.advance(1)
        self.view.on_message(topic, payload, self.mono)
        self.edge.on_message(topic, payload)
        self.state.on_message(topic, payload, self.mono)
        self.view.tick(self.mono)

    def forged(self) -> list[str]:
        """Signals of the plant, not the peer's own, that show what the peers sent."""
        table, live = self.view.table, self.view.live
        own = {"spare", "edge2"}
        found = [(s.path, table.get(s.path)) for s in self.plant.signals if s.asset not in own]
        return [
            path
            for path, at in found
            if at is not None and at < len(live.value) and live.value[at] >= FORGED
        ]


def whole(peer: Peer) -> list[Sent]:
    return births(peer) + forgeries(peer) + attacks(peer) + births(peer) + forgeries(peer)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_known_attacks_end_nobody_and_forge_nothing(plant: Plant, number: int) -> None:
    listening = Listening(plant)
    for topic, payload in whole(peers(plant)[number]):
        listening.hear(topic, payload)
    assert listening.forged() == []
    told = [event for data in listening.data for event in data.events]
    assert not [event for event in told if event.kind in {"reason", "mode", "product"}]
    assert listening.view.session.refused > 20


def test_true_messages_spoiled_at_random_end_nobody_and_forge_nothing(plant: Plant) -> None:
    listening = Listening(plant)
    sent = messages(peers(plant), 1500, seed=5)
    assert any(FORGER.encode() in payload for _, payload in sent)
    for topic, payload in sent:
        listening.hear(topic, payload)
    assert listening.forged() == []


def test_a_listener_that_asks_nobody_whose_a_signal_is_would_be_seen(plant: Plant) -> None:
    listening = Listening(plant, trusting=True)
    for topic, payload in births(peers(plant)[2]):
        listening.hear(topic, payload)
    assert {"saw/current", "lathe/state"} <= set(listening.forged())
