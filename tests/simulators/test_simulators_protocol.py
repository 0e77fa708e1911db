"""Devices on the wire, read by clients that import nothing of ours."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulators import lathe
from simulators.device import Device, MachineUnit, PolledDevice, ServerDevice, Setting, build
from simulators.dlt645 import RUNNING_NUMBER, LineMeter, SerialLine, frame
from simulators.item import bcd
from simulators.link import Link
from simulators.modbus import ModbusServer
from simulators.register import Moment
from simulators.world import World

MakeWorld = Callable[..., World]
PARTS = re.compile(r"\[(\d+)\]:\s+(\S+)")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    world = make_world()
    world.advance(world.now_ms + 600_000)
    return world


def find(devices: list[Device], *sources: str) -> Any:
    return next(d for d in devices if set(sources) <= set(d.line.sources))


async def poll(program: str, port: int, *options: str) -> list[str]:
    command = [program, "-m", "tcp", "-p", str(port), "-0", "-1", "-q", *options, "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return [value for _, value in PARTS.findall(out.decode())] or [out.decode()]


async def test_mbpoll_reads_every_register_of_every_module(world, demo, tmp_path, need):
    program = need("mbpoll")
    devices = build(Setting(demo, world, tmp_path))
    lathe_io = find(devices, "lathe_io")
    press_io = find(devices, "press_io")
    gateway = find(devices, "compressor_meter", "compressor_panel")
    for device in (lathe_io, press_io, gateway):
        await device.open()
    try:
        machine = world.machines["lathe"]
        got = await poll(program, lathe_io.line.port, "-a", "1", "-t", "3", "-r", "1", "-c", "3")
        assert got == [
            str(machine.parts),
            str(round(machine.ct_a * 100)),
            str(round(machine.vibration * 100)),
        ]
        press = world.machines["press"]
        got = await poll(program, press_io.line.port, "-a", "1", "-t", "3", "-r", "0", "-c", "5")
        assert int(got[0]) == press.relays
        assert int(got[2]) == round(press.pressure_ma() * 1000)
        assert int(got[3]) == round(press.oil_ma() / 20 * 27648)
        assert int(got[4]) == press.s0_pulses
        got = await poll(program, press_io.line.port, "-a", "1", "-t", "1", "-r", "0", "-c", "2")
        assert got == [str(int(press.running)), str(int(press.faulted))]
        meter, panel = ("-a", "1", "-t", "3:float", "-B"), ("-a", "2", "-t", "4")
        compressor = world.machines["compressor"]
        (watts,) = await poll(program, gateway.line.port, *meter, "-r", "52", "-c", "1")
        assert float(watts) == pytest.approx(compressor.power_kw * 1000, rel=1e-4)
        got = await poll(program, gateway.line.port, *panel, "-r", "0", "-c", "2")
        assert got == [str(round(compressor.bar * 100)), str(compressor.mode)]
        (text,) = await poll(program, gateway.line.port, "-a", "9", "-t", "4", "-r", "0", "-c", "1")
        assert "arget device failed" in text
        (text,) = await poll(
            program, lathe_io.line.port, "-a", "1", "-t", "3", "-r", "90", "-c", "1"
        )
        assert "llegal data address" in text
    finally:
        for device in (lathe_io, press_io, gateway):
            await device.close()


async def test_every_answer_has_a_running_number(world, need):
    program = need("mbpoll")
    told: list[tuple[int, str, int, bytes]] = []
    unit = MachineUnit(world.machines["lathe"], lathe.DEVICES[1])
    server = ModbusServer(
        {1: unit}, answered=lambda u, m, t, a, d: told.append((m.number, t, a, d))
    )
    await server.open()
    try:
        numbers = [
            await poll(program, server.port, "-a", "1", "-t", "3:int", "-B", "-r", "4", "-c", "1")
            for _ in range(3)
        ]
    finally:
        await server.close()
    assert [int(n[0]) for n in numbers] == [n for n, _, _, _ in told]
    assert [n for n, _, _, _ in told] == list(range(1, len(told) + 1))
    assert told[0][1:3] == ("input", 4)


async def test_lamps_blink_at_1_hz_of_real_time(world):
    saw = world.machines["saw"]
    saw.condition = 1  # starved
    lit = [saw.lamp("amber", Moment(t / 8, 1)) for t in range(24)]
    assert lit == [True] * 4 + [False] * 4 + [True] * 4 + [False] * 4 + [True] * 4 + [False] * 4
    assert not saw.lamp("red", Moment(0.0, 1))
    saw.condition = 4  # fault
    assert saw.lamp("red", Moment(0.7, 1))


async def test_a_late_device_answers_with_its_old_transaction(world):
    server = ModbusServer({1: MachineUnit(world.machines["lathe"], lathe.DEVICES[1])}, Link())
    await server.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = bytes.fromhex("0007 0000 0006 01 04 0001 0002")
    try:
        server.link.late_s = 0.2
        asked = time.monotonic()
        writer.write(request)
        answer = await asyncio.wait_for(reader.readexactly(13), 5)
        assert answer[:2] == b"\x00\x07"
        assert time.monotonic() - asked >= 0.2
        server.link.heal()
        server.link.garbage = True
        writer.write(request)
        assert (await asyncio.wait_for(reader.readexactly(4), 5)) == bytes.fromhex("dead0000")
        server.link.heal()
        server.link.offline = True
        writer.write(request)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(100), 5)
    finally:
        writer.close()
        await server.close()


async def test_the_dlt645_package_reads_both_meters(world, demo, tmp_path):
    from dlt645 import MeterClientService

    device = find(build(Setting(demo, world, tmp_path)), "meters")
    assert isinstance(device, PolledDevice)
    await device.open()
    port = device.line.port

    def read() -> dict[str, Any]:
        client = MeterClientService.new_tcp_client("127.0.0.1", port, 5.0)
        got: dict[str, Any] = {}
        try:
            for meter in ("000000000001", "000000000002"):
                client.set_address(bytes.fromhex(meter)[::-1].hex())  # it sends what it is given
                for item in (0x00010000, 0x02010100, 0x02020100, 0x02030000):
                    read = client.read_00 if item < 0x01000000 else client.read_02
                    found = read(item)
                    got[f"{meter} {item:08X}"] = None if found is None else found.value
        finally:
            client.client.disconnect()
        return got

    try:
        began = time.monotonic()
        got = await asyncio.to_thread(read)
        took_s = time.monotonic() - began
    finally:
        await device.close()
    incomer, washer = world.machines["incomer"], world.machines["washer"]
    assert got["000000000001 00010000"] == pytest.approx(incomer.meter_kwh / 40, abs=0.011)
    assert got["000000000001 02010100"] == pytest.approx(world.voltage[0], abs=0.11)
    assert got["000000000001 02020100"] == pytest.approx(incomer.phase_a(world)[0] / 40, abs=0.002)
    assert got["000000000001 02030000"] == pytest.approx(incomer.power_kw / 40, abs=2e-4)
    assert got["000000000002 00010000"] == pytest.approx(washer.meter_kwh, abs=0.011)
    assert got["000000000002 02030000"] == pytest.approx(washer.power_kw, abs=2e-4)
    # 8 exchanges of at least 16 + 22 bytes at 11 bits and 2400 baud, and a meter's turnaround
    assert took_s >= 8 * (38 * 11 / 2400 + 0.02)


def ask(address: str, control: int, data: bytes = b"") -> bytes:
    return frame(bytes.fromhex(address)[::-1], control, data)


def test_the_published_request_frame_and_its_answer():
    """energy.md O-32, by the broadcast address."""
    line = SerialLine({"000000000001": LineMeter(lambda: {"00010000": bcd(1234.56, 8, 2)})})
    request = bytes.fromhex("68 AA AA AA AA AA AA 68 11 04 33 33 34 33 AE 16")
    answer, _ = line.answer(request)
    assert answer is not None
    body = answer.lstrip(b"\xfe")
    assert body[1:7] == bytes.fromhex("010000000000")
    assert body[8:10] == bytes.fromhex("9108")
    assert bytes((b - 0x33) % 256 for b in body[14:18]) == bytes.fromhex("56341200")
    assert sum(body[:-2]) % 256 == body[-2]


def test_meters_answer_only_when_they_are_meant():
    shown = {"02010100": bcd(220.1, 4, 1)}
    off = LineMeter(lambda: shown, Link(offline=True))
    line = SerialLine({"000000000001": LineMeter(lambda: shown), "000000000002": off})
    item = bytes.fromhex("02010100")[::-1]
    assert line.answer(ask("000000000003", 0x11, item))[0] is None
    assert line.answer(ask("000000000002", 0x11, item))[0] is None
    unknown, _ = line.answer(ask("000000000001", 0x11, bytes.fromhex("0F0F0F0F")))
    assert unknown is not None
    assert unknown.lstrip(b"\xfe")[8:10] == bytes.fromhex("D101")
    own, _ = line.answer(ask("AAAAAAAAAAAA", 0x13))
    assert own is not None
    assert own.lstrip(b"\xfe")[8:10] == bytes.fromhex("9306")
    number = bytes.fromhex(RUNNING_NUMBER)[::-1]
    counts = [line.answer(ask("000000000001", 0x11, number))[0] for _ in range(2)]
    assert counts[0] != counts[1]


async def test_the_mill_is_read_over_a_secured_session_only(world, demo, tmp_path):
    from asyncua import Client, ua
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
    from asyncua.ua.uaerrors import UaError

    from simulators.opcua import _own

    device = find(build(Setting(demo, world, tmp_path)), "mill_cnc")
    assert isinstance(device, ServerDevice)
    await device.open()
    url = device.line.sources["mill_cnc"][0].url
    key, certificate = _own(tmp_path / "client")
    try:
        for user, password in ((None, None), ("edge1", "wrong"), ("admin", "mill-password")):
            with pytest.raises((UaError, OSError, TimeoutError)):
                await connect(Client(url, timeout=4), user, password, None)
            with pytest.raises((UaError, OSError, TimeoutError)):
                await connect(Client(url, timeout=4), user, password, (key, certificate))
        client = Client(url, timeout=4)
        client.set_user("edge1")
        client.set_password("mill-password")
        client.application_uri = "urn:kaikou:simulator:opcua"
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate,
            key,
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        async with client:
            spaces = await client.get_namespace_array()
            assert spaces[2] == "urn:kaikou:simulator:machine"
            node = client.get_node("ns=2;s=Mill.Power")
            found = await node.read_data_value()
            mill = world.machines["mill"]
            assert found.Value.Value == round(mill.power_kw, 2)
            assert round(found.SourceTimestamp.timestamp() * 1000) != 0
            from simulators.opcua import source_time

            assert found.SourceTimestamp.replace(tzinfo=None) == source_time(world.now_ms)
            state = await client.get_node("ns=2;s=Mill.State").read_value()
            parts = await client.get_node("ns=2;s=Mill.PartCount").read_value()
            assert (state, parts) == (2 if mill.condition == 3 else state, mill.parts)
            first = await client.get_node("ns=2;s=Mill.RunningNumber").read_value()
            await device.show()
            assert await client.get_node("ns=2;s=Mill.RunningNumber").read_value() == first + 1
            with pytest.raises(UaError):
                await node.write_value(1.0)
    finally:
        await device.close()


async def connect(client: Any, user: str | None, password: str | None, own: Any) -> None:
    from asyncua import ua
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

    if user:
        client.set_user(user)
        client.set_password(password)
    if own:
        client.application_uri = "urn:kaikou:simulator:opcua"
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            own[1],
            own[0],
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    async with client:
        await client.get_node("ns=2;s=Mill.Power").read_value()


def test_a_device_that_nobody_simulates_is_named(world, demo, tmp_path):
    from plant.errors import ConfigError

    assets = {**demo.assets, "lathe": replace(demo.assets["lathe"], type="furnace")}
    with pytest.raises(ConfigError, match="no simulated Modbus device of a furnace"):
        build(Setting(replace(demo, assets=assets), world, tmp_path))
    with pytest.raises(ConfigError, match="not marked"):
        build(Setting(replace(demo, simulated=False), world, tmp_path))


def test_every_address_of_the_plant_shows_what_the_machine_publishes(world, demo):
    """Registers, scales and catalogue agree: raw * scale + offset is what preload says."""
    from simulators.device import REGISTERS

    checked = 0
    for asset in demo.assets.values():
        if asset.id not in world.machines or asset.type not in REGISTERS:
            continue
        machine = world.machines[asset.id]
        said = machine.published(world)
        for signal in asset.signals:
            if signal.id not in said or signal.reading is None:
                continue
            at = signal.reading.at
            if not hasattr(at, "address"):
                continue
            edge = demo.edges[asset.edge]
            unit = edge.sources[signal.reading.source].unit
            register = next(
                r for r in REGISTERS[asset.type][unit] if f"{r.table}:{r.address}" == at.address
            )
            assert register.type == at.type
            raw = register.quantity(machine, Moment.now(1))
            value, _ = said[signal.id]
            assert raw * signal.scale + signal.offset == pytest.approx(value, rel=2e-3, abs=0.02)
            checked += 1
    assert checked >= 9


def test_doc_of_the_demo_names_only_loopback():
    text = Path(__file__).parents[2].joinpath("deploy/demo/plant.yaml").read_text("utf-8")
    assert set(re.findall(r"host: ([\w.]+)", text)) == {"127.0.0.1"}
