"""What an OPC UA device shows: nodes as data, each with the quantity behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

M = TypeVar("M")

NAMESPACE = "urn:kaikou:simulator:machine"


@dataclass(frozen=True, slots=True)
class Node(Generic[M]):
    """A variable ``ns=2;s=<id>`` of an OPC UA data type, and the quantity it shows."""

    id: str
    type: Literal["Boolean", "Int32", "UInt32", "Double", "String"]
    quantity: Callable[[M], float]
