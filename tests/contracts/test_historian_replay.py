"""Random logs: late rows before snapshots and tiers, corrections of corrections, restarts, copies.

Whatever was written, sealed, merged, built into tiers or adopted from another historian: as of,
known at, raw rows, aggregates and trends equal a replay of the log (``replay.Replay``).
"""

import math
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plant.flow.port import Commit, HistorianReader, HistorianWriter, Mark, Series
from plant.flow.sample import SampleBatch
from plant.model.signal import SignalKind
from tests.contracts.historian_support import BAD, DAY, UNCERTAIN, Place, PlaceOf
from tests.contracts.replay import HOUR, Replay, check_aggregate, check_read, check_trend
from twin.historian import KINDS

T0 = 1_751_328_000_000  # 2025-07-01
SERIES = (
    Series("a/m", hold_ms=7),
    Series("a/c", SignalKind.COUNTER, modulus=4.0, hold_ms=2 * HOUR),
    Series("a/s", SignalKind.STATE),
    Series("a/p", SignalKind.SETPOINT),
)

near = st.integers(0, 20)
far = st.sampled_from(
    [-DAY, 5 * HOUR, 9 * HOUR - 1, 9 * HOUR, DAY - 1, DAY, DAY + 3 * HOUR, 5 * DAY]
)
times = st.one_of(near, far).map(lambda t: T0 + t)
values = st.sampled_from([0.0, 1.0, 3.0, math.nan])
statuses = st.sampled_from([0, 0, 0, BAD, UNCERTAIN])
rows = st.tuples(st.integers(0, 3), times, values, statuses)
moments = st.integers(0, 60).map(lambda t: T0 + t * HOUR)


@st.composite
def runs(draw) -> list:
    """Rows every so often for some hours, so that cells are worth making."""
    signal, begin = draw(st.integers(0, 3)), draw(times)
    step = draw(st.sampled_from([50_000, HOUR // 4, 3 * HOUR]))
    some = draw(st.lists(st.tuples(values, statuses), min_size=1, max_size=7))
    count = draw(st.integers(1, 400 if step < HOUR // 4 else 60))
    return [(signal, begin + k * step, *some[k % len(some)]) for k in range(count)]


steps = st.one_of(
    st.tuples(st.just("write"), st.one_of(st.lists(rows, max_size=8), runs()), moments),
    st.tuples(st.just("retain"), moments),
    st.sampled_from([("restart",), ("copy",)]),
)


@dataclass
class Course:
    """One historian under a random script, beside the replay of its log."""

    place: Place
    place_of: PlaceOf
    replay: Replay = field(default_factory=lambda: Replay(*SERIES))
    marks: int = 0

    def __post_init__(self) -> None:
        self.writer: HistorianWriter = self.place.writer(*SERIES)
        self.reader: HistorianReader = self.place.reader()

    def step(self, one: tuple) -> None:
        if one[0] == "write":
            columns = list(zip(*one[1], strict=True)) or [(), (), (), ()]
            self.marks += 1
            commit = Commit(SampleBatch.of(*columns), marks=[Mark("e", "r", self.marks)])
            assert self.writer.write(commit, one[2]) == self.replay.write(one[1], one[2])
        elif one[0] == "retain":
            self.writer.retain(one[1], force=True)
        elif one[0] == "restart":
            self.writer.close()
            self.writer = self.place.writer(*SERIES)
        else:
            self.copy()
        assert dict(self.writer.marks()) == ({("e", "r"): self.marks} if self.marks else {})

    def copy(self) -> None:
        """Go on with a copy of the same kind."""
        if not self.replay.log:  # a mark of nothing is as old as can be
            self.marks = 0
        kind = self.place.kind
        place = self.place_of(kind, **SETTINGS.get(kind, {}))
        writer, after, last = place.writer(*SERIES), 0, False
        while not last:
            page = self.reader.changes(after, 50)
            after, last = page.upto, page.last
            mark = Mark("e", "r", self.marks) if last and self.marks else None
            writer.adopt(page, mark)
        self.close()
        self.place, self.writer, self.reader = place, writer, place.reader()
        self.replay.last = max([r for r, _ in self.replay.log], default=0)

    def check(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from([None, *sorted({r for r, _ in self.replay.log})]))
        start = data.draw(times, "start")
        end = start + data.draw(st.sampled_from([1, 5, 30, DAY, 10 * DAY]), "length")
        check_read(self.reader, self.replay, start, end, known)
        signal = data.draw(st.integers(0, 3), "signal")
        width = data.draw(st.sampled_from([1, 4, 9]), "width")
        check_aggregate(self.reader, self.replay, signal, (T0, T0 + 25), width, known)
        span = (T0 - 2 * HOUR, T0 + data.draw(st.sampled_from([DAY, 2 * DAY + 5]), "span"))
        wide = data.draw(st.sampled_from([HOUR, 5 * HOUR, 7 * HOUR + 1]), "wide")
        check_aggregate(self.reader, self.replay, signal, span, wide)
        px = data.draw(st.sampled_from([2, 9, 25, 100]), "px")
        check_trend(self.reader, self.replay, signal, span, px, known)
        check_trend(self.reader, self.replay, signal, span, px)

    def close(self) -> None:
        with suppress(ValueError):
            self.place.close()


def play(place_of: PlaceOf, kind: str, script: list, data: st.DataObject) -> None:
    course = Course(place_of(kind, **SETTINGS.get(kind, {})), place_of)
    try:
        for one in script:
            course.step(one)
            course.check(data)
    finally:
        course.close()


SETTINGS = {"embedded": {"merge": 2}}
EXAMPLES = {"embedded": 100, "influxdb": 5}
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # a smaller example takes minutes
QUIET = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,  # place_of makes a new place each time
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", list(KINDS))
def test_answers_equal_a_replay_of_the_log(place_of, kind):
    @settings(max_examples=EXAMPLES.get(kind, 20), suppress_health_check=QUIET, phases=PHASES)
    @given(st.lists(steps, min_size=1, max_size=8), st.data())
    def run(script, data):
        play(place_of, kind, script, data)

    run()
