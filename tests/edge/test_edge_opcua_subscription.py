"""Reports of a subscription: in order, without a hole, dead ones told; portions; values."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua as _ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from edge.adapters import opcua_subscription
from edge.adapters.opcua_link import Away
from edge.adapters.opcua_portion import Portions
from edge.adapters.opcua_subscription import Report, Subscription
from edge.adapters.opcua_value import content, node_id, time_of
from plant.errors import Unavailable
from plant.flow.clock import ManualClock
from plant.flow.status import StatusCode

ua: Any = _ua
NOW = 1_795_000_000_000
ID = 77


def data(value: Any) -> Any:
    return ua.DataValue(ua.Variant(value))


def a_time(year: int, second: int = 0) -> datetime:
    """As asyncua has it: UTC, and not said so."""
    return datetime(year, 1, 1, 0, 0, second, tzinfo=UTC).replace(tzinfo=None)


def published(number: int, *values: float, of: int = ID, status: int | None = None) -> Any:
    """An answer to a Publish request; a sign of life without values."""
    message = ua.NotificationMessage(SequenceNumber=number)
    if values:
        items = [ua.MonitoredItemNotification(ClientHandle=5, Value=data(v)) for v in values]
        message.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    if status is not None:
        message.NotificationData = [ua.StatusChangeNotification(Status=ua.StatusCode(status))]
    return ua.PublishResult(SubscriptionId=of, NotificationMessage=message)


class Answer:
    """What ``Link.ask`` gives."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__ |= fields


class Server:
    """A link to a server that reports what it is told to."""

    url = "opc.tcp://test:4840/"

    def __init__(self, *reports: Any, keeps: dict[int, Any] | None = None) -> None:
        self.reports = list(reports)
        self.keeps = keeps or {}
        self.acknowledged: list[int] = []
        self.asked_again: list[int] = []
        self.transfer = int(StatusCodes.Good)

    async def ask(self, request: Any, kind: Any, _timeout_s: float | None = None) -> Any:
        if kind is ua.CreateSubscriptionResponse:
            return Answer(
                Parameters=ua.CreateSubscriptionResult(
                    SubscriptionId=ID,
                    RevisedPublishingInterval=request.Parameters.RequestedPublishingInterval,
                    RevisedMaxKeepAliveCount=2,
                )
            )
        if kind is ua.RepublishResponse:
            number = request.Parameters.RetransmitSequenceNumber
            self.asked_again.append(number)
            if number not in self.keeps:
                raise UaStatusCodeError(StatusCodes.BadMessageNotAvailable)
            return Answer(NotificationMessage=self.keeps[number].NotificationMessage)
        if kind is ua.TransferSubscriptionsResponse:
            result = ua.TransferResult(StatusCode=ua.StatusCode(self.transfer))
            return Answer(Parameters=Answer(Results=[result]))
        return await self._publish(request)

    async def _publish(self, request: Any) -> Any:
        acks = request.Parameters.SubscriptionAcknowledgements
        self.acknowledged += [a.SequenceNumber for a in acks]
        while not self.reports:
            await asyncio.sleep(0.005)
        report = self.reports.pop(0)
        if isinstance(report, Exception):
            raise report
        return Answer(Parameters=report)


@asynccontextmanager
async def subscribed(server: Server) -> AsyncIterator[Subscription]:
    link: Any = server
    subscription = Subscription(link, ManualClock(NOW))
    await subscription.create(20)
    try:
        yield subscription
    finally:
        await subscription.stop()


def values(reports: Sequence[Report]) -> list[float]:
    return [d.Value.Value for report in reports for _, d in report.changes]


async def taken(subscription: Subscription, count: int) -> list[Report]:
    """So many reports, or what ends them."""
    reports: list[Report] = []
    async with asyncio.timeout(10):
        while len(reports) < count:
            reports += await subscription.reports(0.05)
    return reports


async def test_reports_come_in_order_and_are_acknowledged_after_they_were_taken() -> None:
    server = Server(published(1, 1.0, 2.0), published(2), published(2, 3.0))
    async with subscribed(server) as subscription:
        reports = await taken(subscription, 3)
        assert values(reports) == [1.0, 2.0, 3.0]
        assert reports[1] == Report(NOW)  # a sign of life
        server.reports.append(published(3, 4.0))
        async with asyncio.timeout(10):
            while len(server.acknowledged) < 2:
                await subscription.reports(0.05)
                server.reports.append(published(4))
        assert server.acknowledged[:2] == [1, 2]


async def test_a_missing_report_is_asked_for_again() -> None:
    server = Server(published(1, 1.0), published(3, 3.0), keeps={2: published(2, 2.0)})
    async with subscribed(server) as subscription:
        assert values(await taken(subscription, 3)) == [1.0, 2.0, 3.0]
        assert server.asked_again == [2]


async def test_a_sign_of_life_tells_of_a_missing_report_too() -> None:
    server = Server(published(1, 1.0), published(3), keeps={2: published(2, 2.0)})
    async with subscribed(server) as subscription:
        assert values(await taken(subscription, 3)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (published(3, 3.0), "reports 2 to 2 are lost"),
        (published(1, 3.0), "report 1 where 2 was due"),
        (published(2, 3.0, of=78), "another subscription"),
        (published(2, status=int(StatusCodes.BadTimeout)), "ended the subscription: BadTimeout"),
        (UaStatusCodeError(StatusCodes.BadNoSubscription), "over"),
        (UaStatusCodeError(StatusCodes.BadSessionIdInvalid), "over"),
        (Unavailable("its answer cannot be read"), "cannot be read"),
    ],
)
async def test_a_hole_or_an_end_ends_the_session(report: Any, why: str) -> None:
    async with subscribed(Server(published(1, 1.0), report)) as subscription:
        await taken(subscription, 1)
        with pytest.raises(Unavailable, match=why):
            await taken(subscription, 5)


async def test_the_numbers_of_reports_go_round() -> None:
    last = 2**32 - 1
    async with subscribed(Server(published(last, 1.0), published(1, 2.0))) as subscription:
        assert values(await taken(subscription, 2)) == [1.0, 2.0]


async def test_a_server_that_takes_one_question_at_a_time_is_asked_one() -> None:
    refused = UaStatusCodeError(StatusCodes.BadTooManyPublishRequests)
    server = Server(published(1, 1.0), refused, published(2, 2.0), published(3, 3.0))
    async with subscribed(server) as subscription:
        assert values(await taken(subscription, 3)) == [1.0, 2.0, 3.0]


async def test_a_silent_subscription_is_told_from_a_quiet_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opcua_subscription, "_LATE_S", 0.2)
    async with subscribed(Server()) as subscription:
        with pytest.raises(Unavailable, match="reports nothing"):
            await taken(subscription, 1)


async def test_after_a_short_loss_what_was_missed_comes_first() -> None:
    server = Server(published(1, 1.0), Away("cut"), Away("cut"))
    async with subscribed(server) as subscription:
        await taken(subscription, 1)
        with pytest.raises(Away):
            await taken(subscription, 1)
        server.keeps = {2: published(2, 2.0), 3: published(3, 3.0)}
        server.reports = [published(4, 4.0)]
        await subscription.resume()
        assert values(await taken(subscription, 3)) == [2.0, 3.0, 4.0]


async def test_what_waits_when_the_session_is_taken_up_again_is_not_asked_for_twice() -> None:
    server = Server(published(1, 1.0), published(2, 2.0), Away("cut"), Away("cut"))
    async with subscribed(server) as subscription:
        async with asyncio.timeout(10):
            while server.reports:
                await asyncio.sleep(0.005)
        server.keeps = {2: published(2, 2.0), 3: published(3, 3.0)}
        server.reports = [published(4, 4.0)]
        await subscription.resume()
        assert values(await taken(subscription, 4)) == [1.0, 2.0, 3.0, 4.0]


async def test_a_subscription_that_the_server_forgot_is_not_resumed() -> None:
    server = Server(published(1, 1.0))
    async with subscribed(server) as subscription:
        await taken(subscription, 1)
        server.transfer = int(StatusCodes.BadSubscriptionIdInvalid)
        with pytest.raises(Unavailable, match="forgotten"):
            await subscription.resume()


async def test_while_nobody_takes_reports_no_more_are_asked_for() -> None:
    server = Server(*(published(n, float(n)) for n in range(1, 200)))
    async with subscribed(server) as subscription:
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.reports) >= 170
        assert values(await taken(subscription, 199)) == [float(n) for n in range(1, 200)]


# --------------------------------------------------------------------------------------- portions


def _limited(most: int, *, told: int | None = None) -> tuple[Portions, list[int], Callable]:
    sizes: list[int] = []

    async def question(part: Sequence[int]) -> Sequence[int]:
        sizes.append(len(part))
        if len(part) > most:
            raise UaStatusCodeError(StatusCodes.BadTooManyOperations)
        return [10 * n for n in part]

    return Portions(told), sizes, question


async def test_a_servers_limit_is_kept() -> None:
    portions, sizes, question = _limited(100, told=100)
    assert await portions.ask(range(250), question) == [10 * n for n in range(250)]
    assert sizes == [100, 100, 50]


async def test_a_limit_that_is_not_told_is_found_out() -> None:
    portions, sizes, question = _limited(100)
    assert await portions.ask(range(450), question) == [10 * n for n in range(450)]
    assert sizes[:2] == [450, 225]
    assert max(sizes[2:]) <= 112
    before = len(sizes)
    await portions.ask(range(100), question)
    assert len(sizes) == before + 1 + 100 // portions.most - (100 % portions.most == 0)


async def test_a_server_that_takes_none_at_all_refuses() -> None:
    portions, _, question = _limited(0)
    with pytest.raises(UaStatusCodeError):
        await portions.ask([1, 2, 3], question)


async def test_what_is_not_answered_is_asked_again() -> None:
    async def half(part: Sequence[int]) -> Sequence[int]:
        return list(part[: max(1, len(part) // 2)])

    assert await Portions().ask(range(9), half) == list(range(9))


@pytest.mark.parametrize("given", [0, 4])
async def test_no_results_or_too_many_are_no_answer(given: int) -> None:
    async def odd(_part: Sequence[int]) -> Sequence[int]:
        return [0] * given

    with pytest.raises(Unavailable, match=f"{given} results for 3"):
        await Portions().ask([1, 2, 3], odd)


# ----------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("value", "number", "status"),
    [
        (True, 1.0, 0),
        (7, 7.0, 0),
        (a_time(1970, 1), 1000.0, 0),
        (2**53 + 1, 2.0**53, StatusCode.Uncertain),
        (float("nan"), None, StatusCode.BadNoData),
        ([1.0, 2.0], None, StatusCode.BadDecodingError),
        (b"\x01\x02", None, StatusCode.BadDecodingError),
    ],
)
def test_what_is_a_number_and_what_is_not(value: Any, number: float | None, status: int) -> None:
    got, told, why = content(data(value))
    assert told == status
    assert (got == number) if number is not None else (got != got)
    assert bool(why) == (status in (StatusCode.Uncertain, StatusCode.BadDecodingError))


def test_no_value_a_structure_an_enumeration_and_names() -> None:
    nothing = ua.DataValue(StatusCode=ua.StatusCode(0))
    assert content(nothing)[1] == StatusCode.BadNoData
    structure = ua.DataValue(ua.Variant(ua.Argument(Name="x")))
    assert content(structure)[1:] == (
        StatusCode.BadDecodingError,
        "it is Argument, not one number",
    )
    assert content(data(ua.NodeClass.Variable))[0] == 2.0
    assert content(data(ua.LocalizedText("开", "zh")))[0] == "开"
    bad = ua.DataValue(ua.Variant(5.0), StatusCode=ua.StatusCode(0x808C_0000))
    assert content(bad)[1] == StatusCode.BadSensorFailure


def test_an_overflow_is_no_other_status() -> None:
    late = ua.DataValue(ua.Variant(5.0), StatusCode=ua.StatusCode(0x0000_0480))
    assert content(late) == (5.0, 0, "")


def test_times_that_a_server_gives_and_does_not_give() -> None:
    clock, at = ManualClock(NOW), a_time(2026)
    assert time_of(ua.DataValue(SourceTimestamp=at), clock) == 1_767_225_600_000
    assert time_of(ua.DataValue(ServerTimestamp=at), clock) == 1_767_225_600_000
    assert time_of(ua.DataValue(), clock) == NOW
    assert time_of(ua.DataValue(SourceTimestamp=a_time(1601)), clock) < 0
    assert time_of(ua.DataValue(SourceTimestamp=a_time(9999)), clock) > NOW


def test_a_namespace_is_named_by_its_uri() -> None:
    spaces = ["http://opcfoundation.org/UA/", "urn:a", "urn:b"]
    assert node_id("nsu=urn:b;s=x", spaces).NamespaceIndex == 2
    with pytest.raises(ValueError, match="no namespace 'urn:c'"):
        node_id("nsu=urn:c;s=x", spaces)
