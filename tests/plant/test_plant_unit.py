"""Units: what may be written, what it is, and what becomes what - once."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.adapters import KINDS as SOURCES
from edge.adapters.dlt645_item import ITEMS
from edge.conditioning import KINDS as CONDITIONS
from plant.errors import ConfigError
from plant.model.load import load
from plant.model.plant import Plant
from plant.model.signal import Signal
from plant.model.unit import Unit, between, known_units, normal
from twin.historian import KINDS as HISTORIANS

UNITS = known_units()
KINDS: Any = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
ON_MACHINES = {
    "°C": "degC", "℃": "degC", "Cel": "degC", "rpm": "1/min", "r/min": "1/min", "转/分": "1/min",
    "t": "t", "kg/h": "kg/h", "N·m": "N·m", "Nm": "N·m", "N.m": "N·m", "psi": "psi", "µm": "µm",
    "\u03bcm": "µm", "um": "µm", "mm/min": "mm/min", "m/min": "m/min", "ppm": "ppm", "pH": "pH",
    "mS/cm": "mS/cm", "µS/cm": "µS/cm", "dB": "dB", "dB(A)": "dB(A)", "pcs": "pcs", "件": "pcs",
    "GJ": "GJ", "度": "kWh", "千瓦时": "kWh", "kW·h": "kWh", "kW.h": "kWh", "KWH": "kWh",
    "KWT": "kW", "m³/h": "m3/h", "㎥": "m3", "l/min": "L/min", "％": "%", "min⁻¹": "1/min",
    "m/s²": "m/s2", "m/s^2": "m/s2", "kgf/cm²": "kgf/cm2", "Ω": "Ω", "Ohm": "Ω", "°": "°",
    "VA": "VA", "kV·A": "kVA", "[psi]": "psi", "kvar·h": "kvarh", "Nm3/h": "Nm3/h", "吨/时": "t/h",
}  # fmt: skip


@pytest.mark.parametrize(("written", "symbol"), ON_MACHINES.items())
def test_what_stands_on_machines_is_known(written: str, symbol: str) -> None:
    unit = UNITS.find(written)
    assert unit is not None
    assert unit.symbol == symbol


def test_a_spelling_means_one_unit_of_a_quantity() -> None:
    meant: dict[tuple[str, str], Unit] = {}
    for unit in UNITS.all:
        for text in filter(None, (unit.symbol, unit.ucum, unit.rec20, *unit.names)):
            other = meant.setdefault((normal(text), unit.quantity), unit)
            assert other is unit, f"{text}: {other.symbol} and {unit.symbol}"


def test_every_unit_that_a_meter_of_dlt645_tells_is_known() -> None:
    told = {entry["unit"] for _, entry in ITEMS._families}
    assert [unit for unit in told if UNITS.find(str(unit)) is None] == []


@pytest.mark.parametrize(
    ("value", "given", "wanted", "expected"),
    [
        (12_500.0, "W", "kW", 12.5), (974.0, "Wh", "kWh", 0.974), (0.25, "MWh", "kWh", 250.0),
        (3.6, "MJ", "kWh", 1.0), (1.0, "GJ", "kWh", 1000 / 3.6), (0.85, "1", "%", 85.0),
        (450.0, "ppm", "%", 0.045), (1.0, "MPa", "bar", 10.0), (1e3, "psi", "bar", 68.94757293168),
        (60.0, "L/min", "m3/h", 3.6), (0.1, "in/s", "mm/s", 2.54), (212.0, "°F", "degC", 100.0),
        (300.15, "K", "degC", 27.0), (-40.0, "degC", "°F", -40.0), (1.0, "kvar·h", "varh", 1000.0),
        (2.0, "r/s", "rpm", 120.0), (1.0, "t/h", "kg/h", 1000.0), (1.0, "kgf/cm2", "kPa", 98.0665),
    ],
)  # fmt: skip
def test_amounts_are_converted(value: float, given: str, wanted: str, expected: float) -> None:
    conversion = UNITS.conversion(given, wanted)
    assert conversion is not None
    assert conversion.of(value) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pair", ["W Wh", "kW kvar", "kWh kVAh", "bar kW", "m3/h Nm3/h", "% ''"])
def test_what_is_of_two_quantities_is_not_converted(pair: str) -> None:
    given, wanted = pair.replace("''", " ").split(" ", 1)
    assert UNITS.conversion(given, wanted.strip()) is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([u for u in UNITS.all if u.symbol]), st.integers(0, 40), st.floats(-1e6, 1e6)
)
def test_there_and_back_is_the_same(unit: Unit, pick: int, value: float) -> None:
    peers = [u for u in UNITS.all if u.quantity == unit.quantity]
    other = peers[pick % len(peers)]
    there, back = between(unit, other), between(other, unit)
    assert (
        Fraction(value) == (Fraction(value) * there.factor + there.zero) * back.factor + back.zero
    )


def _plant(tmp_path: Path, signals: dict[str, Any], **more: Any) -> Plant:
    """One machine of a type, with the given signals read from Modbus."""
    of_type = more.pop("of_type", "machine")
    name = {"zh": "机", "en": "M"}
    io = {"kind": "modbus", "host": "127.0.0.1", "port": 502}
    bus = {"kind": "dlt645", "host": "127.0.0.1", "port": 503}
    given = {
        "kaikou": 1, "enterprise": "test", "site": {"id": "unit", "name": name, "timezone": "UTC"},
        "edges": {"edge1": {"name": name, "sources": {"io": io, "bus": bus}}},
        "assets": {"m": {"type": of_type, "name": name, "edge": "edge1", "signals": signals}},
    } | more  # fmt: skip
    file = tmp_path / "plant.yaml"
    file.write_text(yaml.safe_dump(given, allow_unicode=True), "utf-8")
    return load(file, KINDS, {})


def _signal(plant: Plant, id: str) -> Signal:
    signal = plant.assets["m"].signal(id)
    assert signal is not None
    return signal


def _read(register: int, **more: Any) -> dict[str, Any]:
    return {"source": "io", "at": f"input:{register} float32", **more}


OWN = {"name": {"en": "X"}, "kind": "measurement"}
MADE = {"condition": {"kind": "current_power"}}


def test_a_devices_unit_is_converted_to_that_of_the_type(tmp_path: Path) -> None:
    signals = {
        "power": _read(0, unit="W", deadband=50, range=[0, 30_000]),
        "energy": _read(2, unit="Wh", modulus=1e9, scale=10),
    }
    plant = _plant(tmp_path, signals, of_type="milling_machine")
    power, energy = _signal(plant, "power"), _signal(plant, "energy")
    assert (power.unit, power.scale, power.deadband, power.range) == ("kW", 0.001, 0.05, (0, 30))
    assert (energy.unit, energy.scale, energy.modulus) == ("kWh", 0.01, 1e6)


def test_numbers_of_the_type_stay_in_the_types_unit(tmp_path: Path) -> None:
    signals = {"pressure": _read(0, unit="psi"), "oil_temperature": _read(2, unit="°F", deadband=9)}
    plant = _plant(tmp_path, signals, of_type="press")
    pressure, oil = _signal(plant, "pressure"), _signal(plant, "oil_temperature")
    assert (pressure.unit, pressure.range, pressure.deadband) == ("bar", (0, 250), 1)
    assert (oil.unit, oil.range, oil.deadband) == ("degC", (0, 100), 5.0)
    assert 212 * oil.scale + oil.offset == pytest.approx(100.0)


def test_a_signal_of_no_type_is_published_as_plant_yaml_says(tmp_path: Path) -> None:
    signals = {
        "zone": OWN | _read(0, unit="°F", range=[0, 500]),
        "torque": OWN | _read(2, unit="Nm"),
    }
    plant = _plant(tmp_path, signals)
    zone, torque = _signal(plant, "zone"), _signal(plant, "torque")
    assert (zone.unit, zone.scale, zone.offset, zone.range) == ("degF", 1.0, 0.0, (0, 500))
    assert torque.unit == "N·m"


def test_what_figures_are_computed_from_has_one_unit_in_every_plant(tmp_path: Path) -> None:
    types = tmp_path / "types"
    types.mkdir()
    (types / "oven.yaml").write_text(
        "type: oven\nrole: utility\nname: {en: Oven}\nsignals:\n"
        "  power: {name: {en: Power}, kind: measurement, unit: W, range: [0, 9000], deadband: 10}\n"
        "  energy: {name: {en: Energy}, kind: counter, unit: MJ}\n",
        "utf-8",
    )
    count = {"name": {"en": "Parts"}, "kind": "counter"} | _read(4, unit="千件", modulus=60)
    signals = {"power": _read(0), "energy": _read(2), "part_count": count}
    plant = _plant(tmp_path, signals, of_type="oven", catalog="types")
    parts = _signal(plant, "part_count")
    assert (parts.unit, parts.scale, parts.modulus) == ("pcs", 1000.0, 60_000)
    power, energy = _signal(plant, "power"), _signal(plant, "energy")
    assert (power.unit, power.scale, power.range, power.deadband) == ("kW", 0.001, (0, 9), 0.01)
    assert (energy.unit, energy.scale) == ("kWh", pytest.approx(1 / 3.6))


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ({"power": _read(0, unit="kWh")}, "'kWh' is a unit of energy; the type has this signal"),
        ({"power": _read(0, unit="%")}, "'%' is a unit of ratio"),
        ({"x": OWN | _read(0, unit="KPa")}, "unknown unit 'KPa'; did you mean 'kPa'?"),
        ({"x": OWN | _read(0, unit="furlong")}, "unknown unit 'furlong'; `kaikou units`"),
        ({"x": OWN | {"kind": "counter"} | _read(0, unit="psi")}, "cannot count pressure"),
        ({"state": {"unit": "kW"}}, "a state has no unit"),
        ({"oee": {"unit": "ppm"}, "part_count": _read(0)}, "is by twin, which gives it in '%'"),
        ({"power": {"source": "bus", "at": "000000000001 00010000"}}, "is 'kWh' by itself"),
        ({"a": OWN | _read(0, unit="bar"), "power": {"of": ["a"]} | MADE}, "takes 'A'"),
        (
            {"a": OWN | _read(0, unit="A"), "power": {"of": ["a"], "scale": 2} | MADE},
            "a condition scales by itself",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused(
    tmp_path: Path, signal: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _plant(tmp_path, signal)
    assert expected in str(caught.value)


def test_a_meter_that_knows_its_unit_is_believed(tmp_path: Path) -> None:
    item = {"source": "bus", "at": "000000000001 02030000"}
    plant = _plant(tmp_path, {"power": item | {"scale": 40}, "watts": OWN | item | {"unit": "W"}})
    assert _signal(plant, "power").scale == 40
    assert (_signal(plant, "watts").unit, _signal(plant, "watts").scale) == ("W", 1000.0)
    said = item | {"unit": "W"}
    assert _signal(_plant(tmp_path, {"power": said}), "power").scale == 1.0
    scaled = OWN | said | {"scale": 1000}
    assert _signal(_plant(tmp_path, {"watts": scaled}), "watts").scale == 1000.0
    types = tmp_path / "types"
    types.mkdir()
    (types / "boiler.yaml").write_text(
        "type: boiler\nsignals: {watts: {name: {en: W}, kind: measurement, unit: W}}\n", "utf-8"
    )
    with pytest.raises(ConfigError, match="which unit"):
        _plant(tmp_path, {"watts": item | {"scale": 40}}, of_type="boiler", catalog="types")


def test_units_of_the_plants_own_have_a_factor(tmp_path: Path) -> None:
    units = {
        "kgce": {"unit": "MJ", "factor": 29.3076},
        "barg": {"unit": "bar", "zero": 1.01325},
        "stroke": {},
    }
    signals = {
        "energy": _read(0, unit="kgce"),
        "strokes": OWN | {"kind": "counter"} | _read(2, unit="stroke"),
        "p": OWN | _read(4, unit="barg"),
    }  # fmt: skip
    plant = _plant(tmp_path, signals, units=units)
    assert _signal(plant, "energy").scale == pytest.approx(29.3076 / 3.6)
    assert _signal(plant, "strokes").unit == "stroke"
    conversion = plant.units.conversion("barg", "bar")
    assert conversion is not None
    assert conversion.of(7.0) == pytest.approx(8.01325)
    assert plant.units.conversion("stroke", "pcs") is None


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"rpm": {"unit": "1/min"}}, "units.rpm: is a unit already: 1/min"),
        ({"x": {"unit": "furlong"}}, "units.x.unit: unknown unit 'furlong'"),
        ({"x": {"unit": "m", "factor": 0}}, "units.x.factor: input should be greater than 0"),
    ],
)
def test_an_own_unit_that_is_none_is_refused(tmp_path: Path, units: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _plant(tmp_path, {}, units=units)
    assert expected in str(caught.value)


def test_every_factor_is_a_number() -> None:
    assert all(u.factor > 0 and math.isfinite(float(u.factor)) for u in UNITS.all)
