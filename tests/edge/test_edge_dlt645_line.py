"""A meter line with late copies, other masters, dead meters: the answer is taken, or nothing."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.adapters import dlt645_session
from edge.adapters.dlt645 import Dlt645, MeterPoint
from edge.adapters.dlt645_frame import ANSWER, ERROR, READ, Frame, FrameReader, build
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.status import StatusCode
from tests.edge.tcp_support import listening

FIRST, SECOND = "000000000001", "202611220002"
POWER, ENERGY = "02030000", "00010000"


def at(*texts: str) -> list[MeterPoint]:
    return [MeterPoint.model_validate(text) for text in texts]


def config(port: int, **more: object) -> Dlt645:
    given = {"host": "127.0.0.1", "port": port, "baud": 38400, "timeout_ms": 600, **more}
    return Dlt645.model_validate(given)


def frame(meter: str, item: str, number: int, size: int = 3, control: int = ANSWER) -> bytes:
    """An answer that shows a number in its last decimals."""
    digits = bytes.fromhex(f"{number:0{2 * size}d}")[::-1]
    data = bytes.fromhex(item)[::-1] + (digits if control == ANSWER else b"")
    return b"\xfe" * 4 + build(bytes.fromhex(meter)[::-1], control, data)


Say = Callable[[bytes, float], None]
"""Send bytes after some seconds."""


class Line:
    """Meters that count their answers; ``extra`` says what else is heard on the line."""

    def __init__(self, *meters: str) -> None:
        self.meters = set(meters)
        self.port = 0
        self.number = 0
        self.asked: list[tuple[str, str]] = []
        self.connections = 0
        self.answer_s = 0.0
        self.closes = False
        self.mute: set[str] = set()
        self.extra: Callable[[Say, Frame, int], None] = lambda say, asked, number: None
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        frames = FrameReader()
        loop = asyncio.get_running_loop()

        def say(data: bytes, after_s: float) -> None:
            loop.call_later(after_s, send, data)

        def send(data: bytes) -> None:
            if not writer.is_closing():
                writer.write(data)
                if self.closes:
                    writer.close()

        with contextlib.suppress(ConnectionError):
            while data := await reader.read(64):
                for asked in frames.feed(data):
                    self.asked.append((asked.meter, asked.item))
                    named = FIRST if asked.meter == "A" * 12 else asked.meter
                    if named not in self.meters or asked.item in self.mute:
                        continue
                    self.number += 1
                    self.extra(say, asked, self.number)
                    size = 3 if asked.item == POWER else 4
                    say(frame(named, asked.item, self.number, size), self.answer_s)
        self.writers.discard(writer)
        writer.close()


@asynccontextmanager
async def line(*meters: str) -> AsyncIterator[Line]:
    one = Line(*meters)
    async with listening(one):
        yield one


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.15])
async def test_a_late_copy_is_never_the_next_answer(late_s: float, tmp_path: Path) -> None:
    async with line(FIRST) as bus:
        bus.extra = lambda say, asked, n: say(frame(FIRST, POWER, n), late_s + 0.001)
        async with config(bus.port).open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
            for _ in range(8):
                value = (await session.read()).samples.value
                assert round(value[0] * 1e4) == bus.number
                await asyncio.sleep(0.1)


async def test_a_second_master_is_told_once_and_never_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with line(FIRST) as bus:
        async with config(bus.port).open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
            for _ in range(5):
                value = (await session.read()).samples.value
                assert round(value[0] * 1e4) == bus.number
                for writer in bus.writers:  # another asks the same meter for the same item
                    writer.write(frame(FIRST, POWER, 0, control=READ))
                    writer.write(frame(FIRST, POWER, 77_777))
                await asyncio.sleep(0.05)
    told = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "another master on the line" in told[0]


async def test_on_a_real_line_an_answer_that_comes_too_soon_was_under_way_before(
    tmp_path: Path,
) -> None:
    async with line(FIRST) as bus:
        bus.answer_s = 0.15
        async with config(bus.port).open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
            await session.read()
            bus.extra = lambda say, asked, n: say(frame(FIRST, POWER, 99_999), 0.0)
            for _ in range(3):
                value = (await session.read()).samples.value
                assert round(value[0] * 1e4) == bus.number


async def test_where_two_answers_differ_the_question_is_asked_again(tmp_path: Path) -> None:
    async with line(FIRST) as bus:

        def twice(say: Say, asked: Frame, number: int) -> None:
            if number in (2, 5):
                say(frame(FIRST, POWER, 99_999), 0.0)

        bus.extra, bus.answer_s = twice, 0.005
        async with config(bus.port).open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
            taken = [round((await session.read()).samples.value[0] * 1e4) for _ in range(6)]
    assert taken[2:] == sorted(set(taken[2:]))
    assert 99_999 not in taken[2:], "once the line is known to repeat nothing is taken on trust"


async def test_whoever_answers_the_wildcard_first_is_meant_from_then_on(tmp_path: Path) -> None:
    async with line(FIRST, SECOND) as bus:
        points = at(f"AAAAAAAAAAAA {POWER}")
        async with config(bus.port).open(points, UtcClock(), tmp_path) as session:
            await session.read()
            bus.extra = lambda say, asked, n: say(frame(SECOND, POWER, 99_999), 0.0)
            bus.answer_s = 0.01
            assert round((await session.read()).samples.value[0] * 1e4) == bus.number
    assert [meter for meter, _ in bus.asked] == ["A" * 12, FIRST]


async def test_an_item_without_an_answer_disturbs_no_other(tmp_path: Path) -> None:
    async with line(FIRST) as bus:
        bus.mute = {POWER}
        points = at(f"{FIRST} {POWER}", f"{FIRST} {ENERGY}")
        async with config(bus.port, timeout_ms=100).open(points, UtcClock(), tmp_path) as session:
            for _ in range(4):
                answer = await session.read()
                assert answer.samples.status.tolist() == [StatusCode.BadNoCommunication, 0]
                assert POWER in answer.why[0] or "item" in answer.why[0] or "meter" in answer.why[0]
        assert sum(item == POWER for _, item in bus.asked) == 1, "not in every poll"


async def test_eight_dead_meters_do_not_hold_up_the_living_one(tmp_path: Path) -> None:
    dead = [f"{number:012d}" for number in range(11, 19)]
    async with line(FIRST) as bus:
        points = at(*(f"{meter} {POWER}" for meter in (*dead, FIRST)))
        source = config(bus.port, timeout_ms=60)
        async with source.open(points, UtcClock(), tmp_path) as session:
            await session.read()
            loop = asyncio.get_running_loop()
            took = []
            for _ in range(12):
                began = loop.time()
                answer = await session.read()
                took.append(loop.time() - began)
                assert answer.samples.status[-1] == 0
                assert set(answer.why) == set(range(8))
            assert np.median(took) < 0.06, "most polls ask no dead meter, none asks two"
            bus.meters |= set(dead)
            async with asyncio.timeout(20):
                while (await session.read()).samples.status[:-1].all():
                    await asyncio.sleep(0.02)


async def test_a_server_that_closes_after_each_answer_is_read(tmp_path: Path) -> None:
    async with line(FIRST) as bus:
        bus.closes = True
        points = at(f"{FIRST} {POWER}", f"{FIRST} {ENERGY}")
        async with config(bus.port).open(points, UtcClock(), tmp_path) as session:
            for _ in range(4):
                assert not (await session.read()).samples.status.any()


async def test_a_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    async with line() as bus:
        bus.extra = lambda say, asked, n: None
        refusal = b"\xfe" * 4 + build(bytes.fromhex(FIRST)[::-1], ERROR, b"\x02")
        real = bus.serve

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asyncio.get_running_loop().call_later(0.05, writer.write, refusal)
            await real(reader, writer)

        bus.serve = serve  # type: ignore[method-assign]
        async with listening(bus):
            points = at(f"{FIRST} {POWER}")
            async with config(bus.port).open(points, UtcClock(), tmp_path) as session:
                answer = await session.read()
    assert answer.samples.status.tolist() == [StatusCode.BadConfigurationError]
    assert answer.why == {0: f"meter {FIRST} refuses {POWER}: no such data"}


async def test_a_name_that_is_none_ends_no_process(tmp_path: Path) -> None:
    source = Dlt645.model_construct(**config(9).model_dump() | {"host": "meter..local"})
    async with source.open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
        with pytest.raises(Unavailable, match="cannot be looked up"):
            await session.read()


def test_the_session_asks_for_every_item_once() -> None:
    points = at(f"{FIRST} {POWER}", f"{FIRST} {ENERGY}", f"{FIRST} {POWER}")
    asking = dlt645_session.Asking(2400, 4, 1.0)
    session = dlt645_session.MeterSession(asking, points, UtcClock(), None)  # type: ignore[arg-type]
    (meter,) = session._meters.values()
    assert {name: wish.points for name, wish in meter.wishes.items()} == {
        POWER: [0, 2],
        ENERGY: [1],
    }


async def test_a_line_that_turns_out_faster_than_its_baud_rate_is_known_as_such(
    tmp_path: Path,
) -> None:
    async with line(FIRST) as bus:
        bus.answer_s = 0.05
        source = config(bus.port, timeout_ms=150)
        async with source.open(at(f"{FIRST} {POWER}"), UtcClock(), tmp_path) as session:
            await session.read()
            for answer_s in (0.0, 0.0, 0.05, 0.0, 0.05, 0.0):
                bus.answer_s = answer_s
                assert not (await session.read()).samples.status.any()
    assert len(bus.asked) == 8, "one answer was passed over, and never again"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (frame("A" * 12, POWER, 7), f"; what came is of meter {'A' * 12}, control 91H, item"),
        (frame(FIRST, POWER, 7, control=0x81), f"; what came is of meter {FIRST}, control 81H"),
        (frame(FIRST, POWER, 7, control=READ), ""),
    ],
    ids=["wildcard", "control", "echo"],
)
async def test_what_came_instead_of_an_answer_is_told(
    answer: bytes, told: str, tmp_path: Path
) -> None:
    async with line(FIRST) as server:
        server.answer_s = 30.0  # too late
        server.extra = lambda say, asked, number: say(answer, 0.05)
        with pytest.raises(Unavailable, match="does not answer") as raised:
            async with config(server.port).open(
                at(f"{FIRST} {POWER}"), UtcClock(), tmp_path
            ) as session:
                await session.read()
        assert told in str(raised.value)
        assert ("what came" in str(raised.value)) == bool(told)
