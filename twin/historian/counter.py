"""What a counter rose: over rollovers, and over resets as a lower bound."""

import numpy as np

from plant.flow.sample import Float64

NEAR_END = 0.1
"""A counter rolls over from the last tenth of its range to the first; any other drop is a reset."""


def counter_steps(value: Float64, modulus: float | None) -> Float64:
    """What a counter rose from the row before, 0 for the first; over rollovers and resets.

    >>> counter_steps(np.array([10.0, 12.0, 3.0, 5.0]), None).tolist()
    [0.0, 2.0, 3.0, 2.0]
    >>> counter_steps(np.array([65530.0, 4.0]), 65536.0).tolist()
    [0.0, 10.0]
    """
    before: Float64 = np.concatenate([value[:1], value[:-1]])
    with np.errstate(invalid="ignore"):
        step: Float64 = value - before
    step = np.where(np.isfinite(step), step, 0.0)  # to infinity and back is no rise
    reset = step < 0
    if modulus is not None:
        rolled = (before >= modulus * (1 - NEAR_END)) & (value <= modulus * NEAR_END)
        step = np.where(reset & rolled, step + modulus, step)
        reset &= ~rolled
    return np.where(reset, value, step)
