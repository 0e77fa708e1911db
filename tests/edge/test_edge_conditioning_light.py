"""Conditioning of lamps and contacts, against lamps whose truth is known."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.conditioning.contact_state import ContactState
from edge.conditioning.stack_light import NUMBER, StackLight
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode

COLOURS = ("red", "amber", "green")
TOWER = StackLight(kind="stack_light", lamps=COLOURS)
LATENCY_MS = 3000
"""1.5 periods of the slowest blinking, 0.5 Hz."""

Lamp = Callable[[int], bool]


def steady(lit: bool) -> Lamp:
    """A lamp that burns, or does not."""
    return lambda _: lit


def blinking(hz: float, phase: float = 0.0, duty: float = 0.5) -> Lamp:
    """A lamp that blinks."""
    return lambda ms: (ms / 1000 * hz + phase) % 1 < duty


def watch(
    lamps: Sequence[Lamp], times: Sequence[int], config: StackLight = TOWER, factor: float = 1.0
) -> SampleBatch:
    """Poll lamps at real times and condition what is seen."""
    rows = [(i, t * factor, lamp(t)) for t in times for i, lamp in enumerate(lamps)]
    signal, time, value = zip(*rows, strict=True)
    return config.open(factor=factor).update(
        SampleBatch.of(signal, np.array(time, np.int64), np.array(value, np.float64))
    )


def polls(until: int, step: int = 250) -> list[int]:
    """Poll times in ms."""
    return list(range(0, until, step))


@given(
    colour=st.sampled_from(COLOURS),
    hz=st.floats(0.5, 1.25),
    phase=st.floats(0, 1),
    duty=st.floats(0.4, 0.6),
    jitter=st.lists(st.integers(0, 20), min_size=200, max_size=200),
)
def test_blinking_is_known_within_its_latency_and_never_lost_again(
    colour: str, hz: float, phase: float, duty: float, jitter: list[int]
) -> None:
    lamps = [blinking(hz, phase, duty) if c == colour else steady(False) for c in COLOURS]
    times = [t + j for t, j in zip(polls(12_000, 100), jitter, strict=False)]
    out = watch(lamps, times)
    known = out.source_time >= LATENCY_MS
    assert set(out.value[known].tolist()) == {NUMBER[colour] + 1}
    assert set(out.status[known].tolist()) == {0}


def test_one_hertz_at_four_polls_a_second_is_what_the_demo_does() -> None:
    for phase in np.linspace(0, 1, 40, endpoint=False):
        out = watch([steady(False), blinking(1.0, phase), steady(False)], polls(20_000))
        known = out.source_time >= LATENCY_MS
        assert set(out.value[known].tolist()) == {41.0}, phase


@given(hz=st.floats(1.6, 4.0), phase=st.floats(0, 1))
def test_flashing_fast(hz: float, phase: float) -> None:
    out = watch([blinking(hz, phase), steady(False), steady(True)], polls(10_000, 50))
    assert set(out.value[out.source_time >= LATENCY_MS].tolist()) == {52.0}


@given(
    old=st.integers(0, 2),
    new=st.integers(0, 2),
    skew=st.lists(st.integers(0, 200), min_size=3, max_size=3),
    step=st.sampled_from([50, 100, 250]),
)
def test_from_one_lamp_to_another_there_is_nothing_in_between(
    old: int, new: int, skew: list[int], step: int
) -> None:
    def lamp(at: int) -> Lamp:
        return lambda ms: at == (old if ms < 8000 + skew[at] else new)

    out = watch([lamp(at) for at in range(3)], polls(16_000, step))
    values = [NUMBER[COLOURS[old]], NUMBER[COLOURS[new]]]
    seen = [value for value, _ in itertools.groupby(out.value.tolist())]
    assert seen == ([values[0]] if old == new else values)
    changed = out.source_time[out.value == values[1]][0]
    assert old == new or 8000 <= changed <= 8200 + LATENCY_MS + step


def test_from_blinking_to_steady_of_the_same_lamp_and_back() -> None:
    def amber(ms: int) -> bool:
        return True if 8000 <= ms < 16_000 else blinking(1.0)(ms)

    out = watch([steady(False), amber, steady(False)], polls(24_000))
    seen = [value for value, _ in itertools.groupby(out.value.tolist())]
    assert seen[-3:] == [41.0, 40.0, 41.0]


def test_a_lamp_test_of_half_a_second_is_no_state() -> None:
    def lamp(base: bool) -> Lamp:
        return lambda ms: base or 6000 <= ms < 6500

    out = watch([lamp(False), lamp(False), lamp(True)], polls(12_000))
    assert set(out.value.tolist()) == {20.0}


@given(hz=st.sampled_from([50.0, 60.0, 100.0, 120.0]), phase=st.floats(0, 1))
def test_the_ripple_of_alternating_current_is_a_burning_lamp(hz: float, phase: float) -> None:
    out = watch([steady(False), steady(False), blinking(hz, phase, 0.4)], polls(6000, 3))
    assert set(out.value.tolist()) == {20.0}


@given(hz=st.floats(0.6, 1.2), duty=st.floats(0.4, 0.6))
def test_a_lamp_that_blinks_on_alternating_current(hz: float, duty: float) -> None:
    ripple, slow = blinking(100.0, 0.1, 0.5), blinking(hz, 0.2, duty)
    lamp: Lamp = lambda ms: slow(ms) and ripple(ms)  # noqa: E731
    out = watch([lamp, steady(False), steady(False)], polls(8000, 3))
    assert set(out.value[out.source_time >= LATENCY_MS].tolist()) == {51.0}


def test_blinking_that_the_polls_do_not_resolve_is_uncertain() -> None:
    out = watch([blinking(2.0), steady(False), steady(False)], polls(8000, 250))
    assert out.value[-1] == 52.0
    assert out.status[-1] == StatusCode.UncertainSubNormal


@given(factor=st.sampled_from([2.0, 10.0, 60.0]), hz=st.floats(0.5, 1.2))
def test_a_faster_plant_clock_changes_nothing_of_what_is_seen(factor: float, hz: float) -> None:
    lamps = [steady(False), blinking(hz), steady(True)]
    real, fast = watch(lamps, polls(10_000)), watch(lamps, polls(10_000), factor=factor)
    assert fast.value.tolist() == real.value.tolist()
    assert (real.source_time * factor).tolist() == fast.source_time.tolist()


def test_dark_is_called_dark_and_a_lost_module_is_no_dark() -> None:
    dark = TOWER.open()
    out = dark.update(SampleBatch.of([0, 1, 2] * 20, np.repeat(np.arange(20) * 250, 3), [0.0] * 60))
    assert StackLight.STATES[int(out.value[-1])].en == "Dark"
    lost = dark.update(SampleBatch.of([2], [5250], [np.nan], [StatusCode.BadNoCommunication]))
    assert lost.status.tolist() == [StatusCode.BadNoCommunication]
    again = dark.update(SampleBatch.of([2], [5500], [1.0]))
    assert not len(again)  # what is shown now is seen only after its latency


def test_pushed_lamps_become_certain_by_time() -> None:
    config = StackLight(kind="stack_light", lamps=("red", "green"), pushed=True)
    tower = config.open()
    assert not len(tower.update(SampleBatch.of([0, 1], [0, 0], [0.0, 1.0])))
    assert not len(tower.tick(1000))
    assert tower.tick(1600).value.tolist() == [20.0]
    assert not len(tower.tick(2000))
    tower.update(SampleBatch.of([0], [60_000], [1.0]))
    assert tower.tick(61_600).value.tolist() == [50.0]


def test_polled_lamps_do_not_become_certain_without_a_poll() -> None:
    tower = TOWER.open()
    tower.update(SampleBatch.of([0, 1, 2], [0, 0, 0], [0.0, 0.0, 1.0]))
    assert not len(tower.tick(10_000))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lamps": ["red", "red"]}, "twice"),
        ({"priority": ["red"]}, "amber, green"),
        ({"fast_hz": 6.0}, "must rise"),
        ({"lamps": ["purple"]}, "red"),
    ],
)
def test_a_tower_that_makes_no_sense_is_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        StackLight.model_validate(TOWER.model_dump() | change)


WASHER = ContactState(
    kind="contact_state", contacts=("running", "fault"), priority=("fault", "running")
)


def contacts(rows: list[tuple[int, int, int]]) -> SampleBatch:
    """Rows of (time, running, fault)."""
    flat = [(i, time, value) for time, *levels in rows for i, value in enumerate(levels)]
    signal, time, value = zip(*flat, strict=True)
    return SampleBatch.of(signal, time, value)


def test_the_strongest_contact_decides_and_none_says_only_that() -> None:
    out = WASHER.open().update(
        contacts([(t, t >= 1000 and t < 3000, t >= 2000 and t < 3000) for t in polls(4000)])
    )
    told = [(k, next(g)) for k, g in itertools.groupby(out.value.tolist())]
    assert [k for k, _ in told] == [0.0, 1.0, 2.0, 0.0]


def test_bounce_is_no_change() -> None:
    washer = WASHER.open()
    washer.update(contacts([(0, 1, 0), (100, 1, 0)]))
    bounce = [(200 + 5 * n, n % 2, 0) for n in range(20)]
    assert not set(washer.update(contacts(bounce)).value.tolist()) - {1.0}
    assert washer.update(contacts([(300, 0, 0), (350, 0, 0)])).value.tolist() == [0.0]


def test_pushed_contacts_become_certain_by_time() -> None:
    door = ContactState(kind="contact_state", contacts=("open",), pushed=True).open()
    assert not len(door.update(SampleBatch.of([0], [0], [1.0])))
    assert door.tick(60).value.tolist() == [1.0]
    assert not len(door.tick(120))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"contacts": ["a", "a"], "priority": []}, "twice"),
        ({"priority": ["door"]}, "door"),
        ({"priority": ["fault"]}, "every contact"),
    ],
)
def test_contacts_that_make_no_sense_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ContactState.model_validate(WASHER.model_dump() | change)
