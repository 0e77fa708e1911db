"""The port of every method: signals in, signals out, what must outlive the process beside it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from plant.flow.sample import Event, SampleBatch


class Estimator(Protocol):
    """One method at work on the signals of one asset.

    The service gives each stored row of ``inputs`` once, in time order, and asks for what follows
    from them; it publishes that as ordinary signals. An estimator reads signals and nothing else.
    """

    @property
    def name(self) -> str:
        """Unique in the process; keeps ``saved`` apart."""

    @property
    def inputs(self) -> Sequence[str]:
        """Paths; ``signal`` of the rows that come counts in them."""

    @property
    def outputs(self) -> Sequence[str]:
        """Paths; ``signal`` of the rows that go counts in them."""

    def update(self, rows: SampleBatch, now: int) -> SampleBatch:
        """Take the rows up to ``now`` (ms UTC, plant time); give what is known at ``now``."""

    def events(self) -> Sequence[Event]:
        """What happened since the last call."""

    def saved(self) -> Mapping[str, float]:
        """What the next process must know."""

    @property
    def since(self) -> int:
        """From when on (ms UTC) rows are needed again after ``restore``; 0: those of the moment."""

    def warm(self, rows: SampleBatch, now: int) -> None:
        """After ``restore``: rows before ``now`` that were worked on already.

        Those since ``since``, and of each input the one that held then.
        """

    def restore(self, saved: Mapping[str, float]) -> None:
        """Take over what an earlier process saved."""
