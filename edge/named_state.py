"""States by number: a number that plant.yaml does not name is told, and never taken for another."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int32
from plant.model.signal import Signal, SignalKind

log = logging.getLogger("kaikou.edge")

_MOST = 1 << 31
_TOLD = 16
"""So many strange numbers of one signal are told; a number that counts is no state."""


class NamedStates:
    """Which numbers each of some signals may have; those that are no states may have any.

    >>> from plant.model.signal import Label
    >>> named = {0: Label("停", "Stopped"), 1: Label("运行", "Running")}
    >>> light = Signal("saw/light", "saw", "light", Label("", ""), SignalKind.STATE, states=named)
    >>> NamedStates([light]).strange(np.zeros(3, np.int32), np.array([0.0, 2.0, np.nan])).tolist()
    [False, True, False]
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = signals
        self._named = np.array([s.kind is SignalKind.STATE and bool(s.states) for s in signals])
        self._any = bool(self._named.any())
        keys = [
            at * 2 * _MOST + number
            for at, s in enumerate(signals)
            if s.kind is SignalKind.STATE
            for number in s.states
        ]
        self._keys = np.array(sorted(keys), np.int64)
        self._told: dict[int, set[float]] = {}

    def strange(self, signal: Int32, value: Float64) -> NDArray[np.bool_]:
        """Where a value is none of the states of its signal; ``signal`` counts in the signals."""
        none = np.zeros(len(signal), np.bool_)
        if not self._any:
            return none
        asked = np.flatnonzero(self._named[signal] & np.isfinite(value))
        if not len(asked):
            return none
        at, given = signal[asked], value[asked]
        whole = (np.abs(given) < _MOST) & (given == np.floor(given))
        key = at.astype(np.int64) * 2 * _MOST + np.where(whole, given, 0).astype(np.int64)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        wrong = ~whole | (self._keys[place] != key)
        if wrong.any():
            none[asked] = wrong
            for one, number in dict.fromkeys(
                zip(at[wrong].tolist(), given[wrong].tolist(), strict=True)
            ):
                self._tell(one, number)
        return none

    def _tell(self, at: int, number: float) -> None:
        told = self._told.setdefault(at, set())
        if number in told or len(told) >= _TOLD:
            return
        told.add(number)
        signal = self._signals[at]
        names = ", ".join(f"{n} {label.en}" for n, label in signal.states.items())
        log.warning("%s: %.15g is none of its states: %s", signal.path, number, names)
