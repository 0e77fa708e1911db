"""The state band with what people said: runs of state, waiting and mode, joined with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from plant.flow.port import HistorianReader
from plant.model.plant import Plant
from twin.kpi.said import MODES, Held, Said, resolve
from twin.kpi.statement import statements
from twin.run import StateRun, state_runs


@dataclass(frozen=True, slots=True)
class Run:
    """A time in which nothing of this changed, ms UTC, half-open.

    state, waiting, mode  as in ``StateRun``; a mode that a person stated beats the signal
    reason                what people say of it now; ``former`` what they said before, newest first
    """

    start: int
    end: int
    state: int | None
    waiting: int
    mode: int
    reason: Said | None = None
    former: tuple[Said, ...] = ()


def runs(
    reader: HistorianReader,
    plant: Plant,
    asset: str,
    start: int,
    end: int,
    *,
    known_at: int | None = None,
) -> Sequence[Run]:
    """The runs of a machine over [start, end), clipped to it, without a gap between them.

    ``known_at`` (ms UTC) reads as the twin then believed: rows, reasons and modes.
    """
    if end <= start:
        return []
    states = state_runs(reader, asset, start, end, known_at)
    said = statements(reader, plant, asset, states, known_at=known_at)
    return join(states, resolve(said.reasons, start, end), resolve(said.modes, start, end))


def join(states: Sequence[StateRun], reasons: Sequence[Held], modes: Sequence[Held]) -> list[Run]:
    """States, reasons and modes, each without a gap over the same range, as one band."""
    found: list[Run] = []
    edges = {t.start for t in states} | {t.start for t in (*reasons, *modes)}
    cuts = sorted(edges | {states[-1].end})
    of_state, of_reason, of_mode = iter(states), iter(reasons), iter(modes)
    state, reason, stated = next(of_state), next(of_reason), next(of_mode)
    for begin, finish in pairwise(cuts):
        if state.end <= begin:
            state = next(of_state)
        if reason.end <= begin:
            reason = next(of_reason)
        if stated.end <= begin:
            stated = next(of_mode)
        mode = stated.current
        run = Run(
            begin,
            finish,
            state.state,
            state.waiting,
            MODES.get(mode.word, state.mode) if mode else state.mode,
            reason.current,
            reason.former,
        )
        if found and replace(found[-1], start=begin, end=finish) == run:
            found[-1] = replace(found[-1], end=finish)
        else:
            found.append(run)
    return found
