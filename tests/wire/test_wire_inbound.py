"""The lanes behind the socket: own plant first, nobody's flood at another's cost."""

from plant.wire.gate import FOREIGN_BYTES
from plant.wire.inbound import STRANGE_BYTES, STRANGE_MESSAGES, Inbound
from plant.wire.message import Incoming
from plant.wire.topic import NodeId

OWN = [NodeId("g", "edge1"), NodeId("g", "edge2")]


class Lanes:
    """Lanes with a hand on the clock."""

    def __init__(self, limit: int = 8192) -> None:
        self.mono = 10.0
        self.inbound = Inbound(limit, OWN, lambda: self.mono, lambda: self.mono)

    def put(self, node: str, count: int = 1, size: int = 10, group: str = "g") -> None:
        for _ in range(count):
            self.inbound.put(Incoming(f"spBv1.0/{group}/DDATA/{node}/d", bytes(size)))

    def take(self, cost_s: float = 0.0) -> list[str]:
        """Who was served; dealing with it took so long."""
        nodes = [message.topic.split("/")[3] for message in self.inbound.take()]
        self.mono += cost_s
        return nodes


def test_each_of_our_nodes_has_its_turn_however_much_another_sends() -> None:
    lanes = Lanes()
    lanes.put("edge2", 5000)
    lanes.put("edge1", 3)
    first = lanes.take() + lanes.take()
    assert first.count("edge1") == 3
    assert first.count("edge2") < 100


def test_a_node_that_floods_loses_its_own_messages_alone() -> None:
    lanes = Lanes(limit=100)
    lanes.put("edge1", 3)
    lanes.put("edge2", 5000)
    taken = [node for _ in range(10) for node in lanes.take()]
    assert (taken.count("edge1"), taken.count("edge2")) == (3, 100)
    assert lanes.inbound.dropped == 4900


def test_strangers_get_a_quarter_of_the_time() -> None:
    lanes = Lanes()
    lanes.put("stranger", 400, 1 << 10)
    lanes.put("edge1", 640, 1 << 10)
    assert set(lanes.take(cost_s=0.1)) == {"stranger"}
    begun, own = lanes.mono, 0
    while lanes.mono < begun + 0.29:
        served = lanes.take(cost_s=0.01)
        assert "stranger" not in served
        own += len(served)
    assert own == 640
    lanes.mono = begun + 0.31
    assert set(lanes.take()) == {"stranger"}


def test_a_node_of_ours_whose_messages_are_heavy_rests() -> None:
    lanes = Lanes()
    lanes.put("edge2", 5, 1 << 20)
    assert lanes.take(cost_s=0.2) == ["edge2"]
    lanes.put("edge1", 3)
    assert lanes.take(cost_s=0.01) == ["edge1"] * 3
    assert lanes.take() == [], "its turn comes after three times as long"
    lanes.mono += 0.6
    assert lanes.take() == ["edge2"]


def test_strangers_are_served_where_nobody_else_speaks() -> None:
    lanes = Lanes()
    lanes.put("stranger", 3)
    assert len(lanes.take(cost_s=0.01)) == 3
    lanes.put("stranger")
    assert lanes.take() == []
    wait_s = lanes.inbound.wait_s()
    assert wait_s is not None
    assert 0 < wait_s <= 0.031
    lanes.mono += wait_s
    assert lanes.take() == ["stranger"]
    assert lanes.inbound.wait_s() is None


def test_strangers_are_bounded_in_messages_and_bytes() -> None:
    lanes = Lanes()
    for n in range(5000):
        lanes.put(f"n{n}", 2)
    lanes.put("talker", 5 * STRANGE_MESSAGES)
    for n in range(20):
        lanes.put(f"n{n}", 1, FOREIGN_BYTES)
    waiting, size = 0, 0
    while lanes.inbound.wait_s() is not None:
        messages = lanes.inbound.take()
        waiting += len(messages)
        size += sum(len(m.payload) for m in messages)
    assert size <= STRANGE_BYTES
    assert waiting + lanes.inbound.dropped == lanes.inbound.arrived


def test_a_message_larger_than_anybody_takes_is_not_kept_whole() -> None:
    lanes = Lanes()
    lanes.put("stranger", 1, 50 << 20)
    (message,) = lanes.inbound.take()
    assert len(message.payload) == FOREIGN_BYTES + 1


def test_what_a_broker_kept_of_a_node_takes_no_room() -> None:
    inbound = Inbound(100, OWN)
    for node in ("edge1", "stranger"):
        inbound.put(Incoming(f"spBv1.0/g/NBIRTH/{node}", b"x", retain=True))
    inbound.put(Incoming("spBv1.0/STATE/kaikou", b"x", retain=True))
    assert [m.topic for m in inbound.take()] == ["spBv1.0/STATE/kaikou"]
    assert inbound.take() == []


def test_commands_and_acknowledgements_do_not_crowd_each_other_out() -> None:
    inbound = Inbound(100, ())
    inbound.put(Incoming("kaikou/ack/g/edge1", b"ack"))
    for _ in range(1000):
        inbound.put(Incoming("spBv1.0/g/NCMD/edge1", b"rebirth"))
    taken = [m.payload for _ in range(5) for m in inbound.take()]
    assert taken.count(b"ack") == 1
    assert taken.count(b"rebirth") == 100
