"""The shapes of what the REST interface answers; OpenAPI and the dashboard's types follow them."""

from pydantic import BaseModel, ConfigDict

from plant.model.plant import Asset, Line, Plant
from plant.model.signal import Label, Origin, Signal, SignalKind


class Answer(BaseModel):
    """Base: built from the plant's own dataclasses."""

    model_config = ConfigDict(from_attributes=True)


class LabelAnswer(Answer):
    """A name in both languages."""

    zh: str
    en: str


class SignalAnswer(Answer):
    """A signal and all that decides how it is shown. ``max_interval`` in s."""

    path: str
    id: str
    name: LabelAnswer
    kind: SignalKind
    unit: str
    decimals: int
    range: tuple[float, float] | None
    states: dict[int, LabelAnswer]
    origin: Origin
    estimated: bool
    max_interval: float


class AssetAnswer(Answer):
    """A machine, meter, line or edge with its signals; ``cycle_s`` is the ideal time a part."""

    id: str
    name: LabelAnswer
    type: str
    role: str
    edge: str | None
    line: str | None
    cycle_s: float | None
    signals: list[SignalAnswer]


class StationAnswer(Answer):
    """A place in a line; ``buffer`` is how many parts fit between it and the next."""

    asset: str
    buffer: int


class LineAnswer(Answer):
    """A line in flow order."""

    id: str
    name: LabelAnswer
    constraint: str | None
    flow: list[StationAnswer]


class EdgeAnswer(Answer):
    """An edge gateway."""

    id: str
    name: LabelAnswer


class PlantAnswer(Answer):
    """The whole plant; ``timezone`` is the IANA name that every time is shown in."""

    enterprise: str
    site: str
    name: LabelAnswer
    timezone: str
    simulated: bool
    version: str
    hash: str
    lines: list[LineAnswer]
    assets: list[AssetAnswer]
    edges: list[EdgeAnswer]


class PersonAnswer(Answer):
    """Who is logged in."""

    name: str
    rights: list[str]


class ColumnsAnswer(Answer):
    """Samples as columns; NaN is null. Times are ms UTC."""

    time: int
    paths: list[str]
    value: list[float | None]
    status: list[int]
    source_time: list[int]


class HistoryAnswer(Answer):
    """A trend. ``bucket_ms`` 0: every row is here; else M4 of that bucket width."""

    path: str
    kind: SignalKind
    start: int
    end: int
    tier: str
    bucket_ms: float
    raw_count: int
    time: list[int]
    value: list[float | None]
    status: list[int]


class AggregateAnswer(Answer):
    """Buckets of ``width_ms`` from ``start``; columns as in the historian's port."""

    path: str
    kind: SignalKind
    width_ms: int
    start: list[int]
    first: list[float | None]
    last: list[float | None]
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]
    increase: list[float | None]
    known_s: list[float]
    good_s: list[float]
    count: list[int]
    durations: dict[int, list[float]]


class RunAnswer(Answer):
    """A time in one state; null: unknown."""

    start: int
    end: int
    state: int | None
    status: int


class StatesAnswer(Answer):
    """The runs of a state in a range."""

    path: str
    runs: list[RunAnswer]


class GapAnswer(Answer):
    """A record that samples are missing; ``samples`` -1: how many is not known."""

    edge: str
    first: int
    last: int
    samples: int
    reason: str
    signals: list[str]


class EventAnswer(Answer):
    """Something that happened."""

    time: int
    asset: str
    kind: str
    data: dict[str, object]


class HealthAnswer(Answer):
    """Whether the gateway does its work; ``broker`` false: it shows last known values."""

    status: str
    broker: bool
    links: list[dict[str, object]]
    viewers: int
    version: str


def plant_answer(plant: Plant, version: str) -> PlantAnswer:
    """The plant as the dashboard needs it; hidden signals are left out."""
    return PlantAnswer(
        enterprise=plant.enterprise,
        site=plant.site,
        name=_label(plant.name),
        timezone=plant.timezone.key,
        simulated=plant.simulated,
        version=version,
        hash=plant.hash,
        lines=[_line(x) for x in plant.lines.values()],
        assets=[_asset(x) for x in plant.assets.values()],
        edges=[EdgeAnswer(id=e.id, name=_label(e.name)) for e in plant.edges.values()],
    )


def _label(label: Label) -> LabelAnswer:
    return LabelAnswer(zh=label.zh, en=label.en)


def _line(line: Line) -> LineAnswer:
    return LineAnswer.model_validate(line)


def _asset(asset: Asset) -> AssetAnswer:
    return AssetAnswer(
        id=asset.id,
        name=_label(asset.name),
        type=asset.type,
        role=asset.role,
        edge=asset.edge,
        line=asset.line,
        cycle_s=asset.cycle_s,
        signals=[_signal(s) for s in asset.signals if not s.hidden],
    )


def _signal(signal: Signal) -> SignalAnswer:
    return SignalAnswer.model_validate(signal)
