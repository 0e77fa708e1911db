"""Modbus TCP: plans, decoding, rubbish, late answers, shared lines."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.adapters.modbus import Modbus
from edge.adapters.modbus_block import Block, plan
from edge.adapters.modbus_point import WIDTH, RegisterPoint
from plant.errors import Unavailable
from plant.flow.clock import ManualClock, UtcClock
from plant.flow.status import StatusCode
from tests.edge.tcp_support import listening

FORMAT = {
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}
Answer = Callable[[int, bytes], bytes | None]
"""Unit and request PDU -> answer PDU; None says nothing."""


def at(text: str) -> RegisterPoint:
    return RegisterPoint.model_validate(text)


class Peer:
    """A Modbus TCP server written for these tests alone."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[int, bytes]] = []
        self.connections = 0
        self.delay_s = 0.0
        self.raw: bytes | None = None
        self.transaction: Callable[[int], int] = lambda t: t
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                self.asked.append((unit, pdu))
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                answer = self.answer(unit, pdu)
                if self.raw is not None:
                    writer.write(self.raw)
                elif answer is not None:
                    told = self.transaction(transaction)
                    writer.write(struct.pack(">HHHB", told, 0, len(answer) + 1, unit) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[Peer]:
    one = Peer(answer)
    async with listening(one):
        yield one


def registers(words: dict[int, int]) -> Answer:
    """A device whose other registers do not exist."""

    def answer(_unit: int, pdu: bytes) -> bytes:
        function, first, count = struct.unpack(">BHH", pdu)
        if any(a not in words for a in range(first, first + count)):
            return bytes((function | 0x80, 2))
        data = b"".join(struct.pack(">H", words[a]) for a in range(first, first + count))
        return bytes((function, len(data))) + data

    return answer


def config(port: int, **more: object) -> Modbus:
    return Modbus.model_validate({"host": "127.0.0.1", "port": port, "timeout_ms": 300, **more})


# ------------------------------------------------------------------------------ plan and decode


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("input", "holding")),
            st.integers(0, 400),
            st.sampled_from(sorted(FORMAT)),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(4, 125),
    st.integers(0, 30),
)
def test_every_point_is_in_one_block_and_no_block_is_too_long(
    asked: list[tuple[str, int, str]], limit: int, gap: int
) -> None:
    points = [at(f"{table}:{first} {kind}") for table, first, kind in asked]
    blocks = plan(points, max_registers=limit, max_gap=gap)
    assert sorted(i for b in blocks for i in b.points.tolist()) == list(range(len(points)))
    for block in blocks:
        assert block.count <= limit
        for index in block.points:
            table, first, end = points[index].span
            assert table == block.table
            assert block.first <= first < end <= block.first + block.count


@given(st.data())
def test_decoding_equals_struct(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(FORMAT)))
    order = data.draw(st.sampled_from(("ABCD", "CDAB", "BADC", "DCBA")))
    raw = data.draw(st.binary(min_size=2 * WIDTH[kind], max_size=2 * WIDTH[kind]))
    (value,) = struct.unpack(">" + FORMAT[kind], raw)
    words = list(struct.unpack(f">{len(raw) // 2}H", raw))
    exact = "int64" not in kind or abs(value) <= 2**53
    if len(words) > 1 and order in ("BADC", "DCBA"):
        words = [(w & 0xFF) << 8 | w >> 8 for w in words]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    block = Block.of([(0, at(f"holding:7 {kind} {order}"))], "ABCD")
    (got,), (status,) = block.decode(struct.pack(f">{len(words)}H", *words))
    assert status == (StatusCode.Good if exact else StatusCode.Uncertain)
    wanted = float(value) if np.isfinite(value) else float("nan")
    assert got == wanted or (np.isnan(got) and np.isnan(wanted))


def test_bits_and_booleans() -> None:
    points = [at("holding:0 bit:0"), at("holding:0 bit:15"), at("holding:0 bool"), at("holding:1")]
    (block,) = plan(points)
    decoded, _ = block.decode(bytes.fromhex("80000005"))
    values = dict(zip(block.points.tolist(), decoded.tolist(), strict=True))
    assert values == {0: 0.0, 1: 1.0, 2: 1.0, 3: 5.0}


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("40001", ("holding", 0, 1)),
        ("49999", ("holding", 9998, 9999)),
        ("465536", ("holding", 65535, 65536)),
        ("30010 float32", ("input", 9, 11)),
        ("10001", ("discrete", 0, 1)),
        ("00001", ("coil", 0, 1)),
    ],
)
def test_numbers_of_manuals(text: str, span: tuple[str, int, int]) -> None:
    assert at(text).span == span


@pytest.mark.parametrize(
    "text",
    [
        "holding:65536",
        "40000",
        "50001",
        "holding",
        "coil:1 uint16",
        "holding:65535 uint32",
        "holding:1 float16",
        "holding:1 ABCD CDAB",
        "holding:1 float32 bit:2",
        "holding:1 bit:16",
    ],
)
def test_points_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        at(text)


def test_overlaps_are_found() -> None:
    points = {
        "a/x": at("holding:0 float32"),
        "a/y": at("holding:1"),
        "a/same": at("holding:0 float32"),
        "a/bit": at("holding:9 bit:1"),
        "a/word": at("holding:9"),
        "a/other": at("input:1"),
    }
    assert [path for path, _ in config(1).check(points)] == ["a/y"]


def test_all_points_must_fit_with_the_clock() -> None:
    points = {"a/x": at("input:10"), "a/far": at("input:200"), "a/table": at("holding:1")}
    problems = dict(config(1, clock="input:0 uint64").check(points))
    assert set(problems) == {"a/far", "a/table"}


# ------------------------------------------------------------------------------------ on the wire


async def test_neighbours_are_read_together(tmp_path: Path) -> None:
    words = {a: a for a in range(300)}
    points = [at(f"input:{a}") for a in range(200)] + [at(f"holding:{a}") for a in (0, 1, 9)]
    async with peer(registers(words)) as device:
        async with config(device.port).open(points, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
    assert samples.value.tolist() == [*range(200), 0.0, 1.0, 9.0]
    assert len(device.asked) == 4  # 125 and 75 input registers; holding 0-1 and 9
    assert device.connections == 1


async def test_time_is_the_end_of_the_transaction(tmp_path: Path) -> None:
    clock = ManualClock(1_000)
    first = registers({0: 1, 50: 2})

    def slow(unit: int, pdu: bytes) -> bytes | None:
        clock.advance(40)
        return first(unit, pdu)

    async with peer(slow) as device:
        async with config(device.port).open([at("input:0"), at("input:50")], clock, tmp_path) as s:
            samples = (await s.read()).samples
    assert samples.source_time.tolist() == [1_040, 1_080]


async def test_the_devices_own_clock(tmp_path: Path) -> None:
    now = 1_700_000_000_123
    words = {i: (now >> (48 - 16 * i)) & 0xFFFF for i in range(4)} | {4: 7, 5: 0, 6: 8}
    asked = [at("input:4"), at("input:6")]
    async with peer(registers(words)) as device:
        source = config(device.port, clock="input:0 uint64")
        async with source.open(asked, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
    assert samples.source_time.tolist() == [now, now]
    assert samples.value.tolist() == [7.0, 8.0]
    assert len(device.asked) == 1


async def test_a_register_that_does_not_exist_disturbs_no_other(tmp_path: Path) -> None:
    words = {a: a for a in range(20) if a != 11}
    points = [at(f"input:{a}") for a in range(20)]
    async with peer(registers(words)) as device:
        async with config(device.port).open(points, UtcClock(), tmp_path) as session:
            await session.read()
            device.asked.clear()
            samples = (await session.read()).samples
    bad = np.flatnonzero(samples.status)
    assert bad.tolist() == [11]
    assert samples.status[11] == StatusCode.BadConfigurationError
    assert np.isnan(samples.value[11])
    assert np.delete(samples.value, 11).tolist() == [float(a) for a in range(20) if a != 11]
    assert len(device.asked) < 8  # it remembers where the hole is


async def test_device_failure_of_one_block(tmp_path: Path) -> None:
    good = registers({0: 5})

    def answer(unit: int, pdu: bytes) -> bytes | None:
        return bytes((pdu[0] | 0x80, 4)) if pdu[0] == 3 else good(unit, pdu)

    async with peer(answer) as device:
        points = [at("holding:0"), at("input:0")]
        async with config(device.port).open(points, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
    assert samples.status.tolist() == [StatusCode.BadDeviceFailure, 0]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes.fromhex("dead0c0000050104020005"),
        bytes.fromhex("0001000000020104"),
        bytes.fromhex("0001000000050104020001ff"),
        bytes.fromhex("000100000003010402"),
        bytes.fromhex("00010000000701040400010002"),
    ],
    ids=["text", "protocol", "eight bytes", "tail", "short", "long"],
)
async def test_rubbish_is_bad_and_ends_nothing(raw: bytes, tmp_path: Path) -> None:
    async with peer(registers({0: 5, 1: 6})) as device:
        async with config(device.port).open([at("input:0")], UtcClock(), tmp_path) as session:
            device.raw = raw
            samples = (await session.read()).samples
            if raw != bytes.fromhex("0001000000050104020001ff"):
                assert samples.status.tolist() == [StatusCode.BadDecodingError]
            device.raw = None
            samples = (await session.read()).samples
            assert samples.value.tolist() == [5.0]
            assert samples.status.tolist() == [0]


async def test_a_wrong_transaction_is_never_taken(tmp_path: Path) -> None:
    async with peer(registers({0: 5})) as device:
        device.transaction = lambda t: t ^ 0x5555
        async with config(device.port).open([at("input:0")], UtcClock(), tmp_path) as session:
            with pytest.raises(Unavailable, match="only to other questions"):
                await session.read()
            device.transaction = lambda _: 0
            assert (await session.read()).samples.status.tolist() == [StatusCode.BadDecodingError]


async def test_a_late_answer_is_not_taken_for_the_next(tmp_path: Path) -> None:
    value = {0: 1}
    async with peer(registers(value)) as device:
        async with config(device.port).open([at("input:0")], UtcClock(), tmp_path) as session:
            device.delay_s = 0.5
            with pytest.raises(Unavailable, match="no answer"):
                await session.read()
            device.delay_s, value[0] = 0.0, 2
            samples = (await session.read()).samples
    assert samples.value.tolist() == [2.0]
    assert device.connections == 2


async def test_a_closed_connection_is_noticed_at_once(tmp_path: Path) -> None:
    async with peer(lambda _u, _p: None) as device:
        source = config(device.port, timeout_ms=30_000)
        async with source.open([at("input:0")], UtcClock(), tmp_path) as session:
            reading = asyncio.ensure_future(session.read())
            while not device.asked:
                await asyncio.sleep(0.001)
            for writer in list(device.writers):
                writer.close()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(reading, 5)


async def test_a_dead_unit_behind_a_gateway_is_unavailable(tmp_path: Path) -> None:
    async with peer(lambda _u, pdu: bytes((pdu[0] | 0x80, 11))) as device:
        async with config(device.port).open([at("input:0")], UtcClock(), tmp_path) as session:
            with pytest.raises(Unavailable, match="exception 11"):
                await session.read()


async def test_units_of_one_gateway_take_turns_on_one_connection(tmp_path: Path) -> None:
    busy = 0

    def answer(unit: int, pdu: bytes) -> bytes | None:
        nonlocal busy
        busy += 1
        return bytes((pdu[0], 2, 0, unit))

    async with peer(answer) as device:
        sources = [config(device.port, unit=u) for u in (1, 2, 3)]
        async with (
            sources[0].open([at("input:0")], UtcClock(), tmp_path) as a,
            sources[1].open([at("input:0")], UtcClock(), tmp_path) as b,
            sources[2].open([at("input:0")], UtcClock(), tmp_path) as c,
        ):
            answers = await asyncio.gather(a.read(), b.read(), c.read())
        assert [x.samples.value.tolist() for x in answers] == [[1.0], [2.0], [3.0]]
        assert device.connections == 1
        assert busy == 3


async def test_no_connection_is_unavailable(tmp_path: Path) -> None:
    async with peer(registers({})) as device:
        port = device.port
    async with config(port).open([at("input:0")], UtcClock(), tmp_path) as session:
        with pytest.raises(Unavailable, match="does not accept"):
            await session.read()
