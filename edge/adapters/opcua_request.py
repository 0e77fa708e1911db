"""The questions to an OPC UA server, as asyncua builds them."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

from collections.abc import Sequence
from typing import Any

from asyncua import ua as _ua

ua: Any = _ua

_A_REPORT = 2_000
"""Values in one report; more would hold up the other sources while they are decoded."""


def read_values(nodes: Sequence[Any]) -> Any:
    """The values of some nodes."""
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
    request.Parameters.NodesToRead = [_value(node) for node in nodes]
    return request


def make_subscription(period_ms: int, *, alive_s: float, life_s: float) -> Any:
    """A subscription with so many seconds between signs of life, kept so long without us."""
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=period_ms,
        RequestedLifetimeCount=max(30, round(life_s * 1000 / period_ms)),
        RequestedMaxKeepAliveCount=max(1, int(alive_s * 1000 / period_ms)),
        MaxNotificationsPerPublish=_A_REPORT,
        PublishingEnabled=True,
        Priority=0,
    )
    return request


def make_items(
    subscription: int, nodes: Sequence[tuple[int, Any]], *, queue: int, sampling_ms: float
) -> Any:
    """Changes of (client handle, node id) reported."""
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ItemsToCreate = [
        ua.MonitoredItemCreateRequest(
            ItemToMonitor=_value(node),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=float(sampling_ms),
                QueueSize=queue,
                DiscardOldest=True,
            ),
        )
        for handle, node in nodes
    ]
    return request


def delete_items(subscription: int, items: Sequence[int]) -> Any:
    """These items no longer reported, by the numbers the server gave them."""
    request = ua.DeleteMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.MonitoredItemIds = list(items)
    return request


def publish(acknowledgements: Sequence[Any]) -> Any:
    """A report, and what was taken of those before."""
    request = ua.PublishRequest()
    request.Parameters.SubscriptionAcknowledgements = list(acknowledgements)
    return request


def republish(subscription: int, number: int) -> Any:
    """An earlier report."""
    request = ua.RepublishRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.RetransmitSequenceNumber = number
    return request


def transfer(subscription: int) -> Any:
    """A subscription to report on the connection that this comes by."""
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [subscription]
    request.Parameters.SendInitialValues = False
    return request


def _value(node: Any) -> Any:
    return ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
