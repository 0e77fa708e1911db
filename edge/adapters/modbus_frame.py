"""Frames of Modbus TCP: a question built, its answer found among what came. No input or output.

Seven bytes of header (transaction, protocol 0, length, unit), then function and data (MODBUS
Messaging on TCP/IP Implementation Guide V1.0b, MODBUS Application Protocol V1.1b3). Devices keep
to it less than one would think: some send an answer twice, some give the length of an exception
wrong, some answer as unit 0 or with transaction 0. What may be taken is judged here:

- a frame whose transaction is not ours is passed over before anything else of it is looked at;
- an exception has nine bytes, whatever its length field says;
- an answer has our unit, our function and exactly the bytes that were asked for, or is none;
- behind it may be other frames, as some devices send one twice, but nothing that is no frame.
"""

import struct
from dataclasses import dataclass

from edge.adapters.modbus_point import BITS, Table
from plant.errors import DecodeError

_FUNCTION: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_QUESTION = struct.Struct(">HHHBBHH")
_HEADER = struct.Struct(">HHHBB")
_EXCEPTION = 0x80
_EXCEPTION_SIZE = 9

EXCEPTIONS = {
    1: "the device does not know this function",
    2: "no such address",
    3: "it does not take a block like this",
    4: "device failure",
    5: "it needs more time",
    6: "busy",
    7: "it refuses",
    8: "memory parity error",
    10: "the gateway has no path to this unit",
    11: "the unit behind the gateway does not answer",
}
"""What exception codes mean."""


class Refused(DecodeError):
    """The device answered with a Modbus exception; ``code`` is its number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}: {EXCEPTIONS.get(code, 'not in the standard')}")
        self.code = code


class Short(DecodeError):
    """The device answered with fewer registers than were asked for."""

    code = -1
    """No exception of the standard."""


@dataclass(frozen=True, slots=True)
class Question:
    """``count`` registers (or bits) of a unit's table, from address ``first``."""

    transaction: int
    unit: int
    table: Table
    first: int
    count: int

    @property
    def function(self) -> int:
        """The function code that reads the table."""
        return _FUNCTION[self.table]

    @property
    def size(self) -> int:
        """Data bytes of the answer."""
        return (self.count + 7) // 8 if self.table in BITS else self.count * 2

    def encode(self) -> bytes:
        """The frame that asks.

        >>> Question(1, 17, "holding", 107, 3).encode().hex(" ")
        '00 01 00 00 00 06 11 03 00 6b 00 03'
        """
        return _QUESTION.pack(
            self.transaction, 0, 6, self.unit, self.function, self.first, self.count
        )


class Answers:
    r"""What came from a device, frame by frame.

    >>> answers = Answers()
    >>> question = Question(2, 1, "input", 0, 1)
    >>> answers.feed(bytes.fromhex("000100000005010402beef" "00020000000501040201"))
    >>> answers.take(question) is None, answers.strange
    (True, {1})
    >>> answers.feed(b"\xf4")
    >>> answers.take(question).hex()
    '01f4'
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.strange: set[int] = set()
        """Transactions of frames passed over since ``clear``; the first few."""

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._buffer += data

    def clear(self) -> None:
        """Forget what came: before a question is asked nothing can be its answer."""
        self._buffer.clear()
        self.strange.clear()

    def take(self, question: Question) -> bytes | None:
        """The data that answer a question; None while they are not all there.

        Raises
        ------
        Refused
            The device answered with an exception.
        DecodeError
            What came is no Modbus frame, or an answer to something else.
        """
        buffer = self._buffer
        while len(buffer) >= _HEADER.size:
            transaction, protocol, length, _, function = _HEADER.unpack_from(buffer)
            ours = transaction == question.transaction
            if protocol != 0 or not (function & _EXCEPTION or (3 if ours else 2) <= length <= 254):
                raise DecodeError("no Modbus frame", bytes(buffer[:32]))
            size = _EXCEPTION_SIZE if function & _EXCEPTION else 6 + length
            if ours and len(buffer) >= _EXCEPTION_SIZE:
                _judge(bytes(buffer[:_EXCEPTION_SIZE]), question)
                return self._data(size) if len(buffer) >= size else None
            if ours or len(buffer) < size:
                return None
            if len(self.strange) < 8:
                self.strange.add(transaction)
            del buffer[:size]
        if bytes(buffer[2:4]).strip(b"\0"):
            raise DecodeError("no Modbus frame", bytes(buffer))
        return None

    def _data(self, size: int) -> bytes:
        """The answer's data, where nothing but whole frames came behind it."""
        buffer = self._buffer
        data = bytes(buffer[_EXCEPTION_SIZE:size])
        at = size
        while at < len(buffer):
            end = _end(buffer, at)
            if not end:
                raise DecodeError("bytes behind the answer that are no frame", bytes(buffer[:32]))
            at = end
        del buffer[:size]
        return data


def _end(buffer: bytearray, at: int) -> int:
    """Where a whole frame that begins at a place ends; 0 where none does."""
    if len(buffer) < at + _EXCEPTION_SIZE:
        return 0
    _, protocol, length, _, function = _HEADER.unpack_from(buffer, at)
    if protocol or not (3 <= length <= 254 or function & _EXCEPTION):
        return 0
    end = at + (_EXCEPTION_SIZE if function & _EXCEPTION else 6 + length)
    return end if end <= len(buffer) else 0


def _judge(head: bytes, question: Question) -> None:
    """Raise unless these nine bytes begin the answer to a question, whose transaction they have."""
    _, _, length, unit, function = _HEADER.unpack_from(head)
    if unit != question.unit:
        raise DecodeError(
            f"answers as unit {unit}, asked was unit {question.unit}; if it is the one that is "
            f"meant, write 'unit: {unit}'"
        )
    if function == question.function | _EXCEPTION:
        raise Refused(head[8])
    if function != question.function:
        raise DecodeError(f"answers function {function}, asked was {question.function}", head)
    if head[8] != question.size or length != question.size + 3:
        kind = Short if head[8] < question.size and length == head[8] + 3 else DecodeError
        raise kind(
            f"answers {head[8]} bytes in a frame of {length}, asked were {question.size}", head
        )
