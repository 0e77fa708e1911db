"""States of machines and what people said of them. Times are ms UTC."""

from collections.abc import Sequence
from typing import Literal

from gateway.answer.base import Answer, LabelAnswer, example, label
from plant.model.mode import MODE_NAMES, WAITING_NAMES, Mode, Waiting
from plant.model.plant import Plant
from plant.model.reason import ReasonKind
from twin.kpi.run import Run
from twin.kpi.said import Said

MODE_WORDS = Literal["production", "maintenance", "manual", "setup"]


class RunAnswer(Answer):
    """A time in one state; null: unknown."""

    start: int
    end: int
    state: int | None
    status: int


class StatesAnswer(Answer):
    """The runs of a state in a range."""

    path: str
    runs: list[RunAnswer]


class FormerAnswer(Answer):
    """What a person said of a stop before it was said otherwise."""

    code: str
    name: LabelAnswer
    note: str
    person: str
    said: int


class ReasonSaidAnswer(FormerAnswer):
    """Why a machine stood, as a person says."""

    kind: ReasonKind


class MachineRunAnswer(Answer):
    """A time of a machine in which nothing of this changed.

    ``state``: PackML number, null where unknown; ``waiting``: why a suspended machine waits, where
    that is known; ``former``: what people said before, newest first.
    """

    start: int
    end: int
    state: int | None
    waiting: Literal["starved", "blocked"] | None
    mode: MODE_WORDS | None
    reason: ReasonSaidAnswer | None
    former: list[FormerAnswer]


class RunsAnswer(Answer):
    """The state band of a machine: runs without a gap between them, clipped to the range."""

    model_config = example(
        asset="lathe",
        runs=[
            {
                "start": 1763769600000,
                "end": 1763770500000,
                "state": 11,
                "waiting": None,
                "mode": "production",
                "reason": {
                    "code": "tool_change",
                    "name": {"zh": "换刀", "en": "Tool change"},
                    "kind": "setup",
                    "note": "T4",
                    "person": "wang",
                    "said": 1763771000000,
                },
                "former": [],
            }
        ],
    )

    asset: str
    runs: list[MachineRunAnswer]


def runs_answer(plant: Plant, asset: str, runs: Sequence[Run]) -> RunsAnswer:
    """The band with names of codes."""
    return RunsAnswer(asset=asset, runs=[_run(plant, run) for run in runs])


def _run(plant: Plant, run: Run) -> MachineRunAnswer:
    return MachineRunAnswer.model_validate(
        {
            "start": run.start,
            "end": run.end,
            "state": run.state,
            "waiting": WAITING_NAMES.get(Waiting(run.waiting)),
            "mode": MODE_NAMES.get(Mode(run.mode)),
            "reason": _reason(plant, run.reason) if run.reason else None,
            "former": [_former(plant, said) for said in run.former],
        }
    )


def _former(plant: Plant, said: Said) -> dict[str, object]:
    """A code that plant.yaml no longer has is its own name."""
    known = plant.reasons.get(said.word)
    name = label(known.name) if known else LabelAnswer(zh=said.word, en=said.word)
    return {
        "code": said.word,
        "name": name,
        "note": said.note,
        "person": said.person,
        "said": said.said,
    }


def _reason(plant: Plant, said: Said) -> dict[str, object]:
    known = plant.reasons.get(said.word)
    return {**_former(plant, said), "kind": known.kind if known else ReasonKind.OTHER}
