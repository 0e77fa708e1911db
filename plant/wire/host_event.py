"""What a host learns from the bus: the events of ``HostSession``."""

from collections.abc import Sequence
from dataclasses import dataclass

from plant.flow.sample import Event, Gap, Int32, SampleBatch, Text
from plant.wire.message import Metric, Row, Runs
from plant.wire.topic import NodeId


@dataclass(frozen=True, slots=True, eq=False)
class Born:
    """A birth certificate was taken; its values follow as a ``Data`` event.

    signals   indices of every metric it names that is a signal
    announced whether the node is a Kaikou edge (its NBIRTH had field 1000)
    dead      born only so that waiting rows can be read: the device stays dead
    metrics   the certificate itself: names, datatypes, properties
    refused   names of metrics whose signals plant.yaml gives to another node
    """

    node: NodeId
    device: str | None
    signals: Int32
    announced: bool
    dead: bool = False
    metrics: Sequence[Metric] = ()
    refused: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Died:
    """A device, or a node with all its devices (one event each), is gone."""

    node: NodeId
    device: str | None
    signals: Int32


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Samples, in the order of the message.

    row     identity of the outbox row, None where the sender promises nothing
    live    whether they may touch the live table: not historical, not a row of a dead device
    stored  whether they belong in the historian: rows of ours, everything of a foreign edge
    events, gaps  what an edge reports of itself in a row (``plant.wire.record``)
    """

    node: NodeId
    device: str | None
    samples: SampleBatch
    texts: Sequence[Text]
    row: Row | None
    live: bool
    stored: bool
    historical: bool = False
    events: Sequence[Event] = ()
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True)
class RunsAnnounced:
    """An NBIRTH of a Kaikou edge says what its outbox holds: answer with the marks of these."""

    node: NodeId
    runs: Runs


@dataclass(frozen=True, slots=True)
class RebirthWanted:
    """Ask this node for its births now; ``rebirth_command`` makes the message."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Messages of a node were lost and did not turn up.

    ``lost`` messages (at least; modulo 256) between ``first`` and ``last``, ms UTC of the
    payloads before and after the hole. From a foreign edge they are lost for good.
    """

    node: NodeId
    announced: bool
    lost: int
    first: int
    last: int
    reason: str = "sequence gap"


@dataclass(frozen=True, slots=True)
class Refused:
    """A message was not taken, and why; ``node`` misbehaves, nothing of it was guessed."""

    node: NodeId
    device: str | None
    reason: str


HostEvent = Born | Died | Data | RunsAnnounced | RebirthWanted | SequenceGap | Refused
