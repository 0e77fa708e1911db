"""A method with a bug is told and rests; the other methods go on as if it were not there."""

from pathlib import Path

import pytest

import analytics.course
from analytics.course import Course
from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.flow.sample import SampleBatch
from plant.model.load import load
from plant.model.plant import Plant
from twin.historian import KINDS as HISTORIANS

DEMO = Path(__file__).parents[2] / "deploy" / "demo" / "plant.yaml"


@pytest.fixture
def plant() -> Plant:
    kinds = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
    return load(DEMO, kinds, dict.fromkeys(("KAIKOU_MILL_PASSWORD", "KAIKOU_OPCUA_PASSWORD"), "x"))


def test_a_bug_of_one_method_rests_it_and_disturbs_no_other(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound, course = Course(plant, {}), Course(plant, {})
    broken = course.estimators[0]

    def wrong(rows: SampleBatch, now: int) -> SampleBatch:
        raise IndexError("a row too many")

    monkeypatch.setattr(broken, "update", wrong)
    rows = SampleBatch.of(range(len(course.paths)), 1_000, 1.0)
    for now in (60_000, 120_000):
        wanted, _ = sound.advance(rows, now)
        found, _ = course.advance(rows, now)
        mine = {course._index[p] for p in broken.outputs if p in course._index}
        keep = [at for at, signal in enumerate(wanted.signal.tolist()) if signal not in mine]
        assert found.signal.tolist() == wanted.signal[keep].tolist()
        assert len(found)
    told = [r for r in caplog.records if r.exc_info]
    assert len(told) == 1
    assert broken.name in told[0].message
    assert course.estimators[0] is not broken, "it begins anew"
    monkeypatch.setattr(analytics.course.time, "monotonic", lambda: 1e12)
    again, _ = course.advance(rows, 180_000)
    assert set(again.signal.tolist()) & {course._index[p] for p in broken.outputs}
