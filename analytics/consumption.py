"""A machine's energy by state and per good part, kept up as rows come.

From a register where the machine has one; else from power estimated by its current transformer,
and then every figure is Uncertain: the two are never added up under one status.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from analytics.energy import Account, Steps, account_power, account_register, by_group
from analytics.register import Increase, Register, Rule
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode, is_bad
from plant.model.plant import Asset
from plant.model.signal import Signal, SignalKind

PER_PART_WINDOW_MS = 3_600_000
"""Energy per part is that of the last hour: long enough for parts, short enough for a shift."""
MAX_GAP_MS = 900_000
"""Estimated power holds no longer than this without a newer row."""

_GROUPS = ("producing", "waiting", "stopped", "unknown")


class Consumption:
    """Estimates ``energy_<group>_kwh`` and ``energy_per_part_kwh`` of one machine.

    The asset needs a ``state`` and either a counter ``energy`` in kWh or a ``power`` in kW.
    """

    def __init__(self, asset: Asset) -> None:
        self._asset = asset.id
        register = _of(asset, "energy", SignalKind.COUNTER, "kWh")
        power = _of(asset, "power", SignalKind.MEASUREMENT, "kW")
        parts = _of(asset, "good_count", SignalKind.COUNTER) or _of(
            asset, "part_count", SignalKind.COUNTER
        )
        state = _of(asset, "state", SignalKind.STATE)
        if state is None or (register is None and power is None):
            raise ValueError(f"{asset.id} has no state, or neither energy nor power")
        self.estimated = register is None
        self._signals = [s for s in (state, power, register, parts) if s is not None]
        self._role = {s.path: i for i, s in enumerate(self._signals)}
        self._state, self._power = state.path, power.path if power else None
        self._energy, self._parts = (
            register.path if register else None,
            parts.path if parts else None,
        )
        ceiling = power.range[1] if power is not None and power.range else None
        self._register = Register(register.modulus if register else None, ceiling)
        self._counter = Register(parts.modulus if parts else None)
        self._kept = SampleBatch.empty()
        self._until = 0
        self._total = dict.fromkeys(_GROUPS, 0.0)
        self._part_total = 0.0
        self._window: deque[tuple[int, float, float]] = deque()
        self._events: list[Event] = []
        self.name = f"consumption/{asset.id}"
        self.inputs: Sequence[str] = tuple(self._role)
        ids = [f"energy_{g}_kwh" for g in _GROUPS]
        if parts is not None:
            ids.append("energy_per_part_kwh")
        self.outputs: Sequence[str] = tuple(f"{asset.id}/{i}" for i in ids if asset.signal(i))

    def update(self, rows: SampleBatch, now: int) -> SampleBatch:
        """See ``Estimator``."""
        kept = SampleBatch.concat([self._kept, rows])
        state, power = Steps.of(self._rows(kept, self._state)), self._steps(kept, self._power)
        if self._energy is not None:
            increases = self._read(self._register, rows, self._energy)
            self._book(account_register(increases, state, power))
            since = self._register.base[0] if self._register.base else now
        else:
            self._book(self._from_power(state, power, now))
            since = now
        for part in self._read(self._counter, rows, self._parts):
            self._part_total += part.energy
        self._kept = _tail(kept, since, len(self._signals))
        self._until = now
        return self._outputs(now)

    def events(self) -> Sequence[Event]:
        """Resets of the register."""
        events, self._events = self._events, []
        return events

    def saved(self) -> Mapping[str, float]:
        """Totals, the registers' bases, and how far they reach."""
        saved = dict(self._total) | {"parts": self._part_total, "until": float(self._until)}
        return saved | self._register.saved("register") | self._counter.saved("counter")

    def restore(self, saved: Mapping[str, float]) -> None:
        """See ``Estimator``."""
        for group in _GROUPS:
            self._total[group] = saved.get(group, 0.0)
        self._part_total = saved.get("parts", 0.0)
        self._until = int(saved.get("until", 0))
        self._register.restore("register", saved)
        self._counter.restore("counter", saved)

    @property
    def since(self) -> int:
        """See ``Estimator``."""
        return self._register.base[0] if self._register.base else self._until

    def warm(self, rows: SampleBatch, now: int) -> None:
        """See ``Estimator``: states and powers since the register's last reading."""
        self._kept = _tail(rows, self.since or now, len(self._signals))

    def _rows(self, batch: SampleBatch, path: str) -> SampleBatch:
        return batch.take(batch.signal == self._role[path])

    def _steps(self, batch: SampleBatch, path: str | None) -> Steps | None:
        return Steps.of(self._rows(batch, path)) if path else None

    def _read(self, register: Register, rows: SampleBatch, path: str | None) -> list[Increase]:
        if path is None:
            return []
        found: list[Increase] = []
        mine = self._rows(rows, path)
        good = mine.take(~is_bad(mine.status) & ~np.isnan(mine.value))
        for time, value in zip(good.source_time.tolist(), good.value.tolist(), strict=True):
            found += register.read(time, value)
        for step in found:
            if step.rule is Rule.RESET and register is self._register:
                data = {"lost_from": step.start, "lower_bound_kwh": step.energy}
                self._events.append(Event(step.end, self._asset, "meter.reset", data))
        return found

    def _from_power(self, state: Steps, power: Steps | None, now: int) -> Account:
        if power is None or not len(power.time):
            return Account()
        begin = max(self._until, int(power.time[0])) if self._until else int(power.time[0])
        ends = power.time + MAX_GAP_MS
        inner = np.unique(np.concatenate([power.time, ends, state.time]))
        times = np.r_[begin, inner[(inner > begin) & (inner < now)]].astype(np.int64)
        age = times - power.time[np.searchsorted(power.time, times, side="right") - 1]
        value = np.where(age < MAX_GAP_MS, power.at(times), np.nan)
        return account_power(Steps(times, value), state, now, max_gap_ms=now)

    def _book(self, account: Account) -> None:
        for group, kwh in by_group(account).items():
            self._total[group] += kwh

    def _outputs(self, now: int) -> SampleBatch:
        uncertain = StatusCode.UncertainSubNormal if self.estimated else StatusCode.Good
        total = sum(self._total.values())
        self._window.append((now, total, self._part_total))
        while len(self._window) > 1 and self._window[1][0] <= now - PER_PART_WINDOW_MS:
            self._window.popleft()
        _, kwh, parts = self._window[0]
        made = self._part_total - parts
        values = {f"{self._asset}/energy_{g}_kwh": self._total[g] for g in _GROUPS}
        values[f"{self._asset}/energy_per_part_kwh"] = (total - kwh) / made if made else np.nan
        value = np.array([values[path] for path in self.outputs])
        status = np.where(np.isnan(value), np.uint32(StatusCode.BadNoData), np.uint32(uncertain))
        n = len(self.outputs)
        return SampleBatch.of(np.arange(n), np.full(n, now), value, status)


def _of(asset: Asset, id: str, kind: SignalKind, unit: str = "") -> Signal | None:
    signal = asset.signal(id)
    if signal is None or signal.kind is not kind or signal.hidden:
        return None
    return signal if not unit or signal.unit in ("", unit) else None


def measured(asset: Asset) -> bool:
    """Whether it has a power in kW or a register of energy in kWh."""
    power = _of(asset, "power", SignalKind.MEASUREMENT, "kW")
    return power is not None or _of(asset, "energy", SignalKind.COUNTER, "kWh") is not None


def _tail(rows: SampleBatch, since: int, signals: int) -> SampleBatch:
    """Rows after ``since`` and of each signal the one that held then."""
    keep = rows.source_time > since
    for signal in range(signals):
        before = np.flatnonzero((rows.signal == signal) & ~keep)
        if len(before):
            keep[before[-1]] = True
    return rows.take(keep)
