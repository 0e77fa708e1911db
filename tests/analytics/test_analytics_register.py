"""Registers: the oracles of the energy study, and what must hold for any sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.register import Register, Rule

MINUTE = 60_000


def _total(register: Register, readings: list[tuple[int, float]]) -> float:
    return sum(i.energy for t, v in readings for i in register.read(t, v))


def test_o1_rollover_of_a_float_register() -> None:
    register = Register(modulus=1e6)
    assert _total(register, [(0, 999_984.0625), (MINUTE, 20.0)]) == 35.9375


def test_o2_rollover_at_the_last_step() -> None:
    register = Register(modulus=1e6)
    assert _total(register, [(0, 999_999.98), (MINUTE, 0.01)]) == pytest.approx(0.03, abs=1e-9)


def test_o3_a_glitch_is_not_a_reset() -> None:
    register = Register(ceiling_kw=100.0)
    readings = [(i * MINUTE, v) for i, v in enumerate([1000.0, 1001.0, 0.0, 1002.0])]
    assert _total(register, readings) == 2.0
    assert (register.glitches, register.resets) == (1, 0)


def test_o4_energy_over_a_long_gap_is_known() -> None:
    register = Register()
    assert _total(register, [(0, 38_312_088.0), (22_501_000, 38_315_900.0)]) == 3_812.0


def test_a_reset_is_a_lower_bound_and_says_so() -> None:
    register = Register(modulus=1e6, ceiling_kw=100.0)
    found = [
        increase
        for i, v in enumerate([5000.0, 5001.0, 0.0, 0.4, 0.8, 1.2])
        for increase in register.read(i * MINUTE, v)
    ]
    assert [i.rule for i in found] == [
        Rule.NORMAL,
        Rule.RESET,
        Rule.NORMAL,
        Rule.NORMAL,
        Rule.NORMAL,
    ]
    assert sum(i.energy for i in found) == pytest.approx(1.0 + 1.2)
    assert register.resets == 1


def test_a_rollover_is_not_believed_in_the_middle_of_the_range() -> None:
    register = Register(modulus=1e6)
    assert _total(register, [(0, 400_000.0), (MINUTE, 10.0), (2 * MINUTE, 10.5)]) == 0.0


def test_an_impossible_jump_is_no_energy() -> None:
    register = Register(ceiling_kw=50.0)
    readings = [(0, 10.0), (MINUTE, 90_000.0), (2 * MINUTE, 10.5), (3 * MINUTE, 11.0)]
    assert _total(register, readings) == pytest.approx(1.0)
    assert register.glitches == 1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50), st.floats(0, 1e6 - 1))
def test_any_upward_register_adds_up_over_rollovers(steps: list[float], start: float) -> None:
    modulus, ceiling = 1e6, 1e4
    register = Register(modulus, ceiling)
    value, readings = start, [(0, start)]
    for i, step in enumerate(steps, 1):
        value = (value + step) % modulus
        readings.append((i * MINUTE, value))
    assert _total(register, readings) == pytest.approx(sum(steps), abs=1e-6)
    assert (register.glitches, register.resets) == (0, 0)
