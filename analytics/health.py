"""A machine's health from its vibration, against its own sound baseline at the same load.

The index is 100 within the machine's own baseline and 0 at the agreed limit. Vibration velocity
(mm/s RMS, 10-1000 Hz) is judged only under load; what it should be at a load is learnt from the
first sound minutes. The alarm limit lies a quarter of the B/C boundary above the baseline, the
limit of 0 at the C/D boundary (ISO 20816-3:2022 group 2, rigid support: 2.8 and 4.5 mm/s; its
second criterion is the change).

A sensor that comes loose hammers and falls silent: it spreads the readings, which a worn bearing
does not (it lifts all of them). While the readings spread, the index is Bad with the reason
BadSensorFailure, and the sensor is reported, not the machine.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.energy import Steps
from plant.flow.sample import Event, Float64, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import Asset

ZONE_BC_MM_S = 2.8
ZONE_CD_MM_S = 4.5
LEARN = 400
"""Readings under load that make a baseline."""
WINDOW = 60
"""Readings under load that one index is made of."""
SETTLE_MS = 4000
"""After load begins, the spindle starts and the sensor's own window fills."""
LOADED = (0.6, 1.5)
"""Load is a current within these shares of the upper quartile while the machine works: below, the
spindle stands between parts; above, it starts."""
SILENT = 0.35
"""Under load a sound sensor never shows less than this share of what is expected."""
SPREAD = 4.0
"""Readings that spread this many times wider than in the baseline come from the sensor."""
WORKING = 2


@dataclass(frozen=True, slots=True)
class Baseline:
    """What vibration is at a load: ``a + b * current`` (mm/s, A), and how far it spreads.

    ``spread`` is the distance of the 10 % and 90 % quantiles of log(reading / expected).
    """

    a: float
    b: float
    spread: float
    level: float
    ampere: float

    @classmethod
    def learn(cls, readings: Sequence[tuple[float, float, float]]) -> "Baseline | None":
        """From (current before, current, vibration) of a sound machine that works.

        None while too few of them are under load. A negative slope is no physics and taken as 0.
        """
        before, current, vibration = np.array(readings).T
        ampere = float(np.quantile(current, 0.75))
        use = loaded(before, ampere) & loaded(current, ampere) & (vibration > 0.0)
        if use.sum() < LEARN:
            return None
        current, vibration = current[use], vibration[use]
        b, a = np.polyfit(current, vibration, 1) if np.ptp(current) > 1.0 else (0.0, 0.0)
        if b <= 0.0:
            b, a = 0.0, float(np.median(vibration))
        expected = a + b * current
        low, high = np.quantile(np.log(vibration / expected), [0.1, 0.9])
        level = float(np.median(vibration))
        return cls(float(a), float(b), max(float(high - low), 0.1), level, ampere)

    def expected(self, current: Float64) -> Float64:
        """mm/s at a load; never below half of the level, where the line leaves what was seen."""
        return np.maximum(self.a + self.b * current, 0.5 * self.level)


def loaded(current: Float64, ampere: float) -> NDArray[np.bool_]:
    """Whether a current is one under load; ``ampere`` is the upper quartile at work."""
    return (current >= LOADED[0] * ampere) & (current <= LOADED[1] * ampere)


class Health:
    """Estimates ``health`` in %, its limit and its evidence for one machine."""

    def __init__(self, asset: Asset) -> None:
        self._asset = asset.id
        self.name = f"health/{asset.id}"
        self.inputs: Sequence[str] = tuple(
            f"{asset.id}/{i}" for i in ("vibration", "current", "activity")
        )
        ids = ("health", "health_limit", "health_sensor", "vibration_baseline", "vibration_load")
        self.outputs: Sequence[str] = tuple(f"{asset.id}/{i}" for i in ids)
        self._tail = SampleBatch.empty()
        self._until = 0
        self._learning: list[tuple[float, float, float]] = []
        self._window: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._baseline: Baseline | None = None
        self._doubtful = False
        self._below = False
        self._events: list[Event] = []
        self._out = np.full(len(ids), np.nan)
        self._fresh = 0

    def update(self, rows: SampleBatch, now: int) -> SampleBatch:
        """See ``Estimator``."""
        self._take(SampleBatch.concat([self._tail, rows]), now)
        if self._baseline is None and len(self._learning) >= LEARN:
            self._baseline = Baseline.learn(self._learning)
            if self._baseline is not None:
                self._learning.clear()
        if self._baseline is None:
            waiting = np.full(len(self.outputs), StatusCode.BadWaitingForInitialData, np.uint32)
            return self._batch(now, np.full(len(self.outputs), np.nan), waiting)
        if self._fresh and len(self._window) >= WINDOW // 2:
            self._fresh = 0
            self._judge(self._baseline, now)
        status = np.zeros(len(self.outputs), np.uint32)
        status[0] = StatusCode.BadSensorFailure if self._doubtful else StatusCode.Good
        status[np.isnan(self._out) & (status == 0)] = StatusCode.BadWaitingForInitialData
        return self._batch(now, self._out, status)

    def _take(self, rows: SampleBatch, now: int) -> None:
        """Readings since the last call while it works, each with the current of its moment."""
        vibration, current, activity = (
            Steps.of(rows.take(rows.signal == i)) for i in range(len(self.inputs))
        )
        fresh = (vibration.time > self._until) & ~np.isnan(vibration.value)
        times = vibration.time[fresh]
        use = activity.at(times) >= WORKING
        before, ampere = current.at(times - SETTLE_MS), current.at(times)
        use &= ~np.isnan(ampere) & ~np.isnan(before)
        readings = zip(before[use], ampere[use], vibration.value[fresh][use], strict=True)
        if self._baseline is None:
            self._learning += [(float(b), float(a), float(v)) for b, a, v in readings]
            del self._learning[: -20 * LEARN]
        else:
            level = self._baseline.ampere
            use &= loaded(before, level) & loaded(ampere, level)
            self._window.extend(zip(ampere[use], vibration.value[fresh][use], strict=True))
            self._fresh += int(use.sum())
        keep = rows.source_time > now - 4 * SETTLE_MS
        for signal in range(len(self.inputs)):
            earlier = np.flatnonzero((rows.signal == signal) & ~keep)
            keep[earlier[-1:]] = True
        self._tail = rows.take(keep)
        self._until = max(self._until, int(times[-1]) if len(times) else 0)

    def _judge(self, baseline: Baseline, now: int) -> None:
        current, vibration = np.array(self._window).T
        expected = baseline.expected(current)
        ratio = np.log(np.maximum(vibration, 0.01) / expected)
        low, high = np.quantile(ratio, [0.1, 0.9])
        silent = float(np.mean(vibration < SILENT * expected))
        was, self._doubtful = (
            self._doubtful,
            (high - low > SPREAD * baseline.spread or silent > 0.03),
        )
        if self._doubtful and not was:
            data = {"silent_share": round(silent, 3), "spread": round(float(high - low), 2)}
            self._events.append(Event(now, self._asset, "health.sensor_doubtful", data))
        excess = float(np.median(vibration - expected))
        span = ZONE_CD_MM_S - baseline.level
        index = float(np.clip(100.0 * (1.0 - excess / span), 0.0, 100.0))
        limit = 100.0 * (1.0 - 0.25 * ZONE_BC_MM_S / span)
        load = float(np.median(vibration))
        doubt = float(self._doubtful)
        self._out = np.array(
            [np.nan if self._doubtful else index, limit, doubt, baseline.level, load]
        )
        below = not self._doubtful and index < limit
        if below and not self._below:
            data = {"health": round(index, 1), "limit": round(limit, 1), "mm_s": round(load, 2)}
            self._events.append(Event(now, self._asset, "health.below_limit", data))
        self._below = below or (self._below and self._doubtful)

    def _batch(self, now: int, value: Float64, status: np.ndarray) -> SampleBatch:
        n = len(self.outputs)
        return SampleBatch.of(np.arange(n), np.full(n, now), value, status)

    def events(self) -> Sequence[Event]:
        """The limit crossed, the sensor doubted."""
        events, self._events = self._events, []
        return events

    def saved(self) -> Mapping[str, float]:
        """The baseline: it must not be learnt anew from a machine that has worn meanwhile."""
        b = self._baseline
        return (
            {"a": b.a, "b": b.b, "spread": b.spread, "level": b.level, "ampere": b.ampere}
            if b
            else {}
        )

    @property
    def since(self) -> int:
        """See ``Estimator``."""
        return 0

    def warm(self, rows: SampleBatch, now: int) -> None:
        """See ``Estimator``: readings fill the window again, so that the index is known at once."""
        if self._baseline is not None:
            self._take(rows, now)

    def restore(self, saved: Mapping[str, float]) -> None:
        """See ``Estimator``."""
        names = ("a", "b", "spread", "level", "ampere")
        if all(name in saved for name in names):  # else it is learnt anew
            self._baseline = Baseline(*(saved[name] for name in names))


def health_of(asset: Asset) -> Health | None:
    """The estimator of an asset that has vibration (mm/s), current (A), activity and health."""
    needed = {"vibration": "mm/s", "current": "A", "activity": "", "health": "%"}
    found = [(asset.signal(id), unit) for id, unit in needed.items()]
    fits = all(s is not None and s.unit in ("", unit) for s, unit in found)
    return Health(asset) if fits else None
