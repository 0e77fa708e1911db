"""States and what people said of them."""

from gateway.answer.base import Answer


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
