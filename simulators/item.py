"""What a DL/T 645-2007 meter shows: data items and the quantities behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from simulators.surroundings import Surroundings

M = TypeVar("M")


def bcd(value: float, digits: int, decimals: int) -> bytes:
    """A number as the standard packs it: BCD, lowest byte first; cut off, and it rolls over.

    >>> bcd(1234.567, 8, 2).hex(), bcd(1_000_000.01, 8, 2).hex()
    ('56341200', '01000000')
    """
    whole = int(abs(value) * 10**decimals + 1e-6) % 10**digits
    data = bytes.fromhex(f"{whole:0{digits}d}")[::-1]
    return data[:-1] + bytes([data[-1] | 0x80]) if value < 0 else data


@dataclass(frozen=True, slots=True)
class Meter(Generic[M]):
    """A three-phase meter at the terminals: secondary values where there are transformers.

    ``ratio`` of the current transformers, as the asset's parameter ``transformer_ratio`` says:
    registers and currents show the primary divided by it.
    """

    energy_kwh: Callable[[M, Surroundings], float]
    power_kw: Callable[[M, Surroundings], Sequence[float]]
    voltage_v: Callable[[M, Surroundings], Sequence[float]]
    current_a: Callable[[M, Surroundings], Sequence[float]]
    power_factor: Callable[[M, Surroundings], float]
    ratio: Callable[[M], float] = lambda m: 1.0

    def items(self, machine: M, world: Surroundings) -> dict[str, bytes]:
        """Every data item by its identifier (DI3 first), and the blocks that group them."""
        ratio = self.ratio(machine)
        power = [p / ratio for p in self.power_kw(machine, world)]
        total_kw = power[0] if len(power) == 1 else sum(power)
        phase_kw = [total_kw / 3.0] * 3 if len(power) == 1 else power
        energy = bcd(self.energy_kwh(machine, world) / ratio, 8, 2)
        zero = bcd(0.0, 8, 2)
        items = {
            "00000000": energy,
            "00010000": energy,
            "00020000": zero,
            "02030000": bcd(total_kw, 6, 4),
            "02060000": bcd(self.power_factor(machine, world), 4, 3),
            "02800002": bcd(50.0, 4, 2),
        }
        for i, volts in enumerate(self.voltage_v(machine, world), 1):
            items[f"0201{i:02X}00"] = bcd(volts, 4, 1)
        for i, amps in enumerate(self.current_a(machine, world), 1):
            items[f"0202{i:02X}00"] = bcd(amps / ratio, 6, 3)
        for i, kilowatts in enumerate(phase_kw, 1):
            items[f"0203{i:02X}00"] = bcd(kilowatts, 6, 4)
        items["0201FF00"] = b"".join(items[f"0201{i:02X}00"] for i in (1, 2, 3))
        items["0202FF00"] = b"".join(items[f"0202{i:02X}00"] for i in (1, 2, 3))
        items["0203FF00"] = b"".join(items[f"0203{i:02X}00"] for i in (0, 1, 2, 3))
        items["0001FF00"] = energy + zero * 4
        return items
