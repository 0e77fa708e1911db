"""Modbus as real devices speak it: each habit that was met, and what is read all the same."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.adapters import modbus_session, modbus_stretch
from edge.adapters.modbus import Modbus
from edge.adapters.modbus_point import RegisterPoint
from edge.clock import EdgeClock
from edge.runner import Read, Runner
from edge.scaling import Scaling
from edge.source import Answer, Session
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.status import StatusCode
from plant.model.signal import Label, Signal, SignalKind
from simulators.habit import Habit
from simulators.modbus import ModbusServer
from simulators.register import Moment
from tests.edge.tcp_support import listening

Words = dict[int, int]


class Registers:
    """A unit with some input registers; the others do not exist."""

    def __init__(self, words: Words) -> None:
        self.values = dict(words)

    def words(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        if table != "input" or any(a not in self.values for a in range(first, first + count)):
            return None
        return b"".join(struct.pack(">H", self.values[a]) for a in range(first, first + count))

    def bits(self, table: str, first: int, count: int, moment: Moment) -> bytes | None:
        return None


@asynccontextmanager
async def device(habit: Habit, *units: Words) -> AsyncIterator[ModbusServer]:
    server = ModbusServer({n: Registers(words) for n, words in enumerate(units, 1)}, habit=habit)
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def at(*texts: str) -> list[RegisterPoint]:
    return [RegisterPoint.model_validate(text) for text in texts]


def config(server: ModbusServer, **more: object) -> Modbus:
    given = {"host": "127.0.0.1", "port": server.port, "timeout_ms": 400, "poll_ms": 50, **more}
    return Modbus.model_validate(given)


async def polls(
    source: Modbus, points: Sequence[RegisterPoint], folder: Path, count: int = 1
) -> list[Answer]:
    async with source.open(points, UtcClock(), folder) as session:
        return [await session.read() for _ in range(count)]


FAR = at("input:0", "input:1", "input:50")
"""Two blocks."""
WORDS = {0: 10, 1: 11, 50: 12}


async def test_a_device_that_closes_after_each_answer_is_read_whole(tmp_path: Path) -> None:
    async with device(Habit(closes=True), WORDS) as server:
        answers = await polls(config(server), FAR, tmp_path, 4)
        assert [a.samples.value.tolist() for a in answers] == [[10.0, 11.0, 12.0]] * 4
        assert not any(a.samples.status.any() for a in answers)
        assert server.asked <= 10, "once it is known, each block is asked for on a new connection"


@pytest.mark.parametrize("copies", ["whole", "shorter", "function"])
async def test_a_copy_of_another_answer_is_passed_over(copies: str, tmp_path: Path) -> None:
    async with device(Habit(copies=copies), WORDS) as server:  # type: ignore[arg-type]
        unit: Registers = server.units[1]  # type: ignore[assignment]
        async with config(server).open(FAR, UtcClock(), tmp_path) as session:
            for value in range(5):
                unit.values |= {0: value, 50: value + 100}
                samples = (await session.read()).samples
                assert samples.value.tolist() == [value, 11.0, value + 100.0]
                assert not samples.status.any()
        assert server.connections == 1


@pytest.mark.parametrize("length", [0, 2, 4, 6, 200, 65535])
async def test_an_exception_has_nine_bytes_whatever_its_length_says(
    length: int, tmp_path: Path
) -> None:
    async with device(Habit(exception_length=length), WORDS) as server:
        points = at("input:0", "input:20", "input:50")
        answers = await polls(config(server), points, tmp_path, 3)
        for answer in answers:
            assert answer.samples.status.tolist() == [0, StatusCode.BadConfigurationError, 0]
            assert answer.samples.value[[0, 2]].tolist() == [10.0, 12.0]
            assert answer.why == {1: "exception 2: no such address"}
        assert server.connections == 1


async def test_a_pause_after_connecting_is_found_out(tmp_path: Path) -> None:
    async with device(Habit(ready_s=0.2), WORDS) as server:
        source = config(server)
        with pytest.raises(Unavailable):
            await polls(source, FAR, tmp_path)
        for _ in range(3):  # from now on every connection is given its time
            answer = (await polls(source, FAR, tmp_path))[0]
            assert answer.samples.value.tolist() == [10.0, 11.0, 12.0]


async def test_a_pause_after_connecting_can_be_set(tmp_path: Path) -> None:
    async with device(Habit(ready_s=0.2, closes=True), WORDS) as server:
        answers = await polls(config(server, connect_pause_ms=250), FAR, tmp_path, 2)
        assert [a.samples.value.tolist() for a in answers] == [[10.0, 11.0, 12.0]] * 2


async def test_a_device_without_need_of_a_pause_is_never_given_one(tmp_path: Path) -> None:
    async with device(Habit(), WORDS) as server:
        source = config(server, timeout_ms=100)
        await polls(source, FAR, tmp_path)
        server.link.silent = True
        for _ in range(3):
            with pytest.raises(Unavailable):
                await polls(source, FAR, tmp_path)
        server.link.silent = False
        began = asyncio.get_running_loop().time()
        await polls(source, FAR, tmp_path)
        assert asyncio.get_running_loop().time() - began < 0.25


MANY = at(*(f"input:{a}" for a in range(30)))


async def test_blocks_that_were_refused_while_the_device_booted_are_whole_again(
    tmp_path: Path,
) -> None:
    async with device(Habit(boots=True), {a: a for a in range(30)}) as server:
        async with config(server).open(MANY, UtcClock(), tmp_path) as session:
            assert (await session.read()).samples.status.all()
            server.asked = 0
            assert (await session.read()).samples.status.all()
            assert server.asked == 1, "where all is refused the block stays whole"
            server.habit.boots = False
            server.asked = 0
            assert (await session.read()).samples.value.tolist() == list(range(30))
            assert server.asked == 1


async def test_a_block_that_was_cut_is_tried_whole_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = [0.0]
    import edge.adapters.modbus_session as module

    clock = module.time.monotonic
    monkeypatch.setattr(module, "time", type("T", (), {"monotonic": lambda: clock() + shift[0]}))
    words = {a: a for a in range(30) if a != 11}
    async with device(Habit(), words) as server:
        unit: Registers = server.units[1]  # type: ignore[assignment]
        async with config(server).open(MANY, UtcClock(), tmp_path) as session:
            assert np.flatnonzero((await session.read()).samples.status).tolist() == [11]
            unit.values = {a: a for a in range(30)}  # it has booted to the end
            server.asked = 0
            assert (await session.read()).samples.value.tolist() == list(range(30))
            assert server.asked > 1, "in parts still"
            shift[0] += 30.0
            await session.read()
            server.asked = 0
            assert (await session.read()).samples.value.tolist() == list(range(30))
            assert server.asked == 1


@pytest.mark.parametrize("code", [1, 2, 3, 4, 7, 8, 0x55])
async def test_any_exception_can_be_that_of_a_hole(code: int, tmp_path: Path) -> None:
    words = {a: a for a in range(30) if a != 11}
    async with device(Habit(hole=code), words) as server:
        samples = (await polls(config(server), MANY, tmp_path))[0].samples
        assert np.flatnonzero(samples.status).tolist() == [11]
        assert np.delete(samples.value, 11).tolist() == [float(a) for a in words]


async def test_a_device_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    async with device(Habit(busy=3), WORDS) as server:
        answer = (await polls(config(server), FAR, tmp_path))[0]
        assert answer.samples.value.tolist() == [10.0, 11.0, 12.0]
        server.habit.busy = 1000
        answer = (await polls(config(server), FAR, tmp_path))[0]
        assert (answer.samples.status == StatusCode.BadTimeout).all()
        assert answer.why[0] == "exception 6: busy"


@pytest.mark.parametrize(
    ("habit", "told"),
    [
        (Habit(as_unit=0), "answers as unit 0, asked was unit 1"),
        (Habit(as_unit=7), "answers as unit 7, asked was unit 1"),
        (Habit(as_transaction=0), "does not give the transaction back"),
    ],
)
async def test_why_an_answer_is_refused_is_told(habit: Habit, told: str, tmp_path: Path) -> None:
    async with device(habit, WORDS) as server:
        answer = (await polls(config(server, timeout_ms=100), at("input:0"), tmp_path))[0]
        assert answer.samples.status.tolist() == [StatusCode.BadDecodingError]
        assert np.isnan(answer.samples.value).all()
        assert told in answer.why[0]


@pytest.mark.parametrize(
    ("text", "words", "value", "status"),
    [
        ("input:0 int16 no:0x8000", [0x8000], np.nan, StatusCode.BadNoData),
        ("input:0 int16 no:-32768", [0x8000], np.nan, StatusCode.BadNoData),
        ("input:0 int16 no:0x8000", [0x8001], -32767.0, 0),
        ("input:0 uint16 no:0x7FFF,65535", [0x7FFF], np.nan, StatusCode.BadNoData),
        ("input:0 uint16 no:0x7FFF,65535", [0xFFFF], np.nan, StatusCode.BadNoData),
        ("input:0 uint32 no:0xFFFFFFFF", [0xFFFF, 0xFFFF], np.nan, StatusCode.BadNoData),
        ("input:0 uint32 CDAB no:0x80000000", [0, 0x8000], np.nan, StatusCode.BadNoData),
        ("input:0 float32 no:0x7F800001", [0x7F80, 1], np.nan, StatusCode.BadNoData),
        ("input:0 float32", [0x7FC0, 0], np.nan, StatusCode.BadNoData),
        ("input:0 float32 no:-9999", [0xC61C, 0x3C00], np.nan, StatusCode.BadNoData),
        ("input:0 float32 no:-9999", [0xC61C, 0x3C01], -9999.0009765625, 0),
        ("input:0 uint64 no:0xFFFFFFFFFFFFFFFF", [0xFFFF] * 4, np.nan, StatusCode.BadNoData),
        ("input:0 uint64 no:0xFFFFFFFFFFFFFFFF", [0, 0, 0, 7], 7.0, 0),
        ("input:0 uint64", [0x0020, 0, 0, 0], 2.0**53, 0),
        ("input:0 uint64", [0x0020, 0, 0, 1], 2.0**53, StatusCode.Uncertain),
        ("input:0 int64", [0xFFDF, 0xFFFF, 0xFFFF, 0xFFFF], -(2.0**53), StatusCode.Uncertain),
    ],
)
async def test_codes_for_no_value_and_numbers_too_long(
    text: str, words: list[int], value: float, status: int, tmp_path: Path
) -> None:
    async with device(Habit(), dict(enumerate(words))) as server:
        answer = (await polls(config(server), at(text), tmp_path))[0]
    assert answer.samples.status.tolist() == [status]
    assert answer.samples.value[0] == value or (np.isnan(value) and np.isnan(answer.samples.value))
    if status == StatusCode.Uncertain:
        assert answer.why == {0: "beyond 2^53, not exact"}


@pytest.mark.parametrize(
    "text", ["coil:0 no:1", "input:0 bit:3 no:1", "input:0 int16 no:0x18000", "input:0 no:1.5"]
)
def test_a_code_that_cannot_come_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no_value|code|number"):
        at(text)


async def test_a_strangers_server_is_read_and_its_holes_are_found(tmp_path: Path) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    held = [SimData(0, values=[7, 8, 9], datatype=DataType.REGISTERS)]
    held += [SimData(10, values=[1.5, -2.5], datatype=DataType.FLOAT32)]
    stranger = ModbusTcpServer(SimDevice(1, held), address=("127.0.0.1", 0))
    await stranger.listen()
    try:
        port = stranger.transport.sockets[0].getsockname()[1]
        points = at("holding:0", "holding:2", "holding:5", "holding:10 float32", "input:12 float32")
        source = Modbus.model_validate({"host": "127.0.0.1", "port": port, "max_gap": 20})
        for answer in await polls(source, points, tmp_path, 2):
            assert answer.samples.status.tolist() == [0, 0, StatusCode.BadConfigurationError, 0, 0]
            assert answer.samples.value[[0, 1, 3, 4]].tolist() == [7.0, 9.0, 1.5, -2.5]
    finally:
        await stranger.shutdown()


# ------------------------------------------------------------------------ gateways with dead units


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateways_exception_for_one_block_is_bad_for_that_block_alone(
    code: int, tmp_path: Path
) -> None:
    async with device(Habit(hole=code), WORDS) as server:
        points = at("input:20", "input:0", "input:50")
        for answer in await polls(config(server), points, tmp_path, 2):
            assert answer.samples.status.tolist() == [StatusCode.BadNoCommunication, 0, 0]
            assert f"exception {code}" in answer.why[0]


async def test_a_block_without_an_answer_is_bad_alone_and_asked_seldom(tmp_path: Path) -> None:
    async with device(Habit(mute=frozenset({20})), WORDS | {20: 1}) as server:
        source = config(server, timeout_ms=150)
        points = at("input:0", "input:20", "input:50")
        async with source.open(points, UtcClock(), tmp_path) as session:
            answers = [await session.read() for _ in range(5)]
        for answer in answers:
            assert answer.samples.status.tolist() == [0, StatusCode.BadNoCommunication, 0]
        assert server.asked <= 11, "once, not in every poll"


@asynccontextmanager
async def running(
    server: ModbusServer, units: Sequence[int], folder: Path, **more: object
) -> AsyncIterator[dict[int, list[tuple[float, Read]]]]:
    """A runner a unit; what each of them said, with the loop's time."""
    heard: dict[int, list[tuple[float, Read]]] = {unit: [] for unit in units}
    loop = asyncio.get_running_loop()

    async def take(unit: int, runner: Runner) -> None:
        async for read in runner.answers:
            heard[unit].append((loop.time(), read))

    async with asyncio.TaskGroup() as group:
        tasks = []
        for unit in units:
            signal = Signal("a/x", "a", "x", Label("", ""), SignalKind.MEASUREMENT)
            source = config(server, unit=unit, **more)
            scaling = Scaling([signal], [0])
            clock = EdgeClock(UtcClock())
            runner = Runner(str(unit), source, at("input:0"), scaling, clock=clock, folder=folder)
            tasks += [group.create_task(runner.run()), group.create_task(take(unit, runner))]
        yield heard
        for task in tasks:
            task.cancel()


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not wanted():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("code", [0, 11], ids=["silent", "exception 11"])
async def test_eight_dead_units_do_not_hold_up_the_living_one(code: int, tmp_path: Path) -> None:
    habit = Habit(dead=frozenset(range(2, 10)), dead_code=code, dead_s=0.08 if code else 0.0)
    async with device(habit, *[{0: n} for n in range(9)]) as server:
        units = range(1, 10)
        async with running(server, units, tmp_path, timeout_ms=100, poll_ms=50) as heard:
            await until(lambda: len(heard[1]) > 60)
            times = [when for when, _ in heard[1]]
            assert all(read.good for _, read in heard[1])
            assert max(np.diff(times)) < 8 * 0.08, "never behind all the dead ones"
            assert np.mean(np.diff(times)) < 0.1
            if not code:
                server.habit.dead = frozenset(range(2, 9))
                await until(lambda: any(read.good for _, read in heard[9]))  # back, and found


async def test_a_gateway_that_waits_longer_than_we_do_loses_no_living_unit(tmp_path: Path) -> None:
    habit = Habit(dead=frozenset({2, 3}), dead_code=11, dead_s=0.45)
    async with device(habit, *[{0: n} for n in range(3)]) as server:
        async with running(server, (1, 2, 3), tmp_path, timeout_ms=150, poll_ms=50) as heard:
            await until(lambda: len(heard[1]) > 5)
            asked = server.asked
            await until(lambda: len(heard[1]) > 40)
            assert all(read.good for _, read in heard[1])
            assert server.asked > asked + 36, "the dead ones are tried meanwhile"


async def test_a_gateway_that_dies_with_all_its_units_is_found_again(tmp_path: Path) -> None:
    async with device(Habit(), *[{0: n} for n in range(3)]) as server:
        async with running(server, range(1, 4), tmp_path, timeout_ms=100) as heard:
            await until(lambda: all(len(h) > 3 for h in heard.values()))
            server.link.silent = True
            await until(lambda: all(not h[-1][1].good for h in heard.values()))
            server.link.silent = False
            await until(lambda: all(h[-1][1].good for h in heard.values()))


async def test_a_name_that_nobody_knows_is_told_as_such(tmp_path: Path) -> None:
    for host in ("no-such-host.invalid", "127.0.0.1"):
        source = Modbus.model_construct(**config_of(host))
        with pytest.raises(Unavailable) as caught:
            await polls(source, at("input:0"), tmp_path)
        assert ("name" in str(caught.value)) == (host != "127.0.0.1")


async def test_a_name_that_is_none_ends_no_process(tmp_path: Path) -> None:
    """What ``check`` refuses may still come from elsewhere: IDNA raises a UnicodeError."""
    source = Modbus.model_construct(**config_of("meter..local"))
    with pytest.raises(Unavailable, match="cannot be looked up"):
        await polls(source, at("input:0"), tmp_path)


def config_of(host: str) -> dict[str, object]:
    return Modbus(host="x").model_dump() | {"host": host, "port": 9, "clock": None}


async def test_a_device_with_a_mute_block_comes_back_with_all_others(tmp_path: Path) -> None:
    """The block that is asked first never answers; every session begins anew."""
    async with device(Habit(mute=frozenset({0})), WORDS) as server:
        source = config(server, timeout_ms=80, connect_pause_ms=0)
        with pytest.raises(Unavailable):
            await polls(source, FAR, tmp_path)
        for silent in (False, True, True, True, False):
            server.link.silent = silent
            for _ in range(3):
                try:
                    answer = (await polls(source, FAR, tmp_path))[0]
                except Unavailable:
                    continue
                break
            if not silent:
                assert answer.samples.status.tolist() == [StatusCode.BadNoCommunication] * 2 + [0]


# ----------------------------------------------------------------- blocks that are not given whole


class Scant:
    """Gives ``holding`` registers, each its own address, in its own way where it cannot.

    hole     a register that it does not have
    most     registers that it gives at once
    missing  others that it does not have
    habit    what it does then: it is silent, closes the connection, or gives what it can
    """

    def __init__(
        self, habit: str, hole: int = -1, most: int = 125, missing: frozenset[int] = frozenset()
    ) -> None:
        self.habit, self.hole, self.most, self.missing = habit, hole, most, missing
        self.port = 0
        self.asked: list[tuple[int, int]] = []
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                question = await reader.readexactly(12)
                first, count = struct.unpack(">HH", question[8:])
                self.asked.append((first, count))
                gone = {self.hole, *self.missing} & {*range(first, first + count)}
                if gone or count > self.most:
                    if self.habit == "silent":
                        continue
                    if self.habit == "resets":
                        break
                    count = min(count, self.most, max(0, self.hole - first) or 125)
                data = b"".join(struct.pack(">H", at) for at in range(first, first + count))
                head = struct.pack(">HHB", 0, 3 + len(data), question[6])
                writer.write(question[:2] + head + bytes((question[7], len(data))) + data)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()


TOGETHER = [*at(*(f"holding:{register}" for register in range(20))), *at("holding:500")]


def scant(server: Scant) -> Modbus:
    given = {"host": "127.0.0.1", "port": server.port, "timeout_ms": 400, "poll_ms": 50}
    return Modbus.model_validate(given)


async def read_until(session: Session, good: int) -> Answer:
    """Poll until so many points are Good; one that is lost is to be begun again."""
    async with asyncio.timeout(40):
        while True:
            answer = await session.read()
            values, statuses = answer.samples.value.tolist(), answer.samples.status.tolist()
            told = [*range(20), 500]
            assert all(s or v == w for v, w, s in zip(values, told, statuses, strict=True))
            if statuses.count(0) == good:
                return answer


@pytest.mark.parametrize("habit", ["silent", "resets"])
async def test_a_register_that_is_answered_by_nothing_costs_itself_alone(
    habit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus_session, "FIRST_S", 0.05)
    server = Scant(habit, hole=7)
    async with listening(server):
        source = scant(server)
        if habit == "silent":
            with pytest.raises(Unavailable):  # nothing was heard of the unit yet
                await polls(source, TOGETHER, tmp_path)
        async with source.open(TOGETHER, UtcClock(), tmp_path) as session:
            answer = await read_until(session, 20)
            assert answer.samples.status[7] == StatusCode.BadNoCommunication
            assert answer.samples.status[-1] == 0


@pytest.mark.parametrize("habit", ["silent", "resets", "short"])
async def test_a_device_that_gives_few_registers_at_once_is_read_in_parts(
    habit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus_session, "FIRST_S", 0.05)
    server = Scant(habit, most=8)
    async with listening(server):
        source = scant(server)
        if habit == "silent":
            with pytest.raises(Unavailable):
                await polls(source, TOGETHER, tmp_path)
        async with source.open(TOGETHER, UtcClock(), tmp_path) as session:
            await read_until(session, 21)
            server.asked.clear()
            await read_until(session, 21)
            assert all(count <= 8 for _, count in server.asked)


async def test_a_block_that_was_silent_for_a_while_is_whole_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus_session, "FIRST_S", 0.05)
    monkeypatch.setattr(modbus_session, "LAST_S", 0.1)
    monkeypatch.setattr(modbus_stretch, "LAST_S", 0.1)
    server = Scant("resets", hole=7)
    async with listening(server):
        async with scant(server).open(TOGETHER, UtcClock(), tmp_path) as session:
            await read_until(session, 20)
            server.hole = -1
            async with asyncio.timeout(40):
                asked: list[tuple[int, int]] = []
                while asked != [(0, 20), (500, 1)]:
                    server.asked.clear()
                    answer = await session.read()
                    asked = sorted(server.asked)
            assert not answer.samples.status.any()


async def test_a_register_that_never_answers_keeps_no_other_block_from_being_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus_session, "FIRST_S", 0.05)
    server = Scant("resets", most=8, missing=frozenset((300,)))
    async with listening(server):
        points = [*TOGETHER, *at("holding:300")]
        async with scant(server).open(points, UtcClock(), tmp_path) as session:
            async with asyncio.timeout(40):
                while (await session.read()).samples.status.tolist().count(0) < 21:
                    pass
