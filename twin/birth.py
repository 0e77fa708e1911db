"""What births tell the twin: signals that plant.yaml does not know, and what is not the node's."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from plant.flow.port import Series
from plant.flow.rate import Rate
from plant.flow.sample import Gap
from plant.model.plant import Plant
from plant.model.signal import SignalKind
from plant.wire.birth import DataType, is_internal, plant_hash
from plant.wire.host_event import Born
from plant.wire.message import Metric
from plant.wire.ownership import Ownership
from plant.wire.record import RECORD
from plant.wire.refusal import one_line
from plant.wire.topic import NodeId
from twin.declared import Declared

log = logging.getLogger("kaikou.twin")

HOLD_TIMES = 3
"""A value counts for so many of its ``max_interval``: then the signal is silent."""
CHANGES = 1000
"""So many signals of a node of ours, or of all strangers, begin anew in an hour at most: who says
another unit each time would fill the historian with their names."""
_GAP_SIGNALS = 200
_NUMBER = 1e12
"""A register that rolls over, and an interval in s, are less."""
_TOLD = 50
"""So many refusals and other plants of a node, and of all strangers, are told, each once."""
_KINDS = {int(DataType.Boolean): SignalKind.STATE, int(DataType.String): SignalKind.TEXT}


def series_of(plant: Plant, factor: float = 1.0) -> list[Series]:
    """What the historian has to know of every published signal of the plant."""
    return [
        Series(
            s.path,
            s.kind,
            s.unit,
            s.modulus,
            hold_ms(s.max_interval, factor),
            s.was,
            (plant.site, asset.line) if asset.line else (plant.site,),
        )
        for asset in plant.assets.values()
        for s in asset.signals
        if not s.hidden
    ]


def hold_ms(max_interval_s: float, factor: float = 1.0) -> int:
    """How long a value counts without a newer row, ms of the plant."""
    return int(HOLD_TIMES * max_interval_s * 1000 * max(1.0, factor))


def series_of_birth(path: str, metric: Metric, factor: float = 1.0) -> Series:
    """A signal as its birth describes it: ours by kind, unit and interval, a stranger's by type.

    >>> metric = Metric("count", datatype=10, properties={"kind": "counter", "engUnit": "kWh"})
    >>> series = series_of_birth("saw/count", metric)
    >>> series.kind.value, series.unit
    ('counter', 'kWh')
    """
    told = metric.properties
    kind = _KINDS.get(metric.datatype or 0, SignalKind.MEASUREMENT)
    if told.get("kind") in set(SignalKind):
        kind = SignalKind(str(told["kind"]))
    unit, modulus, interval = (told.get(n) for n in ("engUnit", "modulus", "max_interval_s"))
    return Series(
        path,
        kind,
        str(unit) if unit else "",
        _positive(modulus),
        hold_ms(_positive(interval) or 0.0, factor),
    )


def _positive(given: object) -> float | None:
    """A number that makes sense, None for any other property."""
    number = isinstance(given, int | float) and 0 < given < _NUMBER
    return float(given) if number else None  # type: ignore[arg-type]


class Births:
    """Takes birth certificates; ``declared`` learns what plant.yaml does not say."""

    def __init__(
        self, plant: Plant, declared: Declared, ownership: Ownership, factor: float = 1.0
    ) -> None:
        self._hash = plant.hash
        self._planned = {s.path: s for s in series_of(plant, factor)}
        self._declared = declared
        self._ownership = ownership
        self._factor = factor
        self._told: dict[NodeId | None, set[tuple[NodeId, object]]] = {}
        self._changes: dict[NodeId | None, Rate] = {}

    def take(self, event: Born) -> Gap | None:
        """Learn from a birth; a gap record where it names what the node may not tell."""
        if self._ownership.ours(event.node):
            self._compare(event)
        for metric in event.metrics:
            if metric.name != RECORD and not is_internal(metric.name):
                self._learn(event, metric)
        return self._refused(event) if event.refused and event.announced else None

    def _learn(self, event: Born, metric: Metric) -> None:
        path = self._ownership.path(event.node, event.device, metric.name)
        if path is None:
            return
        series, planned = series_of_birth(path, metric, self._factor), self._planned.get(path)
        if planned is not None:
            told = replace(planned, kind=series.kind, unit=series.unit, modulus=series.modulus)
            # only an edge of ours, on another file than the twin, says it otherwise and means it
            series = told if event.announced and "kind" in metric.properties else planned
        changes = self._changes.setdefault(self._who(event.node), Rate(CHANGES, 3600.0))
        anew = changes.wait_s == 0
        if not self._declared.learn(series, anew):
            return
        if anew and changes.take():
            log.warning("%s: kind or unit changed: a new signal begins", path)
        elif self._once(event.node, CHANGES):
            log.warning("%s: more signals change than can begin anew in an hour", event.node)

    def _refused(self, event: Born) -> Gap | None:
        """Rows of these are acknowledged and not stored from now on: one record says so."""
        paths = _paths(event)
        if not self._once(event.node, hash(paths)):
            return None
        reason = "plant.yaml gives these signals to another node"
        return Gap(str(event.node), 0, 0, -1, reason, paths[:_GAP_SIGNALS])

    def _compare(self, event: Born) -> None:
        """Say once that a node runs on another plant.yaml."""
        other = plant_hash(event.metrics) if event.device is None else ""
        if other and other != self._hash and self._once(event.node, other[:64]):
            text = (
                "%s runs on another plant.yaml (%.12s) than the twin (%.12s): "
                "restart whichever was started before the file was changed"
            )
            log.warning(text, event.node, one_line(other), self._hash)

    def _who(self, node: NodeId) -> NodeId | None:
        """A node of ours has bounds of its own, strangers together have one."""
        return node if self._ownership.ours(node) else None

    def _once(self, node: NodeId, what: object) -> bool:
        told = self._told.setdefault(self._who(node), set())
        if (node, what) in told or len(told) >= _TOLD:
            return False
        told.add((node, what))
        return True


def _paths(event: Born) -> Sequence[str]:
    device = event.device if event.device is not None else event.node.node
    return tuple(f"{device}/{name}" for name in event.refused)
