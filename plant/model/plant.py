"""A resolved plant: what every process holds after plant.yaml was read and found right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from plant.model.calendar import Calendar
from plant.model.need import Need
from plant.model.reason import Product, Reason
from plant.model.signal import Label, Origin, Signal
from plant.model.unit import Unit, Units, known_units

TWIN = "kaikou_twin"
"""The Sparkplug node that the twin publishes as; it is an asset too, with counts of its own."""
ANALYTICS = "kaikou_analytics"
"""The node that analytics publishes as."""
PUBLISHERS = (TWIN, ANALYTICS)
"""Nodes of ours that are no edges; no asset, line or edge may take their names."""


@dataclass(frozen=True, slots=True)
class Broker:
    """The MQTT broker. ``embedded`` is run by us, on loopback only.

    ``certificate_file`` and ``key_file`` are our own, for a broker that asks for them.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    embedded: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outbox:
    """The durable queue of an edge. ``max_mb`` bounds its rows; ``commit_ms`` groups commits."""

    max_mb: int = 512
    when_full: str = "drop_oldest"
    commit_ms: int = 250


@dataclass(frozen=True, slots=True)
class OpcUaUser:
    """Who may log in to an edge's OPC UA server; the password is only a hash or a secret."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpcUa:
    """The OPC UA server of an edge (a process of its own). Nothing is anonymous.

    ``assets`` are the ids that it shows, empty for all it can. ``feed`` "edge": it hears its edge
    alone, without a broker; "broker": the whole plant.
    """

    host: str = "127.0.0.1"
    port: int = 4840
    users: tuple[OpcUaUser, ...] = ()
    assets: tuple[str, ...] = ()
    feed: str = "edge"


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge gateway: a Sparkplug node with its sources.

    ``sources`` maps a source's id to its validated configuration (the kind's own class).
    """

    id: str
    name: Label
    sources: Mapping[str, object]
    outbox: Outbox = Outbox()
    opcua: OpcUa | None = None


@dataclass(frozen=True, slots=True)
class StateRule:
    """The machine's PackML state as one signal tells it: value of the signal -> state number.

    ``waiting`` has the values that also say why it is Suspended. A rule of the mode has mode
    numbers in ``map``.
    """

    signal: str
    map: Mapping[int, int]
    waiting: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asset:
    """A machine or a meter.

    ``cycle_s`` is the ideal time for one part; ``role`` is "machine", "meter", "utility" or
    "edge"; ``state_rules`` and ``mode_rules`` are asked in order, the first that knows decides.
    """

    id: str
    type: str
    name: Label
    role: str
    edge: str | None
    line: str | None
    signals: tuple[Signal, ...]
    state_rules: tuple[StateRule, ...] = ()
    cycle_s: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    mode_rules: tuple[StateRule, ...] = ()

    def signal(self, id: str) -> Signal | None:
        """The signal of that id, None where the asset has none."""
        return next((s for s in self.signals if s.id == id), None)


@dataclass(frozen=True, slots=True)
class Station:
    """A place in a line's flow; ``buffer`` is how many parts fit between it and the next."""

    asset: str
    buffer: int


@dataclass(frozen=True, slots=True)
class Line:
    """A production line: stations in flow order, and which of them is the constraint."""

    id: str
    name: Label
    flow: tuple[Station, ...]
    constraint: str | None


@dataclass(frozen=True, slots=True)
class Plant:
    """A whole plant; ``hash`` is over everything that was resolved and goes into every birth.

    ``calendar`` None: it is planned to work at all times. ``reasons`` are the catalogue's and the
    plant's own. ``copy`` is a second historian, filled from the first. ``own_units`` come after
    Kaikou's. ``needs`` are the secrets and files that the file names.
    """

    enterprise: str
    site: str
    name: Label
    timezone: ZoneInfo
    host_id: str
    broker: Broker
    historian: object
    gateway: "Gateway"
    lines: Mapping[str, Line]
    edges: Mapping[str, Edge]
    assets: Mapping[str, Asset]
    simulated: bool
    hash: str
    calendar: Calendar | None = None
    products: Mapping[str, Product] = field(default_factory=dict)
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    copy: object | None = None
    own_units: tuple[Unit, ...] = ()
    needs: tuple[Need, ...] = ()

    @property
    def units(self) -> Units:
        """Every unit that may be written in this plant."""
        return known_units().also(self.own_units) if self.own_units else known_units()

    @property
    def group(self) -> str:
        """The Sparkplug group id: enterprise-site."""
        return f"{self.enterprise}-{self.site}"

    @property
    def signals(self) -> Sequence[Signal]:
        """Every signal of every asset, in file order; hidden ones too."""
        return [s for a in self.assets.values() for s in a.signals]

    def cycle_ms(self, asset: str, product: str = "") -> int | None:
        """Planned run time of one unit (PRU, ISO 22400-2), ms; None where nobody gave one."""
        made = self.products.get(product)
        seconds = made.cycle_s.get(asset) if made else None
        if seconds is None:
            seconds = self.assets[asset].cycle_s
        return None if seconds is None else round(seconds * 1000)

    def published(self, origin: Origin, edge: str | None = None) -> Sequence[Signal]:
        """The signals that one publisher puts on the wire."""
        return [
            s
            for a in self.assets.values()
            if edge is None or a.edge == edge
            for s in a.signals
            if s.origin is origin and not s.hidden
        ]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where people reach the plant. Beyond loopback only behind TLS.

    proxies  addresses of reverse proxies, whose word on whom they speak for is believed
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: str | None = None
    tls_key: str | None = None
    proxies: tuple[str, ...] = ()
