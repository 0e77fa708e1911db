"""DL/T 645: the codec against O-32 and PyPI dlt645, the line with several and with dead meters."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.adapters.dlt645 import Dlt645, MeterPoint
from edge.adapters.dlt645_frame import ANSWER, ERROR, Frame, FrameReader, build, numbers, request
from edge.adapters.dlt645_item import ITEMS
from plant.errors import DecodeError, Unavailable
from plant.flow.clock import UtcClock
from plant.flow.status import StatusCode
from tests.edge.tcp_support import listening

FIRST, SECOND = "000000000001", "202611220002"


def at(text: str) -> MeterPoint:
    return MeterPoint.model_validate(text)


def config(port: int, **more: object) -> Dlt645:
    given = {"host": "127.0.0.1", "port": port, "baud": 38400, "timeout_ms": 150, **more}
    return Dlt645.model_validate(given)


# ------------------------------------------------------------------------------------- the codec


def test_o_32() -> None:
    frame = request("AAAAAAAAAAAA", "00010000", wake=0)
    assert frame.hex(" ").upper() == "68 AA AA AA AA AA AA 68 11 04 33 33 34 33 AE 16"
    assert request(FIRST, "00010000", wake=4).startswith(b"\xfe\xfe\xfe\xfe\x68")


@given(
    st.lists(
        st.tuples(st.binary(min_size=6, max_size=6), st.binary(max_size=40)), min_size=1, max_size=4
    ),
    st.lists(st.integers(1, 30), min_size=1),
    st.binary(max_size=6).filter(lambda b: b"\x68" not in b),
)
def test_frames_are_found_however_they_are_cut(
    sent: list[tuple[bytes, bytes]], cuts: list[int], noise: bytes
) -> None:
    stream = b"".join(noise + b"\xfe" * 2 + build(a, ANSWER, d) for a, d in sent)
    reader, found = FrameReader(), []
    while stream:
        for cut in cuts:
            found += reader.feed(stream[:cut])
            stream = stream[cut:]
    assert found == [Frame(a, ANSWER, d) for a, d in sent]


def test_a_broken_checksum_is_no_frame() -> None:
    frame = bytearray(build(bytes(6), ANSWER, b"\x00\x00\x01\x00\x78\x56\x34\x12"))
    frame[-2] ^= 1
    assert FrameReader().feed(bytes(frame)) == []


@pytest.mark.parametrize("data", ["", "12", "1234567890", "1a345678"])
def test_data_that_is_no_number(data: str) -> None:
    item = ITEMS.find("00010000")
    assert item is not None
    with pytest.raises(DecodeError):
        numbers(item, bytes.fromhex(data))


def test_what_a_meter_does_not_have_is_no_number() -> None:
    item = ITEMS.find("0201FF00")
    assert item is not None
    first, second = numbers(item, bytes.fromhex("0022ffff"))
    assert first == 220.0
    assert np.isnan(second)


def test_formats_agree_with_the_package() -> None:
    from dlt645 import MeterServerService

    known = MeterServerService.new_tcp_server("127.0.0.1", 0).data_map
    compared = 0
    for number, theirs in known.items():
        item = ITEMS.find(f"{number:08X}")
        if item is None:
            continue
        whole, _, fraction = theirs.data_format.partition(".")
        assert (item.digits, item.decimals) == (len(whole + fraction), len(fraction)), theirs
        compared += 1
    assert compared > 800


# --------------------------------------------------------------------- against the PyPI package


@pytest.fixture
def package_meter() -> Iterator[tuple[int, dict[str, float]]]:
    """A meter of the package dlt645, with values of several formats."""
    from dlt645 import MeterServerService

    values = {
        "00000000": -4321.55,
        "00010000": 123456.78,
        "00010100": 0.01,
        "02010100": 221.4,
        "02020300": -3.456,
        "02030000": 12.3456,
        "02060000": 0.987,
        "02800002": 50.01,
    }
    meter = MeterServerService.new_tcp_server("127.0.0.1", 0)
    meter.set_address(bytes.fromhex(FIRST)[::-1])
    assert meter.start()
    try:
        for item, value in values.items():
            write = meter.set_00 if item.startswith("00") else meter.set_02
            assert write(int(item, 16), value)
        yield meter.server.ln.getsockname()[1], values
    finally:
        meter.stop()


async def test_our_adapter_reads_the_packages_meter(
    package_meter: tuple[int, dict[str, float]], tmp_path: Path
) -> None:
    port, values = package_meter
    points = [at(f"{FIRST} {item}") for item in values] + [at(f"{FIRST} 0000010C")]
    async with config(port, timeout_ms=2000).open(points, UtcClock(), tmp_path) as session:
        samples = (await session.read()).samples
    assert samples.value[: len(values)].tolist() == list(values.values())
    assert not samples.status[: len(values)].any()


# --------------------------------------------------------------------------------- our own peer


class Bus:
    """Meters on one line: address -> item -> data of its answer; b"" is an error answer."""

    def __init__(self, meters: dict[str, dict[str, bytes]]) -> None:
        self.meters = meters
        self.asked: list[tuple[str, str]] = []
        self.connections = 0
        self.delay_s = 0.0
        self.rubbish = b""
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        frames = FrameReader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(64):
                for frame in frames.feed(data):
                    await self.answer(frame, writer)
        self.writers.discard(writer)
        writer.close()

    async def answer(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        self.asked.append((frame.meter, frame.item))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.rubbish:
            writer.write(self.rubbish)
            return
        items = self.meters.get(frame.meter)
        if items is None:
            return
        data = items.get(frame.item, b"")
        good = bool(data)
        body = frame.data[:4] + data if good else b"\x02"
        writer.write(b"\xfe\xfe" + build(frame.address, ANSWER if good else ERROR, body))


@asynccontextmanager
async def bus(meters: dict[str, dict[str, bytes]]) -> AsyncIterator[Bus]:
    one = Bus(meters)
    async with listening(one):
        yield one


VOLTS = bytes.fromhex("042214220122")
ENERGY = bytes.fromhex("78563412")


async def test_a_block_is_asked_once(tmp_path: Path) -> None:
    async with bus({FIRST: {"0201FF00": VOLTS, "00010000": ENERGY}}) as line:
        points = [at(f"{FIRST} 0201FF00 {i}") for i in range(3)] + [at(f"{FIRST} 00010000")]
        async with config(line.port).open(points, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
    assert samples.value.tolist() == [220.4, 221.4, 220.1, 123456.78]
    assert line.asked == [(FIRST, "0201FF00"), (FIRST, "00010000")]


async def test_an_item_the_meter_refuses_disturbs_no_other(tmp_path: Path) -> None:
    async with bus({FIRST: {"00010000": ENERGY}}) as line:
        points = [at(f"{FIRST} 02030000"), at(f"{FIRST} 00010000")]
        async with config(line.port).open(points, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
    assert samples.status.tolist() == [StatusCode.BadConfigurationError, 0]
    assert line.connections == 1


async def test_a_dead_meter_does_not_silence_the_line(tmp_path: Path) -> None:
    async with bus({FIRST: {"00010000": ENERGY}}) as line:
        dead = [at(f"{SECOND} {item}") for item in ("00010000", "02030000", "02800002")]
        points = [*dead, at(f"{FIRST} 00010000")]
        async with config(line.port).open(points, UtcClock(), tmp_path) as session:
            samples = (await session.read()).samples
            assert samples.status.tolist() == [StatusCode.BadNoCommunication] * 3 + [0]
            assert sum(meter == SECOND for meter, _ in line.asked) == 1
            for _ in range(5):
                await session.read()
            assert sum(meter == SECOND for meter, _ in line.asked) <= 2, "not asked in every poll"
            assert samples.value[3] == 123456.78


async def test_one_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    async with bus({FIRST: {"00010000": ENERGY}}) as line:
        async with config(line.port).open([at(f"{FIRST} 00010000")], UtcClock(), tmp_path) as s:
            await s.read()
            meters, line.meters = line.meters, {}
            reading = asyncio.ensure_future(s.read())
            async with asyncio.timeout(10):
                while len(line.asked) < 2:
                    await asyncio.sleep(0.001)
            line.meters = meters
            assert (await reading).samples.value.tolist() == [123456.78]
            assert len(line.asked) == 3


async def test_only_dead_meters_is_unavailable(tmp_path: Path) -> None:
    async with bus({}) as line:
        async with config(line.port).open([at(f"{FIRST} 00010000")], UtcClock(), tmp_path) as s:
            with pytest.raises(Unavailable, match="does not answer"):
                await s.read()


async def test_a_late_answer_to_another_item_is_passed_over(tmp_path: Path) -> None:
    meters = {FIRST: {"00010000": ENERGY, "02030000": bytes.fromhex("010000")}}
    async with bus(meters) as line:
        points = [at(f"{FIRST} 00010000")]
        async with config(line.port).open(points, UtcClock(), tmp_path) as session:
            line.delay_s = 0.3
            with pytest.raises(Unavailable):
                await session.read()
        line.delay_s = 0.0
        async with config(line.port).open(points, UtcClock(), tmp_path) as session:
            assert (await session.read()).samples.value.tolist() == [123456.78]


async def test_an_answer_of_another_meter_or_item_is_not_taken(tmp_path: Path) -> None:
    async with bus({FIRST: {"00010000": ENERGY}}) as line:
        stale = build(bytes.fromhex(SECOND)[::-1], ANSWER, bytes.fromhex("0000010099999999"))
        other = build(bytes.fromhex(FIRST)[::-1], ANSWER, bytes.fromhex("0000030299999900"))
        right = build(bytes.fromhex(FIRST)[::-1], ANSWER, bytes.fromhex("0000010078563412"))
        line.rubbish = stale + other + right
        async with config(line.port).open([at(f"{FIRST} 00010000")], UtcClock(), tmp_path) as s:
            assert (await s.read()).samples.value.tolist() == [123456.78]


async def test_rubbish_is_bad_and_ends_nothing(tmp_path: Path) -> None:
    async with bus({FIRST: {"00010000": ENERGY}}) as line:
        async with config(line.port).open([at(f"{FIRST} 00010000")], UtcClock(), tmp_path) as s:
            line.rubbish = b"\x00\x11" * 400
            samples = (await s.read()).samples
            assert samples.status.tolist() == [StatusCode.BadDecodingError]
            line.rubbish = b""
            assert (await s.read()).samples.value.tolist() == [123456.78]


async def test_sources_on_one_line_take_turns(tmp_path: Path) -> None:
    meters = {FIRST: {"00010000": ENERGY}, SECOND: {"00010000": bytes.fromhex("01000000")}}
    async with bus(meters) as line:
        line.delay_s = 0.02
        source = config(line.port)
        async with (
            source.open([at(f"{FIRST} 00010000")], UtcClock(), tmp_path) as a,
            source.open([at(f"{SECOND} 00010000")], UtcClock(), tmp_path) as b,
        ):
            one, two = await asyncio.gather(a.read(), b.read())
        assert (one.samples.value[0], two.samples.value[0]) == (123456.78, 0.01)
        assert line.connections == 1


def test_configuration_says_what_makes_no_sense() -> None:
    for wrong in ("1 00010000", f"{FIRST} 0F0F0F0F", f"{FIRST} 0201FF00 3", FIRST):
        with pytest.raises(ValueError, match=r"."):
            at(wrong)
    points = {f"m/{i}": at(f"{FIRST} 00010{i}00") for i in range(5)}
    assert list(config(1, poll_ms=5000, baud=2400).check(points)) == []
    assert [p for p, _ in config(1, poll_ms=1000, baud=2400).check(points)] == ["m/4"]
    both = {"a/x": at("AAAAAAAAAAAA 00010000"), "b/x": at(f"{FIRST} 00010000")}
    assert [p for p, _ in config(1).check(both)] == ["a/x"]


def test_a_flood_of_bytes_that_begin_frames_holds_up_nobody() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x68" * 500_000) == []
    assert reader.noise > 499_000
    answer = build(bytes(6), 0x91, bytes(8))
    assert len(reader.feed(b"\xfe" * 200 + answer + answer)) == 2
