"""Energy by machine state: power and registers joined with the state that held.

Everything is a pure function of columns; the service decides when to ask. Energies in kWh,
powers in kW, times in ms UTC. What is not known is given as seconds, never as zero energy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.register import Increase
from plant.flow.sample import Float64, Int64, SampleBatch
from plant.flow.status import is_bad
from plant.model.packml import PackML

PRODUCING = frozenset({PackML.Execute, PackML.Completing, PackML.Unholding, PackML.Unsuspending})
WAITING = frozenset(
    {
        PackML.Idle,
        PackML.Suspended,
        PackML.Suspending,
        PackML.Held,
        PackML.Holding,
        PackML.Starting,
        PackML.Resetting,
        PackML.Complete,
    }
)
STOPPED = frozenset(
    {PackML.Stopped, PackML.Stopping, PackML.Aborted, PackML.Aborting, PackML.Clearing}
)


def group(state: int) -> str:
    """The column of an energy account that a PackML state belongs to.

    >>> group(6), group(5), group(2), group(0)
    ('producing', 'waiting', 'stopped', 'unknown')
    """
    if state in PRODUCING:
        return "producing"
    if state in WAITING:
        return "waiting"
    return "stopped" if state in STOPPED else "unknown"


@dataclass(slots=True)
class Account:
    """Energy by state in kWh, and how many seconds were not known."""

    kwh: dict[int, float] = field(default_factory=dict)
    unknown_s: float = 0.0

    def add(self, state: int, kwh: float) -> None:
        """Book energy to a state."""
        self.kwh[state] = self.kwh.get(state, 0.0) + kwh


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A signal as steps: ``value[i]`` holds from ``time[i]`` to ``time[i + 1]``; NaN: unknown."""

    time: Int64
    value: Float64

    @classmethod
    def of(cls, rows: SampleBatch) -> "Steps":
        """From rows of one signal in time order; Bad is unknown."""
        value = np.where(is_bad(rows.status), np.nan, rows.value)
        return cls(rows.source_time, value)

    def at(self, times: Int64) -> Float64:
        """What held at each time; NaN before the first row."""
        index = np.searchsorted(self.time, times, side="right") - 1
        if not len(self.time):
            return np.full(len(times), np.nan)
        return np.where(index >= 0, self.value[np.maximum(index, 0)], np.nan)


def account_power(power: Steps, state: Steps, end: int, max_gap_ms: int = 900_000) -> Account:
    """Energy from power that holds until its next row, by the state at the start of that time.

    A power row holds for at most ``max_gap_ms``: where the next row is farther, the whole interval
    is unknown. ``end`` closes the last row. State Unknown (0) takes what no state is known for.

    >>> hour = 3_600_000
    >>> power = Steps(np.array([0, hour // 2, hour]), np.array([22.0, 3.1, 0.4]))
    >>> state = Steps(np.array([0, hour // 2, hour]), np.array([6.0, 4.0, 2.0]))
    >>> account_power(power, state, hour * 5 // 4, max_gap_ms=hour).kwh
    {2: 0.1, 4: 1.55, 6: 11.0}
    """
    account = Account()
    if not len(power.time):
        return account
    ends = np.r_[power.time[1:], end]
    span = np.maximum(ends - power.time, 0)
    known = (span <= max_gap_ms) & ~np.isnan(power.value)
    account.unknown_s = float(span[~known].sum()) / 1000.0
    energy = np.where(known, power.value * span / 3.6e6, 0.0)
    states = np.nan_to_num(state.at(power.time), nan=0.0).astype(np.int64)
    for number in np.unique(states[known]):
        account.add(int(number), float(energy[known & (states == number)].sum()))
    return account


def account_register(
    increases: Sequence[Increase], state: Steps, power: Steps | None = None
) -> Account:
    """Energy of register increases by the states that held meanwhile; the sum stays exact.

    Within one increase the energy follows measured power where there is some, else time.

    >>> hour = 3_600_000
    >>> from analytics.register import Rule
    >>> state = Steps(np.array([0, hour]), np.array([6.0, 4.0]))
    >>> account_register([Increase(0, 4 * hour, 8.0, Rule.NORMAL)], state).kwh
    {4: 6.0, 6: 2.0}
    """
    account = Account()
    for step in increases:
        cuts = [state.time, power.time] if power is not None else [state.time]
        inner = np.unique(np.concatenate([c[(c > step.start) & (c < step.end)] for c in cuts]))
        edges = np.r_[step.start, inner, step.end].astype(np.int64)
        weight = np.diff(edges).astype(np.float64)
        if power is not None:
            held = power.at(edges[:-1])
            profile = weight * held
            if not np.isnan(held).any() and profile.sum() > 0 and (held >= 0).all():
                weight = profile
        states = np.nan_to_num(state.at(edges[:-1]), nan=0.0).astype(np.int64)
        total = weight.sum()
        for number in np.unique(states):
            share = float(weight[states == number].sum() / total) if total else 1.0
            account.add(int(number), step.energy * share)
    return account


def by_group(account: Account) -> Mapping[str, float]:
    """An account's energies summed over producing, waiting, stopped, unknown."""
    groups = dict.fromkeys(("producing", "waiting", "stopped", "unknown"), 0.0)
    for state, kwh in account.kwh.items():
        groups[group(state)] += kwh
    return groups
