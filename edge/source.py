"""The port of every protocol: a configuration that checks itself and opens a session.

An adapter connects and reads; nothing else. Scaling, deadband, quality on silence, retry and
counters are the runner's (``edge.runner``), the same for every protocol.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel

from plant.flow.clock import Clock
from plant.flow.sample import SampleBatch, Text


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What one read brought: samples, and strings where the source has any.

    ``signal`` of both counts in the points the session was opened with. Values are raw (before
    scale and offset); a point that could not be read or decoded is NaN with a Bad status. An answer
    to a poll holds every point once.
    """

    samples: SampleBatch
    texts: Sequence[Text] = ()
    alive: bool = True
    """False where the peer is lost and the session tries by itself to get it back."""
    why: Mapping[int, str] = field(default_factory=dict)
    """Point -> why it is Bad or Uncertain, in the words of whoever installs the device."""
    vouched: int | None = None
    """Of a peer that pushes: until when it has told every change, ms UTC by our clock; None where
    it has given no sign of that since the last answer."""

    @property
    def says_nothing(self) -> bool:
        """Whether a peer that pushes gave neither values nor a sign of life."""
        return self.vouched is None and not len(self.samples) and not self.texts

    def misfit(self, count: int, *, polled: bool) -> str:
        """What is wrong with it as an answer for ``count`` points; "" where nothing is."""
        signal = self.samples.signal
        if len(signal) and not 0 <= signal.min() <= signal.max() < count:
            return f"an answer for points {signal.min()} to {signal.max()} of {count}"
        if any(not 0 <= t.signal < count for t in self.texts):
            return f"a text for a point that is none of {count}"
        if polled and self.alive:
            told = np.bincount(signal, minlength=count)
            for text in self.texts:
                told[text.signal] += 1
            if (told != 1).any():
                return f"{int(told.sum())} values for {count} points"
        return ""


class Session(Protocol):
    """An open conversation with one peer, used by one task."""

    async def read(self) -> Answer:
        """One poll of all points, or, where the peer pushes, what it pushed since the last call.

        Raises
        ------
        Unavailable
            The peer is gone or silent; the session is of no more use and is closed.
        """


class Source(Protocol):
    """A protocol's configuration, as plant.yaml gives it under ``sources:``.

    The class is a frozen pydantic model that forbids unknown keys. Its module imports the
    standard library, pydantic, numpy and ``plant``; the protocol's library is imported in
    ``open``, so any box validates any plant.
    """

    Point: ClassVar[type[BaseModel]]
    """What plant.yaml gives under ``at:`` of a signal of such a source; or a shorthand of it."""

    @property
    def poll_ms(self) -> int:
        """Real milliseconds between polls; 0 where the peer pushes."""

    def check(self, points: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """What makes no sense together, as (signal path, problem); ``points`` by signal path."""

    def open(
        self, points: Sequence[Any], clock: Clock, folder: Path
    ) -> AbstractAsyncContextManager[Session]:
        """Connect. ``folder`` is the edge's own, for what a source keeps (certificates).

        Raises
        ------
        Unavailable
            The peer cannot be reached now.
        ConfigError
            It never will be with this configuration, or the library is not installed.
        """
