"""Faults: each does what it says, for as long as it says, on a clock of its own."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from plant.errors import ConfigError
from simulators.fault import KINDS, Fault, fit, parse
from simulators.lathe import Lathe
from simulators.mill import Mill
from simulators.press import Press
from simulators.scenario import gather, read_scenario
from simulators.station import Condition
from simulators.world import World

MakeWorld = Callable[..., World]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    world = make_world()
    world.advance(world.now_ms + 1_800_000)
    return world


def begin(world: World, *faults: Fault, rate: float = 1.0) -> None:
    world.faults = list(faults)
    world.fault_rate = rate
    fit(world.faults, world)


def under_load(world: World, minutes: float) -> list[float]:
    lathe, found = world.machines["lathe"], []
    assert isinstance(lathe, Lathe)
    for _ in range(int(minutes * 120)):
        world.step()
        if lathe.load > 0.1 and lathe.progress_s > 12:
            found.append(lathe.vibration)
    return found


def test_a_bearing_wears_warns_and_fails(world):
    lathe = world.machines["lathe"]
    sound = fmean(under_load(world, 10))
    begin(world, parse("bearing-wear"))
    early = fmean(under_load(world, 1))
    assert early == pytest.approx(sound, abs=0.25)
    under_load(world, 4)
    warned = fmean(under_load(world, 1))
    assert warned > sound + 0.4  # a quarter of zone B/C is the usual alarm (ISO 20816-3)
    under_load(world, 8)
    assert fmean(under_load(world, 1)) > 2.8  # zone C
    under_load(world, 4.5)
    assert lathe.wear > 0.95
    under_load(world, 1.5)
    assert lathe.condition == Condition.FAULT
    assert world.faults[0].phase == "failed"
    assert lathe.power_kw < 0.5
    under_load(world, 16)
    assert (lathe.wear, world.faults[0].phase) == (0.0, "over")
    under_load(world, 4)
    assert fmean(under_load(world, 3)) == pytest.approx(sound, abs=0.25)


def test_fault_time_is_life_time(world):
    """At ten times the plant's speed a bearing still takes twenty real minutes."""
    begin(world, parse("bearing-wear"), rate=0.1)
    under_load(world, 10)
    assert world.machines["lathe"].wear == pytest.approx(60 / 1200, abs=0.01)


def test_a_loose_sensor_is_erratic_whatever_the_machine_does(world):
    def spread(values: list[float]) -> float:
        return pstdev(values) / fmean(values)

    sound = spread(under_load(world, 5))
    begin(world, parse("loose-sensor"))
    under_load(world, 3)
    loose = spread(under_load(world, 5))
    assert sound < 0.15 < 0.5 < loose
    wear = world.machines["lathe"].wear
    assert wear == 0.0
    under_load(world, 25)
    assert spread(under_load(world, 3)) < 0.15


def test_a_wire_breaks_and_is_mended(world):
    press = world.machines["press"]
    assert isinstance(press, Press)
    begin(world, Fault("wire-break", "press", 0.0, {"loop": "pressure", "duration_s": 60}))
    under_load(world, 0.5)
    assert press.pressure_ma() == 0.0
    assert press.oil_ma() > 3.8
    assert press.published(world)["pressure"][1] & 0x8000_0000
    under_load(world, 1)
    assert press.pressure_ma() >= 3.8


def test_a_meter_starts_again_at_zero_and_goes_on(world):
    compressor = world.machines["compressor"]
    true = compressor.energy_kwh
    begin(world, parse("meter-reset@10"))
    under_load(world, 1)
    assert 0.0 < compressor.meter_kwh < 1.0
    assert compressor.energy_kwh > true


def test_a_jam_stops_the_machine_and_the_line_feels_it(world):
    washer, press = world.machines["washer"], world.machines["press"]
    begin(world, Fault("jam", "washer", 0.0, {"duration_s": 900}))
    before = washer.parts
    starved = 0
    for _ in range(1700):
        world.step()
        starved += press.condition == Condition.STARVED
    assert washer.parts <= before + 1
    assert washer.condition == Condition.FAULT
    assert starved > 500
    assert world.machines["mill"].condition == Condition.BLOCKED
    under_load(world, 4)
    assert washer.parts > before + 1


def test_blunt_tools_make_scrap(world):
    gauge, mill = world.machines["gauge"], world.machines["mill"]
    assert isinstance(mill, Mill)
    begin(world, Fault("tool-wear-scrap", "mill", 0.0, {"life_s": 3600}))
    good, rejects = gauge.good, gauge.rejects
    under_load(world, 85)
    share = (gauge.rejects - rejects) / (gauge.rejects - rejects + gauge.good - good)
    assert 0.10 < share < 0.35
    under_load(world, 10)
    assert mill.tool_wear == 0.0


def test_devices_go_offline_and_come_late(world):
    begin(world, parse("device-offline"), parse("late-reply@30"))
    under_load(world, 1)
    assert world.machines["press"].link.offline
    assert world.machines["gauge"].link.late_s == 3.0
    under_load(world, 2)
    assert not world.machines["press"].link.offline
    assert world.machines["gauge"].link.late_s == 0.0


def test_what_happened_is_in_the_ledger(make_world: MakeWorld):
    notes: list[tuple[int, str, str, Any]] = []
    world = make_world(note=lambda *note: notes.append(note))
    begin(world, parse("jam:saw"))
    under_load(world, 5)
    phases = [data["phase"] for _, asset, kind, data in notes if (asset, kind) == ("saw", "fault")]
    assert phases == ["active", "over"]
    parts = [data["count"] for _, asset, kind, data in notes if (asset, kind) == ("lathe", "part")]
    assert parts == list(range(1, world.machines["lathe"].parts + 1))


def test_command_line_and_scenario(tmp_path: Path, world):
    assert [f.kind for f in gather({"faults": ["none"]})] == []
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "- {at: 60, fault: jam, machine: press, duration_s: 30}\n- {fault: bearing-wear}\n"
    )
    faults = gather({"faults": ["wire-break:press@5"], "scenario": file})
    assert [(f.kind, f.machine, f.at_s) for f in faults] == [
        ("wire-break", "press", 5.0),
        ("jam", "press", 60.0),
        ("bearing-wear", "lathe", 0.0),
    ]
    fit(faults, world)
    with pytest.raises(ConfigError, match="no fault 'jamm'; known"):
        parse("jamm")
    with pytest.raises(ConfigError, match="no simulated machine 'pres'"):
        fit([parse("jam:pres")], world)
    with pytest.raises(ConfigError, match="cannot happen to 'press'"):
        fit([parse("bearing-wear:press")], world)


def test_a_wrong_scenario_is_told_by_line(tmp_path: Path):
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "- {at: -1, fault: jam}\n- {fault: jem}\n- {fault: jam, durations: 3}\n- just words\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_scenario(file)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "4"]
    assert "did you mean 'jam'" in lines[1]
    assert "did you mean 'duration_s'" in lines[2]


def test_every_fault_says_what_it_does():
    assert len(KINDS) == 8
    for kind in KINDS.values():
        assert kind.text.en
        assert kind.text.zh


def test_the_demos_scenario_is_sound(world):
    faults = read_scenario(Path(__file__).parents[2] / "deploy" / "demo" / "scenario.yaml")
    fit(faults, world)
    assert len({f.kind for f in faults}) == 7
