"""Values and what was: samples, trends, aggregates, gaps, events. Times are ms UTC; NaN is null."""

from gateway.answer.base import Answer, example
from plant.model.signal import SignalKind


class ColumnsAnswer(Answer):
    """Samples as columns; NaN is null. Times are ms UTC."""

    time: int
    paths: list[str]
    value: list[float | None]
    status: list[int]
    source_time: list[int]


class HistoryAnswer(Answer):
    """A trend. ``bucket_ms`` 0: every row is here; else M4 of that bucket width.

    ``tier``: raw, minute or hour; ``raw_count``: rows in the range.
    """

    model_config = example(
        path="lathe/power",
        kind="measurement",
        start=1763769600000,
        end=1763856000000,
        tier="minute",
        bucket_ms=60000,
        raw_count=86400,
        time=[1763769599000, 1763769600000, 1763769617000],
        value=[7.4, 7.5, None],
        status=[0, 0, 2150694912],
    )

    path: str
    kind: SignalKind
    start: int
    end: int
    tier: str
    bucket_ms: int
    raw_count: int
    time: list[int]
    value: list[float | None]
    status: list[int]


class AggregateAnswer(Answer):
    """Buckets of ``width_ms`` from ``start``; columns as in the historian's port."""

    path: str
    kind: SignalKind
    width_ms: int
    start: list[int]
    first: list[float | None]
    last: list[float | None]
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]
    increase: list[float | None]
    known_s: list[float]
    good_s: list[float]
    count: list[int]
    durations: dict[int, list[float]]


class InterpolatedAnswer(Answer):
    """Several signals at the same moments; ``value[i]``, ``status[i]`` belong to ``paths[i]``."""

    model_config = example(
        time=[1763769600000, 1763769601000],
        paths=["lathe/power", "lathe/state"],
        value=[[7.5, 7.45], [6.0, 6.0]],
        status=[[0, 0], [0, 0]],
    )

    time: list[int]
    paths: list[str]
    value: list[list[float | None]]
    status: list[list[int]]


class AsOfAnswer(Answer):
    """The last row of each signal at or before ``at``; null with source time 0 where none is."""

    model_config = example(
        at=1763769600000,
        known_at=None,
        paths=["lathe/power", "press/pressure"],
        value=[7.5, None],
        status=[0, 2157641728],
        source_time=[1763769599000, 0],
    )

    at: int
    known_at: int | None
    paths: list[str]
    value: list[float | None]
    status: list[int]
    source_time: list[int]


class GapAnswer(Answer):
    """A record that samples are missing; ``samples`` -1: how many is not known."""

    edge: str
    first: int
    last: int
    samples: int
    reason: str
    signals: list[str]


class EventAnswer(Answer):
    """Something that happened."""

    time: int
    asset: str
    kind: str
    data: dict[str, object]
