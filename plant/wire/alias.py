"""What a birth makes known: alias or name of a metric -> signal of this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plant.errors import DecodeError
from plant.flow.live import SignalTable
from plant.flow.sample import Float64, Int32, Int64, SampleBatch, Text
from plant.wire.birth import DataType, is_internal
from plant.wire.foreign import Measure, Measures
from plant.wire.message import Message, Metric, TextSample
from plant.wire.record import RECORD

_NUMBERS = frozenset(range(DataType.Int8, DataType.Boolean + 1)) | {DataType.DateTime}
_TEXTS = frozenset((DataType.String, DataType.Text, DataType.UUID))
_KNOWN = frozenset(DataType)
_SIGNED = {DataType.Int8: 8, DataType.Int16: 16, DataType.Int32: 32}
_UNKNOWN, _SKIP = -1, -2
_DIRECT = 65_536
"""Aliases that span less than this are looked up by index, others by binary search."""


class UnknownAliasError(Exception):
    """A data message names a metric that no birth made known."""


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """A message's content as signals; ``records`` are the JSON texts of ``plant.wire.record``."""

    samples: SampleBatch
    historical: NDArray[np.bool_]
    texts: Sequence[tuple[Text, bool]]
    records: Sequence[str]


class Scope:
    """The metrics of one node or device, as its last birth named them.

    ``path`` gives a metric's path by its name, None where the signal is another node's: its data
    is left out, ``refused`` names it. ``former`` says whether a name is a signal's former one;
    such a metric without a value stands in a birth for its waiting rows alone. ``signals`` are the
    indices of all others. ``measure`` says how the values of a foreign node are taken; where it
    refuses (``DecodeError``) they are left out too, and ``unfit`` says why.
    """

    def __init__(
        self,
        table: SignalTable,
        metrics: Sequence[Metric],
        path: Callable[[str], str | None],
        former: Callable[[str], bool],
        measure: Callable[[str, Metric], Measure] | None = None,
    ) -> None:
        self.dead = False
        self.unfit: list[str] = []
        self._measure = measure
        self._measured: dict[int, Measure] = {}
        self.refused: list[str] = []
        self._waiting: set[str] = set()
        self._names: dict[str, tuple[int, int]] = {}
        self._texts: dict[int, int] = {}
        aliases: list[int] = []
        indices: list[int] = []
        types: list[int] = []
        self._record: int | None = None
        for metric in metrics:
            kind = metric.datatype or 0
            if kind not in _KNOWN:
                kind = DataType.Unknown
            index = _SKIP
            if metric.name == RECORD:
                self._record = metric.alias
            elif not is_internal(metric.name) and kind in _NUMBERS | _TEXTS:
                index = self._place(table, metric, path(metric.name))
                if metric.value is None and former(metric.name):
                    self._waiting.add(metric.name)
            self._names[metric.name] = index, kind
            if metric.alias is None:
                continue
            if kind in _TEXTS:
                self._texts[metric.alias] = index
            aliases.append(metric.alias)
            indices.append(_SKIP if kind in _TEXTS else index)
            types.append(kind)
        self.signals: Int32 = np.array(
            sorted({i for n, (i, _) in self._names.items() if i >= 0 and n not in self._waiting}),
            np.int32,
        )
        self._measures = Measures(self._measured) if self._measured else None
        self._fix = any(t in _SIGNED or t == DataType.UInt64 for t in types)
        self._order(np.array(aliases, np.int64), np.array(indices), np.array(types, np.uint8))

    def _place(self, table: SignalTable, metric: Metric, path: str | None) -> int:
        if path is None:
            self.refused.append(metric.name)
            return _SKIP
        if self._measure is None:
            return table.add(path)
        try:
            measure = self._measure(path, metric)
        except DecodeError as error:
            self.unfit.append(str(error))
            return _SKIP
        index = table.add(path)
        if not measure.plain:
            self._measured[index] = measure
        return index

    def _taken(self, found: Resolved) -> Resolved:
        """What was resolved, a foreign node's values in the terms of plant.yaml."""
        if self._measures is None or not len(found.samples):
            return found
        return replace(found, samples=self._measures.apply(found.samples))

    def _order(self, aliases: Int64, indices: NDArray[np.int64], types: NDArray[np.uint8]) -> None:
        order = np.argsort(aliases)
        self._aliases, self._indices = aliases[order], indices[order]
        self._types = types[order]
        self._base = int(self._aliases[0]) if len(order) else 0
        span = int(self._aliases[-1]) - self._base + 1 if len(order) else 0
        self._direct: NDArray[np.int64] | None = None
        if span <= _DIRECT:
            self._direct = np.full(span, -1, np.int64)
            self._direct[self._aliases - self._base] = np.arange(len(order))

    def births(self, metrics: Sequence[Metric]) -> Resolved:
        """The values of the birth itself."""
        nothing = Resolved(SampleBatch.empty(), np.empty(0, np.bool_), (), ())
        here = [m for m in metrics if m.name not in self._waiting] if self._waiting else metrics
        return self._taken(self._with_names(here, nothing))

    def resolve(self, message: Message) -> Resolved:
        """A data message; raises ``UnknownAliasError`` when any metric of it is not known."""
        places = self._places(message.alias)
        if len(places) and int(places.min()) < 0:
            raise UnknownAliasError(f"alias {message.alias[places < 0][0]}")
        signal = self._indices[places] if len(places) else places
        value = message.value
        if self._fix and len(places):
            value = _signed(value, self._types[places])
        time, status, historical = message.source_time, message.status, message.historical
        if len(signal) and int(signal.min()) < 0:  # texts that are null, metrics of the session
            kept = signal >= 0
            signal, value, time = signal[kept], value[kept], time[kept]
            status, historical = status[kept], historical[kept]
        texts, records = self._resolve_texts(message.texts)
        found = Resolved(SampleBatch.of(signal, time, value, status), historical, texts, records)
        return self._taken(self._with_names(message.metrics, found) if message.metrics else found)

    def _places(self, alias: Int64) -> NDArray[np.int64]:
        """Where each alias stands in the birth, -1 for unknown."""
        if self._direct is not None:
            at = alias - self._base
            inside = (at >= 0) & (at < len(self._direct))
            if inside.all():
                return self._direct[at]
            places = np.full(len(alias), -1, np.int64)
            places[inside] = self._direct[at[inside]]
            return places
        places = np.searchsorted(self._aliases, alias)
        places[places == len(self._aliases)] = 0
        places[self._aliases[places] != alias] = -1
        return places

    def _resolve_texts(
        self, given: Sequence[TextSample]
    ) -> tuple[list[tuple[Text, bool]], list[str]]:
        texts: list[tuple[Text, bool]] = []
        records: list[str] = []
        for text in given:
            index = self._texts.get(text.alias)
            if text.alias == self._record and text.text is not None:
                records.append(text.text)
            elif index is None:
                raise UnknownAliasError(f"alias {text.alias}")
            elif index >= 0:
                body = Text(index, text.time, text.text or "", text.status)
                texts.append((body, text.historical))
        return texts, records

    def _with_names(self, metrics: Sequence[Metric], found: Resolved) -> Resolved:
        """Metrics by name, as births and some foreign edges send them."""
        rows: list[tuple[int, int, float, int, bool]] = []
        texts = list(found.texts)
        for metric in metrics:
            if not metric.name:  # bytes, data sets and templates by alias are no signals
                continue
            if metric.name not in self._names:
                raise UnknownAliasError(f"metric {metric.name!r}")
            index, kind = self._names[metric.name]
            if index < 0:
                continue
            time, value = metric.time or 0, metric.value
            if kind in _TEXTS:
                if isinstance(value, str):
                    texts.append((Text(index, time, value, metric.status), metric.historical))
            elif value is None or isinstance(value, (int, float)):
                number = _number(value, kind)
                rows.append((index, time, number, metric.status, metric.historical))
        if not rows:
            return Resolved(found.samples, found.historical, texts, found.records)
        index_, time_, value_, status_, historical = zip(*rows, strict=True)
        named = SampleBatch.of(index_, time_, value_, status_)
        return Resolved(
            SampleBatch.concat([found.samples, named]),
            np.concatenate([found.historical, np.array(historical, np.bool_)]),
            texts,
            found.records,
        )


def _number(value: float | None, kind: int) -> float:
    if value is None:
        return float("nan")
    if kind in _SIGNED or kind == DataType.UInt64:
        return float(_signed(np.array([float(value)]), np.array([kind], np.uint8))[0])
    return float(value)


def _signed(value: Float64, types: NDArray[np.uint8]) -> Float64:
    """Whole numbers as their type means them: the wire has them unsigned (two's complement).

    >>> _signed(np.array([4294967291.0, 251.0, 5.0]), np.array([1, 1, 3], np.uint8)).tolist()
    [-5.0, -5.0, 5.0]
    """
    out = value.copy()
    for kind, bits in _SIGNED.items():
        of_kind = types == kind
        half, whole = 2.0 ** (bits - 1), 2.0**bits
        out[of_kind & (value >= half) & (value < whole)] -= whole
        out[of_kind & (value >= 2.0**31) & (value < 2.0**32) & (value >= whole)] -= 2.0**32
    out[(types == DataType.UInt64) & (value < 0)] += 2.0**64
    return out
