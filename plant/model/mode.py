"""What a machine waits for, what people use it for, and the item state of OPC 40001-1.

Numbers are ours for ``Waiting`` and ``Mode``; those of ``ItemState`` follow the order in which
OPC 40001-1 (Machinery, 12.2) names the states. The mapping is in docs/methods.md.
"""

from enum import IntEnum

from plant.model.packml import PackML


class Waiting(IntEnum):
    """Why a machine is Suspended."""

    Nothing = 0
    Starved = 1
    """No part to take: the cause is upstream."""
    Blocked = 2
    """No room for the part it holds: the cause is downstream."""


class Mode(IntEnum):
    """What a machine is used for now; Unknown where its own selector cannot be heard."""

    Unknown = 0
    Production = 1
    Maintenance = 2
    Manual = 3
    Setup = 4


class ItemState(IntEnum):
    """MachineryItemState of OPC 40001-1."""

    NotAvailable = 0
    OutOfService = 1
    NotExecuting = 2
    Executing = 3


WAITING_NAMES = {Waiting.Starved: "starved", Waiting.Blocked: "blocked"}
MODE_NAMES = {m: m.name.lower() for m in Mode if m}
"""Number -> the word of the catalogue, of events and of REST."""

_NOT_AVAILABLE = {PackML.Unknown, PackML.Stopped}
_FAILED = {PackML.Aborting, PackML.Aborted, PackML.Clearing}
_STANDS = {PackML.Idle, PackML.Suspended, PackML.Held, PackML.Complete, PackML.Stopping}


def item_state(state: int, mode: int) -> ItemState:
    """The item state that goes with a PackML state and a mode.

    >>> item_state(PackML.Execute, Mode.Production).name
    'Executing'
    >>> item_state(PackML.Suspended, Mode.Production).name
    'NotExecuting'
    >>> item_state(PackML.Execute, Mode.Maintenance).name, item_state(PackML.Unknown, 1).name
    ('OutOfService', 'NotAvailable')
    """
    if state in _NOT_AVAILABLE:
        return ItemState.NotAvailable
    if mode == Mode.Maintenance or state in _FAILED:
        return ItemState.OutOfService
    return ItemState.NotExecuting if state in _STANDS else ItemState.Executing
