"""How Modbus devices differ from the standard, as they have been met in plants."""

import struct
from dataclasses import dataclass
from typing import Literal

_MBAP = struct.Struct(">HHHB")


@dataclass(slots=True)
class Habit:
    """What a device does that it should not; the defaults are a device that does nothing so.

    closes            closes the connection after each answer
    copies            sends its last answer again before the next one: as it was, without its last
                      two bytes, or as the answer to another function
    exception_length  what the header of an exception says; it always has nine bytes
    ready_s           ignores what it is asked sooner after a connection
    boots             refuses everything, with ``hole``
    hole              exception for registers that are not there
    busy              answers so many questions with exception 6 first
    as_unit           unit that its answers name; None: the one that was asked
    as_transaction    transaction that they name, likewise
    dead              units behind it that do not answer
    dead_code         exception with which it tells that; 0: it tells nothing
    dead_s            how long it waits for such a unit, and answers nobody meanwhile
    mute              first registers of which it answers no question
    """

    closes: bool = False
    copies: Literal["", "whole", "shorter", "function"] = ""
    exception_length: int = 3
    ready_s: float = 0.0
    boots: bool = False
    hole: int = 2
    busy: int = 0
    as_unit: int | None = None
    as_transaction: int | None = None
    dead: frozenset[int] = frozenset()
    dead_code: int = 0
    dead_s: float = 0.0
    mute: frozenset[int] = frozenset()

    def frame(self, transaction: int, unit: int, pdu: bytes) -> bytes:
        """An answer as this device sends it."""
        length = self.exception_length if pdu[0] & 0x80 else len(pdu) + 1
        if self.as_transaction is not None:
            transaction = self.as_transaction
        unit = unit if self.as_unit is None else self.as_unit
        return _MBAP.pack(transaction, 0, length, unit) + pdu

    def copy(self, last: bytes) -> bytes:
        """What comes before an answer: the one before it, once more."""
        if not self.copies or not last:
            return b""
        if self.copies == "shorter" and len(last) > 11:
            size = last[8] - 2
            return last[:4] + bytes((0, size + 3)) + last[6:8] + bytes((size,)) + last[9:-2]
        if self.copies == "function":
            return last[:7] + bytes((last[7] ^ 7,)) + last[8:]
        return last

    def refuses(self, pdu: bytes) -> int:
        """The exception with which it answers a question that it could answer; 0: it does not."""
        if self.busy:
            self.busy -= 1
            return 6
        return self.hole if self.boots else 0

    def ignores(self, unit: int, pdu: bytes) -> bool:
        """Whether a question gets no answer at all."""
        first = int.from_bytes(pdu[1:3], "big")
        return first in self.mute or (unit in self.dead and not self.dead_code)
