"""Requests of people to the twin, and its replies: the road back (DESIGN section 1).

A request is a DCMD to the twin's node about one asset, with one String metric ``Kaikou/Request``
that carries JSON::

    {"id": "8f3c...", "kind": "reason", "asset": "lathe", "person": "wang",
     "deadline": 1763770005000, "data": {"start": 1763760000000, "end": 1763763600000, ...}}

The twin answers on ``kaikou/reply/{group}/{id}``::

    {"id": "8f3c...", "ok": true, "error": "", "said": 1763770001234, "again": false}

It is a DCMD and no NCMD so that a broker can keep strangers out by topic: everybody who looks may
ask a node for its births (NCMD), only the gateway may send requests. Nothing queues: a request is
refused past its deadline, and whoever waits gives up.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.json_text import read_json
from plant.model.plant import TWIN
from plant.wire.birth import DataType
from plant.wire.codec import Metric, encode_named, encode_payload
from plant.wire.gate import REPLY_BYTES
from plant.wire.message import Outgoing
from plant.wire.topic import MessageType, NodeId, Topic, check_id, reply_topic

REQUEST = "Kaikou/Request"
"""The metric's reserved name; no signal of a plant has a slash in its id."""
REQUEST_BYTES = 8192
"""A longer request is not read."""
ANSWER_S = 5.0
"""So long a person waits for the twin."""
WAITING = 64
"""So many requests of one process are under way at most."""

_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks the twin to record.

    id        random; the reply's topic ends with it
    kind      "reason", "product" or "mode"
    asset     the machine or line that it is about
    deadline  ms UTC of the plant; refused after this
    data      depends on the kind
    """

    id: str
    kind: str
    asset: str
    person: str
    deadline: int
    data: Mapping[str, object] = field(default_factory=dict)

    def encode(self) -> str:
        """The metric's string.

        >>> request = Request("8f3c8f3c", "product", "lathe", "wang", 5000, {"product": "a"})
        >>> Request.decode(request.encode()) == request
        True
        """
        body = {
            "id": self.id,
            "kind": self.kind,
            "asset": self.asset,
            "person": self.person,
            "deadline": self.deadline,
            "data": dict(self.data),
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "Request":
        """Read a request; raises ``DecodeError`` for anything else.

        >>> Request.decode('{"id": "../x"}')
        Traceback (most recent call last):
        ...
        plant.errors.DecodeError: not a request: 7b 22 69 64 22 3a 20 22 2e 2e 2f 78 22 7d
        """
        body = read_json(text, REQUEST_BYTES)
        try:
            deadline, data = body["deadline"], body["data"]
            id, kind, asset, person = (body[n] for n in ("id", "kind", "asset", "person"))
        except (KeyError, TypeError) as error:
            raise DecodeError("not a request", _head(text)) from error
        words = all(isinstance(word, str) for word in (id, kind, asset, person))
        if not words or type(deadline) is not int or not isinstance(data, dict):
            raise DecodeError("not a request", _head(text))
        if not _ID.fullmatch(id):
            raise DecodeError("a request with a strange id", _head(text))
        return cls(id, kind, asset, person, deadline, data)

    def message(self, group: str) -> Outgoing:
        """The DCMD that carries it."""
        metric = Metric(REQUEST, None, None, DataType.String, self.encode())
        asset = check_id(self.asset, "asset")
        topic = Topic(MessageType.DCMD, NodeId(group, TWIN), asset).format()
        return Outgoing(topic, encode_payload(encode_named([metric]), None, None))


@dataclass(frozen=True, slots=True)
class Reply:
    """The twin's answer.

    error  why not, in plain words
    said   when it accepted, ms UTC, strictly rising; 0 when it did not
    again  nothing is wrong with the request: later it may be accepted
    """

    id: str
    ok: bool
    error: str = ""
    said: int = 0
    again: bool = False

    def message(self, group: str) -> Outgoing:
        """The message that carries it."""
        text = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
        return Outgoing(reply_topic(group, self.id), text.encode())

    @classmethod
    def decode(cls, payload: bytes) -> "Reply":
        """Read a payload; raises ``DecodeError`` for anything that is not a reply.

        >>> reply = Reply("8f3c8f3c", True, said=7)
        >>> Reply.decode(reply.message("g").payload) == reply
        True
        """
        body = read_json(payload, REPLY_BYTES)
        try:
            values: dict[str, Any] = {field.name: body[field.name] for field in fields(cls)}
        except (KeyError, TypeError) as wrong:
            raise DecodeError("not a reply", payload[:80]) from wrong
        if [type(value) for value in values.values()] != [str, bool, str, int, bool]:
            raise DecodeError("not a reply", payload[:80])
        return cls(**values)


class Asker:
    """The sender's end: publishes requests and brings each its reply.

    publish  hands a message to the broker, raises ``Unavailable`` while there is none
    """

    def __init__(
        self,
        group: str,
        clock: Clock,
        publish: Callable[[Outgoing], Awaitable[None]],
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._group = group
        self._clock = clock
        self._publish = publish
        self._answer_s = answer_s
        self._waiting: dict[str, asyncio.Future[Reply]] = {}

    async def ask(self, kind: str, asset: str, person: str, data: Mapping[str, object]) -> Reply:
        """Send a request and wait for the reply.

        Raises
        ------
        Unavailable
            The broker is not there, or the twin did not answer in time: the request may have
            been recorded or not.
        """
        if len(self._waiting) >= WAITING:
            raise Unavailable("too many requests wait for the twin; try again")
        deadline = self._clock.now() + round(self._answer_s * 1000 * self._clock.factor)
        request = Request(secrets.token_hex(16), kind, asset, person, deadline, data)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answer
        try:
            async with asyncio.timeout(self._answer_s):
                await self._publish(request.message(self._group))
                return await answer
        except TimeoutError:
            raise Unavailable(
                f"the twin did not answer within {self._answer_s:g} s; "
                "see whether it was recorded before you repeat it"
            ) from None
        finally:
            del self._waiting[request.id]

    def on_message(self, topic: str, payload: bytes) -> None:
        """Take a message of the reply topics; what nobody waits for is left alone."""
        answer = self._waiting.get(topic.rpartition("/")[2])
        if answer is None or answer.done():
            return
        try:
            reply = Reply.decode(payload)
        except DecodeError:
            return
        if topic == reply_topic(self._group, reply.id):
            answer.set_result(reply)

    def lost(self) -> None:
        """The connection is gone: no reply will come."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(
                    Unavailable(
                        "the broker was lost before the twin answered; "
                        "see whether it was recorded before you repeat it"
                    )
                )


def _head(text: str) -> bytes:
    return text[:80].encode(errors="replace")
