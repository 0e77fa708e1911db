"""Our units as OPC UA's EUInformation (OPC 10000-8 5.6.4.3): UNECE Recommendation 20 codes."""

from plant.model.unit import known_units

NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"


def unit_id(unit: str) -> int:
    """The number OPC UA makes of a common code: its letters as a big-endian integer.

    A unit without one (a plant's own) has -1.

    >>> unit_id("kW"), unit_id("degC"), unit_id("CNY")
    (4937556, 4408652, -1)
    """
    known = known_units().find(unit)
    code = known.rec20 if known is not None and known.symbol == unit else ""
    return int.from_bytes(code.encode(), "big") if code else -1
