"""Who may say what on the bus: plant.yaml gives every signal, and every kind of record, one owner.

A topic says who speaks; whether somebody else can speak there is the broker's to prevent. What a
node may say under its own name is decided here, for every process that listens.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from plant.flow.sample import Event, Gap
from plant.model.plant import ANALYTICS, PUBLISHERS, TWIN, Plant
from plant.model.signal import Origin
from plant.model.unit import known_units
from plant.wire.foreign import Foreign
from plant.wire.gate import METRICS
from plant.wire.topic import NAMESPACE, NodeId

STATEMENTS = frozenset({"reason", "product", "mode"})
"""Kinds of events that record what a person said: the twin's alone, which checked the request."""

_OWNERS: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(STATEMENTS, TWIN), "health": ANALYTICS}
)
"""First word of an event's kind -> the one node that tells such events."""
_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", re.ASCII)
"""Kinds of events are written alike, so that none passes for another ("Reason", "mode ")."""
_ASSET = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_PERSONAL = frozenset({"person", "said"})
"""What an event of a person's word has in its data."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Ownership:
    """What each node of a plant owns.

    group    the plant's Sparkplug group
    nodes    node ids of the plant: its edges, the twin, analytics
    signals  path -> the node that publishes it
    assets   asset -> its edge, "" for one without (a line)
    former   former path -> path, of signals that were renamed (``was`` in plant.yaml)
    foreign  how values are taken of a node that is no Kaikou edge

    A signal that plant.yaml does not know yet is taken from the edge of its asset: that edge may
    have been started on a newer file than we were. No two nodes have one path: what could be read
    as another's stands under the namespace and the full name of its node.

    >>> owned = Ownership("g", ["edge1", "edge2"], {"saw/power": "edge1"}, {"saw": "edge1"})
    >>> owned.path(NodeId("g", "edge1"), "saw", "power")
    'saw/power'
    >>> owned.path(NodeId("g", "edge2"), "saw", "power") is None
    True
    >>> owned.path(NodeId("far", "edge1"), "saw", "power")
    'far/edge1/saw/power'
    >>> owned.path(NodeId("g", "edge2"), "far", "edge1/saw/power")
    'spBv1.0/g/edge2/far/edge1/saw/power'
    """

    def __init__(
        self,
        group: str,
        nodes: Collection[str],
        signals: Mapping[str, str] = _NOTHING,
        assets: Mapping[str, str] = _NOTHING,
        former: Mapping[str, str] = _NOTHING,
        *,
        foreign: Foreign | None = None,
    ) -> None:
        self.group = group
        self.nodes = frozenset(nodes)
        self.foreign = Foreign((), known_units()) if foreign is None else foreign
        self._signals = signals
        self._assets = {**{node: node for node in nodes}, **assets}
        self._count = Counter(signals.values())
        self._former = {old: new for old, new in former.items() if old not in signals}

    @classmethod
    def of(cls, plant: Plant) -> "Ownership":
        """What plant.yaml says."""
        publisher = {Origin.TWIN: TWIN, Origin.ANALYTICS: ANALYTICS}
        return cls(
            plant.group,
            [*plant.edges, *PUBLISHERS],
            {
                signal.path: publisher.get(signal.origin, asset.edge or "")
                for asset in plant.assets.values()
                for signal in asset.signals
            },
            {asset.id: asset.edge or "" for asset in plant.assets.values()},
            {old: signal.path for signal in plant.signals for old in signal.was},
            foreign=Foreign(plant.signals, plant.units),
        )

    def ours(self, node: NodeId) -> bool:
        """Whether a node stands in plant.yaml; every other one is a stranger."""
        return node.group == self.group and node.node in self.nodes

    def path(self, node: NodeId, device: str | None, metric: str) -> str | None:
        """The signal that a node's metric is, None where the signal is another node's.

        A stranger's stands under the stranger's own name. A former path is the present one.
        """
        full = f"{node}/{device}/{metric}" if device is not None else f"{node}/{metric}"
        if not self.ours(node):
            mistakable = node.group in self._assets or node.group == NAMESPACE
            return f"{NAMESPACE}/{full}" if mistakable else full
        asset = device if device is not None else node.node
        path = f"{asset}/{metric}"
        path = self._former.get(path, path)
        if not self._may_tell(node.node, path):
            return None
        mistakable = "/" in metric and asset not in self._assets
        return f"{NAMESPACE}/{full}" if mistakable else path

    def signals_of(self, node: NodeId) -> int:
        """How many signals a node of ours has; as many as it likes where no signal is known."""
        return self._count[node.node] if self._signals else METRICS

    def planned(self, path: str) -> bool:
        """Whether plant.yaml has this signal."""
        return path in self._signals

    def is_former(self, node: NodeId, device: str | None, metric: str) -> bool:
        """Whether a node still says a signal's former name."""
        path = f"{device if device is not None else node.node}/{metric}"
        return path in self._former and self.ours(node)

    def _may_tell(self, node: str, path: str) -> bool:
        owner = self._signals.get(path)
        if owner is not None:
            return owner == node
        return self._may_speak_of(node, path.partition("/")[0])

    def _may_speak_of(self, node: str, asset: str) -> bool:
        """Its own assets, those that no plant.yaml of ours knows, and itself."""
        edge = self._assets.get(asset, node)
        return node in PUBLISHERS or node in {edge, asset}

    def refusal(self, node: NodeId, record: Event | Gap) -> str | None:
        """Why a record may not be told by this node, None where it may."""
        if isinstance(record, Gap):
            return self._gap_refusal(node, record)
        if not _KIND.fullmatch(record.kind):
            return f"an event {record.kind[:80]!r}, which is no kind of event"
        owner = _OWNERS.get(record.kind.partition(".")[0])
        if owner is None and is_statement(record):
            owner = TWIN
        if owner is not None and node != (self.group, owner):
            return f"an event {record.kind[:80]!r}, which only {owner} of this plant tells"
        if self.ours(node):
            known = record.asset in self._assets or _ASSET.fullmatch(record.asset)
            allowed = bool(known) and self._may_speak_of(node.node, record.asset)
        else:
            allowed = record.asset == str(node) or record.asset.startswith(f"{node}/")
        return None if allowed else f"an event about {record.asset[:80]!r}, which is not its own"

    def _gap_refusal(self, node: NodeId, gap: Gap) -> str | None:
        if gap.edge != str(node):
            return f"a gap record of {gap.edge[:80]!r}, which only that node tells"
        if gap.samples < -1:
            return f"a gap record of {gap.samples} samples"
        if gap.signals and not self.own_gap(node, gap).signals:
            return f"a gap record about {gap.signals[0][:80]!r}, which is not its own"
        return None

    def own_gap(self, node: NodeId, gap: Gap) -> Gap:
        """A gap record without the signals in it that are another node's."""
        own = tuple(path for path in gap.signals if self._is_its_own(node, path))
        return gap if len(own) == len(gap.signals) else replace(gap, signals=own)

    def _is_its_own(self, node: NodeId, path: str) -> bool:
        if path.startswith((f"{node}/", f"{NAMESPACE}/{node}/")):
            return True
        return self.ours(node) and self._may_tell(node.node, self._former.get(path, path))


def is_statement(event: Event) -> bool:
    """Whether an event passes for a person's word, by its kind or by what is in it.

    >>> is_statement(Event(5, "saw", "mode.x", {})), is_statement(Event(5, "saw", "jam", {}))
    (True, False)
    """
    return event.kind.partition(".")[0] in STATEMENTS or not _PERSONAL.isdisjoint(event.data)
