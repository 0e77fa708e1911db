"""Birth certificates: what a node or device will ever say, with types and properties."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from plant.errors import DecodeError
from plant.flow.status import StatusCode
from plant.model.signal import Label, Signal, SignalKind
from plant.wire.codec import Metric, Value
from plant.wire.gate import INT64_LAST

REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
PLANT_HASH = "Properties/Plant Hash"
_INTERNAL = ("Node Control/", "Properties/", "Device Control/")


class DataType(IntEnum):
    """Datatypes of Sparkplug B (specification 6.4.16) that a metric of ours or a stranger's has."""

    Unknown = 0
    Int8 = 1
    Int16 = 2
    Int32 = 3
    Int64 = 4
    UInt8 = 5
    UInt16 = 6
    UInt32 = 7
    UInt64 = 8
    Float = 9
    Double = 10
    Boolean = 11
    String = 12
    DateTime = 13
    Text = 14
    UUID = 15
    DataSet = 16
    Bytes = 17
    File = 18
    Template = 19


def is_internal(name: str) -> bool:
    """Whether a metric is about the session itself and no signal of the plant.

    >>> is_internal("Node Control/Rebirth"), is_internal("bdSeq"), is_internal("outbox_rows")
    (True, True, False)
    """
    return name == BD_SEQ or name.startswith(_INTERNAL)


def plant_hash(metrics: Sequence[Metric]) -> str:
    """The hash of the plant.yaml that a node runs on, as its NBIRTH says it; "" where it does not.

    >>> plant_hash([Metric(PLANT_HASH, value="a1b2")])
    'a1b2'
    """
    return next((m.value for m in metrics if m.name == PLANT_HASH and type(m.value) is str), "")


def signal_properties(signal: Signal) -> dict[str, Value | None]:
    """What a birth says of a signal: unit, kind, range, states and how far to trust it.

    Names of states travel as ``states`` = ``0=关/off;1=开/on``, a plain string any host can show.
    """
    properties: dict[str, Value | None] = {
        "kind": signal.kind.value,
        "name_zh": signal.name.zh,
        "name_en": signal.name.en,
    }
    if signal.unit:
        properties["engUnit"] = signal.unit
    if signal.range is not None:
        properties["engLow"], properties["engHigh"] = map(float, signal.range)
    if signal.deadband:
        properties["deadband"] = float(signal.deadband)
    if signal.modulus is not None:
        properties["modulus"] = float(signal.modulus)
    if signal.states:
        properties["states"] = ";".join(f"{n}={_both(label)}" for n, label in signal.states.items())
    if signal.kind is not SignalKind.TEXT:
        properties["max_interval_s"] = float(signal.max_interval)
    properties["estimated"] = signal.estimated
    properties["simulated"] = signal.simulated
    return properties


def _both(label: Label) -> str:
    return f"{label.zh}/{label.en}"


@dataclass(frozen=True, slots=True)
class MetricBirth:
    """One metric of a birth: what it is, and its current value (None with a Bad status: null).

    ``alias`` None sends the metric by name for ever (``Node Control/Rebirth`` has none).
    """

    name: str
    alias: int | None
    datatype: DataType = DataType.Double
    value: Value | None = None
    status: int = 0
    time: int | None = None
    properties: Mapping[str, Value | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        signal: Signal,
        alias: int,
        value: Value | None = None,
        status: int = StatusCode.BadWaitingForInitialData,
        time: int | None = None,
    ) -> "MetricBirth":
        """The birth of a plant's signal under its alias, with the value known now."""
        kind = DataType.String if signal.kind is SignalKind.TEXT else DataType.Double
        return cls(signal.id, alias, kind, value, status, time, signal_properties(signal))

    def metric(self, now: int) -> Metric:
        """As the codec writes it; ``now`` (ms UTC) where the value has no time of its own."""
        return Metric(
            self.name,
            self.alias,
            self.time or now,
            int(self.datatype),
            self.value,
            self.status,
            properties=self.properties,
        )

    def dead(self) -> "MetricBirth":
        """The same metric with null and BadNoCommunication."""
        return MetricBirth(
            self.name,
            self.alias,
            self.datatype,
            None,
            StatusCode.BadNoCommunication,
            None,
            self.properties,
        )


@dataclass(frozen=True, slots=True)
class DeviceBirth:
    """Everything a device will ever report; ``dead`` births it only for its waiting rows."""

    device: str
    metrics: Sequence[MetricBirth]
    dead: bool = False


def bd_seq_of(metrics: Sequence[Metric]) -> int | None:
    """The bdSeq metric of a birth or death, None where it has none.

    Raises
    ------
    DecodeError
        It is no whole number, or none of 64 bits.
    """
    for metric in metrics:
        if metric.name != BD_SEQ:
            continue
        given = metric.value
        # no comparison holds for NaN
        if isinstance(given, (int, float)) and 0 <= given <= INT64_LAST and given % 1 == 0:
            return int(given)
        raise DecodeError(f"bdSeq out of range: {given!r:.40}")
    return None


def refuse_duplicates(metrics: Sequence[Metric]) -> str | None:
    """Why a birth cannot be taken: an alias or a name stands twice. None when it can.

    >>> refuse_duplicates([Metric("a", 128), Metric("b", 128)])
    "alias 128 stands for both 'a' and 'b'"
    """
    by_alias: dict[int, str] = {}
    names: set[str] = set()
    for metric in metrics:
        if not metric.name:
            return "a metric without a name"
        if metric.name in names:
            return f"metric {metric.name!r} stands twice"
        names.add(metric.name)
        if metric.alias is None:
            continue
        other = by_alias.setdefault(metric.alias, metric.name)
        if other != metric.name:
            return f"alias {metric.alias} stands for both {other!r} and {metric.name!r}"
    return None
