"""What was: trends, aggregates, runs of states, gaps, events. Times are ms UTC, half-open."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response, status

from gateway.answer.history import AggregateAnswer, EventAnswer, GapAnswer, HistoryAnswer
from gateway.answer.state import RunAnswer, StatesAnswer
from gateway.state import VIEWER, State, state
from gateway.stream import encode
from gateway.trend import read_states, read_trend
from plant.model.signal import SignalKind

router = APIRouter(tags=["history"], dependencies=[VIEWER])

Start = Annotated[int, Query(ge=0, description="ms UTC, inclusive")]
End = Annotated[int, Query(ge=0, description="ms UTC, exclusive; the future is cut off at now")]
MAX_BUCKETS = 20_000


def _until(kaikou: State, start: int, end: int) -> int:
    end = min(end, kaikou.clock.now())
    if start >= end:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "start is not before end")
    return end


@router.get("/history", response_model=HistoryAnswer)
async def history(
    request: Request,
    path: str,
    start: Start,
    end: End,
    px: Annotated[int, Query(ge=10, le=10_000, description="pixels to draw on")] = 2000,
) -> Any:
    """A trend at pixel resolution (M4 where there are more than 4 rows a pixel)."""
    kaikou = state(request)
    kind = kaikou.signal(path).kind
    end = _until(kaikou, start, end)
    trend = await kaikou.history.ask(lambda r: read_trend(r, path, kind, start, end, px=px))
    body = {
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
    return Response(encode(body), media_type="application/json")


@router.get("/aggregate", response_model=AggregateAnswer)
async def aggregate(
    request: Request,
    path: str,
    start: Start,
    end: End,
    width_ms: Annotated[int, Query(ge=1000, description="bucket width")],
) -> Any:
    """Buckets by the signal's kind: time-weighted mean, increase over resets, state durations."""
    kaikou = state(request)
    kaikou.signal(path)
    end = _until(kaikou, start, end)
    if (end - start) / width_ms > MAX_BUCKETS:
        text = f"more than {MAX_BUCKETS} buckets; choose a greater width_ms"
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, text)
    found = await kaikou.history.ask(lambda r: r.aggregate(path, start, end, width_ms))
    columns = {
        name: getattr(found, name)
        for name in AggregateAnswer.model_fields
        if name not in {"path", "kind", "durations"}
    }
    durations = {str(k): v for k, v in found.durations.items()}
    body = {"path": path, "kind": found.kind, **columns, "durations": durations}
    return Response(encode(body), media_type="application/json")


@router.get("/states")
async def states(request: Request, path: str, start: Start, end: End) -> StatesAnswer:
    """The runs of a state: what held before the range and what holds now included."""
    kaikou = state(request)
    if kaikou.signal(path).kind is not SignalKind.STATE:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"{path!r} is not a state")
    end = _until(kaikou, start, end)
    runs = await kaikou.history.ask(lambda r: read_states(r, path, start, end))
    return StatesAnswer(path=path, runs=[RunAnswer(**asdict(run)) for run in runs])


@router.get("/gaps")
async def gaps(request: Request, start: Start, end: End) -> list[GapAnswer]:
    """Records of missing samples: which, how many, why."""
    found = await state(request).history.ask(lambda r: r.gaps(start, end))
    return [GapAnswer(**{**asdict(gap), "signals": list(gap.signals)}) for gap in found]


@router.get("/events")
async def events(request: Request, start: Start, end: End) -> list[EventAnswer]:
    """What happened, oldest first."""
    found = await state(request).history.ask(lambda r: r.events(start, end))
    return [EventAnswer(time=e.time, asset=e.asset, kind=e.kind, data=dict(e.data)) for e in found]
