"""One subscription: what the server reports, in order and without a hole.

Two questions for reports are always with the server. What came waits here, bounded: while nobody
takes it, nothing more is asked for and the server keeps what follows. Reports are numbered; a
missing one is asked for again, and one that is lost ends the session, because a change that was in
it would be taken for none. A report is acknowledged after it was taken.
"""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua as _ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from edge.adapters.opcua_link import SESSION_S, Away, Link
from edge.adapters.opcua_request import (
    delete_items,
    make_items,
    make_subscription,
    publish,
    republish,
    transfer,
)
from plant.errors import Unavailable
from plant.flow.clock import Clock

ua: Any = _ua

_ASKED = 2
_WAITING = 16
_ALIVE_S = 2.0
"""The server shall give a sign of life this often where no value changes."""
_LATE_S = 10.0
"""A subscription whose sign of life is late by so much is dead."""
_DAY_MS = 86_400_000
_LAST_NUMBER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Report:
    """One report, or a sign of life.

    heard    when it came with all that the server knew, ms UTC of the plant; None: more follows
    changes  (client handle, DataValue)
    """

    heard: int | None
    changes: Sequence[tuple[int, Any]] = ()


class Subscription:
    """Of one session; ``create`` first, ``stop`` in any case."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._id = 0
        self._next = 0
        """Number of the report to come; 0 before the first."""
        self._arrived: asyncio.Queue[tuple[Any, int] | None] = asyncio.Queue(_WAITING)
        self._again: list[tuple[Any, int]] = []
        """Reports that were asked for again."""
        self._in_order = asyncio.Lock()
        """A queue that is full lets those who wait to put in overtake each other."""
        self._failed: Exception | None = None
        """Why no more comes; raised when all that came is taken."""
        self._over: Exception | None = None
        """Why what came next makes no sense; raised at once."""
        self._acknowledge: list[Any] = []
        self._asking: list[asyncio.Task[None]] = []
        self._silent_s = 0.0
        self.interval_s = 0.0
        self.alive_s = 0.0

    # --------------------------------------------------------------------------- with the server

    async def create(self, period_ms: int) -> None:
        """Have the server make it, and ask for reports."""
        request = make_subscription(period_ms, alive_s=_ALIVE_S, life_s=SESSION_S)
        made = (await self._link.ask(request, ua.CreateSubscriptionResponse)).Parameters
        self._id = made.SubscriptionId
        interval = made.RevisedPublishingInterval
        self.interval_s = (interval if 0 < interval < _DAY_MS else period_ms) / 1000
        self.alive_s = self.interval_s * max(1, made.RevisedMaxKeepAliveCount)
        self._ask_for_reports()

    async def monitor(
        self, nodes: Sequence[tuple[int, Any]], *, queue: int, sampling_ms: float
    ) -> Sequence[Any]:
        """Report changes of (client handle, node id); a result for each."""
        request = make_items(self._id, nodes, queue=queue, sampling_ms=sampling_ms)
        answer = await self._link.ask(request, ua.CreateMonitoredItemsResponse)
        results: Sequence[Any] = answer.Results or ()
        return results

    async def release(self, items: Sequence[int]) -> Sequence[Any]:
        """Report these items no longer, by the numbers the server gave them."""
        request = delete_items(self._id, items)
        answer = await self._link.ask(request, ua.DeleteMonitoredItemsResponse)
        results: Sequence[Any] = answer.Results or ()
        return results

    async def resume(self) -> None:
        """After the session was taken up on a new connection: fetch what was missed, go on.

        Raises
        ------
        Unavailable
            The server has forgotten it.
        """
        await self.stop()
        self._failed = self._over = None
        await self._claim()
        while not self._arrived.empty():
            came = self._arrived.get_nowait()
            self._again += [came] if came is not None else []
        number = self._next or 1
        for told, _ in self._again:
            if told.NotificationMessage.NotificationData:
                number = _after(told.NotificationMessage.SequenceNumber)
        while (message := await self._fetch(number)) is not None:
            self._again.append((message, self._clock.now()))
            number = _after(number)
        self._ask_for_reports()

    async def _claim(self) -> None:
        """Have it report on the new connection; most servers do so by themselves."""
        request = transfer(self._id)
        try:
            answer = await self._link.ask(request, ua.TransferSubscriptionsResponse)
        except UaStatusCodeError:
            return  # it does not know the service; whether it reports is seen soon
        for result in answer.Parameters.Results or ():
            if result.StatusCode.value == StatusCodes.BadSubscriptionIdInvalid:
                raise Unavailable(f"{self._link.url}: it has forgotten the subscription")

    async def stop(self) -> None:
        """Ask for no more reports."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        self._asking.clear()

    def _ask_for_reports(self) -> None:
        self._silent_s = 0.0
        self._asking = [
            asyncio.create_task(self._ask(), name="OPC UA reports") for _ in range(_ASKED)
        ]

    async def _ask(self) -> None:
        """Ask for a report, again and again; whatever ends that ends the subscription."""
        try:
            while True:
                request = publish(self._acknowledge)
                self._acknowledge = []
                try:
                    answer = await self._link.ask(request, ua.PublishResponse, 0)
                except UaStatusCodeError as error:
                    if error.code == StatusCodes.BadTimeout:
                        continue
                    if error.code == StatusCodes.BadTooManyPublishRequests and self._asked_by_other:
                        return
                    raise
                told = answer.Parameters, self._clock.now()
                async with self._in_order:
                    await self._arrived.put(told)
        except (Away, Unavailable, UaStatusCodeError) as error:
            self._failed = self._failed or error
            await self._arrived.put(None)

    @property
    def _asked_by_other(self) -> bool:
        return sum(not task.done() for task in self._asking) > 1

    # ------------------------------------------------------------------------------- what it said

    @property
    def waits(self) -> bool:
        """Whether something came that was not taken."""
        return bool(self._again) or not self._arrived.empty()

    async def reports(self, wait_s: float) -> list[Report]:
        """What came, in order; waits up to ``wait_s`` for the first.

        Raises
        ------
        Away
            The connection is lost; what came before it was given.
        Unavailable
            The subscription is dead, or a report is lost.
        """
        if self._over:
            raise self._over
        taken: list[Report] = []
        while len(taken) < _WAITING:
            told = await self._wait(0 if taken else wait_s)
            if told is None:
                break
            try:
                taken += await self._take(*told)
            except (Away, Unavailable) as error:
                if not taken:
                    raise
                self._over = error  # what was taken before it counts
                break
        if not taken and self._failed and not self.waits:
            self._fail(self._failed)
        return taken

    async def _wait(self, wait_s: float) -> tuple[Any, int] | None:
        """What came next, not yet judged; None where nothing did."""
        if self._again:
            return self._again.pop(0)
        if self._failed and self._arrived.empty():
            return None
        began = time.monotonic()
        try:
            async with asyncio.timeout(wait_s):
                came = await self._arrived.get()
        except TimeoutError:
            if wait_s:
                self._missed(time.monotonic() - began)
            return None
        self._silent_s = 0.0
        return came

    def _missed(self, waited_s: float) -> None:
        self._silent_s += waited_s
        if self._silent_s > self.alive_s + _LATE_S:
            raise Unavailable(
                f"{self._link.url}: it takes subscriptions but reports nothing: silent for "
                f"{self._silent_s:.0f} s, a sign of life is due every {self.alive_s:g} s"
            )

    def _fail(self, error: Exception) -> None:
        if isinstance(error, (Away, Unavailable)):
            raise error
        raise Unavailable(f"{self._link.url}: its subscription is over: {error}") from error

    async def _take(self, told: Any, heard: int) -> list[Report]:
        """A report, after those before it that did not come."""
        message, number = told.NotificationMessage, int(told.NotificationMessage.SequenceNumber)
        if told.SubscriptionId != self._id:
            raise Unavailable(f"{self._link.url}: it reports for another subscription than ours")
        data = message.NotificationData or ()
        reports: list[Report] = []
        if self._next and number > self._next and number - self._next < _LAST_NUMBER // 2:
            reports += await self._missing(number)
        if not data:  # a sign of life carries the number of the report to come
            return [*reports, Report(heard)]
        if self._next and number != self._next:
            raise Unavailable(f"{self._link.url}: report {number} where {self._next} was due")
        all_told = None if told.MoreNotifications else heard
        reports.append(Report(all_told, self._changes(data)))
        self._taken(number)
        return reports

    async def _missing(self, number: int) -> list[Report]:
        """Reports from the one that was due to the one before ``number``."""
        reports = []
        while self._next != number:
            told = await self._fetch(self._next)
            if told is None:
                raise Unavailable(
                    f"{self._link.url}: reports {self._next} to {number - 1} are lost; all values "
                    "are asked for anew"
                )
            reports.append(Report(None, self._changes(told.NotificationMessage.NotificationData)))
            self._taken(self._next)
        return reports

    def _taken(self, number: int) -> None:
        self._acknowledge.append(
            ua.SubscriptionAcknowledgement(SubscriptionId=self._id, SequenceNumber=number)
        )
        self._next = _after(number)

    async def _fetch(self, number: int) -> Any:
        """An earlier report, in the form of a fresh one; None where the server has it not."""
        try:
            answer = await self._link.ask(republish(self._id, number), ua.RepublishResponse)
        except UaStatusCodeError as error:
            if error.code in (
                StatusCodes.BadMessageNotAvailable,
                StatusCodes.BadServiceUnsupported,
                StatusCodes.BadNotImplemented,
            ):
                return None
            raise Unavailable(f"{self._link.url}: its subscription is over: {error}") from error
        message = answer.NotificationMessage
        if not message.NotificationData:  # as some servers say that they have it not
            return None
        if message.SequenceNumber != number:
            raise Unavailable(f"{self._link.url}: report {message.SequenceNumber} for {number}")
        return ua.PublishResult(
            SubscriptionId=self._id, NotificationMessage=message, MoreNotifications=True
        )

    def _changes(self, data: Any) -> list[tuple[int, Any]]:
        changes: list[tuple[int, Any]] = []
        for part in data or ():
            if isinstance(part, ua.DataChangeNotification):
                changes += [
                    (int(item.ClientHandle), item.Value)
                    for item in part.MonitoredItems or ()
                    if item.Value is not None
                ]
            elif isinstance(part, ua.StatusChangeNotification):
                raise Unavailable(
                    f"{self._link.url}: it has ended the subscription: {part.Status.name}"
                )
        return changes


def _after(number: int) -> int:
    """Reports are counted from 1 to 2^32 - 1 and round again."""
    return 1 if number >= _LAST_NUMBER else number + 1
