"""A foreign node's values in the terms of plant.yaml: its unit, its range, its states.

A node that plant.yaml names but that is no Kaikou edge says in its births in which unit its metrics
are (``engUnit``). Where plant.yaml gives the signal another unit of the same quantity the values
are converted here, once, for every process that listens; what cannot be converted is refused.
Rows of our own edges were converted and judged there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plant.errors import DecodeError
from plant.flow.sample import Float64, SampleBatch
from plant.flow.status import SEVERITY, StatusCode
from plant.model.signal import Signal, SignalKind
from plant.model.unit import Units
from plant.wire.message import Metric


@dataclass(frozen=True, slots=True)
class Measure:
    """How a metric becomes its signal: ``value * scale + offset``, range and states of that."""

    scale: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    states: frozenset[float] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether the value stays as it is, whatever it is."""
        return self == Measure()


class Foreign:
    """What plant.yaml says of signals that a foreign node may tell."""

    def __init__(self, signals: Iterable[Signal], units: Units) -> None:
        self._signals: Mapping[str, Signal] = {s.path: s for s in signals}
        self._units = units

    def measure(self, path: str, metric: Metric) -> Measure:
        """How a metric of a birth is taken.

        Raises
        ------
        DecodeError
            It is in a unit that cannot become that of the signal.
        """
        signal = self._signals.get(path)
        if signal is None or signal.kind is SignalKind.TEXT:
            return Measure()
        scale, offset = self._scale(signal, metric)
        low, high = signal.range or (-np.inf, np.inf)
        return Measure(scale, offset, low, high, frozenset(map(float, signal.states)))

    def _scale(self, signal: Signal, metric: Metric) -> tuple[float, float]:
        told = metric.properties.get("engUnit")
        if not isinstance(told, str) or not told or not signal.unit:
            ours = signal.reading is not None or signal.condition is not None
            return (1.0, 0.0) if ours else (signal.scale, signal.offset)
        conversion = self._units.conversion(told, signal.unit)
        if conversion is None:
            raise DecodeError(
                f"{signal.path} is in {told[:32]!r} by its birth and in {signal.unit!r} by "
                "plant.yaml, which no factor joins; a unit of your own goes under 'units'"
            )
        return conversion.scaled(1.0, 0.0)


class Measures:
    """The measures of the signals of one birth; ``measures`` by index of the signal.

    >>> rows = SampleBatch.of([3, 7, 7], [1, 2, 3], [12500.0, 1.0, 5.0])
    >>> taken = Measures({3: Measure(0.001), 7: Measure(states=frozenset((0.0, 1.0)))}).apply(rows)
    >>> taken.value.tolist(), taken.status.tolist()
    ([12.5, 1.0, 5.0], [0, 0, 1083441152])
    """

    def __init__(self, measures: Mapping[int, Measure]) -> None:
        self._index = np.array(sorted(measures), np.int32)
        found = [measures[int(at)] for at in self._index]
        self._scale = np.array([m.scale for m in found], np.float64)
        self._offset = np.array([m.offset for m in found], np.float64)
        self._low = np.array([m.low for m in found], np.float64)
        self._high = np.array([m.high for m in found], np.float64)
        self._states = [np.array(sorted(m.states)) for m in found]
        self._named = np.array([bool(m.states) for m in found])

    def apply(self, rows: SampleBatch) -> SampleBatch:
        """Rows in the terms of plant.yaml."""
        place = np.minimum(np.searchsorted(self._index, rows.signal), len(self._index) - 1)
        mine = np.flatnonzero(self._index[place] == rows.signal)
        if not len(mine):
            return rows
        at, value, status = place[mine], rows.value.copy(), rows.status
        value[mine] = value[mine] * self._scale[at] + self._offset[at]
        odd = np.zeros(len(rows), np.bool_)
        odd[mine] = (value[mine] < self._low[at]) | (value[mine] > self._high[at])
        odd[mine] |= self._strange(at, value[mine])
        if odd.any():
            code = np.uint32(StatusCode.UncertainEngineeringUnitsExceeded)
            status = np.where(odd & (status & SEVERITY == 0), code, status)
        return replace(rows, value=value, status=status)

    def _strange(self, at: NDArray[np.intp], value: Float64) -> NDArray[np.bool_]:
        """Where a value is none of its signal's states."""
        found = np.zeros(len(at), np.bool_)
        for one in np.unique(at[self._named[at]]).tolist():
            here = at == one
            found[here] = ~np.isin(value[here], self._states[one]) & ~np.isnan(value[here])
        return found
