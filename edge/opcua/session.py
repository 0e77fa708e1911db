"""A client's session: it reads, browses and subscribes, and changes nothing.

asyncua lets any session touch any subscription and leaves the publishing interval to the client
(zero would publish without a pause); both end here. It also knows one name for each node: names in
the language that the client asked for are put in here.
"""
# ruff: noqa: TID253 - only the server's process imports this

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from edge.opcua.vocabulary import ua
from plant.model.signal import Label

MAX_NODES = 2_000
"""Nodes in one request; larger ones would hold the loop."""
MAX_ITEMS = 5_000
"""Monitored items of all clients; each queues at most 100 values."""
MAX_SUBSCRIPTIONS = 10
"""Subscriptions of one session."""
FASTEST_MS, SLOWEST_MS = 100.0, 60_000.0
"""Publishing interval."""
ORPHAN_MS = 600_000.0
"""For so long a subscription lives of which nobody asks for notifications."""

Labels = dict[Any, Label]
"""Node id -> names."""


class ViewSession(InternalSession):
    """A session that only looks."""

    labels: Labels = {}  # noqa: RUF012 - set once for the server, before the first session
    _chinese = False

    def activate_session(self, params: Any, peer_certificate: bytes | None) -> Any:
        """Log in, and remember the language."""
        result = super().activate_session(params, peer_certificate)
        first = next(iter(params.LocaleIds or ()), "")
        self._chinese = str(first).lower().startswith("zh")
        return result

    # ------------------------------------------------------------------------------- reading

    async def read(self, params: Any) -> Any:
        """Attributes, with names in the client's language."""
        _bounded(params.NodesToRead)
        results = await super().read(params)
        if self._chinese:
            for at, wanted in enumerate(params.NodesToRead):
                label = self.labels.get(wanted.NodeId)
                if label and wanted.AttributeId == ua.AttributeIds.DisplayName:
                    results[at] = ua.DataValue(ua.LocalizedText(label.zh, "zh"))
        return results

    async def browse(self, params: Any) -> Any:
        """References, with names in the client's language."""
        _bounded(params.NodesToBrowse)
        results = await super().browse(params)
        if self._chinese:
            for result in results:
                result.References = [self._translated(r) for r in result.References]
        return results

    def _translated(self, reference: Any) -> Any:
        label = self.labels.get(reference.NodeId)
        if label is None:
            return reference
        return dataclasses.replace(reference, DisplayName=ua.LocalizedText(label.zh, "zh"))

    async def browse_next(self, parameters: Any) -> Any:
        """There are no continuation points: browsing answers in full."""
        points = parameters.ContinuationPoints or ()
        invalid = ua.StatusCode(ua.StatusCodes.BadContinuationPointInvalid)
        return [ua.BrowseResult(StatusCode=invalid) for _ in points]

    async def translate_browsepaths_to_nodeids(self, params: Any) -> Any:
        """Paths to node ids."""
        _bounded(params)
        return await super().translate_browsepaths_to_nodeids(params)

    # ------------------------------------------------------------------------------- changing

    async def write(self, params: Any) -> Any:
        """Nothing can be written."""
        return _refused(params.NodesToWrite)

    async def add_nodes(self, params: Any) -> Any:
        """Nothing can be added."""
        denied = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return [ua.AddNodesResult(StatusCode=denied) for _ in params]

    async def delete_nodes(self, params: Any) -> Any:
        """Nothing can be removed."""
        return _refused(params)

    async def add_references(self, params: Any) -> Any:
        """Nothing can be added."""
        return _refused(params)

    async def delete_references(self, params: Any) -> Any:
        """Nothing can be removed."""
        return _refused(params)

    async def history_read(self, params: Any) -> Any:
        """The historian is not reached from here."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    async def history_update(self, params: Any) -> Any:
        """Nothing can be changed."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    async def call(self, params: Any) -> Any:
        """There are no methods of ours, and the standard ones stay closed."""
        denied = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return [ua.CallMethodResult(StatusCode=denied) for _ in params]

    # ---------------------------------------------------------------------------- subscribing

    async def create_subscription(
        self, params: Any, callback: Callable[..., Any], request_callback: Any = None
    ) -> Any:
        """A subscription with a publishing interval of 0.1 to 60 s."""
        if len(self._own()) >= MAX_SUBSCRIPTIONS:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        asked = params.RequestedPublishingInterval
        interval = min(asked, SLOWEST_MS) if asked >= FASTEST_MS else FASTEST_MS
        lifetime = max(3, int(ORPHAN_MS / interval))
        params.RequestedPublishingInterval = interval
        params.RequestedLifetimeCount = min(params.RequestedLifetimeCount or lifetime, lifetime)
        params.RequestedMaxKeepAliveCount = min(
            params.RequestedMaxKeepAliveCount or 10, max(1, params.RequestedLifetimeCount // 3)
        )
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(self, params: Any) -> Any:
        """Items, while there are not too many of them in all."""
        _bounded(params.ItemsToCreate)
        self._must_own(params.SubscriptionId)
        subscriptions = self.subscription_service.subscriptions.values()
        have = sum(len(s.monitored_item_srv._monitored_items) for s in subscriptions)
        if have + len(params.ItemsToCreate) > MAX_ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: Any) -> Any:
        """Items of own subscriptions only."""
        self._must_own(params.SubscriptionId)
        cap = self.iserver.max_monitored_item_queue_size
        for item in params.ItemsToModify:
            asked = item.RequestedParameters.QueueSize
            item.RequestedParameters.QueueSize = min(asked, cap) if asked > 0 else cap
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: Any) -> Any:
        """Items of own subscriptions only."""
        self._must_own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: Any) -> Any:
        """Items of own subscriptions only."""
        self._must_own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: Any) -> Any:
        """Own subscriptions only."""
        for at in params.SubscriptionIds:
            self._must_own(at)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: Any) -> Any:
        """Own subscriptions only."""
        self._must_own(params.SubscriptionId)
        return super().modify_subscription(params)

    def republish(self, params: Any) -> Any:
        """Own subscriptions only."""
        self._must_own(params.SubscriptionId)
        return super().republish(params)

    def publish(self, acks: Any = None) -> tuple[int, list[Any]]:
        """Acknowledgements of own subscriptions only."""
        own, given = self._own(), list(acks or ())
        if not own:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        _, done = super().publish([ack for ack in given if ack.SubscriptionId in own])
        results = iter(done)
        unknown = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return len(own), [next(results) if a.SubscriptionId in own else unknown for a in given]

    async def delete_subscriptions(self, ids: Sequence[int]) -> Any:
        """Own subscriptions only."""
        own = self._own()
        mine = [i for i in ids if i in own]
        done = dict(zip(mine, await super().delete_subscriptions(mine), strict=True))
        unknown = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return [done.get(i, unknown) for i in ids]

    async def transfer_subscriptions(  # type: ignore[override]
        self, params: Any, callback: Callable[..., Any]
    ) -> Any:
        """Subscriptions of this client's earlier sessions: the same user on another channel."""
        service, results = self.subscription_service, []
        earlier = self.iserver._external_sessions.values()
        users = {session.session_id: session.user.name for session in earlier}
        for at in params.SubscriptionIds or ():
            held = service.subscriptions.get(int(at))
            if held is None or users.get(held.session_id) != self.user.name:
                invalid = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
                results.append(ua.TransferResult(StatusCode=invalid))
                continue
            one = dataclasses.replace(params, SubscriptionIds=[at])
            results += await super().transfer_subscriptions(one, callback)
        return results

    def _own(self) -> set[int]:
        held = self.subscription_service.subscriptions.items()
        return {at for at, subscription in held if subscription.session_id == self.session_id}

    def _must_own(self, subscription: int) -> None:
        if subscription not in self._own():
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)


def _bounded(items: Sequence[Any]) -> None:
    if len(items) > MAX_NODES:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)


def _refused(items: Iterable[Any]) -> list[Any]:
    return [ua.StatusCode(ua.StatusCodes.BadUserAccessDenied) for _ in items]
