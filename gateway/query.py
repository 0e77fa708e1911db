"""Parameters that routes share, and the limits of what may be asked at once."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Query, status

from gateway.answer.base import RefusalAnswer
from gateway.state import State
from plant.model.plant import Asset
from plant.model.signal import Signal, SignalKind

FOREVER_MS = 4_102_444_800_000
"""The year 2100: greater times are typing errors."""
DAY_MS = 86_400_000
LONGEST_DAYS = 400
"""What is counted from raw rows is asked for a year and a month at most."""

LONG_DAYS = 8
"""Longer ranges are answered one after the other, apart from the rest."""

_EXAMPLE = 1_763_769_600_000

Start = Annotated[
    int, Query(ge=0, le=FOREVER_MS, description="ms UTC, inclusive", examples=[_EXAMPLE])
]
End = Annotated[
    int,
    Query(
        ge=0,
        le=FOREVER_MS,
        description="ms UTC, exclusive; the future is cut off at now",
        examples=[_EXAMPLE + DAY_MS],
    ),
]
KnownAt = Annotated[
    int | None,
    Query(
        ge=0,
        le=FOREVER_MS,
        description="ms UTC: answer as the twin believed then, without late rows, corrections and "
        "what people said afterwards; left out: what is known now",
    ),
]
At = Annotated[
    int | None, Query(ge=0, le=FOREVER_MS, description="the moment, ms UTC; left out: now")
]
Path = Annotated[str, Query(max_length=200, description="signal path", examples=["lathe/power"])]
AssetId = Annotated[
    str, Query(max_length=100, description="id of a machine or line", examples=["lathe"])
]


@dataclass(frozen=True, slots=True)
class Times:
    """A range of time, half-open, and as of when it was known."""

    start: Start
    end: End
    known_at: KnownAt = None

    @property
    def long(self) -> bool:
        """Whether it takes a while to count from raw rows."""
        return self.end - self.start > LONG_DAYS * DAY_MS

    def until(self, kaikou: State, longest_days: int = 0) -> int:
        """The end, not after now; 422 where nothing or too much is asked for."""
        end = min(self.end, kaikou.clock.now())
        check_range(self.start, end, longest_days)
        return end


Range = Annotated[Times, Depends()]

MAX_PATHS = 1000
"""So many fit in an address; ``/api/live`` takes more."""

Paths = Annotated[list[str], Query(max_length=MAX_PATHS, description="signal paths; repeat it")]

REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": RefusalAnswer, "description": "Not to be read as a question at all"},
    401: {"model": RefusalAnswer, "description": "Nobody is logged in"},
    403: {"model": RefusalAnswer, "description": "Without the right, or sent from another site"},
    422: {"model": RefusalAnswer, "description": "What is wrong with the question"},
}
"""Answers that any route behind the log-in may give."""
NOT_THERE: dict[int | str, dict[str, object]] = {
    404: {"model": RefusalAnswer, "description": "The plant has no such signal or asset"},
}
HISTORY_REFUSALS: dict[int | str, dict[str, object]] = {
    **NOT_THERE,
    503: {"model": RefusalAnswer, "description": "The historian is away"},
}
"""Besides, of a route that asks the historian."""


def wrong(text: str) -> HTTPException:
    """422 with the reason."""
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, text)


def check_range(start: int, end: int, longest_days: int = 0) -> None:
    """422 for an empty range, or one that is too long."""
    if start >= end:
        raise wrong("start is not before end, or in the future")
    if longest_days and end - start > longest_days * DAY_MS:
        raise wrong(f"the range is longer than {longest_days} days; ask for a part of it")


def number(kaikou: State, path: str) -> Signal:
    """A signal that is a number; 404 where there is none, 422 for a text."""
    signal = kaikou.signal(path)
    if signal.kind is SignalKind.TEXT:
        raise wrong(f"{path!r} is a text")
    return signal


def machine(kaikou: State, id: str) -> Asset:
    """An asset that has a state of its own; 404 where there is none, 422 for others."""
    asset = kaikou.plant.assets.get(id)
    if asset is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no asset {id[:64]!r} in this plant")
    if asset.signal("state") is None:
        raise wrong(f"{id!r} has no state")
    return asset
