"""What nobody is known to use: the incomer minus everything behind it, never forced to zero."""

from collections.abc import Mapping, Sequence

import numpy as np

from plant.flow.sample import Event, SampleBatch
from plant.flow.status import StatusCode, is_bad, is_good
from plant.model.plant import Plant

STALE_MS = 180_000
"""A power that was not heard for three of its longest intervals says nothing about now."""


class Unassigned:
    """Estimates ``<asset>/power`` in kW: incomer minus the sum of all consumers; may be negative.

    Bad when the incomer is; Uncertain when a consumer is estimated, Uncertain or unknown (then it
    is left out of the sum, so that its power shows here).
    """

    def __init__(self, asset: str, incomer: str, consumers: Sequence[str]) -> None:
        self.name = f"unassigned/{asset}"
        self.inputs: Sequence[str] = (incomer, *consumers)
        self.outputs: Sequence[str] = (f"{asset}/power",)
        n = len(self.inputs)
        self._value = np.full(n, np.nan)
        self._status = np.full(n, StatusCode.BadWaitingForInitialData, np.uint32)
        self._time = np.zeros(n, np.int64)

    def update(self, rows: SampleBatch, now: int) -> SampleBatch:
        """See ``Estimator``."""
        self._value[rows.signal] = rows.value
        self._status[rows.signal] = rows.status
        self._time[rows.signal] = rows.source_time
        known = ~is_bad(self._status) & ~np.isnan(self._value) & (now - self._time <= STALE_MS)
        if not known[0]:
            return SampleBatch.of([0], [now], [np.nan], [StatusCode.BadNoData])
        rest = self._value[0] - float(self._value[1:][known[1:]].sum())
        exact = bool(known.all() and is_good(self._status).all())
        status = StatusCode.Good if exact else StatusCode.UncertainSubNormal
        return SampleBatch.of([0], [now], [rest], [status])

    def events(self) -> Sequence[Event]:
        """None."""
        return ()

    def saved(self) -> Mapping[str, float]:
        """Nothing: the newest rows say it all."""
        return {}

    def restore(self, saved: Mapping[str, float]) -> None:
        """Nothing to take over."""


def unassigned_of(plant: Plant) -> Sequence[Unassigned]:
    """One for each asset of type ``unassigned_load``: the incomer is the meter named so."""
    found = []
    for asset in plant.assets.values():
        if asset.type != "unassigned_load":
            continue
        meters = [a for a in plant.assets.values() if a.role == "meter" and a.id != asset.id]
        incomers = [a for a in meters if a.signal("power") is not None]
        if len(incomers) != 1:
            continue
        consumers = [
            f"{a.id}/power"
            for a in plant.assets.values()
            if a.id not in {asset.id, incomers[0].id} and a.signal("power") is not None
        ]
        found.append(Unassigned(asset.id, f"{incomers[0].id}/power", consumers))
    return found
