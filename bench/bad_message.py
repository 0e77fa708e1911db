"""What a bad peer sends: the messages of known attacks, forgeries, and true ones spoiled at random.

Every number in them is ``FORGED`` or more, every word of a person is ``FORGER``'s: what shows one
of these was forged.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from plant.flow.sample import Event, Gap, SampleBatch
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.birth import BD_SEQ, REBIRTH, DataType, MetricBirth
from plant.wire.codec import (
    Metric,
    TextSample,
    encode_metrics,
    encode_named,
    encode_payload,
    encode_texts,
)
from plant.wire.message import Ack, Row, Runs, RunState
from plant.wire.record import RECORD, encode_event, encode_gap
from plant.wire.request import REQUEST, Request

FORGED = 1.0e9
FORGER = "forger"
REASON = "chips"
DEEP = "[" * 900 + "]" * 900
_RECORD_ALIAS = 16_000
_SPLICE = (b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x00", b"\x7f", b"\x12\x00", b"\xd6\xc7\xce\xde")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sends: ``victims`` are assets of others with ids of their signals."""

    group: str
    node: str
    plant: str
    now: int
    victims: Mapping[str, Sequence[str]]

    def topic(self, kind: str, device: str | None = None) -> str:
        """Its own topic."""
        tail = f"/{device}" if device else ""
        return f"spBv1.0/{self.group}/{kind}/{self.node}{tail}"


Sent = tuple[str, bytes]


def births(peer: Peer) -> list[Sent]:
    """A true session of this node, in which it claims the signals of others."""
    now, runs = peer.now, Runs("evil", (RunState("evil", 0, 9), RunState("old", 3, 9)))
    head = [
        Metric(BD_SEQ, None, now, DataType.Int64, 1),
        Metric(REBIRTH, None, now, DataType.Boolean, False),
        MetricBirth(RECORD, _RECORD_ALIAS, DataType.String, None).metric(now),
        MetricBirth("link", 15_000, value=FORGED).metric(now),
    ]
    sent = [(peer.topic("NBIRTH"), encode_payload(encode_named(head), now, 0, runs=runs))]
    alias = 128
    for seq, (device, names) in enumerate(peer.victims.items(), 1):
        metrics = [
            MetricBirth(name, alias + i, value=FORGED + i).metric(now)
            for i, name in enumerate(names)
        ]
        sent.append((peer.topic("DBIRTH", device), encode_payload(encode_named(metrics), now, seq)))
        alias += len(names)
    return sent


def forgeries(peer: Peer) -> list[Sent]:
    """What the node may not say: values of others, words of people, records of others."""
    now = peer.now
    sent, alias, seq = [], 128, len(peer.victims)
    for device, names in peer.victims.items():
        seq += 1
        count = len(names)
        batch = SampleBatch.of(range(count), [now] * count, FORGED + np.arange(count))
        body = encode_metrics(np.arange(alias, alias + count), batch)
        row = Row("evil", seq, seq - 1)
        sent.append((peer.topic("DDATA", device), encode_payload(body, now, seq, row)))
        alias += count
    for i, record in enumerate(_records(peer), seq + 1):
        text = encode_event(record) if isinstance(record, Event) else encode_gap(record)
        body = encode_texts([TextSample(_RECORD_ALIAS, now, text)])
        row = Row("evil", i, i - 1)
        sent.append((peer.topic("NDATA"), encode_payload(body, now, i % 256, row)))
    return sent


def _records(peer: Peer) -> Iterator[Event | Gap]:
    now = peer.now
    said = {"person": FORGER, "said": now + 86_400_000, "start": now - 60_000, "end": now}
    for asset in peer.victims:
        yield Event(now - 60_000, asset, "reason", {**said, "code": REASON, "note": FORGER})
        yield Event(now - 60_000, asset, "mode", {**said, "mode": "Maintenance"})
        yield Event(now - 60_000, asset, "product", {**said, "product": FORGER})
        yield Event(now, asset, "health.alarm", {"person": FORGER})
        yield Event(now, asset, "Reason", {**said, "code": REASON})
        yield Event(now, f"{asset} ", "note", {**said, "note": FORGER})
    yield Event(now, "spare", "note", {**said, "note": FORGER})
    yield Gap(f"{peer.group}/{peer.node}", 0, now, -1, "lost", ("saw/power",))
    yield Gap(f"{peer.plant}/edge1", 0, now, -1, FORGER)


def attacks(peer: Peer) -> list[Sent]:
    """The messages that once ended a process, each whole."""
    now = peer.now
    device = next(iter(peer.victims))
    sent: list[Sent] = []
    for extreme in (2**63, 2**64 - 1):
        payload = pb.Payload(timestamp=now, seq=0)
        payload.metrics.add(name="a", alias=extreme, datatype=pb.Double, double_value=FORGED)
        sent.append((peer.topic("NBIRTH"), payload.SerializeToString()))
        payload = pb.Payload(timestamp=extreme, seq=extreme)
        payload.metrics.add(alias=128, timestamp=extreme, double_value=FORGED)
        payload.metrics.add(alias=extreme, timestamp=now, string_value=FORGER)
        sent.append((peer.topic("NDATA"), payload.SerializeToString()))
    for bd_seq in (float("nan"), float("inf"), -1.0, 1e300):
        payload = pb.Payload(timestamp=now, seq=0)
        payload.metrics.add(name=BD_SEQ, datatype=pb.Double, double_value=bd_seq)
        raw = payload.SerializeToString()
        sent += [(peer.topic("NBIRTH"), raw), (peer.topic("NDEATH"), raw)]
    sent += [(peer.topic("NBIRTH"), _gbk(now)), (peer.topic("DBIRTH", device), _gbk(now, 1))]
    sent += [(peer.topic("NDATA"), _record(text, now)) for text in _json(now)]
    for runs in (Runs("r", (RunState("r", 2**64 - 1, 2**64 - 1),)), Runs("x" * 9999, ())):
        sent.append((peer.topic("NBIRTH"), encode_payload(b"", now, 0, runs=runs)))
    sent.append((peer.topic("NDATA"), encode_payload(b"", now, 1, Row("evil", 2**64 - 1))))
    return sent + _about_the_host(peer) + _large(peer)


def _gbk(now: int, seq: int = 0) -> bytes:
    name = "主轴温度".encode("gbk")
    body = b"\x0a" + bytes([len(name)]) + name + b"\x10\x05\x20\x0a\x69" + struct.pack("<d", FORGED)
    return encode_payload(b"\x12" + bytes([len(body)]) + body, now, seq)


def _record(text: str, now: int) -> bytes:
    metric = pb.Payload.Metric(alias=_RECORD_ALIAS, timestamp=now)
    metric.string_value = text
    return encode_payload(pb.Payload(metrics=[metric]).SerializeToString(), now, 1, Row("evil", 99))


def _json(now: int) -> Iterator[str]:
    odd = (
        DEEP,
        "[" * 60_000,
        "NaN",
        "1e999",
        "9" * 5000,
        str(2**64),
        r'"\ud800"',
        '"' + "x" * 99_999,
    )
    for value in odd:
        yield f'{{"event":{{"time":{now},"asset":"saw","kind":"odd","data":{{"x":{value}}}}}}}'
    for time in (2**63, -1, "1e400", "null"):
        yield f'{{"event":{{"time":{time},"asset":"saw","kind":"{FORGER}","data":{{}}}}}}'
    gap = f'"edge":"g/e","first":0,"last":{2**70},"samples":1,"reason":"x","signals":{DEEP}'
    yield f'{{"gap":{{{gap}}}}}'


def _about_the_host(peer: Peer) -> list[Sent]:
    """To topics of the platform's own: malformed all, or said by nobody that counts."""
    plant, now = peer.plant, peer.now
    asset = next(iter(peer.victims))
    old = Request("0123456789abcdef", "reason", asset, FORGER, 1, {"code": REASON}).message(plant)
    late = old.payload.replace(b'"deadline":1', b'"deadline":9e9')
    deep = encode_named([Metric(REQUEST, None, None, DataType.String, DEEP)])
    rebirth = encode_payload(encode_named([Metric(REBIRTH, None, now, 11, True)]), now, None)
    stray = Ack("nobody", (("evil", 2**62),)).encode()
    return [
        (old.topic, old.payload),
        (old.topic, late),
        (old.topic, encode_payload(deep, now, None)),
        *((f"spBv1.0/{plant}/NCMD/{node}", rebirth) for node in ("edge1", "kaikou_twin", "edge2")),
        *((f"kaikou/ack/{plant}/edge1", text) for text in (DEEP.encode(), stray, b'{"host":1}')),
        (f"kaikou/reply/{plant}/0123456789abcdef", DEEP.encode()),
        (f"spBv1.0/STATE/{plant}", DEEP.encode()),
        ("spBv1.0/STATE/kaikou", f'{{"online":false,"timestamp":{2**80}}}'.encode()),
        ("spBv1.0/STATE/kaikou", b'{"online":false,"timestamp":NaN}'),
        ("spBv1.0/STATE/kaikou", json.dumps({"online": False, "timestamp": now}).encode()),
    ]


def _large(peer: Peer) -> list[Sent]:
    """More than a peer may have: metrics of a birth and of unborn data, properties, names."""
    now, device = peer.now, next(iter(peer.victims))
    many = encode_named([Metric(f"m{i}", i, None, 10, FORGED) for i in range(50_000)])
    aliases = np.arange(20_000) % 16_000 + 200
    batch = SampleBatch.of(np.zeros(20_000), np.full(20_000, now), np.full(20_000, FORGED))
    unborn = encode_payload(encode_metrics(aliases, batch), now, 1)
    rich_names = [
        Metric(f"r{i}", i, now, 10, FORGED, properties={"engUnit": "kW", "a": 1})
        for i in range(9_000)
    ]
    long = encode_named([Metric("n" * 100_000, 1, now, 10, FORGED)])
    rich = Metric("p", 1, now, 10, FORGED, properties={str(i): i for i in range(1000)})
    return [
        (peer.topic("NBIRTH"), encode_payload(many, now, 0)),
        (f"spBv1.0/{peer.group}/DDATA/unborn/{device}", unborn),
        (peer.topic("DDATA", device), unborn),
        (peer.topic("NBIRTH"), encode_payload(encode_named(rich_names), now, 0)),
        (peer.topic("NBIRTH"), encode_payload(long, now, 0)),
        (peer.topic("NBIRTH"), encode_payload(encode_named([rich]), now, 0)),
    ]


def strange_node(peer: Peer, number: int) -> Sent:
    """One of thousands of nodes that nobody knows."""
    payload = encode_payload(encode_named([Metric("a", 1, peer.now, 10, FORGED)]), peer.now, 0)
    return f"spBv1.0/{peer.group}/NBIRTH/strange{number}", payload


def spoiled(random: Random, sent: Sent, limit: int = 4096) -> Sent:
    """The same message with bytes flipped, cut, doubled or put in, perhaps of another kind."""
    topic, raw = sent[0], bytearray(sent[1][:limit])
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(raw) + 1)
        match random.randrange(5):
            case 0 if raw:
                raw[min(at, len(raw) - 1)] ^= 1 << random.randrange(8)
            case 1:
                raw[at:at] = random.choice(_SPLICE)
            case 2:
                del raw[at : at + random.randint(1, 16)]
            case 3:
                raw[at:at] = raw[at : at + random.randint(1, 64)]
            case _ if raw:
                raw[min(at, len(raw) - 1)] = random.randrange(256)
    if random.random() < 0.1 and topic.startswith("spBv1.0") and "STATE" not in topic:
        parts = topic.split("/")
        kind = random.choice(("BIRTH", "DATA", "DEATH"))
        topic = "/".join([*parts[:2], parts[2][0] + kind, *parts[3:]])
    return topic, bytes(raw)
