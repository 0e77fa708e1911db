"""OPC UA StatusCodes, the one vocabulary of quality (OPC 10000-4, 7.39; OPC 10000-6, annex A).

A status is a uint32. The two highest bits are the severity: 00 Good, 01 Uncertain, 10 Bad.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

SEVERITY = 0xC000_0000
"""Mask of the severity bits."""


class StatusCode(IntEnum):
    """The codes that Kaikou itself gives. Any other uint32 travels through unchanged."""

    Good = 0x0000_0000
    GoodLocalOverride = 0x0096_0000
    Uncertain = 0x4000_0000
    UncertainLastUsableValue = 0x4090_0000
    UncertainSensorNotAccurate = 0x4093_0000
    UncertainEngineeringUnitsExceeded = 0x4094_0000
    UncertainSubNormal = 0x4095_0000
    UncertainSimulatedValue = 0x4209_0000
    Bad = 0x8000_0000
    BadDecodingError = 0x8007_0000
    BadTimeout = 0x800A_0000
    BadWaitingForInitialData = 0x8032_0000
    BadNoCommunication = 0x8031_0000
    BadConfigurationError = 0x8089_0000
    BadNotConnected = 0x808A_0000
    BadDeviceFailure = 0x808B_0000
    BadSensorFailure = 0x808C_0000
    BadOutOfService = 0x808D_0000
    BadDataLost = 0x809D_0000
    BadNoData = 0x809B_0000


def is_good(status: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Where the severity is Good.

    >>> is_good(np.array([0, 0x40000000, 0x80310000], np.uint32)).tolist()
    [True, False, False]
    """
    good: NDArray[np.bool_] = (status & np.uint32(SEVERITY)) == 0
    return good


def is_bad(status: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Where the severity is Bad (the reserved severity 11 counts as Bad)."""
    bad: NDArray[np.bool_] = (status & np.uint32(0x8000_0000)) != 0
    return bad


def status_name(status: int) -> str:
    """The field's name of a code, its severity and number where we have no name for it.

    >>> status_name(0x80310000)
    'BadNoCommunication'
    >>> status_name(0x80FF0000)
    'Bad (0x80FF0000)'
    """
    try:
        return StatusCode(status).name
    except ValueError:
        severity = ("Good", "Uncertain", "Bad", "Bad")[status >> 30]
        return f"{severity} (0x{status:08X})"
