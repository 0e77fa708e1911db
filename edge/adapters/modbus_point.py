"""Where a value lies in a Modbus device, and how its registers become a number."""

import re
from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Table = Literal["coil", "discrete", "input", "holding"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Type = Literal[
    "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool"
]

WIDTH: dict[str, int] = {
    "bool": 1,
    "uint16": 1,
    "int16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}
"""Registers a type takes."""
BITS: tuple[Table, ...] = ("coil", "discrete")
"""Tables of single bits."""

_ENTITY: dict[str, Table] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_PLAIN = re.compile(r"(coil|discrete|input|holding):(\d{1,5})\Z")
_MODICON = re.compile(r"([0134])(\d{4,5})\Z")


def locate(register: str) -> tuple[Table, int]:
    """Table and protocol address (from 0) of a register as written in plant.yaml.

    ``holding:100`` is the address on the wire. ``40101`` is the manual's number: the first digit
    names the table and counting starts at 1 (five digits, or six for addresses above 9998).

    >>> locate("holding:100"), locate("40101"), locate("300001")
    (('holding', 100), ('holding', 100), ('input', 0))
    """
    if plain := _PLAIN.match(register):
        table: Table = plain[1]  # type: ignore[assignment]
        address = int(plain[2])
    elif modicon := _MODICON.match(register):
        table, address = _ENTITY[modicon[1]], int(modicon[2]) - 1
    else:
        raise ValueError(
            f"{register!r} is no register; write 'holding:100' (address on the wire), "
            "'input:', 'coil:', 'discrete:', or the manual's number '40101'"
        )
    if not 0 <= address <= 0xFFFF:
        raise ValueError(f"{register!r}: a protocol address lies in 0-65535")
    return table, address


class RegisterPoint(BaseModel):
    """One value of a Modbus device.

    In one line: ``holding:100 float32 CDAB``, ``input:3 uint16``, ``holding:5 bit:12``, ``coil:3``,
    ``input:7 int16 no:0x8000``.

    >>> RegisterPoint.model_validate("holding:100 float32 CDAB").span
    ('holding', 100, 102)
    >>> RegisterPoint.model_validate(40101).address
    '40101'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(
        alias="register",
        description="`holding:100`, `input:0`, `coil:3`, `discrete:2` (address on the wire,"
        " from 0), or `40101` as manuals count",
    )
    type: Type = Field(
        default="uint16", description="how it is read; coils and discrete inputs are bool"
    )
    order: Order | None = Field(
        default=None, description="of its bytes, the most significant is A; none: the source's"
    )
    bit: int | None = Field(
        default=None, ge=0, le=15, description="this bit of the register (0 the least significant)"
    )

    no_value: tuple[int | float, ...] = Field(
        default=(),
        description="codes by which the device says that it has no value, as a number or as its"
        " bits: `0x8000`, `65535`, `-9999`; in one line `no:0x8000,0x7FFF`",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        if isinstance(at, int) and not isinstance(at, bool):
            at = str(at)
        if isinstance(at, str):
            register, *words = at.split() or [""]
            given: dict[str, Any] = {"register": register}
            for word in words:
                if word.startswith(("bit:", "no:")):
                    key, _, value = word.partition(":")
                    key = {"no": "no_value"}.get(key, key)
                else:
                    key, value = ("order" if set(word) <= set("ABCD") else "type"), word
                if key in given:
                    raise ValueError(f"{at!r} gives the {key} twice")
                given[key] = value
            at = given
        if isinstance(at, dict) and isinstance(at.get("register"), int):
            at = {**at, "register": str(at["register"])}
        if isinstance(at, dict) and "no_value" in at:
            at = {**at, "no_value": _codes(at["no_value"])}
        if isinstance(at, dict) and "type" not in at and _is_bit(at.get("register")):
            at = {**at, "type": "bool"}
        return at

    @field_validator("address")
    @classmethod
    def _known(cls, register: str) -> str:
        locate(register)
        return register

    @model_validator(mode="after")
    def _together(self) -> "RegisterPoint":
        table, first, end = self.span
        if table in ("coil", "discrete"):
            if self.type != "bool" or self.bit is not None:
                raise ValueError(f"a {table} is one bit: type bool, no bit number")
        elif self.bit is not None and self.type not in ("uint16", "bool"):
            raise ValueError("a bit is taken from one register: leave the type out")
        if self.no_value:
            self._codes_fit()
        if end > 0x1_0000:
            raise ValueError(f"{self.type} at {first} runs over the last register, 65535")
        return self

    def _codes_fit(self) -> None:
        if self.type == "bool" or self.bit is not None:
            raise ValueError("a bit has no code for no value")
        if self.type.startswith("float"):
            return
        bits = 16 * WIDTH[self.type]
        for code in self.no_value:
            whole = isfinite(code) and code == int(code)
            if not whole or not -(2 ** (bits - 1)) <= code < 2**bits:
                raise ValueError(f"no_value {code:g} is nothing that {self.type} can hold")

    def __str__(self) -> str:
        return self.address if self.bit is None else f"{self.address} bit:{self.bit}"

    @property
    def span(self) -> tuple[Table, int, int]:
        """Table, first address, address after the last."""
        table, first = locate(self.address)
        return table, first, first + WIDTH[self.type]


def _is_bit(register: object) -> bool:
    return isinstance(register, str) and register.startswith(("coil", "discrete", "0", "1"))


def _codes(given: object) -> list[object]:
    """``0x8000``, ``"0x8000,0x7FFF"``, ``[-1, 0x8000]``: as numbers.

    >>> _codes("0x8000,-1"), _codes([0x8000, "0xFFFF"])
    ([32768, -1], [32768, 65535])
    """
    parts = list(given) if isinstance(given, (list, tuple)) else [given]
    words = [w for part in parts for w in (part.split(",") if isinstance(part, str) else [part])]
    return [_code(word) for word in words]


def _code(word: object) -> object:
    """A code in hexadecimal or decimal; anything else as it is, for pydantic to judge."""
    if isinstance(word, str):
        try:
            return int(word, 0)
        except ValueError:
            return word
    return word
