"""Our units as OPC UA's EUInformation (OPC 10000-8 5.6.4.3): UNECE Recommendation 20 codes."""

from plant.model.unit import UNITS

NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"

CODES = {
    "%": "P1",
    "W": "WTT",
    "kW": "KWT",
    "MW": "MAW",
    "var": "D44",
    "kvar": "KVR",
    "VA": "D46",
    "kVA": "KVA",
    "J": "JOU",
    "Wh": "WHR",
    "kWh": "KWH",
    "MWh": "MWH",
    "kvarh": "K3",
    "V": "VLT",
    "kV": "KVT",
    "mA": "4K",
    "A": "AMP",
    "Hz": "HTZ",
    "1/min": "RPM",
    "degC": "CEL",
    "K": "KEL",
    "Pa": "PAL",
    "kPa": "KPA",
    "MPa": "MPA",
    "mbar": "MBR",
    "bar": "BAR",
    "mm/s": "C16",
    "m/s": "MTS",
    "m/s2": "MSK",
    "g": "K40",
    "mm": "MMT",
    "m": "MTR",
    "m3": "MTQ",
    "L": "LTR",
    "m3/h": "MQH",
    "L/min": "L2",
    "kg": "KGM",
    "N": "NEW",
    "kN": "B47",
    "ms": "C26",
    "s": "SEC",
    "min": "MIN",
    "h": "HUR",
    "B": "AD",
    "1/s": "C97",
}
"""As printed -> common code. A unit without one has id -1."""


def unit_id(unit: str) -> int:
    """The number OPC UA makes of a common code: its letters as a big-endian integer.

    >>> unit_id("kW"), unit_id("degC"), unit_id("CNY")
    (4937556, 4408652, -1)
    """
    code = CODES.get(unit)
    return -1 if code is None else int.from_bytes(code.encode(), "big")


def known() -> bool:
    """Whether every code belongs to a unit that plant.yaml may use."""
    return set(CODES) <= set(UNITS)
