"""What nodes that plant.yaml does not name may take of a process: our own plant comes first."""

from collections.abc import Iterable

from plant.flow.live import SignalTable
from plant.wire.topic import NodeId

NODES = 256
"""So many strange nodes are remembered."""
SILENT_S = 600.0
"""Where there are more, those make room that are not born, or said nothing for this long."""
ASKS = 20
ASKS_S = 10.0
"""So many strange nodes are asked for their births in this time."""
NODE_SIGNALS = 10_000
SIGNALS = 50_000
"""So many signals one strange node, and all of them together, may bring into the table."""
OWN_SIGNALS = 20_000
"""So many a node of ours may bring that plant.yaml does not name: its own file may be newer."""
MORE_METRICS = 4_000
"""A message of a node of ours may have so many metrics beyond its signals in plant.yaml."""
DEVICES = 2_000
"""Devices of one node, ours too."""
HELD_BYTES = 128 << 10
OWN_HELD_BYTES = 4 << 20
"""So much of a node waits for its birth."""


class Quota:
    """How many signals strangers brought; a table never forgets, so this does not either."""

    def __init__(self, table: SignalTable) -> None:
        self._table = table
        self._of: dict[NodeId, int] = {}
        self._all = 0

    def take(self, node: NodeId, paths: Iterable[str], ours: bool = False) -> str | None:
        """Count a birth's new signals; why it cannot be taken, None when it can.

        >>> quota = Quota(SignalTable(["g/n/known"]))
        >>> quota.take(NodeId("g", "n"), ["g/n/known", "g/n/new"])
        >>> quota.take(NodeId("g", "n"), (f"g/n/{i}" for i in range(10_000)))
        'too many signals: 10001 that plant.yaml does not name; a node may have 10000'
        """
        new = sum(self._table.get(path) is None for path in paths)
        own = self._of.get(node, 0) + new
        most = OWN_SIGNALS if ours else NODE_SIGNALS
        if own > most:
            return f"too many signals: {own} that plant.yaml does not name; a node may have {most}"
        if not ours and self._all + new > SIGNALS:
            may = f"all nodes that plant.yaml does not name together may have {SIGNALS}"
            return f"no room for {new} more signals: {may}"
        if new:
            self._of[node] = own
            self._all += 0 if ours else new
        return None
