"""What people state goes over a real broker to a real twin and comes back as an event."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from plant.errors import DecodeError, Rejected, Unavailable
from plant.flow.clock import ManualClock, UtcClock
from plant.model.plant import TWIN
from plant.model.reason import Product, Reason, ReasonKind
from plant.model.signal import Label
from plant.outbox.store import Acceptance
from plant.wire.birth import DataType
from plant.wire.client import MqttClient
from plant.wire.codec import Metric, encode_named, encode_payload
from plant.wire.edge_session import Command
from plant.wire.message import Outgoing
from plant.wire.request import REQUEST, WAITING, Reply, Request
from plant.wire.topic import MessageType, NodeId, Topic
from plant.wire.view import LiveView
from tests.wire.broker_support import amqtt_broker
from twin import request
from twin.request import Requests
from twin.statement import Vocabulary, statement

CLOCK = UtcClock()
LONG = 10**14
HOUR = 3_600_000
NAME = Label("名", "name")
KNOWN = Vocabulary({"saw", "gauge"}, {"hall"}, {"tool", "lunch"}, {"shell"})


def vocal(plant):
    """The plant with something to speak of."""
    return replace(
        plant,
        reasons={c: Reason(c, NAME, ReasonKind.OTHER) for c in ("tool", "lunch")},
        products={"shell": Product("shell", NAME)},
    )


@asynccontextmanager
async def asking(plant):
    """The asker of a live view that follows the bus."""
    view = LiveView(plant.group, plant.edges, host_id=plant.host_id, clock=CLOCK, asks=True)
    task = asyncio.create_task(view.run(plant.broker, "asker"))
    while not view.connected and not task.done():
        await asyncio.sleep(0.01)
    try:
        yield view.asker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(asker, kind, asset, data):
    """A reply; the twin's uplink may still be on its way to the broker."""
    for _ in range(5):
        try:
            return await asker.ask(kind, asset, "wang", data)
        except Unavailable:
            continue
    raise AssertionError("no reply")


def events(twin):
    return [(e.time, e.asset, e.kind, dict(e.data)) for e in twin.reader.events(0, LONG)]


async def test_a_reason_is_recorded_answered_and_stored_once(kit, tmp_path):
    plant = vocal(kit.plant)
    now = CLOCK.now()
    data = {"start": now - HOUR, "end": now, "code": "tool", "note": "换刀"}
    async with kit.twin(plant, tmp_path) as twin, asking(plant) as asker:
        first = await told(asker, "reason", "saw", data)
        assert (first.ok, first.error) == (True, "")
        second, third = await asyncio.gather(
            asker.ask("reason", "saw", "li", {**data, "code": ""}),
            asker.ask("product", "hall", "li", {"start": now, "product": "shell"}),
        )
        assert first.said < second.said < third.said, "strictly rising"
        await kit.until(lambda: len(events(twin)) == 3)
        assert events(twin)[0] == (
            now - HOUR,
            "saw",
            "reason",
            {**data, "person": "wang", "said": first.said},
        )
        refused = await asker.ask("reason", "saw", "li", {**data, "code": "tol"})
        assert (refused.ok, refused.said, refused.again) == (False, 0, False)
        assert refused.error == "no reason 'tol' in this plant"
        assert len(events(twin)) == 3
        lasting = await asker.ask("reason", "saw", "li", {**data, "start": now - 1, "end": None})
        await kit.until(lambda: len(events(twin)) == 4)
        (data,) = [e[3] for e in events(twin) if e[3]["said"] == lasting.said]
        assert (data["start"], data["end"], data["code"]) == (now - 1, None, "tool")


async def test_said_rises_over_restarts_with_a_clock_that_steps_back(kit, tmp_path):
    plant = vocal(kit.plant)
    now = CLOCK.now()
    data = {"start": now - HOUR, "end": now - 1, "code": "tool"}
    said = []
    for clock in (CLOCK, ManualClock(now)):
        async with kit.twin(plant, tmp_path, clock), asking(plant) as asker:
            said.append((await told(asker, "reason", "saw", data)).said)
    assert said[1] == said[0] + 1


async def test_the_embedded_broker_carries_it_too(kit, tmp_path):
    async with amqtt_broker() as broker:
        plant = vocal(replace(kit.plant, broker=broker))
        async with kit.twin(plant, tmp_path) as twin, asking(plant) as asker:
            start = CLOCK.now() - HOUR
            reply = await told(
                asker, "mode", "saw", {"start": start, "end": None, "mode": "maintenance"}
            )
            assert reply.ok
            await kit.until(lambda: events(twin))
            assert events(twin)[0][3] == {
                "start": start, "end": None, "mode": "maintenance", "person": "wang",
                "said": reply.said,
            }  # fmt: skip


async def test_nobody_waits_for_a_twin_that_is_not_there(kit):
    async with asking(kit.plant) as asker:
        asker._answer_s = 0.2
        with pytest.raises(Unavailable, match=r"did not answer within 0.2 s"):
            await asker.ask("reason", "saw", "wang", {})
        waiting = asyncio.create_task(asker.ask("reason", "saw", "wang", {}))
        await asyncio.sleep(0)
        kit.mosquitto.kill()
        with pytest.raises(Unavailable):
            await waiting
    with pytest.raises(Unavailable, match="broker is not there"):
        await asker.ask("reason", "saw", "wang", {})


async def test_rubbish_and_repetitions_record_nothing(kit, tmp_path):
    """What is no request, is about another asset than its topic, came twice, or is late."""
    plant = vocal(kit.plant)
    now = CLOCK.now()
    data = {"start": now - HOUR, "end": now, "code": "tool"}
    good = Request("twice-twice", "reason", "saw", "wang", now + 5000, data)
    late = Request("late-late", "reason", "saw", "wang", now - 1, data)
    strange = (
        '{"id":"../../ack/x","kind":"reason","asset":"saw","person":"x","deadline":1,"data":{}}'
    )
    moved = Outgoing(_topic("gauge"), good.message("g").payload)
    async with kit.twin(plant, tmp_path) as twin, MqttClient(plant.broker, "forger") as client:
        await client.subscribe([("kaikou/reply/#", 0)])
        async with asking(plant) as asker:
            assert (await told(asker, "product", "saw", {"start": now, "product": ""})).ok
        for text in ("", "[]", strange, "[" * 5000, "x" * 10_000):
            await client.publish(Outgoing(_topic("saw"), _body(text)))
        await client.publish(moved)
        for request in (late, good, good):
            await client.publish(request.message(plant.group))
        replies = {}
        while "twice-twice" not in replies:
            for message in await client.receive():
                reply = Reply.decode(message.payload)
                replies[reply.id] = reply
        assert "after its deadline" in replies["late-late"].error
        assert replies["twice-twice"].ok
        assert {r for r in replies if "/" in r} == set()
        await client.publish(good.message(plant.group))
        (again,) = await client.receive()
        assert Reply.decode(again.payload) == replies["twice-twice"]
        await kit.until(lambda: len(events(twin)) == 2)
        assert len([e for e in events(twin) if e[2] == "reason"]) == 1


def _topic(asset):
    return Topic(MessageType.DCMD, NodeId("kaikou-test", TWIN), asset).format()


def _body(text):
    return encode_payload(
        encode_named([Metric(REQUEST, None, None, DataType.String, text)]), None, None
    )


REASON = {"start": 1000, "end": 2000, "code": "tool"}


@pytest.mark.parametrize(
    ("kind", "asset", "data", "wrong"),
    [
        ("reason", "lathe", REASON, "no machine 'lathe'"),
        ("reason", "hall", REASON, "is a line"),
        ("reason", "saw", {**REASON, "code": "x"}, "no reason 'x'"),
        ("reason", "saw", {**REASON, "code": None}, "code is missing"),
        ("reason", "saw", {**REASON, "start": 2000}, "start is not before end"),
        ("reason", "saw", {**REASON, "start": 1.5}, "start is a whole number"),
        ("reason", "saw", {**REASON, "start": True}, "start is a whole number"),
        ("reason", "saw", {**REASON, "end": 10**10}, "end is in the future"),
        ("reason", "saw", {**REASON, "start": -(10**11)}, "start is more than 400 days ago"),
        ("reason", "saw", {**REASON, "start": 2000 - 32 * 86_400_000}, "more than 31 days"),
        ("reason", "saw", {**REASON, "note": "x" * 501}, "at most 500"),
        ("reason", "saw", {**REASON, "note": "a\x00"}, "control characters"),
        ("product", "saw", {"start": 0, "product": "y"}, "no product 'y'"),
        ("product", "oven", {"start": 0, "product": "shell"}, "no machine or line 'oven'"),
        ("mode", "saw", {"start": 0, "end": None, "mode": "fun"}, "no mode 'fun'"),
        ("command", "saw", {}, "a request is one of reason, product, mode"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(kind, asset, data, wrong):
    request = Request("8f3c8f3c", kind, asset, "wang", 9000, data)
    with pytest.raises(Rejected, match=wrong):
        statement(request, KNOWN, 3000, 1)


@pytest.mark.parametrize("person", ["", "x" * 65, "a\nb"])
def test_a_person_has_a_name(person):
    with pytest.raises(Rejected, match="name"):
        statement(Request("8f3c8f3c", "reason", "saw", person, 9000, REASON), KNOWN, 3000, 1)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"id":1,"ok":true,"error":"","said":1,"again":false}']
)
def test_rubbish_is_no_reply(payload):
    with pytest.raises(DecodeError):
        Reply.decode(payload)


class Disk:
    """An uplink of which the test holds the disk and the wire."""

    def __init__(self):
        self.saved, self.accepted, self.sent = {}, [], asyncio.Queue()

    def accept(self, events, state):
        self.accepted.append(Acceptance())
        return self.accepted[-1]

    async def publish(self, message):
        self.sent.put_nowait(Reply.decode(message.payload))


async def test_who_asks_hears_of_a_full_or_slow_disk_and_of_too_much(monkeypatch):
    monkeypatch.setattr(request, "A_MINUTE", 2)
    disk, clock = Disk(), ManualClock(3000)
    requests = Requests(KNOWN, clock, disk, "g")
    work = asyncio.create_task(requests.run())

    def ask(id, deadline=9000):
        text = Request(id, "reason", "saw", "wang", deadline, REASON).encode()
        metric = Metric(REQUEST, None, None, DataType.String, text)
        requests.on_command(Command("saw", (metric,)))

    ask("full-disk")
    disk.accepted[0].settle("the disk is full")
    full = await disk.sent.get()
    assert (full.ok, full.error, full.again) == (False, "not recorded: the disk is full", True)
    ask("slow-disk", deadline=3001)
    slow = await disk.sent.get()
    assert (slow.ok, slow.again, "slow" in slow.error) == (False, True, True)
    ask("too-much")
    much = await disk.sent.get()
    assert (much.ok, much.again, "at once" in much.error) == (False, True, True)
    assert len(disk.accepted) == 2
    work.cancel()
    for n in range(200):
        ask(f"nobody-answers-{n}")
    assert requests.refused == 200 - 2 * WAITING, "what waits is bounded"
