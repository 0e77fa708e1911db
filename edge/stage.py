"""Conditioning at work: inputs go in, conditioned signals come out, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.conditioning.condition import Condition, Conditioner
from plant.flow.sample import Int32, SampleBatch
from plant.model.signal import Signal

PUBLISHED = "published"
"""Beside a total that is kept: it is in the signal's unit. Before there were conversions the two
were the same, so a total without this is in the unit of the condition."""


@dataclass(slots=True)
class Step:
    """One condition: its signal, where each signal of the process is among its inputs.

    scale, offset  from what the condition gives to the signal's unit
    before         scale and offset of each input, to the unit that the condition works in
    """

    signal: int
    path: str
    inputs: Int32
    conditioner: Conditioner
    scale: float = 1.0
    offset: float = 0.0
    before: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    dirty: bool = field(default=False)

    def of(self, batch: SampleBatch) -> SampleBatch:
        """The rows of a batch that are inputs, in time order."""
        place = self.inputs[batch.signal]
        mine = place >= 0
        at, value = place[mine], batch.value[mine]
        if self.before is not None:
            value = value * self.before[0][at] + self.before[1][at]
        part = SampleBatch.of(at, batch.source_time[mine], value, batch.status[mine])
        if len(part) > 1 and (np.diff(part.source_time) < 0).any():
            part = part.take(np.argsort(part.source_time, kind="stable"))
        return part

    def out(self, batch: SampleBatch) -> SampleBatch:
        """What the condition gave, as its signal."""
        return SampleBatch.of(
            np.full(len(batch), self.signal, np.int32),
            batch.source_time,
            batch.value * self.scale + self.offset,
            batch.status,
        )

    def kept(self) -> Mapping[str, float]:
        """What the next process must know; a total in the signal's unit."""
        kept = self.conditioner.saved()
        return {**_total(kept, self.scale), PUBLISHED: 1.0} if "total" in kept else kept


class Stage:
    """All conditions of an edge, those that others build on first.

    signals  all of the process; an index into them is what batches carry
    saved    what the last process left, by path
    factor   plant seconds per real one
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        saved: Mapping[str, Mapping[str, float]],
        factor: float = 1.0,
    ) -> None:
        index = {signal.path: at for at, signal in enumerate(signals)}
        self._steps: list[Step] = []
        for at in _in_order(signals):
            signal = signals[at]
            condition: Condition = signal.condition  # type: ignore[assignment]
            inputs = np.full(len(signals), -1, np.int32)
            for place, path in enumerate(signal.inputs):
                inputs[index[path]] = place
            kept = saved.get(signal.path)
            if kept is not None and PUBLISHED in kept:
                kept = _total(kept, 1 / signal.scale)
            self._steps.append(
                Step(
                    at,
                    signal.path,
                    inputs,
                    condition.open(kept, factor),
                    signal.scale,
                    signal.offset,
                    _before(signal),
                )
            )
        self._input = np.zeros(len(signals), np.bool_)
        for step in self._steps:
            self._input |= step.inputs >= 0

    def process(self, batch: SampleBatch, now: int) -> SampleBatch:
        """The batch and what it means; ``now`` is the plant's time, for what becomes certain."""
        if not self._steps or not self._input[batch.signal].any():
            return batch
        for step in self._steps:
            part = step.of(batch)
            if not len(part):
                continue
            step.dirty = True
            made = [step.conditioner.update(part), step.conditioner.tick(now)]
            batch = SampleBatch.concat([batch, *(step.out(b) for b in made if len(b))])
        return batch

    def tick(self, now: int) -> SampleBatch:
        """What has become certain by time alone."""
        made = [(step, step.conditioner.tick(now)) for step in self._steps]
        batch = SampleBatch.concat([step.out(rows) for step, rows in made if len(rows)])
        return self.process(batch, now) if len(batch) else batch

    def saved(self, told: Int32) -> dict[str, Mapping[str, float]]:
        """What must be kept with rows of the signals ``told``, by path, where it changed."""
        changed: dict[str, Mapping[str, float]] = {}
        for step in self._steps:
            if step.dirty and (told == step.signal).any():
                step.dirty = False
                kept = step.kept()
                if kept:
                    changed[step.path] = kept
        return changed


def _total(kept: Mapping[str, float], scale: float) -> Mapping[str, float]:
    """What a condition keeps, its total in another unit."""
    return kept if scale == 1.0 or "total" not in kept else {**kept, "total": kept["total"] * scale}


def _before(signal: Signal) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if all(pair == (1.0, 0.0) for pair in signal.input_scales):
        return None
    scale, offset = np.array(signal.input_scales, np.float64).T
    return scale, offset


def _in_order(signals: Sequence[Signal]) -> list[int]:
    """Conditioned signals, each after those it takes as inputs."""
    index = {signal.path: at for at, signal in enumerate(signals)}
    order: dict[int, None] = {}

    def visit(at: int, above: tuple[int, ...]) -> None:
        if at in order or at in above or signals[at].condition is None:
            return
        for path in signals[at].inputs:
            visit(index[path], (*above, at))
        order[at] = None

    for at in range(len(signals)):
        visit(at, ())
    return list(order)
