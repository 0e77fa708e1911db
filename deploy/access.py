"""Who may publish what on the embedded broker: one account for each process, by topic.

Only the twin may acknowledge (``kaikou/ack/#``), say that the host is online (``STATE``) and reply
to requests (``kaikou/reply/#``); only the gateway may send requests (``DCMD``). An edge publishes
as itself alone; whoever only looks may ask for a rebirth and nothing else.
"""

from collections.abc import Mapping

from plant.model.plant import ANALYTICS, TWIN, Plant

OBSERVER = "observer"
"""The account for people with an MQTT client: it subscribes, it publishes nothing."""

_AS_NODE = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")


def publish_filters(plant: Plant) -> Mapping[str, tuple[str, ...]]:
    """Account -> topic filters that it may publish on."""
    group = plant.group
    rebirth = (f"spBv1.0/{group}/NCMD/+",)
    filters = {OBSERVER: (), "opcua": rebirth, "gateway": (*rebirth, f"spBv1.0/{group}/DCMD/#")}
    for node in plant.edges:
        filters[node] = _as_node(group, node)
    filters[ANALYTICS] = (*_as_node(group, ANALYTICS), *rebirth)
    filters[TWIN] = (
        *_as_node(group, TWIN),
        "spBv1.0/+/NCMD/+",
        f"spBv1.0/STATE/{plant.host_id}",
        "kaikou/ack/#",
        f"kaikou/reply/{group}/+",
    )
    return filters


def client_ids(plant: Plant) -> Mapping[str, str]:
    """MQTT client id -> the account that may use it: a broker ends whoever held an id before.

    The twin has two connections, as a host and as a node.
    """
    group = plant.group
    ids = {f"{group}/{node}": node for node in (*plant.edges, ANALYTICS, TWIN)}
    ids |= {opcua_client_id(group, edge): "opcua" for edge in plant.edges}
    ids[f"{plant.host_id}-{group}"] = TWIN
    ids[f"kaikou-gateway-{plant.gateway.port}"] = "gateway"
    return ids


def opcua_client_id(group: str, edge: str) -> str:
    """The client id of an edge's OPC UA server, where the broker feeds it."""
    return f"{group}-{edge}-opcua"


def _as_node(group: str, node: str) -> tuple[str, ...]:
    return tuple(
        f"spBv1.0/{group}/{kind}/{node}" + ("/+" if kind[0] == "D" else "") for kind in _AS_NODE
    )


def matches(topic: str, topic_filter: str) -> bool:
    """Whether a filter covers a topic (MQTT 3.1.1 section 4.7).

    >>> matches("kaikou/ack/g/e", "kaikou/ack/#"), matches("a/b/c", "a/+"), matches("a/b", "a/+")
    (True, False, True)
    """
    levels, wanted = topic.split("/"), topic_filter.split("/")
    for i, part in enumerate(wanted):
        if part == "#":
            return True
        if i >= len(levels) or part not in {"+", levels[i]}:
            return False
    return len(levels) == len(wanted)
