"""The shape of plant.yaml and of catalogue files, as pydantic models that forbid unknown keys.

What only a room can judge (a source's settings, a point's address, a condition's parameters) is
kept as given here and validated by the room's own class in ``resolve``.
"""

import re
from datetime import date
from ipaddress import ip_address
from typing import Annotated, Any, Literal, get_args
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from plant.model.host import Host
from plant.model.reason import ReasonKind
from plant.model.signal import SignalKind

Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64),
    Field(description="letters, digits, underscore; starts with a letter (also an AAS idShort)"),
]


def _address(text: str) -> str:
    """An IP address, as it is written shortest."""
    return str(ip_address(text))


Address = Annotated[str, AfterValidator(_address), Field(description="an IP address")]


class Shape(BaseModel):
    """Base of everything below: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_language(given: object) -> object:
    """A name in one language is the name in both; a number is a name too."""
    if isinstance(given, dict) and {"zh", "en"} & given.keys():
        said = {k: str(v) if type(v) in (int, float) else v for k, v in given.items()}
        return {"zh": said.get("en"), "en": said.get("zh")} | said
    if isinstance(given, BaseModel):
        return given
    raise ValueError(f"give a name in zh, in en, or in both: {_EXAMPLE}")


_EXAMPLE = "{zh: 锯床, en: Saw}"


def _readable(text: str) -> str:
    """A text that people can see, on one line: it is printed by commands, logs and pages."""
    if not text.strip():
        raise ValueError("is empty")
    if any(category(c) in _UNSEEN for c in text):
        raise ValueError("has a line break or another control character")
    return text


_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
Readable = Annotated[str, Field(min_length=1), AfterValidator(_readable)]


class LabelShape(Shape):
    """A name; where one language is missing, the other stands for it."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["zh"]}, {"required": ["en"]}], "required": []}
    )

    zh: Readable
    en: Readable

    @model_validator(mode="before")
    @classmethod
    def _one_is_enough(cls, given: object) -> object:
        return _one_language(given)


class SiteShape(Shape):
    """The site: one plant.yaml describes one."""

    id: Slug
    name: LabelShape
    timezone: str = Field(description="IANA name, e.g. Asia/Shanghai")


Port = Annotated[int, Field(ge=1, le=65535)]
FileName = Annotated[str | None, Field(json_schema_extra={"format": "file"})]
"""A file; one without a leading slash lies in the folder of plant.yaml or below it."""


class BrokerShape(Shape):
    """The MQTT broker."""

    host: Host = "127.0.0.1"
    port: Port = 1883
    embedded: bool = Field(False, description="run by kaikou itself, on loopback only")
    username: str | None = None
    password: str | None = Field(None, description="as ${NAME}, never in the file")
    tls: bool = Field(False, description="beyond loopback a password goes over TLS only")
    ca_file: FileName = Field(None, description="whose certificates are accepted; none: public")
    certificate_file: FileName = Field(None, description="our own, where the broker asks for one")
    key_file: FileName = Field(None, description="the key of our own certificate")
    key_password: str | None = Field(None, description="as ${NAME}, where the key is encrypted")


class OutboxShape(Shape):
    """The durable queue of an edge."""

    max_mb: int = Field(512, ge=1, description="bound of the rows that wait, MiB")
    when_full: Literal["drop_oldest", "refuse_new"] = "drop_oldest"
    commit_ms: int = Field(250, ge=10, le=5000, description="commits are grouped over this, ms")


class OpcUaUserShape(Shape):
    """Who may log in to the OPC UA server."""

    name: str = Field(min_length=1)
    password: str = Field(description="as ${NAME}, never in the file")


class OpcUaShape(Shape):
    """The OPC UA server of an edge."""

    host: Host = "127.0.0.1"
    port: Port = 4840
    users: tuple[OpcUaUserShape, ...] = Field((), description="nobody is anonymous")
    assets: tuple[Slug, ...] = Field((), description="what it shows; empty: all it can")
    feed: Literal["edge", "broker"] = Field(
        "edge",
        description="heard from its edge, without a broker; or the whole plant from the broker",
    )


class GatewayShape(Shape):
    """Where people reach the plant."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    tls_cert: FileName = None
    tls_key: FileName = None
    proxies: tuple[Address, ...] = ()


class EdgeShape(Shape):
    """An edge gateway with its sources; a source's settings belong to its kind."""

    name: LabelShape
    outbox: OutboxShape = OutboxShape()
    opcua: OpcUaShape | None = None
    sources: dict[Slug, dict[str, Any]] = {}


class LineShape(Shape):
    """A line; ``flow`` alternates assets with the number of parts that fit between them."""

    name: LabelShape
    flow: list[Slug | Annotated[int, Field(ge=0)]] = Field(min_length=1)
    constraint: Slug | None = None


class OwnUnitShape(Shape):
    """A unit of the plant's own: ``value * factor + zero`` is the amount in ``unit``."""

    unit: str | None = Field(
        None, description="one that Kaikou knows; none: a quantity of its own, never converted"
    )
    factor: float = Field(1.0, gt=0, allow_inf_nan=False)
    zero: float = Field(0.0, allow_inf_nan=False)


UnitName = Annotated[
    str,
    StringConstraints(pattern=r"^\S(.*\S)?$", max_length=16),
    AfterValidator(_readable),
    Field(description="as it is printed"),
]


Finite = Annotated[float, Field(allow_inf_nan=False)]


def _states(given: object) -> object:
    """Numbers with their names, or a word; what is neither is told before pydantic tries both."""
    if isinstance(given, dict):
        for key, name in given.items():
            _check_state(key, name)
    elif given is not None and given != "packml":
        raise ValueError("name each number, as in {0: {en: Off}, 1: {en: On}}, or say packml")
    return given


def _check_state(key: object, name: object) -> None:
    if not _NUMBER.fullmatch(str(key)):
        raise ValueError(f"{key!r} is no number; write number and name, as in {{1: {{en: On}}}}")
    texts = name.values() if isinstance(name, dict) and {"zh", "en"} & name.keys() else None
    if texts is None:
        raise ValueError(f"the name of {key} is written {{zh: 开, en: On}}; one of them is enough")
    for text in texts:
        try:
            _readable(str(text))
        except ValueError as error:
            raise ValueError(f"the name of {key} {error}") from None


_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")


class SignalShape(Shape):
    """A signal, or what a plant says differently of a catalogue's signal."""

    name: LabelShape | None = None
    kind: SignalKind | None = None
    unit: Annotated[str | None, BeforeValidator(lambda v: str(v) if type(v) is int else v)] = Field(
        None, description="of the device where a type has one; see docs/units.md"
    )
    range: tuple[Finite, Finite] | None = None
    deadband: Finite | None = Field(None, ge=0)
    max_interval: float | None = Field(None, ge=1, le=86400, description="s")
    decimals: int | None = Field(None, ge=0, le=6)
    modulus: Finite | None = Field(None, gt=0, description="a counter rolls over to 0 here")
    states: Annotated[
        Literal["packml"] | dict[int, LabelShape] | None, BeforeValidator(_states)
    ] = None
    by: Literal["edge", "twin", "analytics"] | None = None
    source: Slug | None = None
    at: Any = Field(None, description="where the source finds it; see docs/adapters.md")
    scale: Finite | None = None
    offset: Finite | None = None
    of: list[str] | None = Field(
        None,
        min_length=1,
        description="what it is made of: inputs of the condition, or of the derivation",
    )
    condition: dict[str, Any] | None = None
    hidden: bool | None = None
    estimated: bool | None = None
    was: Annotated[
        list[str] | None, BeforeValidator(lambda v: [v] if isinstance(v, str) else v)
    ] = Field(None, description="former paths: their history is carried over")


class AssetShape(Shape):
    """A machine or a meter of this plant."""

    type: str
    name: LabelShape
    edge: Slug | None = None
    line: Slug | None = None
    cycle_s: Finite | None = Field(None, gt=0, description="ideal time for one part, s")
    parameters: dict[Slug, Finite] = {}
    signals: dict[Slug, SignalShape] = {}


WallTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$"),
    Field(description='on the wall clock, "HH:MM"'),
]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS = get_args(Weekday)


def _listed(given: object) -> object:
    """The words for groups of weekdays as lists of them."""
    groups = {"every_day": list(_WEEKDAYS), "weekdays": list(_WEEKDAYS[:5])}
    if isinstance(given, str) and given not in groups:
        raise ValueError(f"every_day, weekdays, or a list of {', '.join(_WEEKDAYS)}")
    return groups[given] if isinstance(given, str) else given


Weekdays = Annotated[
    list[Weekday],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["every_day", "weekdays"]},
                {"type": "array", "items": {"enum": list(_WEEKDAYS)}},
            ]
        }
    ),
]
Span = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,2}:[0-9]{2} ?- ?[0-9]{1,2}:[0-9]{2}$"),
    Field(description='"HH:MM-HH:MM"'),
]


class ShiftShape(Shape):
    """A shift; one that ends at or before its start ends on the next day."""

    name: LabelShape
    start: WallTime
    end: WallTime
    breaks: list[Span] = Field([], description="planned, so not part of the planned busy time")


class CrewShape(Shape):
    """Those who work together; ``cycle`` is theirs where the rotation has no pattern."""

    name: LabelShape
    cycle: (
        list[
            Annotated[
                Slug, BeforeValidator(lambda v: "rest" if str(v).lower() in {"off", "false"} else v)
            ]
        ]
        | None
    ) = Field(None, min_length=1, description="a shift or rest, for each day")


class RotationShape(Shape):
    """How crews take turns."""

    since: date = Field(description="the first day of the cycle")
    pattern: Slug | None = Field(
        None, description="two_shifts, three_crews, four_crews; or each crew has its cycle"
    )
    crews: dict[Slug, CrewShape] = Field(min_length=1)


class CalendarShape(Shape):
    """When the plant works."""

    shifts: dict[Slug, ShiftShape] = Field(min_length=1)
    days: Weekdays = list(_WEEKDAYS)
    rotation: RotationShape | None = None
    holidays: Slug | list[date] | None = Field(
        None, description="cn: public holidays and workdays moved for them; or dates of your own"
    )
    closed: list[date] = Field([], description="further days without work")
    open: list[date] = Field([], description="further days with work")


class ProductShape(Shape):
    """What is made."""

    name: LabelShape
    cycle_s: dict[Slug, Annotated[Finite, Field(gt=0)]] = Field(
        {}, description="planned run time of one unit by asset, s; else the asset's own"
    )


class ReasonShape(Shape):
    """A code for a stop; ``kind`` decides the time it is booked to."""

    name: LabelShape
    kind: ReasonKind


class PlantShape(Shape):
    """plant.yaml, the only source of truth."""

    kaikou: Literal[1] = Field(description="version of this format")
    enterprise: Slug
    site: SiteShape
    host_id: Slug = "kaikou"
    broker: BrokerShape = BrokerShape()
    historian: dict[str, Any] = {"kind": "embedded"}
    second: dict[str, Any] | None = Field(
        None, alias="copy", description="a second historian, filled from the first"
    )
    gateway: GatewayShape = GatewayShape()
    simulated: bool = Field(False, description="every value of this plant is simulated")
    catalog: str | None = Field(None, description="folder of further machine types")
    lines: dict[Slug, LineShape] = {}
    edges: dict[Slug, EdgeShape] = {}
    assets: dict[Slug, AssetShape] = {}
    calendar: CalendarShape | None = None
    products: dict[Slug, ProductShape] = {}
    reasons: dict[Slug, ReasonShape] = {}
    units: dict[UnitName, OwnUnitShape] = Field(
        {}, description="units of your own, beside those in docs/units.md"
    )


class RotationFileShape(Shape):
    """A rotation of the catalogue: one cycle of shift places, each crew further on in it."""

    rotation: Slug
    name: LabelShape
    shifts: int = Field(ge=1)
    crews: int = Field(ge=1)
    cycle: list[int] = Field(min_length=1)
    offset: int = Field(ge=0)


class HolidayShape(Shape):
    """Days off that follow one another, both ends included."""

    name: LabelShape
    first: date
    last: date


class HolidayYearShape(Shape):
    """The public holidays of one year, and who announced them."""

    source: str
    holidays: list[HolidayShape]
    workdays: list[date] = []


class HolidayFileShape(Shape):
    """The public holidays of a country, by year."""

    country: Slug
    years: dict[int, HolidayYearShape]


class ReasonFileShape(Shape):
    """Reasons of the catalogue."""

    reasons: dict[Slug, ReasonShape]


class StateRuleShape(Shape):
    """How a signal tells the machine's PackML state (or starved, blocked), or its mode."""

    signal: Slug
    map: dict[str | int, str]


class TypeShape(Shape):
    """A machine type: a file of the catalogue."""

    type: Slug
    extends: Slug | None = None
    role: Literal["machine", "meter", "utility", "edge", "line"] | None = None
    name: LabelShape | None = None
    signals: dict[Slug, SignalShape] = {}
    state: list[StateRuleShape] = []
    mode: list[StateRuleShape] = []
