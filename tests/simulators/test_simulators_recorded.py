"""Recorded machines: every row once, with its own time, over both protocols."""

import asyncio
import csv
from pathlib import Path
from typing import Any

import pytest

from edge.adapters.modbus import Modbus
from edge.adapters.opcua import OpcUa
from plant.errors import ConfigError
from plant.flow.clock import UtcClock
from simulators.modbus import ModbusServer
from simulators.opcua import NodeServer
from simulators.recorded import NODES, Playback, RecordedUnit, read_record, show

HEAD = "ts,asset,items,status,status_time,power_avg,cycle_time,alarm,product"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    file = tmp_path / "record.csv"
    lines = [HEAD]
    for i in range(60):
        minute, second = divmod(i * 20, 60)
        for asset in (0, 1):
            lines.append(
                f"2026-01-02 03:{minute:02d}:{second:02d}+00:00,{asset},{i % 7}.0,"
                f"{1 + i % 3}.0,{i % 60}.0,{asset + i / 8},{42.251426696777344 + i},{i % 2},{i % 5}"
            )
    file.write_text("\n".join(lines) + "\n")
    return file


def truth(record: Path, machine: int, column: str) -> list[float]:
    with record.open(newline="") as text:
        return [float(r[column]) for r in csv.DictReader(text) if float(r["asset"]) == machine]


async def test_modbus_carries_row_and_time_in_one_transaction(record, tmp_path):
    unit = RecordedUnit(Playback(read_record(record, 1), rows_per_s=0))
    server = ModbusServer({2: unit})
    await server.open()
    source = Modbus(
        kind="modbus", host="127.0.0.1", port=server.port, unit=2, clock="input:0 uint64", max_gap=8
    )
    at = [source.Point.model_validate(a) for a in ("input:4 uint32", "input:10 float64")]
    rows: list[tuple[int, float, float]] = []
    try:
        async with source.open(at, UtcClock(), tmp_path) as session:
            while not unit.playback.over:
                got = (await session.read()).samples
                assert got.source_time[0] == got.source_time[1]
                rows.append((int(got.source_time[0]), got.value[0], got.value[1]))
    finally:
        await server.close()
    assert [r[1] for r in rows] == list(range(1, 61))
    assert [r[2] for r in rows] == truth(record, 1, "power_avg")
    assert [r[0] for r in rows] == [r.time_ms for r in unit.playback.rows]
    assert rows[1][0] - rows[0][0] == 20_000


async def test_opcua_carries_the_rows_time_as_source_timestamp(record, tmp_path):
    playback = Playback(read_record(record, 0), rows_per_s=0)
    nodes = [(f"M0.{name}", kind) for name, kind in NODES]
    server = NodeServer(nodes, tmp_path / "server", user="edge1", password="a-good-password")
    await server.open()
    source = OpcUa(
        kind="opcua",
        url=f"opc.tcp://127.0.0.1:{server.port}/",
        user="edge1",
        password="a-good-password",
        publish_ms=50,
    )
    at = [source.Point.model_validate(f"ns=2;s=M0.{n}") for n in ("Row", "CycleTime")]
    got: dict[int, list[tuple[int, float]]] = {0: [], 1: []}
    try:
        async with source.open(at, UtcClock(), tmp_path) as session, asyncio.timeout(30):
            while not server.watched:
                await session.read()
            assert await show(server, 0, playback.due(0.0)) == 60
            while len(got[0]) < 60 or len(got[1]) < 60:
                samples = (await session.read()).samples
                for i, t, v, s in zip(
                    samples.signal, samples.source_time, samples.value, samples.status, strict=True
                ):
                    if s == 0:
                        got[int(i)].append((int(t), float(v)))
    finally:
        await server.close()
    times = [r.time_ms for r in playback.rows]
    assert got[0] == list(zip(times, map(float, range(1, 61)), strict=True))
    assert got[1] == list(zip(times, truth(record, 0, "cycle_time"), strict=True))


def test_real_time_playback_begins_with_the_first_look():
    rows: list[Any] = list(range(100))
    playback = Playback(rows, rows_per_s=10)
    assert [playback.now(1000.0 + t / 10) for t in (0, 1, 5)] == [0, 1, 5]
    assert list(playback.due(1000.95)) == [6, 7, 8, 9]
    assert list(playback.due(2000.0)) == list(range(10, 100))
    assert playback.over


def test_a_file_of_another_shape_is_refused(tmp_path, record):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("ts,asset\n")
    with pytest.raises(ConfigError, match="has no column items, status"):
        read_record(wrong, 0)
    with pytest.raises(ConfigError, match="no rows of machine 7"):
        read_record(record, 7)
    wrong.write_text(f"{HEAD}\n2026-01-02 03:00:00+00:00,0,x,1,1,1,1,0,0\n")
    with pytest.raises(ConfigError, match=r"wrong.csv:2"):
        read_record(wrong, 0)
    with pytest.raises(ConfigError, match="No such file"):
        read_record(tmp_path / "absent.csv", 0)
