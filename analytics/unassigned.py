"""What nobody is known to use: the incomer minus everything behind it, never forced to zero."""

from collections.abc import Mapping, Sequence

import numpy as np

from analytics.register import Register
from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode, is_bad, is_good
from plant.model.plant import Asset, Plant
from plant.model.signal import Origin, SignalKind

STALE_MS = 180_000
"""A power that was not heard for three of its longest intervals says nothing about now."""


class Unassigned:
    """Estimates ``<asset>/power`` in kW and ``<asset>/energy`` in kWh since it began to count.

    power   incomer minus the sum of all consumers; may be negative. Bad when the incomer is.
    energy  increase of the incomer's register minus that of the consumers' energy accounts
    Both are Uncertain when a consumer is estimated, Uncertain or unknown (then it is left out of
    the sum, so that what it takes shows here).

    powers    paths of powers: the incomer's, then the consumers'
    register  path of the incomer's energy register
    accounts  paths of the consumers' energy totals
    """

    def __init__(
        self, asset: str, powers: Sequence[str], register: str, accounts: Sequence[str]
    ) -> None:
        self.name = f"unassigned/{asset}"
        self.inputs: Sequence[str] = (*powers, register, *accounts)
        self.outputs: Sequence[str] = (f"{asset}/power", f"{asset}/energy")
        n = len(self.inputs)
        self._powers, self._at = len(powers), len(powers)
        self._value = np.full(n, np.nan)
        self._status = np.full(n, StatusCode.BadWaitingForInitialData, np.uint32)
        self._time = np.zeros(n, np.int64)
        self._register = Register()
        self._taken = 0.0
        self._base: dict[str, float] = {}

    def update(self, rows: SampleBatch, now: int) -> SampleBatch:
        """See ``Estimator``."""
        first = self._register.base is None
        good = rows.take((rows.signal == self._at) & ~is_bad(rows.status))
        for time, value in zip(good.source_time.tolist(), good.value.tolist(), strict=True):
            self._taken += sum(i.energy for i in self._register.read(time, value))
        self._value[rows.signal] = rows.value
        self._status[rows.signal] = rows.status
        self._time[rows.signal] = rows.source_time
        power, status = self._power(now)
        energy, energy_status = self._energy(first)
        return SampleBatch.of([0, 1], [now, now], [power, energy], [status, energy_status])

    def _power(self, now: int) -> tuple[float, int]:
        part = slice(self._powers)
        value, status = self._value[part], self._status[part]
        known = ~is_bad(status) & ~np.isnan(value) & (now - self._time[part] <= STALE_MS)
        if not known[0]:
            return np.nan, StatusCode.BadNoData
        rest = float(value[0] - value[1:][known[1:]].sum())
        exact = bool(known.all() and is_good(status).all())
        return rest, StatusCode.Good if exact else StatusCode.UncertainSubNormal

    def _energy(self, first: bool) -> tuple[float, int]:
        """An account that is there at the first reading began with it, a later one counts anew."""
        if self._register.base is None:
            return np.nan, StatusCode.BadWaitingForInitialData
        used, exact = 0.0, True
        for i in range(self._at + 1, len(self.inputs)):
            if np.isnan(self._value[i]):
                exact = False
                continue
            begin = 0.0 if first else float(self._value[i])
            base = self._base.setdefault(self.inputs[i], begin)
            used += float(self._value[i]) - base
            exact &= bool(is_good(self._status[i : i + 1])[0])
        return self._taken - used, StatusCode.Good if exact else StatusCode.UncertainSubNormal

    def events(self) -> Sequence[Event]:
        """None."""
        return ()

    def saved(self) -> Mapping[str, float]:
        """Where the energies began to count, and how far they are."""
        saved = {f"base:{path}": value for path, value in self._base.items()}
        for at in range(self._at + 1, len(self.inputs)):
            if self._time[at]:
                saved[f"told:{self.inputs[at]}"] = float(self._value[at])
                saved[f"status:{self.inputs[at]}"] = float(self._status[at])
        if self._register.base is not None:
            saved["taken"] = self._taken
        return saved | self._register.saved("register")

    def restore(self, saved: Mapping[str, float]) -> None:
        """See ``Estimator``."""
        self._base = {k[5:]: v for k, v in saved.items() if k.startswith("base:")}
        if "value" in saved:  # as an earlier version wrote it
            saved = {**saved, "register_time": saved["time"], "register_value": saved["value"]}
        self._register.restore("register", saved)
        self._taken = saved.get("taken", 0.0)
        for at, path in enumerate(self.inputs):
            if f"told:{path}" in saved:
                self._value[at] = saved[f"told:{path}"]
                self._status[at] = int(saved[f"status:{path}"])
                self._time[at] = 1

    @property
    def since(self) -> int:
        """See ``Estimator``."""
        return 0

    def warm(self, rows: SampleBatch, now: int) -> None:
        """See ``Estimator``: the powers of the moment; accounts are saved."""
        mine = rows.take(rows.signal < self._powers)
        self._value[mine.signal] = mine.value
        self._status[mine.signal] = mine.status
        self._time[mine.signal] = mine.source_time


def unassigned_of(plant: Plant) -> Sequence[Unassigned]:
    """One for each asset of type ``unassigned_load``, where exactly one meter is the incomer.

    The incomer is the one asset of role "meter" with a power and an energy register.
    """
    assets = [a for a in plant.assets.values() if a.type != "unassigned_load"]
    incomers = [
        a for a in assets if a.role == "meter" and _in(a, "power", "kW") and _in(a, "energy", "kWh")
    ]
    if len(incomers) != 1:
        return []
    incomer = incomers[0]
    consumers = [a for a in assets if a is not incomer]
    powers = [f"{a.id}/power" for a in consumers if _in(a, "power", "kW")]
    accounts = [
        s.path
        for a in consumers
        for s in a.signals
        if s.origin is Origin.ANALYTICS and s.kind is SignalKind.COUNTER and s.unit == "kWh"
    ]
    return [
        Unassigned(a.id, [f"{incomer.id}/power", *powers], f"{incomer.id}/energy", accounts)
        for a in plant.assets.values()
        if a.type == "unassigned_load"
    ]


def _in(asset: Asset, id: str, unit: str) -> bool:
    """Whether an asset has a signal in a unit."""
    signal = asset.signal(id)
    return signal is not None and signal.unit in ("", unit)
