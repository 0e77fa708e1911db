"""What a row of the file says of itself: check-sums, and what is left of a row that is damaged.

A disk or a card returns a wrong bit without a word. Every row carries the CRC-32 of what it says,
its own number with it; rows that a version before wrote have none and are believed when they can
be decoded. Text is compared as bytes: what is damaged need not be UTF-8.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from plant.errors import DecodeError
from plant.outbox.row import Loss, NewRow, RowClass, unknown_loss
from plant.outbox.schema import record_sum
from plant.wire.codec import FIRST_ALIAS, LAST_ALIAS
from plant.wire.decode import decode_payload

ROW_DAMAGED = "outbox row was damaged and set aside"
SELECT_ROW = (
    "SELECT id, class, CAST(device AS BLOB), first, last, samples, historical, metrics, head, body "
    "FROM row"
)
"""What ``read_row`` wants; the device as bytes."""
_MOST_SAMPLES = 100_000
_CLASSES = frozenset(int(row_class) for row_class in RowClass)


def head_sum(at: int, row: NewRow) -> int:
    """The check-sum of everything of a row but its metrics, and of its number."""
    return record_sum(
        at,
        int(row.row_class),
        row.device.encode(),
        row.first,
        row.last,
        row.samples,
        int(row.historical),
    )


def read_row(columns: Sequence[Any]) -> NewRow | Loss:
    """The row of ``SELECT_ROW``'s columns; what is lost with it where it is damaged."""
    *said, metrics, head, body = columns
    legacy = head is None and body is None
    lost = read_head((*said, head), ROW_DAMAGED)
    whole = isinstance(metrics, bytes) and (legacy or body == crc32(metrics))
    if whole and lost.devices and not (legacy and known_aliases(metrics) is None):
        (device,) = lost.devices
        _, row_class, _, first, last, samples, historical = said
        return NewRow(device, RowClass(row_class), first, last, samples, metrics, bool(historical))
    return _loss_of_metrics(metrics) if whole and not lost.devices else lost


def read_head(columns: Sequence[Any], reason: str) -> Loss:
    """What goes with a row, by its columns but the metrics, its sum the last one.

    Of unknown size and no device where they are damaged.
    """
    *said, total = columns
    _, row_class, device, first, last, samples, _ = said
    numbers = all(isinstance(column, int) for column in (*said[:2], *said[3:]))
    if not numbers or row_class not in _CLASSES or not 0 <= samples <= _MOST_SAMPLES:
        return unknown_loss(reason)
    if total is not None and total != record_sum(*said):
        return unknown_loss(reason)
    try:
        return Loss(first, last, samples, reason, frozenset((device.decode(),)))
    except (AttributeError, UnicodeDecodeError):
        return unknown_loss(reason)


def known_aliases(metrics: bytes) -> set[int] | None:
    """The aliases of a row's metrics; None where they cannot be decoded."""
    try:
        message = decode_payload(metrics)
    except (DecodeError, ValueError, OverflowError):
        return None
    found = set(message.alias.tolist()) | {text.alias for text in message.texts}
    return found if all(FIRST_ALIAS <= alias <= LAST_ALIAS for alias in found) else None


def _loss_of_metrics(metrics: bytes) -> Loss:
    """Whose they were is not known any more, but their times are."""
    try:
        message = decode_payload(metrics)
    except (DecodeError, ValueError, OverflowError):
        return unknown_loss(ROW_DAMAGED)
    times = [*message.source_time.tolist(), *(text.time for text in message.texts)]
    if not times:
        return unknown_loss(ROW_DAMAGED)
    return Loss(min(times), max(times), len(times), ROW_DAMAGED, frozenset())
