"""What was: trends, aggregates, values of a moment, gaps, events. Times are ms UTC, half-open."""

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from gateway.answer.history import (
    AggregateAnswer,
    AsOfAnswer,
    EventAnswer,
    GapAnswer,
    HistoryAnswer,
    InterpolatedAnswer,
)
from gateway.query import (
    FOREVER_MS,
    HISTORY_REFUSALS,
    LONGEST_DAYS,
    MAX_PATHS,
    KnownAt,
    Path,
    Paths,
    Range,
    number,
    wrong,
)
from gateway.state import VIEWER, asking, state
from gateway.stream import encode
from plant.flow.port import HistorianReader, Series
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode, is_bad
from plant.model.signal import SignalKind
from twin.historian.interpolate import interpolate

router = APIRouter(tags=["history"], dependencies=[VIEWER], responses=HISTORY_REFUSALS)

MAX_BUCKETS = 20_000
MAX_VALUES = 500_000


def _json(body: dict[str, Any]) -> Response:
    return Response(encode(body), media_type="application/json")


@router.get("/history", response_model=HistoryAnswer)
async def history(
    request: Request,
    path: Path,
    times: Range,
    px: Annotated[int, Query(ge=10, le=10_000, description="pixels to draw on")] = 2000,
) -> Any:
    """A trend at pixel resolution: every row, or M4 of buckets where there are many.

    `tier` says where the figures come from (raw rows, or cells of a minute or an hour), `bucket_ms`
    how wide a bucket is; 0 where every row is given. The row that still held at `start` comes
    first, with its own time. States and setpoints are given by their changes.
    """
    kaikou = state(request)
    kind = number(kaikou, path).kind
    start, end, known_at = times.start, times.until(kaikou), times.known_at
    trend = await asking(request).ask(lambda r: r.trend(path, start, end, px, known_at))
    return _json(
        {
            "path": path,
            "kind": kind,
            "start": start,
            "end": end,
            "tier": trend.tier,
            "bucket_ms": trend.bucket_ms,
            "raw_count": trend.raw_count,
            "time": trend.time,
            "value": trend.value,
            "status": trend.status,
        }
    )


@router.get("/aggregate", response_model=AggregateAnswer)
async def aggregate(
    request: Request,
    path: Path,
    times: Range,
    width_ms: Annotated[
        int, Query(ge=1000, le=FOREVER_MS, description="bucket width, ms", examples=[3_600_000])
    ],
) -> Any:
    """Buckets by the signal's kind: time-weighted mean, increase over resets, state durations.

    The value from before `start` is carried in. What is Bad counts for nothing; `known_s` and
    `good_s` say for how many seconds of a bucket something was known, and was Good.
    """
    kaikou = state(request)
    number(kaikou, path)
    start, end, known_at = times.start, times.until(kaikou), times.known_at
    if (end - start) / width_ms > MAX_BUCKETS:
        raise wrong(f"more than {MAX_BUCKETS} buckets; choose a greater width_ms")
    found = await asking(request).ask(
        lambda r: r.aggregate(path, start, end, width_ms, known_at), long=times.long
    )
    columns = {
        name: getattr(found, name)
        for name in AggregateAnswer.model_fields
        if name not in {"path", "kind", "durations"}
    }
    durations = {str(k): v for k, v in found.durations.items()}
    return _json({"path": path, "kind": found.kind, **columns, "durations": durations})


@router.get("/interpolated", response_model=InterpolatedAnswer)
async def interpolated(
    request: Request,
    path: Paths,
    times: Range,
    step_ms: Annotated[
        int, Query(ge=1, le=FOREVER_MS, description="distance of the moments, ms", examples=[1000])
    ],
) -> Any:
    """Values at `start`, `start + step_ms` … before `end`, of several signals at the same moments.

    Measurements and counters go straight from row to row, not across Bad, a reset or a hole;
    states and setpoints hold. Where nothing is known the value is null and the status says why.
    `value[i]` and `status[i]` belong to `paths[i]`.
    """
    kaikou = state(request)
    signals = [number(kaikou, p) for p in path]
    start, end, known_at = times.start, times.until(kaikou, LONGEST_DAYS), times.known_at
    moments = -(-(end - start) // step_ms)
    if moments * len(path) > MAX_VALUES:
        raise wrong(f"more than {MAX_VALUES} values; choose a greater step_ms or fewer paths")

    def answer(reader: HistorianReader) -> dict[str, Any]:
        known = {s.path: s for s in reader.series()}
        series = [known.get(s.path) or Series(s.path, s.kind) for s in signals]
        found = interpolate(reader, series, start, end, step_ms, known_at)
        return {
            "time": np.arange(start, end, step_ms),
            "paths": path,
            "value": found.value.reshape(len(path), moments),
            "status": found.status.reshape(len(path), moments),
        }

    return _json(await asking(request).ask(answer, long=times.long))


@router.get("/as-of", response_model=AsOfAnswer)
async def as_of(
    request: Request,
    at: Annotated[int, Query(ge=0, le=FOREVER_MS, description="the moment, ms UTC")],
    path: Annotated[
        list[str] | None,
        Query(max_length=MAX_PATHS, description="signal paths; none: every signal of the plant"),
    ] = None,
    known_at: KnownAt = None,
) -> Any:
    """The plant as it was: the last row of each signal at or before a moment, in one question.

    A signal without any row by then is null with status BadNoData and source time 0.
    """
    kaikou = state(request)
    if path:
        paths = [number(kaikou, p).path for p in path]
    else:
        signals = [s for s in kaikou.plant.signals if not s.hidden]
        paths = [s.path for s in signals if s.kind is not SignalKind.TEXT]
    rows = await asking(request).ask(lambda r: r.as_of(paths, at, known_at))
    return _json({"at": at, "known_at": known_at, "paths": paths, **_filled(rows, len(paths))})


def _filled(rows: SampleBatch, count: int) -> dict[str, Any]:
    """Columns with an entry for each path, whether it has a row or not."""
    value = np.full(count, np.nan)
    status = np.full(count, StatusCode.BadNoData, np.uint32)
    time = np.zeros(count, np.int64)
    value[rows.signal] = np.where(is_bad(rows.status), np.nan, rows.value)
    status[rows.signal] = rows.status
    time[rows.signal] = rows.source_time
    return {"value": value, "status": status, "source_time": time}


@router.get("/gaps")
async def gaps(request: Request, times: Range) -> list[GapAnswer]:
    """Records of missing samples: which, how many, why."""
    span = times.start, times.end, times.known_at
    found = await asking(request).ask(lambda r: r.gaps(*span))
    return [GapAnswer(**{**asdict(gap), "signals": list(gap.signals)}) for gap in found]


@router.get("/events")
async def events(
    request: Request,
    times: Range,
    kind: Annotated[
        list[str] | None,
        Query(max_length=50, description="only of these kinds; repeat it", examples=[["reason"]]),
    ] = None,
) -> list[EventAnswer]:
    """What happened, oldest first."""
    span = times.start, times.end, times.known_at
    found = await asking(request).ask(lambda r: r.events(*span))
    return [
        EventAnswer(time=e.time, asset=e.asset, kind=e.kind, data=dict(e.data))
        for e in found
        if not kind or e.kind in kind
    ]
