"""Units of measure: what may be written as ``unit:``, what it is, and what can become what.

A signal is published in one unit; what a device gives in another of the same quantity is converted
once, where it is read. Amounts of one quantity differ by a factor, temperatures also by where zero
is: a difference (a deadband) knows no zero.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from math import isfinite

from plant.model.unit_table import TABLE

_DOT = str.maketrans(dict.fromkeys(".*⋅∙•‧×", "·") | {"^": "", "−": "-"})
_LITRE = re.compile(r"(?<![A-Za-z])([μmcdhk]?)l(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit; ``value * factor + zero`` is the amount in the base unit of its quantity.

    symbol  as it is published and stored
    adds    whether amounts add up over time, so that a counter can count them
    ucum    its code there; "" for none. ``rec20`` is that of UNECE Recommendation 20
    names   further spellings
    """

    symbol: str
    quantity: str
    factor: Fraction = Fraction(1)
    zero: Fraction = Fraction(0)
    adds: bool = True
    ucum: str = ""
    rec20: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversion:
    """From one unit to another of the same quantity.

    >>> known_units().conversion("W", "kW").of(12_500)
    12.5
    >>> fahrenheit = known_units().conversion("°F", "degC")
    >>> round(fahrenheit.of(212), 9), fahrenheit.difference(9)
    (100.0, 5.0)
    """

    factor: Fraction = Fraction(1)
    zero: Fraction = Fraction(0)

    @property
    def none(self) -> bool:
        """Whether it changes nothing."""
        return self.factor == 1 and self.zero == 0

    def of(self, value: float) -> float:
        """An amount; exact to the last digit of a float. What is without bound stays so."""
        if not isfinite(value):
            return value
        return float(Fraction(value) * self.factor + self.zero)

    def difference(self, value: float) -> float:
        """A difference of two amounts."""
        if not isfinite(value):
            return value
        return float(Fraction(value) * self.factor)

    def scaled(self, scale: float, offset: float) -> tuple[float, float]:
        """``raw * scale + offset``, then this, as one scale and offset.

        >>> known_units().conversion("W", "kW").scaled(0.1, 5.0)
        (0.0001, 0.005)
        """
        return float(_written(scale) * self.factor), self.of(offset)


def _written(number: float) -> Fraction:
    """A number as people wrote it: 0.1 is a tenth and not the nearest float to it."""
    return Fraction(repr(float(number)))


def normal(text: str) -> str:
    """A spelling without what tells no units apart: ``N m`` and ``N·m``, ``㎥`` and ``m3``.

    >>> [normal(t) for t in ("℃", "m³/h", "N.m", "µm", "min⁻¹", "％")] == [
    ...     "°C", "m3/h", "N·m", "μm", "min-1", "%"]
    True
    """
    return _LITRE.sub(r"\1L", "".join(unicodedata.normalize("NFKC", text).translate(_DOT).split()))


class Units:
    """A table of units; a plant's own come after Kaikou's.

    >>> units = known_units()
    >>> [units.find(t).symbol for t in ("kW", "千瓦", "KWT", "W.h", "rpm", "°C", "度", "m³/h")]
    ['kW', 'kW', 'kW', 'Wh', '1/min', 'degC', 'kWh', 'm3/h']
    >>> units.find("度", like="temperature").symbol, units.find("kw")
    ('degC', None)
    >>> units.conversion("bar", "kW") is None
    True
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self.all = tuple(units)
        self._by_symbol = {u.symbol: u for u in self.all}
        self._named: dict[str, list[Unit]] = {}
        for spellings in (_symbols, _codes, _names, _common):
            for unit in self.all:
                for text in spellings(unit):
                    named = self._named.setdefault(normal(text), [])
                    if unit not in named:
                        named.append(unit)

    def find(self, text: str, like: str | None = None) -> Unit | None:
        """The unit that a spelling means; of several, that of the quantity ``like``."""
        named = self._named.get(normal(text), [])
        exact = self._by_symbol.get(text)
        if exact is not None and (like is None or exact.quantity == like):
            return exact
        return next((u for u in named if u.quantity == like), named[0] if named else None)

    def conversion(self, given: str, wanted: str) -> Conversion | None:
        """From one unit to another; None where there is no way."""
        into = self.find(wanted)
        of = self.find(given, into.quantity if into else None)
        if of is None or into is None or of.quantity != into.quantity:
            return None
        return between(of, into)

    def hint(self, text: str) -> str:
        """What was probably meant, to be put behind a complaint.

        >>> [known_units().hint(text) for text in ("degc", "KPa", "Ltr", "foo")]
        ["; did you mean 'degC'?", "; did you mean 'kPa'?", "; did you mean 'L'?", '']
        """
        folded: dict[str, str] = {}
        for unit in self.all:
            for spelling in (unit.symbol, *unit.names):
                folded.setdefault(normal(spelling).casefold(), unit.symbol)
        given = normal(text).casefold()
        close = [given] if given in folded else get_close_matches(given, folded, 1, 0.7)
        return f"; did you mean {folded[close[0]]!r}?" if close else ""

    def also(self, units: Iterable[Unit]) -> "Units":
        """A table with more units."""
        return Units((*self.all, *units))


def between(given: Unit, wanted: Unit) -> Conversion:
    """From one unit to another of the same quantity."""
    return Conversion(given.factor / wanted.factor, (given.zero - wanted.zero) / wanted.factor)


def _symbols(unit: Unit) -> tuple[str, ...]:
    return (unit.symbol,)


def _codes(unit: Unit) -> tuple[str, ...]:
    return (unit.ucum,) if unit.ucum else ()


def _names(unit: Unit) -> tuple[str, ...]:
    return unit.names


def _common(unit: Unit) -> tuple[str, ...]:
    return (unit.rec20,) if unit.rec20 else ()


@cache
def known_units() -> Units:
    """Kaikou's own."""
    return Units([Unit("", "number"), *_read(TABLE)])


@cache
def quantity_names() -> dict[str, str]:
    """Quantities in Chinese.

    >>> quantity_names()["rotational speed"]
    '转速'
    """
    heads = (line.split() for line in TABLE.splitlines() if line.startswith("# "))
    return {_words(id): zh for _, id, zh, *_ in heads}


def _read(table: str) -> Iterable[Unit]:
    quantity, adds = "", False
    for line in filter(None, table.splitlines()):
        first, *parts = line.split()
        if first == "#":
            quantity, adds = _words(parts[0]), "adds" in parts[2:]
            continue
        amount, ucum, rec20, *names = parts
        factor, _, zero = amount.partition("@")
        yield Unit(
            first,
            quantity,
            _ratio(factor),
            _ratio(zero or "0"),
            adds,
            "" if ucum == "-" else ucum,
            "" if rec20 == "-" else rec20,
            tuple(names),
        )


def _ratio(text: str) -> Fraction:
    above, _, below = text.partition("/")
    return Fraction(above) / Fraction(below or "1")


def _words(id: str) -> str:
    return id.replace("_", " ")
