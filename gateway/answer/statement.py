"""What people may state, and what came of it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.answer.base import Answer, LabelAnswer, example
from gateway.answer.state import MODE_WORDS
from plant.model.reason import ReasonKind

Id = Annotated[str, Field(min_length=1, max_length=100)]
Time = Annotated[int, Field(ge=0, le=4_102_444_800_000, strict=True)]


class ReasonAnswer(Answer):
    """A reason that a person can give to a stop."""

    model_config = example(
        code="tool_change", name={"zh": "换刀", "en": "Tool change"}, kind="setup"
    )

    code: str
    name: LabelAnswer
    kind: ReasonKind


class ProductAnswer(Answer):
    """A product; ``cycle_s``: the planned seconds of one unit, by machine."""

    model_config = example(
        id="housing_a", name={"zh": "壳体 A", "en": "Housing A"}, cycle_s={"lathe": 65.0}
    )

    id: str
    name: LabelAnswer
    cycle_s: dict[str, float]


class MadeAnswer(Answer):
    """What a machine or line makes, since ``start``, as ``person`` told."""

    model_config = example(
        asset="housings", product="housing_a", start=1763769600000, person="li", said=1763769600123
    )

    asset: str
    product: str
    start: int
    person: str
    said: int


class ModeAnswer(Answer):
    """The mode that ``person`` stated of a machine; no end: until it is said otherwise."""

    model_config = example(
        asset="lathe",
        mode="maintenance",
        start=1763769600000,
        end=None,
        person="li",
        said=1763769600123,
    )

    asset: str
    mode: str
    start: int
    end: int | None
    person: str
    said: int


class SaidAnswer(Answer):
    """Recorded durably at ``said``; ``readable``: what is asked from now on shows it."""

    model_config = example(said=1763771000000, readable=True)

    said: int
    readable: bool


class Statement(BaseModel):
    """Base of what a person states."""

    model_config = ConfigDict(extra="forbid")

    asset: Id


class ReasonStatement(Statement):
    """Why a machine stood from ``start`` to ``end``; an empty ``code`` takes back what was said.

    ``end`` null: it still stands, and the reason holds until the stop that is on at ``start`` ends.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "asset": "lathe",
                    "start": 1763769600000,
                    "end": 1763770500000,
                    "code": "tool_change",
                    "note": "T4",
                }
            ]
        },
    )

    start: Time
    end: Time | None
    code: str = Field(max_length=100)
    note: str = Field("", max_length=500)


class ProductStatement(Statement):
    """What a machine or line makes from ``start`` on, until the next; "": not known."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"asset": "housings", "start": 1763769600000, "product": "housing_a"}]
        },
    )

    start: Time
    product: str = Field(max_length=100)


class ModeStatement(Statement):
    """What a machine is used for from ``start`` to ``end``.

    No end: until it is said otherwise, 31 days at most. An empty ``mode`` takes back what was
    said: the machine's own signal counts again.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "asset": "lathe",
                    "start": 1763769600000,
                    "end": 1763773200000,
                    "mode": "maintenance",
                }
            ]
        },
    )

    start: Time
    end: Time | None = None
    mode: MODE_WORDS | Annotated[str, Field(max_length=0)]
