"""Too many nodes on the bus: which strange one is forgotten for another."""

from collections.abc import Sequence

from plant.wire.host_event import Died
from plant.wire.node import Node
from plant.wire.quota import NODES, SILENT_S
from plant.wire.topic import NodeId


def make_room(nodes: dict[NodeId, Node], mono_s: float) -> Sequence[Died] | None:
    """Forget a strange node where there is no room for one more; None where all of them live.

    One that is not born goes first, then one that said nothing for long; a node of ours never.
    """
    if len(nodes) < NODES:
        return []
    strange = [node for node in nodes.values() if not node.ours]
    if len(strange) < NODES:
        return []
    idle = [node for node in strange if not node.alive or node.heard < mono_s - SILENT_S]
    if not idle:
        return None
    least = min(idle, key=lambda node: (node.alive, node.heard))
    del nodes[least.id]
    scopes = least.before | least.scopes
    return [Died(least.id, device, scope.signals) for device, scope in scopes.items()]
