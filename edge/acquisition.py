"""From what the sources read to what is accepted: conditioning, report by exception, presence."""

import time
from collections.abc import Sequence

from edge.filter import Filter
from edge.presence import Presence
from edge.runner import Read, Runner
from edge.stage import Stage
from plant.errors import Unavailable
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.flow.supervisor import Unexpected
from plant.model.signal import Signal
from plant.outbox.uplink import Uplink

LAST_GOOD_READ = "last_good_read"
_TELL_S = 2.0
"""Every device tells its last good read at least this often (real time)."""


class Acquisition:
    """Takes the answers of all sources of an edge and hands the uplink what is worth a row.

    signals    all of the edge, the published ones first
    published  how many of them the uplink knows
    """

    def __init__(
        self, signals: Sequence[Signal], published: int, stage: Stage, uplink: Uplink
    ) -> None:
        self._uplink = uplink
        self._stage = stage
        self._published = published
        self._filter = Filter(signals)
        self._presence = Presence(signals, uplink.device_lost, uplink.device_back)
        self._read_at = {s.asset: at for at, s in enumerate(signals) if s.id == LAST_GOOD_READ}
        self._told_s: dict[str, float] = {}
        self._hidden = published < len(signals)

    async def deliver(self, runner: Runner) -> None:
        """Take a source's answers until it ends; one that breaks something is lost and counted."""
        pace_s = runner.source.poll_ms / 1000 or 1.0
        unexpected = Unexpected(f"answers of {runner.name}")
        async for read in runner.answers:
            try:
                with unexpected.caught():
                    self.take(runner.name, read, pace_s)
            except Unavailable:
                self._uplink.dropped_before_accept += len(read.batch) + len(read.texts)

    def take(self, source: str, read: Read, pace_s: float) -> None:
        """One answer; ``pace_s`` is when the next one is expected."""
        alive = self._presence.see(source, read.batch, read.texts, good=read.good)
        batch = self._stage.process(read.batch, read.at)
        told = [asset for asset in alive if self._due(asset, pace_s)]
        if told:
            status = StatusCode.Good if read.trusted else StatusCode.Uncertain
            at = [self._read_at[asset] for asset in told]
            batch = SampleBatch.concat([batch, SampleBatch.of(at, read.at, float(read.at), status)])
        texts = self._filter.texts(read.texts) if read.texts else ()
        self._accept(batch, texts)
        self._presence.settle()

    def tick(self, now: int) -> None:
        """What has become certain by time alone; ``now`` is the plant's time."""
        self._accept(self._stage.tick(now), ())

    def _due(self, asset: str, pace_s: float) -> bool:
        if asset not in self._read_at:
            return False
        now = time.monotonic()
        if now - self._told_s.get(asset, -_TELL_S) + pace_s <= _TELL_S:
            return False
        self._told_s[asset] = now
        return True

    def _accept(self, batch: SampleBatch, texts: Sequence[Text]) -> None:
        if self._hidden and len(batch):
            batch = batch.take(batch.signal < self._published)
        doubled = self._filter.doubled
        batch = self._filter.report(batch)
        self._uplink.dropped_before_accept += self._filter.doubled - doubled
        if len(batch) or texts:
            self._uplink.accept(batch, texts, state=self._stage.saved(batch.signal))
