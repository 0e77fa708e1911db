"""The data items of DL/T 645-2007 that hold numbers: a table, read from ``dlt645.yaml``."""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import yaml

_TARIFFS, _SETTLEMENTS = "(?P<block>FF)|0[0-4]", "0[0-9A-C]"


@dataclass(frozen=True, slots=True)
class Item:
    """How the answer to one data identifier is laid out.

    digits    binary coded decimals of each number, two a byte, low byte first
    decimals  of them behind the point
    signed    whether the highest bit means minus
    after     bytes that follow each number and are not part of it (a time stamp)
    parts     numbers in the answer; of a block the most it can have
    """

    id: str
    unit: str
    digits: int
    decimals: int
    signed: bool
    after: int
    parts: int

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return (self.digits + 1) // 2

    @property
    def stride(self) -> int:
        """Bytes from one number to the next."""
        return self.width + self.after

    @property
    def size(self) -> int:
        """Data bytes of a full answer, without the identifier."""
        return self.parts * self.stride


class ItemTable:
    """Items by identifier, read from the data file on first use.

    >>> ITEMS.find("0201FF00").parts, ITEMS.find("00010000").unit, ITEMS.find("0FFFFFFF")
    (3, 'kWh', None)
    """

    @cached_property
    def _families(self) -> list[tuple[re.Pattern[str], dict[str, object]]]:
        text = (files("edge.adapters") / "dlt645.yaml").read_text(encoding="utf-8")
        return [(_pattern(entry), entry) for entry in yaml.safe_load(text)]

    def find(self, item: str) -> Item | None:
        """The item of an identifier (DI3 first, any case), None where we do not know it."""
        item = item.upper()
        for pattern, entry in self._families:
            if match := pattern.fullmatch(item):
                return _item(item, entry, block=match.groupdict().get("block") is not None)
        return None


def _pattern(entry: dict[str, object]) -> re.Pattern[str]:
    first = 0 if str(entry.get("phases", "")).startswith("T") else 1
    phases = f"(?P<block>FF)|0[{first}-3]"
    text = str(entry["id"]).replace("TT", f"(?:{_TARIFFS})")
    return re.compile(text.replace("SS", _SETTLEMENTS).replace("PP", f"(?:{phases})"))


def _item(item: str, entry: dict[str, object], *, block: bool) -> Item:
    shape = str(entry["format"])
    whole, _, fraction = shape.partition(".")
    many = len(str(entry["phases"])) if "phases" in entry else 5
    return Item(
        id=item,
        unit=str(entry["unit"]),
        digits=len(whole) + len(fraction),
        decimals=len(fraction),
        signed=bool(entry.get("sign", False)),
        after=int(str(entry.get("time", 0))),
        parts=many if block else 1,
    )


ITEMS = ItemTable()
