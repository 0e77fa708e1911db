"""Whether a subscription still reports what its server has, seen by reading now and then.

A node that was removed, or an item that a server forgot, is silent like a value that does not
change. So what is monitored is read as well, a few times in ten minutes, and compared with what
was reported. A report may be under way: only what differs twice, while nothing was reported in
between, is reported no longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.adapters.opcua_link import Link
from edge.adapters.opcua_portion import Portions
from edge.adapters.opcua_value import GONE, content, status_of

EVERY_S = 30.0


@dataclass(slots=True)
class Found:
    """What a look found.

    gone    points whose node the server has no longer, with the status it gives
    silent  points that it has and reports no longer
    """

    gone: dict[int, int] = field(default_factory=dict)
    silent: list[int] = field(default_factory=list)


class Check:
    """Of one session; ``told`` is given the last report of every point.

    limit  how many nodes the server lets be read in one call
    """

    def __init__(self, link: Link, limit: int | None) -> None:
        self._link = link
        self._portions = Portions(limit)
        self._told: dict[int, Any] = {}
        self._doubt: dict[int, Any] = {}
        self._settled: set[int] = set()
        """Points that were asked for anew and still read otherwise: some servers are like that."""

    def told(self, point: int, data: Any) -> None:
        """The server has reported a value."""
        self._told[point] = data

    async def look(self, nodes: Mapping[int, Any]) -> Found:
        """Read what is monitored (point -> node id)."""
        points = sorted(nodes.keys() - self._settled)
        results = await self._portions.ask([nodes[p] for p in points], self._read)
        found = Found()
        for point, data in zip(points, results, strict=True):
            told = self._told.get(point)
            if status_of(data) in GONE:
                found.gone[point] = status_of(data)
            elif told is not None and repr(content(told)) == repr(content(data)):
                self._doubt.pop(point, None)
            elif point in self._doubt and self._doubt[point] is told:
                found.silent.append(point)
                self._settled.add(point)
            else:
                self._doubt[point] = told
        return found

    async def _read(self, nodes: Any) -> Any:
        return await self._link.read(list(nodes))
