"""The plant, and how the gateway does."""

from gateway.answer.base import Answer, LabelAnswer, label
from plant.model.plant import Asset, Line, Plant
from plant.model.signal import Origin, Signal, SignalKind


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
    """The whole plant; ``timezone`` is the IANA name that every time is shown in.

    ``calendar``: whether plant.yaml has shifts; ``hash`` changes with everything that it says.
    """

    enterprise: str
    site: str
    name: LabelAnswer
    timezone: str
    simulated: bool
    calendar: bool
    version: str
    hash: str
    lines: list[LineAnswer]
    assets: list[AssetAnswer]
    edges: list[EdgeAnswer]


class HealthAnswer(Answer):
    """Whether the gateway does its work; ``broker`` false: it shows last known values.

    ``edges`` of the plant, and how many of them are heard. What follows is for who is logged in;
    of strangers' links at most 100 are listed.
    """

    status: str
    broker: bool
    edges: int
    edges_up: int
    links: list[dict[str, object]] | None = None
    strange_links: int | None = None
    viewers: int | None = None
    version: str | None = None


def plant_answer(plant: Plant, version: str) -> PlantAnswer:
    """The plant as the dashboard needs it; hidden signals are left out."""
    return PlantAnswer(
        enterprise=plant.enterprise,
        site=plant.site,
        name=label(plant.name),
        timezone=plant.timezone.key,
        simulated=plant.simulated,
        calendar=plant.calendar is not None,
        version=version,
        hash=plant.hash,
        lines=[_line(x) for x in plant.lines.values()],
        assets=[_asset(x) for x in plant.assets.values()],
        edges=[EdgeAnswer(id=e.id, name=label(e.name)) for e in plant.edges.values()],
    )


def _line(line: Line) -> LineAnswer:
    return LineAnswer.model_validate(line)


def _asset(asset: Asset) -> AssetAnswer:
    return AssetAnswer(
        id=asset.id,
        name=label(asset.name),
        type=asset.type,
        role=asset.role,
        edge=asset.edge,
        line=asset.line,
        cycle_s=asset.cycle_s,
        signals=[_signal(s) for s in asset.signals if not s.hidden],
    )


def _signal(signal: Signal) -> SignalAnswer:
    return SignalAnswer.model_validate(signal)
