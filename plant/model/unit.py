"""Units of measure by quantity: what may be written as ``unit:`` and what fits what.

Spelled as printed on plates and screens; the UCUM code is kept beside for exports.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its quantity, and the factor and offset to the quantity's SI unit."""

    quantity: str
    factor: float
    offset: float = 0.0


UNITS: dict[str, Unit] = {
    "": Unit("number", 1.0),
    "%": Unit("ratio", 0.01),
    "W": Unit("power", 1.0),
    "kW": Unit("power", 1e3),
    "MW": Unit("power", 1e6),
    "var": Unit("reactive power", 1.0),
    "kvar": Unit("reactive power", 1e3),
    "VA": Unit("apparent power", 1.0),
    "kVA": Unit("apparent power", 1e3),
    "J": Unit("energy", 1.0),
    "Wh": Unit("energy", 3.6e3),
    "kWh": Unit("energy", 3.6e6),
    "MWh": Unit("energy", 3.6e9),
    "kvarh": Unit("reactive energy", 3.6e6),
    "V": Unit("voltage", 1.0),
    "kV": Unit("voltage", 1e3),
    "mA": Unit("current", 1e-3),
    "A": Unit("current", 1.0),
    "Hz": Unit("frequency", 1.0),
    "1/min": Unit("rotational speed", 1.0 / 60.0),
    "degC": Unit("temperature", 1.0, 273.15),
    "K": Unit("temperature", 1.0),
    "Pa": Unit("pressure", 1.0),
    "kPa": Unit("pressure", 1e3),
    "MPa": Unit("pressure", 1e6),
    "mbar": Unit("pressure", 1e2),
    "bar": Unit("pressure", 1e5),
    "mm/s": Unit("velocity", 1e-3),
    "m/s": Unit("velocity", 1.0),
    "m/s2": Unit("acceleration", 1.0),
    "g": Unit("acceleration", 9.80665),
    "mm": Unit("length", 1e-3),
    "m": Unit("length", 1.0),
    "m3": Unit("volume", 1.0),
    "L": Unit("volume", 1e-3),
    "m3/h": Unit("volume flow", 1.0 / 3600.0),
    "L/min": Unit("volume flow", 1e-3 / 60.0),
    "kg": Unit("mass", 1.0),
    "N": Unit("force", 1.0),
    "kN": Unit("force", 1e3),
    "ms": Unit("time", 1e-3),
    "s": Unit("time", 1.0),
    "min": Unit("time", 60.0),
    "h": Unit("time", 3600.0),
    "B": Unit("data", 1.0),
    "1/s": Unit("rate", 1.0),
}
