"""Values and what was: samples, trends, aggregates, gaps, events. Times are ms UTC; NaN is null."""

from gateway.answer.base import Answer
from plant.model.signal import SignalKind


class ColumnsAnswer(Answer):
    """Samples as columns; NaN is null. Times are ms UTC."""

    time: int
    paths: list[str]
    value: list[float | None]
    status: list[int]
    source_time: list[int]


class HistoryAnswer(Answer):
    """A trend. ``bucket_ms`` 0: every row is here; else M4 of that bucket width."""

    path: str
    kind: SignalKind
    start: int
    end: int
    tier: str
    bucket_ms: float
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
