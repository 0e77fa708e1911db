"""What was handed over and waits for the next transaction."""

from collections.abc import Mapping, Sequence

from plant.flow.sample import Event, SampleBatch, Text
from plant.outbox.row import NewRow
from plant.outbox.split import Splitter

PENDING_SAMPLES = 200_000


class Pending:
    """Samples, texts, events and numbers between two transactions; bounded by samples."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._now: list[SampleBatch] = []
        self._past: list[SampleBatch] = []
        self._count = 0
        self._texts: list[Text] = []
        self._past_texts: list[Text] = []
        self._events: list[Event] = []
        self._state: dict[str, Mapping[str, float]] = {}

    def put(
        self,
        batch: SampleBatch | None,
        texts: Sequence[Text],
        events: Sequence[Event],
        state: Mapping[str, Mapping[str, float]] | None,
        *,
        live: bool,
    ) -> bool:
        """Take it; False when more waits already than the disk takes."""
        count = len(batch) if batch is not None else 0
        if self._count + count > PENDING_SAMPLES:
            return False
        if batch is not None and count:
            (self._now if live else self._past).append(batch)
            self._count += count
        (self._texts if live else self._past_texts).extend(texts)
        self._events += events
        if state:
            self._state.update(state)
        return True

    def take(
        self, split: Splitter
    ) -> tuple[list[NewRow], list[Text], dict[str, Mapping[str, float]]]:
        """Everything as rows, the texts that are of now, and the numbers; then it is empty."""
        rows: list[NewRow] = []
        if self._past:
            rows += split.rows(SampleBatch.concat(self._past), historical=True)
        rows += split.text_rows(self._past_texts, historical=True)
        if self._now:
            rows += split.rows(SampleBatch.concat(self._now))
        rows += split.text_rows(self._texts)
        rows += split.event_rows(self._events)
        taken = rows, self._texts, self._state
        self._clear()
        return taken
