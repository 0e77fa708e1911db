"""From samples to rows: one device, one class, at most 500 metrics a row."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Event, SampleBatch, Text
from plant.model.signal import Signal, SignalKind
from plant.outbox.alias import AliasKey
from plant.outbox.row import NewRow, RowClass
from plant.wire.birth import DataType, signal_properties
from plant.wire.codec import TextSample, decode_payload, encode_metrics, encode_texts
from plant.wire.record import RECORD, encode_event

ROW_METRICS = 500
RECORD_KEY: AliasKey = ("", RECORD, int(DataType.String))
_EVENTS_PER_ROW = 50


def alias_key(signal: Signal, node: str) -> AliasKey:
    """What owns an alias; the node's own signals have the device ""."""
    kind = DataType.String if signal.kind is SignalKind.TEXT else DataType.Double
    return ("" if signal.asset == node else signal.asset, signal.id, int(kind))


def alias_keys(signals: Sequence[Signal], node: str) -> dict[AliasKey, str]:
    """Every key that a node needs, with the properties of its birth as JSON."""
    keys = {RECORD_KEY: "{}"}
    for signal in signals:
        properties = json.dumps(signal_properties(signal), ensure_ascii=False, sort_keys=True)
        keys[alias_key(signal, node)] = properties
    return keys


def as_historical(metrics: bytes) -> bytes:
    """The same metrics, each marked historical."""
    message = decode_payload(metrics)
    zeros = np.zeros(len(message.alias), np.int32)
    batch = SampleBatch.of(zeros, message.source_time, message.value, message.status)
    texts = [TextSample(t.alias, t.time, t.text, t.status, True) for t in message.texts]
    return encode_metrics(message.alias, batch, historical=True) + encode_texts(texts)


class Splitter:
    """Makes rows of what was handed over between two commits.

    Of two values of one signal in the same millisecond that were handed over together the later
    is kept; the other is counted in ``duplicates``. One that says something else than a row of the
    same time before it is a correction, and a row. ``device_of`` maps a signal's index to its
    device's; ``record`` is the alias of records.
    """

    def __init__(
        self, signals: Sequence[Signal], node: str, aliases: Mapping[AliasKey, int]
    ) -> None:
        keys = [alias_key(signal, node) for signal in signals]
        self.alias = np.array([aliases[key] for key in keys], np.int32)
        self.devices = list(dict.fromkeys(key[0] for key in keys))
        code = {device: number for number, device in enumerate(self.devices)}
        self.device_of = np.array([code[key[0]] for key in keys], np.int32)
        self.duplicates = 0
        self.record = aliases[RECORD_KEY]
        self._newest = np.full(len(signals), -1, np.int64)
        self._value = np.full(len(signals), np.nan)
        self._status = np.zeros(len(signals), np.uint32)

    def given(self, signals: Sequence[Signal], node: str) -> dict[AliasKey, int]:
        """The alias of every key, as this process uses them; ``signals`` as at the beginning."""
        numbers = self.alias.tolist()
        keys = {alias_key(signal, node): n for signal, n in zip(signals, numbers, strict=True)}
        return {RECORD_KEY: self.record, **keys}

    def device(self, signal: int) -> str:
        """The device of a signal, "" for the node's own."""
        return self.devices[int(self.device_of[signal])]

    def rows(self, batch: SampleBatch, historical: bool = False) -> Iterator[NewRow]:
        """Rows of samples, by device and time."""
        batch = self._without_duplicates(batch, historical)
        if not len(batch):
            return
        device = self.device_of[batch.signal]
        single = device[0] == device[-1] and not (device != device[0]).any()
        if not single or (batch.source_time[1:] < batch.source_time[:-1]).any():
            order = np.lexsort((batch.source_time, device))
            batch, device = batch.take(order), device[order]
        if not historical:
            self._newest[batch.signal] = batch.source_time
            self._value[batch.signal], self._status[batch.signal] = batch.value, batch.status
        ends = [] if single else (np.flatnonzero(device[1:] != device[:-1]) + 1).tolist()
        start = 0
        for end in [*ends, len(batch)]:
            name = self.devices[device[start]]
            for first in range(start, end, ROW_METRICS):
                yield self._row(name, batch, first, min(end, first + ROW_METRICS), historical)
            start = end

    def _row(
        self, device: str, batch: SampleBatch, start: int, end: int, historical: bool
    ) -> NewRow:
        if start or end < len(batch):
            batch = SampleBatch(
                batch.signal[start:end],
                batch.source_time[start:end],
                batch.value[start:end],
                batch.status[start:end],
                batch.received_time[start:end],
            )
        metrics = encode_metrics(self.alias[batch.signal], batch)
        first, last = int(batch.source_time[0]), int(batch.source_time[-1])
        return NewRow(device, RowClass.SAMPLE, first, last, end - start, metrics, historical, batch)

    def _without_duplicates(self, batch: SampleBatch, historical: bool) -> SampleBatch:
        if not len(batch):
            return batch
        key = (batch.signal.astype(np.int64) << 43) ^ batch.source_time
        ordered = np.sort(key)
        keep: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
        if (ordered[1:] == ordered[:-1]).any():
            _, from_end = np.unique(key[::-1], return_index=True)
            keep = np.zeros(len(batch), np.bool_)
            keep[len(batch) - 1 - from_end] = True
        if not historical:
            again = batch.source_time == self._newest[batch.signal]
            if again.any():
                again &= self._same(batch)
                keep = ~again if keep is None else keep & ~again
        if keep is None:
            return batch
        self.duplicates += len(batch) - int(keep.sum())
        return batch.take(keep)

    def _same(self, batch: SampleBatch) -> NDArray[np.bool_]:
        """Where a row says what the newest of its signal says."""
        value = self._value[batch.signal]
        same: NDArray[np.bool_] = (batch.value == value) | (np.isnan(batch.value) & np.isnan(value))
        same &= batch.status == self._status[batch.signal]
        return same

    def text_rows(self, texts: Sequence[Text], historical: bool = False) -> Iterator[NewRow]:
        """Rows of strings, by device."""
        by_device: dict[str, list[Text]] = {}
        for text in sorted(texts, key=_time):
            device = self.device(text.signal)
            by_device.setdefault(device, []).append(text)
        for device, of_device in by_device.items():
            for start in range(0, len(of_device), ROW_METRICS):
                part = of_device[start : start + ROW_METRICS]
                metrics = encode_texts(
                    [TextSample(int(self.alias[t.signal]), t.time, t.text, t.status) for t in part]
                )
                yield NewRow(
                    device,
                    RowClass.EVENT,
                    part[0].time,
                    part[-1].time,
                    len(part),
                    metrics,
                    historical,
                )

    def event_rows(self, events: Sequence[Event], historical: bool = False) -> Iterator[NewRow]:
        """Rows of events: data of the node, whatever asset they speak of."""
        ordered = sorted(events, key=_time)
        for start in range(0, len(ordered), _EVENTS_PER_ROW):
            part = ordered[start : start + _EVENTS_PER_ROW]
            metrics = encode_texts([TextSample(self.record, e.time, encode_event(e)) for e in part])
            yield NewRow(
                "", RowClass.EVENT, part[0].time, part[-1].time, len(part), metrics, historical
            )


def _time(item: Text | Event) -> int:
    return item.time
