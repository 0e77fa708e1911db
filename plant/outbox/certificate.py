"""Birth certificates of a node's own signals, and of devices that only live in the outbox."""

import json
from collections.abc import Mapping, Sequence
from math import isnan

from plant.flow.live import LiveTable
from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode
from plant.model.signal import Signal, SignalKind
from plant.outbox.file import AliasKey
from plant.outbox.split import RECORD_KEY, alias_key
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.record import RECORD


class Certificates:
    """Writes births from the newest values.

    ``texts`` is kept by the uplink: index of a text signal -> its newest string.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        node: str,
        aliases: Mapping[AliasKey, int],
        properties: Mapping[AliasKey, str],
        *,
        live: LiveTable,
        texts: Mapping[int, Text],
    ) -> None:
        self._signals = signals
        self._aliases = aliases
        self._properties = properties
        self._live = live
        self._texts = texts
        self._keys = [alias_key(signal, node) for signal in signals]
        self._of: dict[str, list[int]] = {}
        for index, key in enumerate(self._keys):
            self._of.setdefault(key[0], []).append(index)

    @property
    def devices(self) -> list[str]:
        """The devices of plant.yaml, without the node itself."""
        return [device for device in self._of if device]

    def snapshot(self) -> SampleBatch:
        """All values as they are now, so that every birth of a round tells the same moment."""
        return SampleBatch.of(
            range(len(self._signals)),
            self._live.source_time[: len(self._signals)].copy(),
            self._live.value[: len(self._signals)].copy(),
            self._live.status[: len(self._signals)].copy(),
        )

    def node(self, values: SampleBatch) -> list[MetricBirth]:
        """The node's own metrics."""
        record = MetricBirth(
            RECORD, self._aliases[RECORD_KEY], DataType.String, None, StatusCode.BadNoData
        )
        return [record, *self._metrics("", values)]

    def device(self, device: str, values: SampleBatch) -> DeviceBirth:
        """A device that is there, with its current values."""
        return DeviceBirth(device, self._metrics(device, values))

    def dead(self, device: str) -> DeviceBirth:
        """A device whose rows wait: every metric it ever had, null and Bad."""
        metrics, names = [], set()
        for (owner, name, kind), alias in sorted(self._aliases.items(), key=_newest_first):
            if owner != device:
                continue
            unique = name if name not in names else f"{name} ({DataType(kind).name})"
            names.add(unique)
            properties = json.loads(self._properties[owner, name, kind])
            metrics.append(
                MetricBirth(unique, alias, DataType(kind), None, 0, None, properties).dead()
            )
        return DeviceBirth(device, metrics, dead=True)

    def with_former(self, birth: DeviceBirth) -> DeviceBirth:
        """The same birth with metrics that left plant.yaml while rows of them wait."""
        known = {metric.alias for metric in birth.metrics}
        taken = {metric.name for metric in birth.metrics}
        past = [
            metric
            for metric in self.dead(birth.device).metrics
            if metric.alias not in known and metric.name not in taken
        ]
        return DeviceBirth(birth.device, [*birth.metrics, *past], birth.dead)

    def _metrics(self, device: str, values: SampleBatch) -> list[MetricBirth]:
        births = []
        for index in self._of.get(device, ()):
            signal, alias = self._signals[index], self._aliases[self._keys[index]]
            if signal.kind is not SignalKind.TEXT:
                value, time = float(values.value[index]), int(values.source_time[index])
                shown = None if isnan(value) else value
                status = int(values.status[index])
                births.append(MetricBirth.of(signal, alias, shown, status, time or None))
            elif text := self._texts.get(index):
                births.append(MetricBirth.of(signal, alias, text.text, text.status, text.time))
            else:
                births.append(MetricBirth.of(signal, alias))
        return births


def _newest_first(item: tuple[AliasKey, int]) -> int:
    return -item[1]
