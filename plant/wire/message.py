"""What travels: a decoded payload, a row's identity, an outbox's runs, acknowledgements.

Row identity and runs ride in protobuf extension field 1000 of the Sparkplug payload; an
acknowledgement is a small JSON message on ``kaikou/ack/{group}/{edge}``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plant.errors import DecodeError
from plant.flow.json_text import read_json
from plant.flow.sample import Float64, Int64, UInt32
from plant.wire.gate import ACK_BYTES, RUNS, check_offset, check_run


@dataclass(frozen=True, slots=True)
class Row:
    """Identity of one outbox row: (edge, run, offset).

    run     random, new at every start of the edge's process
    offset  rises by one with every row of the run, from 1
    after   offset of the row of this run that is kept before this one, 0 for none
    resend  the row was sent before, or waited: it is historical
    """

    run: str
    offset: int
    after: int = 0
    resend: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """What an outbox holds of one run: highest offset acknowledged, highest kept."""

    run: str
    acked: int
    kept: int


@dataclass(frozen=True, slots=True)
class Runs:
    """What an NBIRTH announces: the current run and every run that still has rows."""

    current: str
    runs: tuple[RunState, ...] = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """All rows of each (run, offset) up to that offset are durable, says ``host``.

    >>> ack = Ack("kaikou", (("a1b2", 17),))
    >>> ack.encode()
    b'{"host":"kaikou","marks":[["a1b2",17]]}'
    >>> Ack.decode(ack.encode()) == ack
    True
    """

    host: str
    marks: tuple[tuple[str, int], ...]

    def encode(self) -> bytes:
        """The message's payload."""
        body = {"host": self.host, "marks": [list(mark) for mark in self.marks]}
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, payload: bytes) -> "Ack":
        """Read a payload; raises ``DecodeError`` for anything that is not an acknowledgement."""
        body = read_json(payload, ACK_BYTES)
        try:
            host, pairs = body["host"], [(run, offset) for run, offset in body["marks"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DecodeError("not an acknowledgement", payload[:80]) from error
        whole = all(isinstance(r, str) and type(o) is int for r, o in pairs)
        if not isinstance(host, str) or not whole or len(pairs) > RUNS:
            raise DecodeError("not an acknowledgement", payload[:80])
        for run, offset in pairs:
            check_run(run)
            check_offset(offset)
        return cls(host, tuple(pairs))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that a session wants published."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as the broker delivered it; ``retain`` says that it was kept, not just sent."""

    topic: str
    payload: bytes
    retain: bool = False


Value = float | int | str | bool | bytes


@dataclass(frozen=True, slots=True)
class TextSample:
    """A string of a data message; the alias as in its birth; ``text`` is None when null."""

    alias: int
    time: int
    text: str | None
    status: int = 0
    historical: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is no number by alias: all of a birth's, and what foreign edges send.

    ``alias`` and ``datatype`` are None where the message has none; ``value`` is None when null;
    whole numbers come as they stand on the wire, two's complement for signed types.
    """

    name: str
    alias: int | None = None
    time: int | None = None
    datatype: int | None = None
    value: Value | None = None
    status: int = 0
    historical: bool = False
    properties: Mapping[str, Value | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A decoded payload.

    ``alias`` to ``historical`` are equally long columns of the numbers sent by alias alone, in
    the order of the message; ``texts`` are strings by alias; ``metrics`` is everything else.
    ``seq`` is None where there is none (NDEATH); ``dead`` marks the birth of a dead device.
    ``unread``: why metrics were not taken, and how many for each reason.
    """

    timestamp: int
    seq: int | None
    alias: Int64
    source_time: Int64
    value: Float64
    status: UInt32
    historical: NDArray[np.bool_]
    texts: Sequence[TextSample] = ()
    metrics: Sequence[Metric] = ()
    row: Row | None = None
    runs: Runs | None = None
    dead: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
