"""First rows: what the edge would have published, and no jump into the live plant."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plant.flow.clock import ManualClock, PlantClock, UtcClock
from plant.flow.port import Ports
from plant.model.plant import Plant
from plant.model.signal import Origin
from simulators.ledger import Ledger
from simulators.preload import run_ahead, write_preload
from simulators.service import Simulation, check_factor, run
from simulators.world import World
from tests.simulators.conftest import MONDAY_8, load_demo

MakeWorld = Callable[..., World]
H = 3_600_000


@pytest.fixture(scope="module")
def first_rows(demo, tmp_path_factory) -> tuple[Plant, World, dict[str, np.ndarray]]:
    world = World(demo, MONDAY_8)
    recorder = run_ahead(demo, world, MONDAY_8 + 2 * H)
    file = tmp_path_factory.mktemp("preload") / "preload.npz"
    write_preload(file, recorder, world)
    with np.load(file) as found:
        return demo, world, dict(found)


def of(rows: dict[str, np.ndarray], path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at = rows["signal"] == rows["paths"].tolist().index(path)
    return rows["source_time"][at], rows["value"][at], rows["status"][at]


def test_every_published_signal_of_a_machine_has_rows(first_rows):
    plant, world, rows = first_rows
    expected = {s.path for s in plant.published(Origin.EDGE) if s.asset in world.machines}
    assert set(rows["paths"].tolist()) == expected
    assert set(rows["signal"].tolist()) == set(range(len(expected)))
    assert (np.diff(rows["source_time"]) >= 0).all()
    assert rows["source_time"].min() > MONDAY_8
    assert rows["source_time"].max() <= MONDAY_8 + 2 * H
    pairs = set(zip(rows["signal"].tolist(), rows["source_time"].tolist(), strict=True))
    assert len(pairs) == len(rows["signal"])


def test_rows_are_by_change_and_within_the_longest_interval(first_rows):
    plant, _, rows = first_rows
    for path in rows["paths"].tolist():
        if path.endswith("last_good_read"):
            continue
        asset, _, name = path.partition("/")
        signal = plant.assets[asset].signal(name)
        times, values, _ = of(rows, path)
        assert np.diff(times).max() <= signal.max_interval * 1000 + 5000
        steps = np.abs(np.diff(values))
        told = np.diff(times) < signal.max_interval * 1000
        assert (steps[told] > 0).all()
        if signal.range:
            assert signal.range[0] <= values.min() <= values.max() <= signal.range[1], path


def test_counters_rise_and_estimates_are_uncertain(first_rows):
    _, _, rows = first_rows
    for path in ("lathe/part_count", "press/energy", "incomer/energy", "gauge/good_count"):
        _, values, status = of(rows, path)
        assert (np.diff(values) >= 0).all()
        assert (status == 0).all()
        assert values[-1] > values[0]
    assert (of(rows, "saw/power")[2] == 0x4000_0000).all()
    # the incomer's register moves in steps of 0.4 kWh
    steps = np.diff(of(rows, "incomer/energy")[1])
    assert np.allclose(np.round(steps / 0.4), steps / 0.4, atol=1e-6)


def test_counts_go_on_from_the_seed(first_rows):
    _, world, rows = first_rows
    seeds = dict(zip(rows["seed_paths"].tolist(), range(99), strict=False))
    assert {"lathe/part_count", "press/energy", "gauge/good_count"} <= set(seeds)
    assert "mill/part_count" not in seeds
    at = seeds["press/energy"]
    assert rows["seed_raw"][at] == world.machines["press"].s0_pulses & 0xFFFF
    assert rows["seed_total"][at] == pytest.approx(of(rows, "press/energy")[1][-1], abs=0.02)
    assert (rows["seed_time"] == world.now_ms).all()


def test_the_live_world_continues_where_the_rows_end(demo, tmp_path):
    """The registers after the run ahead are those of an undisturbed world."""
    clock = ManualClock(MONDAY_8 + 8 * H)
    ports = Ports(clock, tmp_path, options={"preload": str(tmp_path / "p.npz")})
    simulation = Simulation(demo, ports)
    simulation.start()
    undisturbed = World(demo, MONDAY_8)
    undisturbed.advance(clock.now())
    for machine in simulation.world:
        assert machine.meter_kwh == undisturbed.machines[machine.id].meter_kwh
    with np.load(tmp_path / "p.npz") as rows:
        assert of(dict(rows), "lathe/part_count")[1][-1] == undisturbed.machines["lathe"].parts
        assert 50_000 < len(rows["signal"]) < 300_000


def test_a_second_start_keeps_registers_and_writes_no_rows(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.service.MOST_MS", H)
    clock = ManualClock(MONDAY_8 + 8 * H)
    options = {"preload": str(tmp_path / "p.npz"), "faults": ["bearing-wear"]}
    first = Simulation(demo, Ports(clock, tmp_path, options=options))
    first.start()
    first.world.advance(clock.now() + 120_000)
    assert first.world.machines["lathe"].wear == pytest.approx(0.1)
    first.keep(stopped=True)
    (tmp_path / "p.npz").unlink()
    clock.advance(H // 2)
    second = Simulation(demo, Ports(clock, tmp_path, options=options))
    second.start()
    assert not (tmp_path / "p.npz").exists()
    for machine in second.world:
        assert machine.meter_kwh >= first.world.machines[machine.id].meter_kwh
    assert second.world.now_ms == clock.now()
    # what was announced begins anew: the bearing was changed meanwhile
    assert [(f.kind, f.clock_s) for f in second.world.faults] == [("bearing-wear", 0.0)]
    assert second.world.machines["lathe"].wear == 0.0


@pytest.mark.parametrize("missing", ["mains", "machines", "everything", "the end"])
def test_a_state_of_another_version_is_as_none(demo, tmp_path, missing, caplog):
    clock = ManualClock(MONDAY_8 + 8 * H)
    first = Simulation(demo, Ports(clock, tmp_path))
    first.world.advance(first.world.now_ms + 60_000)
    first.keep()
    file = tmp_path / "world.json"
    kept = json.loads(file.read_text("utf-8"))
    kept.pop(missing, None)
    text = json.dumps([] if missing == "everything" else kept)
    file.write_text(text[:-9] if missing == "the end" else text, "utf-8")
    second = Simulation(demo, Ports(clock, tmp_path))
    second.start()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert second.world.now_ms == clock.now()
    assert second.world.machines["lathe"].parts < 15, "not the parts of eight hours"


def test_a_crash_is_replayed_to_the_same_registers(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.service.MOST_MS", H)
    clock = ManualClock(MONDAY_8 + 8 * H)
    first = Simulation(demo, Ports(clock, tmp_path, options={"faults": ["jam@2"]}))
    first.start()
    clock.advance(9_000)
    first.world.advance(clock.now())  # and dies here, its last save nine seconds old
    second = Simulation(demo, Ports(clock, tmp_path, options={"faults": ["jam@2"]}))
    second.start()
    assert json.dumps(second.world.snapshot()) == json.dumps(first.world.snapshot())


def test_a_factor_that_polls_cannot_resolve_is_refused(demo):
    from plant.errors import ConfigError

    check_factor(demo, 1.0)
    check_factor(demo, 60.0)
    with pytest.raises(ConfigError, match=r"too fast: gauge .* at most --factor"):
        check_factor(demo, 1000.0)
    with pytest.raises(ConfigError, match="at 1 or faster"):
        check_factor(demo, 0.5)


async def reachable(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def test_the_service_serves_the_plant_and_stops(tmp_path: Path):
    plant = load_demo()
    begun = asyncio.Event()
    options = {"seed": 3, "faults": ["jam:saw"]}
    service = asyncio.ensure_future(
        run(plant, Ports(UtcClock(), tmp_path, ready=begun.set, options=options))
    )
    try:
        done, _ = await asyncio.wait(
            {asyncio.ensure_future(begun.wait()), service},
            timeout=40,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert done
        assert begun.is_set(), service
        for source in ("saw_io", "mill_cnc", "meters"):
            config = plant.edges["edge1"].sources[source]
            port = getattr(config, "port", None) or int(config.url.split(":")[2].split("/")[0])
            async with asyncio.timeout(30):
                await reachable(port)
        async with asyncio.timeout(10):
            while not [line for line in Ledger.read(tmp_path) if line["kind"] == "fault"]:
                await asyncio.sleep(0.05)
    finally:
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)
    assert json.loads((tmp_path / "world.json").read_text())["machines"]["saw"]


async def test_a_fast_plant_keeps_up_and_its_faults_keep_their_time(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.service.MOST_MS", H)
    clock = PlantClock(UtcClock().now(), 30.0, UtcClock())
    simulation = Simulation(demo, Ports(clock, tmp_path, options={"faults": ["bearing-wear"]}))
    simulation.start()
    begun = simulation.world.now_ms
    live = asyncio.ensure_future(simulation.live())
    try:
        async with asyncio.timeout(30):
            while simulation.world.now_ms < begun + 60_000:
                await asyncio.sleep(0.02)
    finally:
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)
    (fault,) = simulation.world.faults
    assert fault.clock_s == pytest.approx((simulation.world.now_ms - begun) / 30_000)


async def test_a_full_disk_ends_no_simulated_machine(
    demo: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("simulators.service.MOST_MS", H)
    monkeypatch.setattr("simulators.service.KEEP_S", 0.0)
    simulation = Simulation(demo, Ports(UtcClock(), tmp_path, options={"faults": ["jam:saw"]}))
    simulation.start()
    (tmp_path / "ledger.jsonl").unlink(missing_ok=True)
    (tmp_path / "ledger.jsonl").symlink_to("/dev/full")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simulators.service.write_object", full)
    live = asyncio.ensure_future(simulation.live())
    try:
        async with asyncio.timeout(20):
            while "lost: No space left on device" not in caplog.text:
                await asyncio.sleep(0.02)
        monkeypatch.undo()
        caplog.set_level("INFO")
        async with asyncio.timeout(30):
            while "continues from: back after" not in caplog.text and not live.done():
                await asyncio.sleep(0.05)
                monkeypatch.setattr("simulators.service.KEEP_S", 0.0)
        assert not live.done()
    finally:
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)
