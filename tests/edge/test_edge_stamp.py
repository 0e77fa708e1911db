"""A changed value or status under an unchanged source time is never dropped."""

import numpy as np

from edge.filter import Filter
from edge.presence import Presence
from edge.scaling import Scaling
from edge.stamp import Stamps
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.signal import Label, Reading, Signal, SignalKind

T = 1_795_000_000_000
BAD = int(StatusCode.BadSensorFailure)
UNCERTAIN = int(StatusCode.Uncertain)
Row = tuple[int, float, int]


class Device:
    """A point as the runner takes it: dated, scaled, reported by exception."""

    def __init__(self, *, polled: bool = False) -> None:
        of = Signal("m/x", "m", "x", Label("", ""), SignalKind.MEASUREMENT)
        self.clock = ManualClock(T)
        self.real_s = 0.0
        self.stamps = Stamps(1, polled=polled, monotonic=lambda: self.real_s)
        self.scaling = Scaling([of], [0])
        self.filter = Filter([of])

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.real_s += seconds
        self.clock.advance(round(seconds * 1000))

    def says(self, time: int, value: float, status: int = 0) -> list[Row]:
        """What one word of the device becomes."""
        batch = self.stamps.date(SampleBatch.of([0], [time], [value], [status]), self.clock.now())
        out = self.filter.report(self.scaling.apply(batch, self.clock))
        columns = (out.source_time.tolist(), out.value.tolist(), out.status.tolist())
        return list(zip(*columns, strict=True))


def test_a_status_that_turns_bad_under_an_old_stamp_is_dated_when_heard() -> None:
    device = Device()
    assert device.says(T - 3_600_000, 7.0) == [(T - 3_600_000, 7.0, 0)]
    device.wait(5)
    ((time, value, status),) = device.says(T - 3_600_000, np.nan, BAD)
    assert (time, status) == (T + 5000, BAD)
    assert np.isnan(value)
    device.wait(5)  # Good again, still the same stamp: not Good before it was heard, nor certain
    assert device.says(T - 3_600_000, 7.0) == [(T + 10_000, 7.0, UNCERTAIN)]


def test_a_stamp_that_never_moves_loses_no_change() -> None:
    device = Device()
    told = []
    for value in range(5):
        told += device.says(T - 1000, float(value))
        device.wait(1)
    assert [value for _, value, _ in told] == [0, 1, 2, 3, 4]
    assert [status for _, _, status in told] == [0] + [UNCERTAIN] * 4
    assert [time for time, _, _ in told] == [T - 1000, *(T + 1000 * i for i in range(1, 5))]


def test_two_values_of_a_clock_that_counts_seconds_correct_each_other() -> None:
    device = Device()
    device.says(T, 1.0)
    device.wait(1)
    assert device.says(T + 1000, 2.0) == [(T + 1000, 2.0, 0)]
    device.wait(0.3)
    assert device.says(T + 1000, 3.0) == [(T + 1000, 3.0, 0)]
    device.wait(0.3)
    assert device.says(T + 1000, 3.0) == []


def test_a_polled_clock_that_stands_is_repeated_as_uncertain() -> None:
    device = Device(polled=True)
    device.says(T, 12.5)
    device.wait(1)
    stopped = device.clock.now()
    told = device.says(stopped, 12.5)
    for _ in range(130):
        device.wait(1)
        told += device.says(stopped, 12.5)
    assert [status for _, _, status in told] == [UNCERTAIN] * len(told)
    assert len(told) >= 2  # as often as max_interval asks, so energy goes on
    device.wait(1)
    running = device.clock.now()
    assert device.says(running, 12.5) == [(running, 12.5, 0)]  # it runs again


def test_a_polled_clock_that_never_ran_is_repeated_as_uncertain() -> None:
    device = Device(polled=True)
    told = []
    for _ in range(130):
        told += device.says(T - 60_000, 12.5)
        device.wait(1)
    assert [status for _, _, status in told] == [0, *[UNCERTAIN] * (len(told) - 1)]
    assert len(told) >= 3


def test_a_recording_polled_more_often_than_it_moves_keeps_its_times() -> None:
    device = Device(polled=True)
    told = []
    for row in range(3):
        for _ in range(30):
            told += device.says(1_700_000_000_000 + row * 900_000, float(row))
            device.wait(1)
    assert told == [(1_700_000_000_000 + row * 900_000, float(row), 0) for row in range(3)]


def test_a_dead_clock_stays_uncertain() -> None:
    device = Device()
    told = device.says(0, 1.0)
    device.wait(1)
    told += device.says(0, 2.0)
    device.wait(10)
    told += device.says(0, 3.0, BAD)
    assert [(time, status) for time, _, status in told] == [
        (T, UNCERTAIN),
        (T + 1000, UNCERTAIN),
        (T + 11_000, BAD),
    ]


def test_several_points_are_dated_each_for_itself() -> None:
    stamps = Stamps(3, polled=False, monotonic=lambda: 100.0)
    stamps.date(SampleBatch.of([0, 1, 2], [5, 5, 5], [1.0, 1.0, 1.0]), T)
    out = stamps.date(SampleBatch.of([0, 1, 2], [5, 6, 5], [2.0, 2.0, 1.0]), T)
    assert out.source_time.tolist() == [T, 6, 5]
    assert out.status.tolist() == [UNCERTAIN, 0, 0]


# --------------------------------------------------------------------------------------- presence


def _presence() -> tuple[Presence, list[str]]:
    told: list[str] = []
    signals = [
        Signal(
            f"{asset}/{id}",
            asset,
            id,
            Label("", ""),
            SignalKind.TEXT if id == "t" else SignalKind.MEASUREMENT,
            reading=Reading("s", None),
        )
        for asset, id in (("a", "x"), ("a", "y"), ("b", "t"))
    ]
    return Presence(signals, told.append, told.append), told


def test_where_no_value_ever_came_there_is_no_good_read() -> None:
    presence, _ = _presence()
    nothing = SampleBatch.empty()
    assert presence.see("s", nothing, good=True) == []
    assert presence.see("s", SampleBatch.of([0], [1], [1.0]), good=True) == ["a"]
    assert presence.see("s", nothing, good=True) == ["a"]  # the peer vouches for it still
    assert presence.see("s", nothing, [Text(2, 1, "O1234")], good=True) == ["a", "b"]
    assert presence.see("s", SampleBatch.of([0], [2], [np.nan], [BAD]), good=True) == ["b"]
    assert presence.see("s", nothing, good=True) == ["b"]


def test_one_signal_without_communication_does_not_take_its_device() -> None:
    presence, told = _presence()
    silent = int(StatusCode.BadNoCommunication)
    presence.see("s", SampleBatch.of([0, 1], [1, 1], [1.0, 1.0]), good=True)
    presence.see("s", SampleBatch.of([0], [2], [np.nan], [silent]), good=True)
    presence.settle()
    assert told == []
    presence.see("s", SampleBatch.of([1], [3], [np.nan], [silent]), good=True)
    presence.settle()
    assert told == ["a"]
