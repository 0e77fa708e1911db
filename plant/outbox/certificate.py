"""Birth certificates of a node's own signals, and of devices that only live in the outbox."""

import json
from collections.abc import Sequence
from math import isnan

from plant.flow.status import StatusCode
from plant.model.signal import Signal, SignalKind
from plant.outbox.alias import KnownMetric
from plant.outbox.current import Values
from plant.outbox.split import Splitter
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.record import RECORD


class Certificates:
    """Writes births from values of one moment."""

    def __init__(self, signals: Sequence[Signal], splitter: Splitter) -> None:
        self._signals = signals
        self._splitter = splitter
        self._of: dict[str, list[int]] = {}
        for index in range(len(signals)):
            self._of.setdefault(splitter.device(index), []).append(index)

    @property
    def devices(self) -> list[str]:
        """The devices of plant.yaml, without the node itself."""
        return [device for device in self._of if device]

    def node(self, values: Values) -> list[MetricBirth]:
        """The node's own metrics."""
        alias = self._splitter.record
        record = MetricBirth(RECORD, alias, DataType.String, None, StatusCode.BadNoData)
        return [record, *self._metrics("", values)]

    def device(self, device: str, values: Values) -> DeviceBirth:
        """A device that is there, with its current values."""
        return DeviceBirth(device, self._metrics(device, values))

    @staticmethod
    def dead(device: str, known: Sequence[KnownMetric]) -> DeviceBirth:
        """A device whose rows wait: every metric it ever had, null and Bad."""
        metrics, names = [], set()
        for metric in known:  # the newest first: of two types of one name it keeps the name
            kind = DataType(metric.type)
            name = metric.name if metric.name not in names else f"{metric.name} ({kind.name})"
            names.add(name)
            properties = json.loads(metric.properties)
            metrics.append(MetricBirth(name, metric.alias, kind, properties=properties).dead())
        return DeviceBirth(device, metrics, dead=True)

    @classmethod
    def with_former(cls, birth: DeviceBirth, known: Sequence[KnownMetric]) -> DeviceBirth:
        """The same birth with metrics that left plant.yaml while rows of them wait."""
        there = {metric.alias for metric in birth.metrics}
        taken = {metric.name for metric in birth.metrics}
        past = [
            metric
            for metric in cls.dead(birth.device, known).metrics
            if metric.alias not in there and metric.name not in taken
        ]
        return DeviceBirth(birth.device, [*birth.metrics, *past], birth.dead)

    def _metrics(self, device: str, values: Values) -> list[MetricBirth]:
        births = []
        for index in self._of.get(device, ()):
            signal, alias = self._signals[index], int(self._splitter.alias[index])
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
