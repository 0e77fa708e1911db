"""The plant tree and the newest values."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from gateway.answer.history import ColumnsAnswer
from gateway.answer.plant import PlantAnswer
from gateway.query import NOT_THERE, Paths
from gateway.state import VIEWER, state
from gateway.stream import encode

router = APIRouter(tags=["plant"], dependencies=[VIEWER])


@router.get("/plant", response_model=PlantAnswer)
def plant(request: Request) -> Response:
    """Lines, assets and signals, with their names in both languages."""
    return Response(request.app.state.plant(), media_type="application/json")


@router.get("/latest", response_model=ColumnsAnswer, responses=NOT_THERE)
def latest(request: Request, path: Paths) -> Any:
    """The newest sample of each path, in the order asked for."""
    kaikou = state(request)
    live = kaikou.live
    signals = np.array([live.table.add(kaikou.signal(p).path) for p in path], np.int32)
    samples = live.snapshot(signals)
    body = {
        "time": kaikou.clock.now(),
        "paths": path,
        "value": samples.value,
        "status": samples.status,
        "source_time": samples.source_time,
    }
    return Response(encode(body), media_type="application/json")
