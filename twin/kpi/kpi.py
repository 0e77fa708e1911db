"""The rows of figures that KPIs come in. Times are whole ms, names those of ISO 22400-2."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from plant.model.signal import Label
from twin.calendar import Shift


@dataclass(frozen=True, slots=True)
class Times:
    """Times of ISO 22400-2 in ms.

    pot = pbt + pdt, pbt = aubt + adot + unknown, aubt = aupt + adet, aupt = apt + asut.

    pot      in shifts that are worked
    pdt      planned downtime: breaks, as far as it does not produce, and planned stops
    pbt      planned busy time
    unknown  of it without good data: neither up nor down
    apt      producing; asut: set-up; adet: delays (faults, minor stops, waiting); adot: down
    outside  producing outside worked shifts; in none of the others
    """

    pot: int = 0
    pdt: int = 0
    pbt: int = 0
    unknown: int = 0
    apt: int = 0
    asut: int = 0
    adet: int = 0
    adot: int = 0
    outside: int = 0

    @property
    def aupt(self) -> int:
        """Actual unit processing time."""
        return self.apt + self.asut

    @property
    def aubt(self) -> int:
        """Actual unit busy time."""
        return self.aupt + self.adet

    @property
    def known(self) -> int:
        """Planned busy time of which something is known: what every ratio is taken of."""
        return self.pbt - self.unknown


@dataclass(frozen=True, slots=True)
class ProductCount:
    """Units of one product: ``pru`` planned ms of one, None where nobody gave it.

    ``pq`` and ``gq`` as in ``Kpi``; ``gq`` None where quality is not measured.
    """

    product: str
    name: Label
    pru: int | None
    pq: int
    gq: int | None

    @property
    def earned(self) -> int:
        """PRU times good units (all units where quality is not measured), ms."""
        return (self.pru or 0) * (self.pq if self.gq is None else self.gq)


@dataclass(frozen=True, slots=True)
class Loss:
    """A step of the waterfall, ms. Only ``speed`` may be negative: faster than planned."""

    key: str
    name: Label
    ms: int


@dataclass(frozen=True, slots=True)
class Stops:
    """All stops of one name: ``ms`` of planned time and how many."""

    code: str
    name: Label
    kind: str
    ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures that began, repairs that ended, and the two means in s with how they are estimated.

    ``at_least``: no failure was seen, so ``mtbf_s`` is only a lower bound.
    """

    failures: int
    repairs: int
    mtbf_s: float | None
    mttr_s: float | None
    at_least: bool
    estimator: Label


@dataclass(frozen=True, slots=True)
class Kpi:
    """One row of figures. Ratios are None where they are not known; ``why_not`` says why.

    key             "2026-11-22/early", "2026-11-22", a product's id or ""
    coverage        share of the planned busy time of which the state is known
    count_coverage  share of it in which what counts could be read; None where nothing counts
    pq, gq          units and good units made in worked shifts, as far as the time is known;
                    None where they are not counted
    pq_unknown      units made in worked shifts in time of which nothing is known
    pq_outside      units made outside worked shifts
    quality_source  (asset, signal) where good is told from rejected; None where nobody does, and
                    then the quality ratio is None and OEE and NEE count it as 1 (``quality_note``)
    notes           what else is to be known of the row: a holiday, a year without holidays
    """

    name: Label
    key: str
    start: int
    end: int
    times: Times
    coverage: float
    count_coverage: float | None
    pq: int | None
    gq: int | None
    pq_unknown: int
    pq_outside: int
    availability: float | None
    effectiveness: float | None
    quality: float | None
    oee: float | None
    nee: float | None
    utilization: float | None
    technical_efficiency: float | None
    allocation: float | None
    setup_rate: float | None
    scrap_ratio: float | None
    throughput_per_h: float | None
    quality_source: tuple[str, str] | None
    quality_note: Label | None
    why_not: Label | None
    notes: tuple[Label, ...]
    products: Sequence[ProductCount]
    losses: Sequence[Loss]
    stops: Sequence[Stops]
    failures: Failures | None
    shift: Shift | None = None
    day: date | None = None

    @property
    def sq(self) -> int | None:
        """Scrap: units that are not good."""
        return None if self.pq is None or self.gq is None else self.pq - self.gq


@dataclass(slots=True)
class Measured:
    """What was measured of a row, before any figure is taken of it."""

    name: Label
    key: str
    start: int
    end: int
    times: Times = field(default_factory=Times)
    counted: bool = False
    quality_source: tuple[str, str] | None = None
    readable: int = 0
    products: list[ProductCount] = field(default_factory=list)
    pq_unknown: int = 0
    pq_outside: int = 0
    lost: dict[str, tuple[Label, int]] = field(default_factory=dict)
    stops: list[Stops] = field(default_factory=list)
    failures: int = 0
    repairs: int = 0
    failed_ms: int = 0
    shift: Shift | None = None
    day: date | None = None
    notes: tuple[Label, ...] = ()
