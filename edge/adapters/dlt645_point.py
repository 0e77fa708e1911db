"""Which number of which meter a signal is."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge.adapters.dlt645_item import ITEMS


class MeterPoint(BaseModel):
    """One number of one meter on the line.

    In one line: ``000000000001 00010000``, ``000000000001 0201FF00 2``. Values are what the meter
    shows, at its terminals: the ratio of its transformers is the signal's ``scale``.

    >>> MeterPoint.model_validate("000000000001 0201FF00 2").part
    2
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: str = Field(
        description="twelve digits as printed on it; `AAAAAAAAAAAA` asks whoever is there"
    )
    item: str = Field(description="data identifier of the standard, eight hexadecimal digits")
    part: int = Field(
        default=0, ge=0, description="which number of a block item: of `0201FF00`, 1 is phase B"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        if not isinstance(at, str):
            return at
        words = at.split()
        if len(words) not in (2, 3):
            raise ValueError(f"{at!r}: write 'METER ITEM' or 'METER ITEM PART'")
        return dict(zip(("meter", "item", "part"), words, strict=False))

    @field_validator("meter")
    @classmethod
    def _address(cls, meter: str) -> str:
        if len(meter) != 12 or not (meter.isdecimal() or meter == "A" * 12):
            raise ValueError(f"{meter!r}: a meter's address has twelve digits (quote it in YAML)")
        return meter

    @field_validator("item")
    @classmethod
    def _item(cls, item: str) -> str:
        if ITEMS.find(item) is None:
            raise ValueError(f"{item!r} is no data item we know; see edge/adapters/dlt645.yaml")
        return item.upper()

    def __str__(self) -> str:
        return f"{self.meter} {self.item}" + (f" {self.part}" if self.part else "")

    @property
    def unit(self) -> str:
        """What the standard gives the item in; "" for a plain number."""
        item = ITEMS.find(self.item)
        return item.unit if item is not None else ""

    @model_validator(mode="after")
    def _part(self) -> "MeterPoint":
        item = ITEMS.find(self.item)
        if item is not None and self.part >= item.parts:
            raise ValueError(
                f"{self.item} has {item.parts} number(s), part {self.part} is none of them"
            )
        return self
