"""Birth certificates of a node's own signals, and of devices that only live in the outbox."""

import json
from collections.abc import Mapping, Sequence
from math import isnan

from plant.flow.status import StatusCode
from plant.model.signal import Signal, SignalKind
from plant.outbox.current import Values
from plant.outbox.file import AliasKey
from plant.outbox.split import RECORD_KEY, alias_key
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.record import RECORD


class Certificates:
    """Writes births from values of one moment."""

    def __init__(
        self,
        signals: Sequence[Signal],
        node: str,
        aliases: Mapping[AliasKey, int],
        properties: Mapping[AliasKey, str],
    ) -> None:
        self._signals = signals
        self._aliases = aliases
        self._properties = properties
        self._keys = [alias_key(signal, node) for signal in signals]
        self._of: dict[str, list[int]] = {}
        for index, key in enumerate(self._keys):
            self._of.setdefault(key[0], []).append(index)

    @property
    def devices(self) -> list[str]:
        """The devices of plant.yaml, without the node itself."""
        return [device for device in self._of if device]

    def node(self, values: Values) -> list[MetricBirth]:
        """The node's own metrics."""
        record = MetricBirth(
            RECORD, self._aliases[RECORD_KEY], DataType.String, None, StatusCode.BadNoData
        )
        return [record, *self._metrics("", values)]

    def device(self, device: str, values: Values) -> DeviceBirth:
        """A device that is there, with its current values."""
        return DeviceBirth(device, self._metrics(device, values))

    def dead(self, device: str) -> DeviceBirth:
        """A device whose rows wait: every metric it ever had, null and Bad."""
        metrics, names = [], set()
        own = [(alias, key) for key, alias in self._aliases.items() if key[0] == device]
        for alias, key in sorted(own, reverse=True):  # of two types of one name the newer keeps it
            _, name, kind = key
            unique = name if name not in names else f"{name} ({DataType(kind).name})"
            names.add(unique)
            metric = MetricBirth(
                unique, alias, DataType(kind), properties=json.loads(self._properties[key])
            )
            metrics.append(metric.dead())
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

    def _metrics(self, device: str, values: Values) -> list[MetricBirth]:
        births = []
        for index in self._of.get(device, ()):
            signal, alias = self._signals[index], self._aliases[self._keys[index]]
            if signal.kind is not SignalKind.TEXT:
                samples = values.samples
                value, time = float(samples.value[index]), int(samples.source_time[index])
                shown = None if isnan(value) else value
                status = int(samples.status[index])
                births.append(MetricBirth.of(signal, alias, shown, status, time or None))
            elif text := values.texts.get(index):
                births.append(MetricBirth.of(signal, alias, text.text, text.status, text.time))
            else:
                births.append(MetricBirth.of(signal, alias))
        return births
