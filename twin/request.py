"""The twin's end of requests: checks them, records them durably, answers in plain words.

What a person states becomes an event in the twin's own outbox and goes over the bus into the
historian like everything else. The answer goes out when the outbox has it on disk.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from plant.errors import DecodeError, Rejected, Unavailable
from plant.flow.clock import Clock
from plant.flow.rate import Rate
from plant.outbox.store import Acceptance
from plant.outbox.uplink import Uplink
from plant.wire.edge_session import Command
from plant.wire.refusal import Refusals
from plant.wire.request import REQUEST, WAITING, Reply, Request
from twin.recorded import Recorded
from twin.statement import Vocabulary, statement

log = logging.getLogger("kaikou.twin")

KEY = "request"
"""Under this the outbox keeps when something was said last."""
A_MINUTE = 300
"""So many statements are recorded in a minute at most: a plant's people type no faster."""
_REMEMBERED = 1000
_KIND = 24
"""Refusals that begin alike are told once."""


@dataclass(frozen=True, slots=True)
class _Recording:
    """A statement on its way to the disk."""

    request: Request
    said: int
    acceptance: Acceptance


class Requests:
    """Takes commands, ``run`` answers them.

    uplink  keeps the events, and when something was said last over restarts, in one transaction;
            sends the replies
    recorded  is told of every statement that goes into the outbox
    """

    def __init__(
        self,
        known: Vocabulary,
        clock: Clock,
        uplink: Uplink,
        group: str,
        recorded: Recorded | None = None,
    ) -> None:
        self._own = Recorded() if recorded is None else recorded
        self._told, self._declined = Refusals(log), Refusals(log)
        self._known = known
        self._clock = clock
        self._uplink = uplink
        self._group = group
        self._said = int(uplink.saved.get(KEY, {}).get("said", 0))
        self._rate = Rate(A_MINUTE, 60.0)
        self._recording: asyncio.Queue[_Recording | Reply] = asyncio.Queue(2 * WAITING)
        self._answered: OrderedDict[str, Reply | None] = OrderedDict()

    @property
    def refused(self) -> int:
        """How much was no request at all."""
        return self._told.count

    def on_command(self, command: Command) -> None:
        """Take a command of the twin's node; what is no request, or about nothing, is refused."""
        for metric in command.metrics:
            if metric.name != REQUEST or not isinstance(metric.value, str):
                continue
            try:
                request = Request.decode(metric.value)
            except DecodeError as error:
                self._refuse(str(error))
                continue
            if command.device != request.asset:
                about = f"request on another topic: about {request.asset[:_KIND]!r}"
                self._refuse(f"{about} on that of {command.device!r}")
            elif self._recording.full():
                self._refuse("more requests than can be answered")
            else:
                self._take(request)

    def _take(self, request: Request) -> None:
        if request.id in self._answered:  # heard again
            reply = self._answered[request.id]
            if reply is not None:
                self._recording.put_nowait(reply)
            return
        self._remember(request.id, None)
        now = self._clock.now()
        said = max(now, self._said + 1)
        try:
            event = statement(request, self._known, now, said)
        except Rejected as error:
            self._recording.put_nowait(Reply(request.id, False, str(error)))
            return
        if not self._rate.take():
            text = "too much is stated at once; try again in a minute"
            self._recording.put_nowait(Reply(request.id, False, text, again=True))
            return
        self._said = said
        self._own.add(event)
        acceptance = self._uplink.accept(events=[event], state={KEY: {"said": float(said)}})
        self._recording.put_nowait(_Recording(request, said, acceptance))

    async def run(self) -> None:
        """Answer what was taken, in order, until cancelled."""
        while True:
            waiting = await self._recording.get()
            reply = waiting if isinstance(waiting, Reply) else await self._recorded(waiting)
            self._remember(reply.id, reply)
            if reply.error:
                self._declined.take("a request", reply.error, reply.error[:_KIND])
            try:
                await self._uplink.publish(reply.message(self._group))
            except Unavailable:
                continue  # who asked hears nothing in time, and is told so

    async def _recorded(self, recording: _Recording) -> Reply:
        """The reply once it is known whether the disk has it, or at the deadline."""
        request = recording.request
        left_ms = request.deadline - self._clock.now()
        try:
            async with asyncio.timeout(max(0.0, left_ms / 1000 / self._clock.factor)):
                durable = await recording.acceptance
        except TimeoutError:
            text = "the twin's disk is slow: it may be recorded later"
            return Reply(request.id, False, text, again=True)
        if not durable:
            reason = recording.acceptance.refused
            return Reply(request.id, False, f"not recorded: {reason}", again=True)
        return Reply(request.id, True, said=recording.said)

    def _remember(self, id: str, reply: Reply | None) -> None:
        self._answered[id] = reply
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)

    def _refuse(self, why: str) -> None:
        """Rubbish gets no answer; it is counted and said at first."""
        self._told.take("a request", why)
