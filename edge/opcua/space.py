"""The address space: Kaikou / site / asset / signal, built once before the server listens.

Node ids are the signals' paths (``ns=2;s=lathe/power``) and stay what they are over restarts.
Adding to one parent is quadratic in asyncua, so a folder never holds more than ``MOST`` nodes;
larger ones are divided.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from edge.opcua.unit import NAMESPACE, unit_id
from edge.opcua.vocabulary import ua
from edge.opcua.window import Window
from plant.model.plant import Asset, Plant
from plant.model.signal import Label, Signal, SignalKind

if TYPE_CHECKING:
    from edge.opcua.session import Labels

MOST = 200
"""Children of one node."""
_READ = 1
"""AccessLevel CurrentRead, and nothing else."""

Item = TypeVar("Item")


class Space:
    """Builds nodes for assets and binds their values to the window.

    ``services`` is asyncua's internal server, ``index`` the namespace index of our URI.
    """

    def __init__(self, services: Any, index: int, window: Window) -> None:
        self.labels: Labels = {}
        self.variables = 0
        self._services = services
        self._index = index
        self._window = window

    def build(self, plant: Plant, assets: Sequence[tuple[Asset, Sequence[Signal]]]) -> None:
        """Folders for the site and its assets, a variable for every signal."""
        root = self._folder(
            ua.NodeId(ua.ObjectIds.ObjectsFolder), "Kaikou", Label("Kaikou", "Kaikou"), "Kaikou"
        )
        site = self._folder(root, f"Kaikou/{plant.site}", plant.name, plant.site)
        parents = self._parents(site, f"Kaikou/{plant.site}", assets)
        for (asset, signals), parent in zip(assets, parents, strict=True):
            folder = self._folder(parent, asset.id, asset.name, asset.id)
            divided = self._parents(folder, asset.id, signals)
            for signal, under in zip(signals, divided, strict=True):
                self._variable(under, signal)

    def _parents(self, parent: Any, path: str, items: Sequence[Any]) -> list[Any]:
        """The parent of each item: the folder itself, or one of its parts."""
        if len(items) <= MOST:
            return [parent] * len(items)
        parents: list[Any] = []
        for first, part in _parts(items):
            name = f"{first + 1}-{first + len(part)}"
            folder = self._folder(parent, f"{path}/:{name}", Label(name, name), name)
            parents += [folder] * len(part)
        return parents

    def _folder(self, parent: Any, path: str, label: Label, name: str) -> Any:
        attributes = ua.ObjectAttributes()
        attributes.EventNotifier = 0
        self._describe(attributes, label)
        kind = ua.NodeId(ua.ObjectIds.FolderType)
        organizes = ua.ObjectIds.Organizes
        what = (ua.NodeClass.Object, kind, organizes)
        return self._add(parent, path, name, label=label, what=what, attributes=attributes)

    def _variable(self, parent: Any, signal: Signal) -> None:
        index = self._window.live.table.add(signal.path)
        pane = self._window.pane(index, signal.kind)
        kind, data_type = _types(signal)
        attributes = self._readable(data_type, None)
        self._describe(attributes, signal.name)
        node = self._add(
            parent,
            signal.path,
            signal.id,
            label=signal.name,
            what=(ua.NodeClass.Variable, ua.NodeId(kind), ua.ObjectIds.HasComponent),
            attributes=attributes,
        )
        value = self._services.aspace[node].attributes[ua.AttributeIds.Value]
        value.value = None
        value.value_callback = lambda _node, _attribute: self._window.value(index)
        value.datachange_callbacks = pane.watchers
        self.variables += 1
        for name, variant, property_type in _properties(signal):
            self._property(node, f"{signal.path}#{name}", name, variant, property_type)

    def _property(self, parent: Any, path: str, name: str, variant: Any, data_type: int) -> None:
        attributes = self._readable(data_type, variant)
        attributes.DisplayName = ua.LocalizedText(name)
        kind = ua.NodeId(ua.ObjectIds.PropertyType)
        what = (ua.NodeClass.Variable, kind, ua.ObjectIds.HasProperty)
        self._add(parent, path, name, label=None, what=what, attributes=attributes)

    @staticmethod
    def _readable(data_type: int, variant: Any) -> Any:
        attributes = ua.VariableAttributes()
        attributes.DataType = ua.NodeId(data_type)
        attributes.Value = variant or ua.Variant(None, ua.VariantType.Null)
        array = isinstance(attributes.Value.Value, list)
        attributes.ValueRank = ua.ValueRank.OneDimension if array else ua.ValueRank.Scalar
        attributes.ArrayDimensions = [len(attributes.Value.Value)] if array else None
        attributes.AccessLevel = attributes.UserAccessLevel = _READ
        attributes.WriteMask = attributes.UserWriteMask = 0
        attributes.Historizing = False
        attributes.MinimumSamplingInterval = 100.0
        return attributes

    @staticmethod
    def _describe(attributes: Any, label: Label) -> None:
        attributes.DisplayName = ua.LocalizedText(label.en, "en")
        attributes.Description = ua.LocalizedText(label.zh, "zh")
        attributes.WriteMask = attributes.UserWriteMask = 0

    def _add(
        self,
        parent: Any,
        path: str,
        name: str,
        *,
        label: Label | None,
        what: tuple[Any, Any, int],
        attributes: Any,
    ) -> Any:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = ua.NodeId(path, self._index)
        property_of_standard = what[2] == ua.ObjectIds.HasProperty
        item.BrowseName = ua.QualifiedName(name, 0 if property_of_standard else self._index)
        item.NodeClass, item.TypeDefinition, reference = what
        item.ReferenceTypeId = ua.NodeId(reference)
        item.ParentNodeId = parent
        item.NodeAttributes = attributes
        result = self._services.node_mgt_service.add_nodes([item])[0]
        result.StatusCode.check()
        if label is not None:
            self.labels[item.RequestedNewNodeId] = label
        return item.RequestedNewNodeId


def _types(signal: Signal) -> tuple[int, int]:
    """Variable type and data type (OPC 10000-8 section 5.3)."""
    ids = ua.ObjectIds
    if signal.kind is SignalKind.TEXT:
        return ids.DataItemType, ids.String
    if signal.kind is SignalKind.STATE:
        return ids.MultiStateValueDiscreteType if signal.states else ids.DataItemType, ids.Int64
    if signal.range is not None:
        return ids.AnalogUnitRangeType if signal.unit else ids.AnalogItemType, ids.Double
    return ids.AnalogUnitType if signal.unit else ids.DataItemType, ids.Double


def _properties(signal: Signal) -> Iterable[tuple[str, Any, int]]:
    """Name, value and data type of what describes a signal."""
    ids = ua.ObjectIds
    if signal.unit:
        unit = ua.EUInformation()
        unit.NamespaceUri, unit.UnitId = NAMESPACE, unit_id(signal.unit)
        unit.DisplayName = ua.LocalizedText(signal.unit)
        unit.Description = ua.LocalizedText(signal.unit)
        yield (
            "EngineeringUnits",
            ua.Variant(unit, ua.VariantType.ExtensionObject),
            ids.EUInformation,
        )
    if signal.range is not None:
        low, high = signal.range
        extent = ua.Variant(ua.Range(low, high), ua.VariantType.ExtensionObject)
        yield "EURange", extent, ids.Range
    if signal.kind is SignalKind.STATE and signal.states:
        values = [
            ua.EnumValueType(
                Value=number,
                DisplayName=ua.LocalizedText(label.en, "en"),
                Description=ua.LocalizedText(label.zh, "zh"),
            )
            for number, label in sorted(signal.states.items())
        ]
        yield "EnumValues", ua.Variant(values, ua.VariantType.ExtensionObject), ids.EnumValueType
        if sorted(signal.states) == list(range(len(signal.states))):
            strings = [ua.LocalizedText(signal.states[n].en, "en") for n in sorted(signal.states)]
            yield (
                "EnumStrings",
                ua.Variant(strings, ua.VariantType.LocalizedText),
                ids.LocalizedText,
            )
    if signal.estimated:
        yield "Estimated", ua.Variant(True, ua.VariantType.Boolean), ids.Boolean
    if signal.simulated:
        yield "Simulated", ua.Variant(True, ua.VariantType.Boolean), ids.Boolean


def _parts(items: Sequence[Item]) -> Iterable[tuple[int, Sequence[Item]]]:
    """Runs of at most ``MOST``, with their beginnings.

    >>> [(first, len(part)) for first, part in _parts(range(450))]
    [(0, 200), (200, 200), (400, 50)]
    """
    for first in range(0, len(items), MOST):
        yield first, items[first : first + MOST]
