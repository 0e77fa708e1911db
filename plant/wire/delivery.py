"""What a message of a born node becomes: samples to show or to store, records, refusals."""

from collections.abc import Sequence

from plant.errors import DecodeError
from plant.flow.sample import Event, Gap
from plant.wire.alias import Resolved
from plant.wire.host_event import Data, HostEvent, Refused
from plant.wire.message import Message
from plant.wire.node import Node
from plant.wire.ownership import Ownership
from plant.wire.record import decode_record
from plant.wire.topic import Topic


def deliver(  # noqa: PLR0917 - who says what, where, and whether it is current
    ownership: Ownership, node: Node, topic: Topic, message: Message, found: Resolved, live: bool
) -> list[HostEvent]:
    """The events that a message of a born node or device becomes."""
    row = message.row if node.announced else None
    stored = row is not None or not node.announced
    historical = found.historical
    past = bool(historical.any()) or any(h for _, h in found.texts)
    if past and row is None and not historical.all():
        return _split(node, topic, found, live)
    events, gaps, refusals = _records(ownership, topic, found.records)
    if row is not None and message.unread:  # the row is acknowledged, so a record stays
        count, reason = sum(message.unread.values()), "; ".join(message.unread)
        gaps.append(Gap(str(node.id), 0, 0, count, f"refused: {reason}"))
    texts = [text for text, _ in found.texts]
    if not (len(found.samples) or texts or events or gaps) and row is None:
        return refusals
    data = Data(
        node.id,
        topic.device,
        found.samples,
        texts,
        row,
        live and not past,
        stored,
        past,
        events,
        gaps,
    )
    return [*refusals, data]


def _split(node: Node, topic: Topic, found: Resolved, live: bool) -> list[HostEvent]:
    """A stranger's message with values of now and of the past: two events."""
    out: list[HostEvent] = []
    for past in (True, False):
        samples = found.samples.take(found.historical == past)
        texts = [text for text, historical in found.texts if historical == past]
        if len(samples) or texts:
            stored = not node.announced
            show = live and not past
            out.append(Data(node.id, topic.device, samples, texts, None, show, stored, past))
    return out


def _records(
    ownership: Ownership, topic: Topic, records: Sequence[str]
) -> tuple[list[Event], list[Gap], list[HostEvent]]:
    events: list[Event] = []
    gaps: list[Gap] = []
    refusals: list[HostEvent] = []
    for text in records:
        try:
            record = decode_record(text)
        except DecodeError as error:
            refusals.append(Refused(topic.node, topic.device, str(error)))
            continue
        refusal = ownership.refusal(topic.node, record)
        if refusal is not None:
            refusals.append(Refused(topic.node, topic.device, refusal))
        elif isinstance(record, Gap):
            gaps.append(ownership.own_gap(topic.node, record))
        else:
            events.append(record)
    return events, gaps, refusals
