"""Reasons said while a machine stands: they hold until the stop ends, which is known later.

The stop is the connected time, from the reason's start on, in which the machine is not known to
produce: other states, and time without data, belong to it. One that never begins, because the
machine produces at the start, leaves nothing.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from plant.flow.port import HistorianReader
from plant.model.packml import PackML
from twin.kpi.said import Said
from twin.run import StateRun, state_runs

_PRODUCING = frozenset({PackML.Execute, PackML.Completing})
_FIRST_MS = 4 * 3_600_000
"""So far back it is looked first, then four times as far, and so on."""


def end_with_stop(said: Sequence[Said], states: Sequence[StateRun]) -> list[Said]:
    """Each one that lasts with the end of its stop, as far as ``states`` tell one.

    >>> states = [StateRun(0, 50, 11), StateRun(50, 60, 4), StateRun(60, 90, 6)]
    >>> [s.end for s in end_with_stop([Said(10, 999, "jam", 1, lasting=True)], states)]
    [60]
    """
    runs = [r for r in states if r.state in _PRODUCING]
    ends = [r.end for r in runs]

    def ended(s: Said) -> Said:
        at = bisect_right(ends, s.start) if s.lasting else len(runs)
        if at == len(runs):
            return s
        return replace(s, end=min(s.end, max(s.start, runs[at].start)))

    return [ended(s) for s in said]


def reach_back(
    reader: HistorianReader,
    asset: str,
    said: Sequence[Said],
    states: Sequence[StateRun],
    known_at: int | None,
) -> Sequence[StateRun]:
    """The states, and those before them that tell which of ``said`` still hold when they begin.

    It is read back to the first one said, but no further than to when the machine produced last:
    what was said before that has ended.
    """
    first = begin = states[0].start
    since = min((s.start for s in said if s.lasting), default=first)
    found: list[StateRun] = []
    back = _FIRST_MS
    while begin > since and not any(r.state in _PRODUCING for r in found):
        begin, end = max(since, first - back), begin
        found[:0] = state_runs(reader, asset, begin, end, known_at)
        back *= 4
    return [*found, *states]
