"""A window on the live table: what is read is taken from it, what is monitored is pushed.

Values are kept in the live table only. A node's value is made when a client reads it, and, while
at least one client monitors the node, when it changes. Nothing is done for the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edge.opcua.vocabulary import ua
from plant.flow.live import LiveTable
from plant.flow.sample import Text
from plant.flow.status import StatusCode
from plant.model.signal import SignalKind

BAD = 0x8000_0000


class Watchers(dict[int, Callable[..., Any]]):
    """asyncua's callbacks of one node's value; tells when the first comes and the last goes."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        super().__init__()
        self._changed = changed

    def __setitem__(self, handle: int, callback: Callable[..., Any]) -> None:
        super().__setitem__(handle, callback)
        if len(self) == 1:
            self._changed(True)

    def pop(self, handle: int, *default: Any) -> Any:
        """Take a callback away."""
        taken = super().pop(handle, *default)
        if not self:
            self._changed(False)
        return taken


@dataclass(frozen=True, slots=True)
class Pane:
    """One signal in the window: its index in the live table and how its value is typed."""

    index: int
    kind: SignalKind
    watchers: Watchers


class Window:
    """Makes OPC UA values of live samples, and pushes the monitored ones.

    >>> from plant.flow.live import SignalTable
    >>> from plant.flow.sample import SampleBatch
    >>> window = Window(LiveTable(SignalTable(["lathe/power"])))
    >>> _ = window.pane(0, SignalKind.MEASUREMENT)
    >>> window.live.update(SampleBatch.of([0], [1_700_000_000_000], [7.5]))
    >>> value = window.value(0)
    >>> value.Value.Value, value.StatusCode.name, value.SourceTimestamp.year
    (7.5, 'Good', 2023)
    """

    def __init__(self, live: LiveTable) -> None:
        self.live = live
        self.pushed = 0
        self._panes: dict[int, Pane] = {}
        self._texts: dict[int, Text] = {}
        self._fresh: set[int] = set()
        self._monitored = np.zeros(0, np.bool_)
        self._watched = 0
        self._cursor = live.cursor()

    def pane(self, index: int, kind: SignalKind) -> Pane:
        """Open the window on a signal."""
        grown = np.zeros(max(len(self._monitored), index + 1), np.bool_)
        grown[: len(self._monitored)] = self._monitored
        self._monitored = grown

        def changed(watched: bool) -> None:
            self._monitored[index] = watched
            self._watched += 1 if watched else -1

        self._panes[index] = Pane(index, kind, Watchers(changed))
        return self._panes[index]

    @property
    def monitored(self) -> int:
        """How many signals at least one client monitors."""
        return self._watched

    def text(self, text: Text) -> None:
        """A newer string."""
        if text.signal not in self._panes:
            return
        self._texts[text.signal] = text
        self._fresh.add(text.signal)

    def value(self, index: int) -> Any:
        """The newest value of a signal, as a client gets it."""
        pane = self._panes[index]
        if pane.kind is SignalKind.TEXT:
            text = self._texts.get(index)
            if text is None:
                return _data_value(None, StatusCode.BadWaitingForInitialData, 0)
            bad = bool(text.status & BAD)
            variant = None if bad else ua.Variant(text.text, ua.VariantType.String)
            return _data_value(variant, text.status, text.time)
        newest = self.live.snapshot(np.array([index], np.int32))
        status, time_ms = int(newest.status[0]), int(newest.source_time[0])
        if status & BAD:
            return _data_value(None, status, time_ms)
        value = float(newest.value[0])
        if pane.kind is SignalKind.STATE and not value.is_integer():  # no number of a state
            return _data_value(None, StatusCode.BadDecodingError, time_ms)
        return _data_value(_variant(pane.kind, value), status, time_ms)

    async def push(self) -> int:
        """Give what changed since the last call to those who monitor it."""
        if not self._watched:  # a monitored item reads its first value itself
            self._fresh.clear()
            return 0
        changed = self._cursor.changed()
        changed = changed[changed < len(self._monitored)]
        wanted: Sequence[int] = changed[self._monitored[changed]].tolist()
        if self._fresh:
            wanted = [*wanted, *(i for i in self._fresh if self._monitored[i])]
            self._fresh.clear()
        for index in wanted:
            value = self.value(index)
            for handle, callback in list(self._panes[index].watchers.items()):
                await callback(handle, value)
        self.pushed += len(wanted)
        return len(wanted)


def _variant(kind: SignalKind, value: float) -> Any:
    if kind is SignalKind.STATE:
        return ua.Variant(int(value), ua.VariantType.Int64)
    return ua.Variant(value, ua.VariantType.Double)


def _data_value(variant: Any, status: int, time_ms: int) -> Any:
    """Whoever gives no variant gives a Bad status: a Bad value is null (OPC 10000-4 7.11)."""
    return ua.DataValue(
        variant,
        ua.StatusCode(status),
        datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms else None,
        datetime.now(UTC),
    )
