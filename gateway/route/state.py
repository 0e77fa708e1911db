"""States: the runs of a state signal, and the band of a machine with what people said."""

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from gateway.answer.state import RunAnswer, RunsAnswer, StatesAnswer, runs_answer
from gateway.query import (
    HISTORY_REFUSALS,
    LONGEST_DAYS,
    AssetId,
    Path,
    Range,
    machine,
    number,
    wrong,
)
from gateway.run import read_states
from gateway.state import VIEWER, asking, state
from plant.flow.port import HistorianReader
from plant.model.signal import SignalKind
from twin.kpi.run import runs as machine_runs

router = APIRouter(tags=["states"], dependencies=[VIEWER], responses=HISTORY_REFUSALS)


@router.get("/states", response_model=StatesAnswer)
async def states(request: Request, path: Path, times: Range) -> Response:
    """The runs of a state: what held before the range and what holds now included."""
    kaikou = state(request)
    if number(kaikou, path).kind is not SignalKind.STATE:
        raise wrong(f"{path!r} is not a state")
    start, end, known_at = times.start, times.until(kaikou, LONGEST_DAYS), times.known_at

    def answer(reader: HistorianReader) -> StatesAnswer:
        found = read_states(reader, path, start, end, known_at)
        return StatesAnswer(path=path, runs=[RunAnswer(**asdict(run)) for run in found])

    return await asking(request).answer(answer, long=times.long)


@router.get("/runs", response_model=RunsAnswer)
async def runs(request: Request, asset: AssetId, times: Range) -> Response:
    """The state band of a machine: state, what it waits for, mode, reason and former reasons.

    Where nothing is known (silence, Bad rows) the state is null. Of reasons that overlap the one
    said last holds; `former` keeps the others.
    """
    kaikou = state(request)
    machine(kaikou, asset)
    start, end, known_at = times.start, times.until(kaikou, LONGEST_DAYS), times.known_at
    plant = kaikou.plant

    def answer(reader: HistorianReader) -> RunsAnswer:
        found = machine_runs(reader, plant, asset, start, end, known_at=known_at)
        return runs_answer(plant, asset, found)

    return await asking(request).answer(answer, long=times.long)
