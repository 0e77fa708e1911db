"""Strings of devices: whatever they hold and however they are dated, they can be stored."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua as _ua

from edge.adapters.opcua import NodePoint
from edge.clock import EdgeClock
from edge.push import Restatement
from edge.runner import Read, Runner
from edge.scaling import TEXT_CHARS, Scaling
from edge.source import Answer
from edge.stamp import Stamps
from plant.flow.clock import ManualClock, UtcClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.signal import Label, Signal, SignalKind
from plant.wire.codec import TextSample, encode_texts
from simulators.opcua import NodeServer, source_time
from tests.edge.opcua_strange import lab

ua: Any = _ua
T = 1_795_000_000_000
BAD = int(StatusCode.BadSensorFailure)
UNCERTAIN = int(StatusCode.Uncertain)
YEAR_MS = 365 * 86_400_000


def of_text() -> Signal:
    return Signal("m/program", "m", "program", Label("", ""), SignalKind.TEXT)


class Device:
    """A text as the runner takes it."""

    def __init__(self) -> None:
        self.clock = ManualClock(T)
        self.real_s = 0.0
        self.stamps = Stamps(1, polled=False, monotonic=lambda: self.real_s)
        self.scaling = Scaling([of_text()], [0])

    def says(self, text: str, time: int, status: int = 0, *, trusted: bool = True) -> Text:
        """What one word of the device becomes, after ten seconds."""
        self.real_s += 10
        self.clock.advance(10_000)
        now = self.clock.now()
        _, texts = self.scaling.sort(Answer(SampleBatch.empty(), [Text(0, time, text, status)]))
        (out,) = self.scaling.texts(self.stamps.texts(texts, now), self.clock, trusted=trusted)
        return out


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("O1234\0\0\0", "O1234"),
        ("温度".encode("gbk").decode("utf-8", "surrogateescape"), "温度"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("half \ud800", "half \\ud800"),
        ("x" * TEXT_CHARS, "x" * TEXT_CHARS),
    ],
)
def test_a_text_of_any_bytes_can_be_stored(said: str, kept: str) -> None:
    device = Device()
    out = device.says(said, T)
    assert (out.text, out.status) == (kept, 0)
    assert encode_texts([TextSample(1, out.time, out.text, out.status)])


def test_a_text_that_is_too_long_is_cut_and_uncertain() -> None:
    out = Device().says("泵" * 3_000_000, T)
    assert (out.text, out.status) == ("泵" * TEXT_CHARS, UNCERTAIN)


@pytest.mark.parametrize("stamp", [-11_644_473_600_000, 0, 946_684_800_000, T + 11 * YEAR_MS])
def test_a_text_of_a_device_without_a_clock_is_dated_when_heard_and_uncertain(stamp: int) -> None:
    device = Device()
    out = device.says("O1234", stamp)
    assert (out.time, out.status) == (device.clock.now(), UNCERTAIN)
    out = device.says("", stamp, BAD)
    assert (out.time, out.status) == (device.clock.now(), BAD)


def test_a_text_from_the_future_or_by_a_clock_that_is_wrong_is_uncertain() -> None:
    device = Device()
    ahead = device.says("O1", T + 3_600_000)
    assert (ahead.time, ahead.status) == (T + 3_600_000, UNCERTAIN)
    assert device.says("O2", T, trusted=False).status == UNCERTAIN


def test_a_text_that_changes_under_one_stamp_loses_no_change() -> None:
    device = Device()
    told = [device.says(text, T) for text in ("O1", "O2", "O3")]
    assert [t.time for t in told] == [T, T + 20_000, T + 30_000]
    assert [t.status for t in told] == [0, UNCERTAIN, UNCERTAIN]
    assert device.says("O3", T).time == T + 40_000, "it still says so, and no more is known"
    assert device.says("O4", T + 50_000).status == 0, "the stamp moves again"


def test_a_text_of_a_dead_clock_does_not_turn_good_when_stated_again() -> None:
    clock_s = 100.0
    push = Restatement(2, monotonic=lambda: clock_s)
    push.opened()
    push.add(SampleBatch.empty(), T)
    push.texts([Text(0, 0, "O1"), Text(1, T, "O2")])
    clock_s = 110.0
    push.add(SampleBatch.empty(), T + 10_000)
    clock_s = 113.0
    push.add(SampleBatch.empty(), T + 13_000, trusted=False)
    again = {t.signal: t for t in push.texts(())}
    assert (again[0].time, again[1].time) == (0, T + 13_000)
    assert again[1].status == UNCERTAIN, "our own clock dates it, and is not trusted"
    scaling = Scaling([of_text(), of_text()], [0, 1])
    assert scaling.texts(list(again.values()), ManualClock(T))[0].status == UNCERTAIN


async def test_a_server_of_strange_texts_is_read_on(tmp_path: Path) -> None:
    server = NodeServer([("n0", "String"), ("n1", "String")], tmp_path, security="None")
    await server.open()
    runner = Runner(
        "s",
        lab(server.port),
        [NodePoint(node="ns=2;s=n0"), NodePoint(node="ns=2;s=n1")],
        Scaling([of_text(), of_text()], [0, 1]),
        clock=EdgeClock(UtcClock()),
        folder=tmp_path,
    )
    task = asyncio.create_task(runner.run())
    inner: Any = server._server
    gbk = "报警".encode("gbk").decode("utf-8", "surrogateescape")
    try:
        for id, text in (("n0", gbk), ("n1", "O1")):
            await inner.write_attribute_value(
                server._ids[id],
                ua.DataValue(
                    ua.Variant(text, ua.VariantType.String),
                    StatusCode=ua.StatusCode(ua.UInt32(0)),
                    SourceTimestamp=source_time(-11_644_473_599_000),
                ),
            )
        heard: dict[int, Text] = {}
        async with asyncio.timeout(40):
            while {at: t.text for at, t in heard.items()} != {0: "报警", 1: "O1"}:
                read: Read = await runner.answers.get()
                heard |= {t.signal: t for t in read.texts if t.text}
        assert {t.status for t in heard.values()} == {UNCERTAIN}
        assert runner.count.unexpected == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()
